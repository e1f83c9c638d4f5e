import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { hashSecret, type JoinToken, macOf, newJoinToken, parseJoinToken } from "../../src/node/credentials.ts";
import { admitJoiner, askToJoin, type JoinPorts, type JoinRequest } from "../../src/node/join.ts";
import { crossSign, issueCertificate, makeAuthority, makeKey, makeRequest } from "../../src/node/certificates.ts";
import type { TokenRow } from "../../src/state/queries.ts";
import {
  fingerprintOf,
  isSignedBy,
  judgeCertificate,
  parseCertificate,
  signWith,
} from "../../src/transport/certificate.ts";
import { authority, credentials, stranger } from "../transport/credentials.ts";

const pin = fingerprintOf(authority.certificate);
const key = await makeKey();

const request: JoinRequest = {
  name: "b",
  incarnation: "i",
  labels: {},
  slots: 4,
  ioTasks: 64,
  level: 1,
  version: "0",
  votersWanted: undefined,
  certificate: { csr: await makeRequest(key), hosts: ["localhost"] },
  apiToken: { id: "000000000000", hash: "h" },
};

function rowOf(token: { id: string; hash: string }): TokenRow {
  return {
    ...token,
    kind: "join",
    name: "t",
    role: "operator",
    expiresAt: null,
    uses: null,
    revoked: false,
    node: null,
  };
}

/** A member that answers joins over a real socket, and records whom it admitted. */
function member(row: TokenRow | undefined, by = authority, more: Partial<JoinPorts> = {}) {
  const admitted: JoinRequest[] = [];
  const bodies: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (incoming) => {
      const text = await incoming.text();
      bodies.push(text);
      const outcome = await admitJoiner(JSON.parse(text), {
        fingerprints: () => [fingerprintOf(by.certificate)],
        findToken: (id) => Promise.resolve(accept(row?.id === id ? row : undefined)),
        votersWanted: () => 5,
        admit: (_token, asked) => {
          admitted.push(asked);
          return Promise.resolve(accept(nodeId(2)));
        },
        entryProblem: () => undefined,
        issue: async ({ csr, hosts }, node) => {
          const issue = {
            authority: by,
            request: csr,
            hosts,
            cluster: "c1",
            node,
            now: Date.now(),
            lifetimeMs: 60_000,
          };
          const issued = await issueCertificate(issue);
          return issued === undefined ? refuse("invalid", "no request") : accept(issued);
        },
        answer: (node, certificate) => ({
          cluster: "c1",
          node,
          certificate,
          trusted: [by.certificate],
          peers: [{ node: nodeId(1), address: "127.0.0.1:1" }],
        }),
        ...more,
      });
      if (outcome.ok) return Response.json(outcome.value);
      return Response.json({ error: outcome.why }, { status: 401 });
    },
  });
  return {
    admitted,
    bodies,
    address: `127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: async () => {
      await server.stop(true);
    },
  };
}

const at = (address: string) => ({ url: `http://${address}`, tls: {} });

function parsed(text: string): JoinToken {
  const token = parseJoinToken(text);
  if (typeof token === "string") throw new Error(token);
  return token;
}

const text = new TextEncoder().encode("said by the holder of the key");

describe("joining over plain HTTP", () => {
  test("a joiner with the token becomes a member, and neither the secret nor its hash is seen on the way", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token));
    const { secret } = parsed(token.text);
    const asked = await askToJoin(at(host.address), parsed(token.text), hashSecret(secret), request, 5_000);
    if (!asked.ok) throw new Error(asked.why.message);
    const { certificate, ...rest } = asked.value;
    const peers = [{ node: nodeId(1), address: "127.0.0.1:1" }];
    expect(rest).toEqual({ cluster: "c1", node: nodeId(2), trusted: [authority.certificate], peers });
    expect(judgeCertificate(certificate, "c1", [authority.certificate], Date.now())).toMatchObject({ node: nodeId(2) });
    expect(isSignedBy(parseCertificate(certificate)!, text, signWith(key, text))).toBe(true);
    expect(host.admitted).toEqual([JSON.parse(JSON.stringify(request)) as JoinRequest]);
    expect(host.bodies.join()).not.toContain(secret);
    expect(host.bodies.join()).not.toContain(token.hash);
  });

  test("a wrong secret is refused and nobody is admitted", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token));
    const asked = await askToJoin(at(host.address), parsed(token.text), hashSecret("guess"), request, 5_000);
    expect(asked.ok ? "" : asked.why.code).toBe("unauthorized");
    expect(host.admitted).toEqual([]);
  });

  test("a request that was changed on the way is refused", async () => {
    const token = newJoinToken(pin);
    const hash = hashSecret(parsed(token.text).secret);
    await using host = member(rowOf(token));
    await askToJoin(at(host.address), parsed(token.text), hash, request, 5_000);
    const body = JSON.parse(host.bodies[0]!) as { request: string };
    const changed = { ...body, request: body.request.replace('"b"', '"evil"') };
    const response = await fetch(`http://${host.address}`, { method: "POST", body: JSON.stringify(changed) });
    expect(response.status).toBe(401);
    expect(host.admitted.length).toBe(1);
  });

  test("a stranger that does not know the token cannot play the member", async () => {
    const token = parsed(newJoinToken(pin).text);
    // It admits everybody, and seals its answer under a hash of its own.
    const own = newJoinToken(pin);
    const ownHash = hashSecret(parsed(own.text).secret);
    await using host = member(rowOf(own));
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (incoming) => {
        const envelope = (await incoming.json()) as { nonce: string; request: string };
        const mac = macOf(ownHash, `join\n${envelope.nonce}\n${envelope.request}`);
        return fetch(`http://${host.address}`, {
          method: "POST",
          body: JSON.stringify({ ...envelope, token: own.id, mac }),
        });
      },
    });
    const asked = await askToJoin(at(`127.0.0.1:${server.port}`), token, hashSecret(token.secret), request, 5_000);
    await server.stop(true);
    expect(host.admitted.length).toBe(1); // the stranger did answer with a well-formed, sealed answer
    expect(asked.ok ? "" : asked.why.message).toContain("could not prove that it knows the token");
  });

  test("a member of another cluster than the token's admits nobody", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token), stranger);
    const asked = await askToJoin(
      at(host.address),
      parsed(token.text),
      hashSecret(parsed(token.text).secret),
      request,
      5_000,
    );
    expect(asked.ok ? "" : asked.why.message).toContain("another cluster");
    expect(host.admitted).toEqual([]);
  });

  test("a member that answers with another authority is refused by the joiner", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token), stranger, { fingerprints: () => [pin] });
    const asked = await askToJoin(
      at(host.address),
      parsed(token.text),
      hashSecret(parsed(token.text).secret),
      request,
      5_000,
    );
    expect(asked.ok ? "" : asked.why.message).toContain("another cluster");
  });

  test("a token that names an authority of before is good, if that leads to the present one", async () => {
    const next = await makeAuthority("c1", Date.now(), 3_600_000);
    const join = async (crossed: string) => {
      const token = newJoinToken(pin);
      await using host = member(rowOf(token), next, {
        fingerprints: () => [pin],
        answer: (node, certificate) => ({
          cluster: "c1",
          node,
          certificate,
          trusted: [next.certificate],
          authorities: [{ certificate: next.certificate, crossed }],
          former: [{ certificate: authority.certificate, crossed: null }],
          peers: [],
        }),
      });
      const { secret } = parsed(token.text);
      const asked = await askToJoin(at(host.address), parsed(token.text), hashSecret(secret), request, 5_000);
      return asked.ok ? "joined" : asked.why.message;
    };
    expect(await join(await crossSign(authority, next.certificate))).toBe("joined");
    expect(await join(await crossSign(stranger, next.certificate))).toContain("another cluster");
  });

  test("a certificate for another node than the one that was admitted is not taken", async () => {
    const token = newJoinToken(pin);
    const other = (await credentials({ node: 7 })).certificate;
    await using host = member(rowOf(token), authority, { issue: () => Promise.resolve(accept(other)) });
    const { secret } = parsed(token.text);
    const asked = await askToJoin(at(host.address), parsed(token.text), hashSecret(secret), request, 5_000);
    expect(asked.ok ? "" : asked.why.message).toContain("the certificate of another node");
  });

  test("a request without a request for a certificate is none, and admits nobody", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token));
    const { secret } = parsed(token.text);
    const without = { ...request, certificate: { csr: "", hosts: ["not a host!"] } };
    const asked = await askToJoin(at(host.address), parsed(token.text), hashSecret(secret), without, 5_000);
    expect(asked.ok ? "" : asked.why.code).toBe("invalid");
    expect(host.admitted).toEqual([]);
  });

  test("a differing --voters is refused with the cluster's number", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token));
    const asked = await askToJoin(
      at(host.address),
      parsed(token.text),
      hashSecret(parsed(token.text).secret),
      {
        ...request,
        votersWanted: 3,
      },
      5_000,
    );
    expect(asked.ok ? "" : asked.why.message).toContain("wants 5 voters, not 3");
  });

  test("what the log says of the token reaches the joiner in its own words", async () => {
    const token = newJoinToken(pin);
    await using host = member(rowOf(token), authority, {
      admit: () => Promise.resolve(refuse("unauthorized", "the join token expired")),
    });
    const asked = await askToJoin(
      at(host.address),
      parsed(token.text),
      hashSecret(parsed(token.text).secret),
      request,
      5_000,
    );
    expect(asked.ok ? "" : asked.why.message).toBe("the join token expired");
  });

  test("nothing is issued for a node that nobody may come in as, though the log took the request", async () => {
    const token = newJoinToken(pin);
    let issued = 0;
    await using host = member(rowOf(token), authority, {
      entryProblem: (node) => `node ${node} has come already`,
      issue: () => {
        issued += 1;
        return Promise.resolve(refuse("bug", "issued"));
      },
    });
    const { secret } = parsed(token.text);
    const asked = await askToJoin(at(host.address), parsed(token.text), hashSecret(secret), request, 5_000);
    expect(asked.ok ? "" : asked.why).toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining("node 2 has come already"),
    });
    expect([host.admitted.length, issued]).toEqual([1, 0]);
  });

  test.each([
    ["", "not a join token"],
    ["skein_abc_def", "not a join token"],
    ["skein1.aa.bb", "has 3 of 4 parts"],
    ["skein1.aa..cc", "has 3 of 4 parts"],
  ])("the token %p is not one, and the message says why", (text, message) => {
    expect(parseJoinToken(text)).toContain(message);
  });
});
