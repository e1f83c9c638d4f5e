/** The API over TLS, and joining where somebody may listen in or pretend to be a member. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { allUp } from "../../scripts/mesh-jobs.ts";
import { SkeinClient } from "../../src/client/client.ts";
import { hashSecret, macOf, newJoinToken, parseJoinToken } from "../../src/node/credentials.ts";
import type { AuthoritiesView } from "../../src/state/answers.ts";
import { fingerprintOf } from "../../src/transport/certificate.ts";
import { credentials, stranger } from "../transport/credentials.ts";
import { skein, temporaryDirectory } from "./harness.ts";

let mesh: Mesh;
let first: MeshNode;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 2, tls: true });
  first = mesh.nodes[0]!;
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

const anyPorts = ["--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"];

/** `skein up` that is expected to be refused: what it said, and whether its directory became a member's. */
async function refusedJoin(
  at: string,
  token: string,
): Promise<readonly [code: number | null, words: string, joined: boolean]> {
  using scratch = temporaryDirectory();
  const data = path.join(scratch.path, "data");
  const words = ["up", "--data", data, ...anyPorts, "--join", at, "--join-timeout", "0s", "--name", "stranger"];
  const { code, stderr } = await skein(scratch.path, words, { env: { SKEIN_JOIN_TOKEN: token } });
  return [
    code,
    stderr,
    existsSync(path.join(data, "identity.json")) || existsSync(path.join(data, "certificate.json")),
  ];
}

async function members(): Promise<readonly string[]> {
  const { body } = await first.api("GET", "/v1/cluster");
  return (body as { nodes: { name: string }[] }).nodes.map((node) => node.name);
}

/** What the first node shows of its authorities, once one was replaced and is over; undefined: not yet, or it listens anew just now. */
async function replaced(): Promise<AuthoritiesView | undefined> {
  const view = await fetch(`${first.ready.api}/v1/ca`, { tls: { rejectUnauthorized: false } }).then(
    async (response) => (await response.json()) as AuthoritiesView,
    () => undefined,
  );
  return view?.authorities.length === 1 && (view.former?.length ?? 0) > 0 ? view : undefined;
}

describe("the API over TLS", () => {
  test("is what a node says, joins others, and serves the command line by the context alone", async () => {
    expect(first.ready.api).toStartWith(`https://${mesh.host}:`);
    await allUp(mesh, first);
    const { code, stdout } = await first.skein(["run", "--each-node", "--", "echo", "hello"]);
    expect([code, stdout.match(/hello/g)?.length]).toEqual([0, 2]);
    expect(await members()).toEqual(["node-1", "node-2"]);
  });

  test("a person with a URL and a token is told what is missing, and is served with the authority's certificate", async () => {
    using scratch = temporaryDirectory();
    const ask = (...words: string[]) =>
      skein(scratch.path, ["--addr", first.ready.api, "--token", first.token, "nodes", "ls", ...words]);
    const without = await ask();
    expect([without.code, without.stderr]).toEqual([
      5,
      expect.stringMatching(/an authority that is not known here.*--ca FILE or SKEIN_CA.*skein cluster ca/),
    ]);
    const file = path.join(scratch.path, "ca.pem");
    writeFileSync(file, (await first.skein(["cluster", "ca"])).stdout);
    expect((await ask("--ca", file)).code).toBe(0);
    const clear = await skein(scratch.path, [
      "--addr",
      first.ready.api.replace("https:", "http:"),
      "--token",
      first.token,
      "nodes",
      "ls",
    ]);
    expect([clear.code, clear.stderr]).toEqual([5, expect.stringContaining("write https://")]);
    writeFileSync(file, stranger.certificate);
    expect((await ask("--ca", file)).code).toBe(5);
  });

  test("a node leaves by its context alone", async () => {
    const third = await mesh.add();
    // It may vote by now, and its own token is an operator's.
    const left = await third.skein(["leave", "--data", third.data], { env: { SKEIN_TOKEN: first.token } });
    expect([left.code, left.stdout]).toEqual([0, expect.stringContaining("has left its cluster")]);
    expect(await third.exited).toBe(0);
    await until(
      async () => ((await members()).length === 2 ? true : undefined),
      patienceMs,
      () => "the node that left is still a member",
    );
  }, 600_000);

  test("the client library takes the authority as an option", async () => {
    const ca = readFileSync(path.join(first.data, "context.json"), "utf8");
    const client = new SkeinClient({
      addrs: [first.ready.api],
      token: first.token,
      ca: (JSON.parse(ca) as { ca: string }).ca,
    });
    expect((await client.cluster()).cluster).toBe(first.ready.cluster);
    const unsure = new SkeinClient({ addrs: [first.ready.api], token: first.token });
    await unsure.cluster().then(
      () => expect("served").toBe("refused"),
      (error: Error) => expect(error.message).toContain("authority that is not known here"),
    );
  });

  test("a certificate of one's own is shown instead, and a node joins through it all the same", async () => {
    using scratch = temporaryDirectory();
    const own = await credentials({ cluster: "elsewhere", hosts: ["127.0.0.1"] });
    const [certificate, key] = [path.join(scratch.path, "own.pem"), path.join(scratch.path, "own.key")];
    writeFileSync(certificate, own.certificate);
    writeFileSync(key, own.key);
    // Who issued it is not the node's to know: its users tell their hosts.
    const ca = path.join(scratch.path, "ca.pem");
    writeFileSync(ca, own.trusted[0]!);
    const flags = ["--api-cert", certificate, "--api-key", key];
    const place = () => ({ host: "127.0.0.1" });
    await using other = await Mesh.start({ nodes: 1, tls: true, flags, env: { SKEIN_CA: ca }, place });
    const [node] = other.nodes;
    expect((await fetch(`${node!.ready.api}/healthz`, { tls: { ca: [...own.trusted] } })).status).toBe(200);
    expect((await node!.skein(["nodes", "ls"])).code).toBe(0);
    expect((await other.add()).ready.node).toBe(2);
    writeFileSync(key, stranger.key);
    const { code, stderr } = await skein(scratch.path, [
      "up",
      "--data",
      path.join(scratch.path, "d"),
      "--api",
      "https://127.0.0.1:0",
      "--api-cert",
      certificate,
      "--api-key",
      key,
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("is not the key of")]);
  }, 600_000);
});

test("--advertise alone opens a node to others, over TLS: one joins by its bare name from another address", async () => {
  using scratch = temporaryDirectory();
  // A network of its own, in which both addresses are this host's.
  const script = `
    ip link set lo up && ip addr add 10.9.0.1/32 dev lo && ip addr add 10.9.0.2/32 dev lo || exit 99
    ready() { for i in $(seq 600); do grep -q ^ready "$1" && return; sleep 0.05; done; cat "$1"; exit 98; }
    "$SKEIN" up --data "$HOME/1" --name a --advertise 10.9.0.1 > "$HOME/1.out" 2>&1 & first=$!
    trap 'kill $first $second; wait' EXIT
    ready "$HOME/1.out"
    export SKEIN_JOIN_TOKEN=$("$SKEIN" cluster token -o quiet)
    "$SKEIN" up --data "$HOME/2" --name b --advertise 10.9.0.2 --api 10.9.0.2:7500 --peer 10.9.0.2:7501 --join 10.9.0.1 > "$HOME/2.out" 2>&1 & second=$!
    ready "$HOME/2.out"
    grep -h ^ready "$HOME/1.out" "$HOME/2.out"
    "$SKEIN" run --each-node -- echo hello
    "$SKEIN" --data "$HOME/2" nodes ls -o quiet`;
  const child = Bun.spawn(["unshare", "--net", "bash", "-c", script], {
    env: { PATH: process.env["PATH"], HOME: scratch.path, XDG_CONFIG_HOME: scratch.path, SKEIN: binary },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect([await child.exited, stderr]).toEqual([0, ""]);
  expect(stdout).toContain('"api":"https://10.9.0.1:7400","peer":"10.9.0.1:7401"');
  expect(stdout).toContain('"api":"https://10.9.0.2:7500","peer":"10.9.0.2:7501"');
  expect(stdout.match(/hello/g)).toHaveLength(2);
  expect(stdout.trimEnd().split("\n").slice(-2)).toEqual(["1", "2"]);
}, 600_000);

describe("a first contact", () => {
  test("with an authority that the token does not name is refused, and nobody joined", async () => {
    const token = await mesh.joinToken();
    const another = token.replace(/^skein1\.[0-9a-f]{32}/, `skein1.${fingerprintOf(stranger.certificate)}`);
    const [code, words, joined] = await refusedJoin(first.ready.api, another);
    expect([code, words, joined]).toEqual([
      4,
      expect.stringContaining("is not the one that the join token names"),
      false,
    ]);
    expect(words.trim().split("\n")).toHaveLength(1);
    expect(await members()).toEqual(["node-1", "node-2"]);
  });

  test("with a wrong, a revoked or a used token is one line that says so, and exit code 4", async () => {
    const token = await mesh.joinToken();
    const wrong = token.slice(0, -32) + newJoinToken("0".repeat(32)).text.slice(-32);
    const [code, words] = await refusedJoin(first.ready.api, wrong);
    expect([code, words]).toEqual([4, expect.stringContaining("not known to this cluster")]);
    const revoked = (await first.skein(["cluster", "token", "-o", "quiet"])).stdout.trim();
    expect((await first.skein(["token", "revoke", revoked.split(".")[2]!])).code).toBe(0);
    const [again, said, joined] = await refusedJoin(first.ready.api, revoked);
    expect([again, said, joined]).toEqual([
      4,
      expect.stringContaining("was revoked: make one with 'skein cluster token'"),
      false,
    ]);
    const short = (await first.skein(["cluster", "token", "--ttl", "1s", "-o", "quiet"])).stdout.trim();
    const expired = await until(
      async () => {
        const [, last] = await refusedJoin(first.ready.api, `${short.slice(0, -32)}${"A".repeat(32)}`);
        const { body } = await first.api("GET", "/v1/tokens?kind=join&all=true");
        const row = (body as { tokens: { id: string; state: string }[] }).tokens.find((one) => short.includes(one.id));
        return row?.state === "expired" ? last : undefined;
      },
      patienceMs,
      () => "the token did not expire",
    );
    expect(expired).toContain("not known");
    const [late, why] = await refusedJoin(first.ready.api, short);
    expect([late, why]).toEqual([4, expect.stringContaining("has expired: make one with 'skein cluster token'")]);
  }, 600_000);

  test("that a stranger answers, over TLS or in the clear, is refused, and the secret is not in what it was sent", async () => {
    const token = await mesh.joinToken();
    const { secret, id } = parseJoinToken(token) as { secret: string; id: string };
    const heard: string[] = [];
    // An address that no process of another test listens at.
    const { hostname } = new URL(first.ready.api);
    const shown = await credentials({ by: stranger, hosts: [hostname] });
    // The authority is replaced after the token was made, as it also is when a voter has left: the one that the token names is a former one.
    expect((await first.skein(["cluster", "rotate-ca"])).code).toBe(0);
    const view = await until(replaced, patienceMs, () => "the authority is not replaced");
    /** It shows the right authority, which is public, and answers a join as well as it can without knowing the token. */
    const answer = async (request: Request): Promise<Response> => {
      heard.push(await request.text());
      if (request.url.endsWith("/v1/ca")) return Response.json(view);
      return Response.json({ nonce: "AAAA", sealed: macOf(hashSecret("guess"), id) });
    };
    const plain = Bun.serve({ hostname, port: 0, fetch: answer });
    const secure = Bun.serve({
      hostname,
      port: 0,
      tls: { key: shown.key, cert: shown.certificate },
      fetch: answer,
    });
    try {
      const [code, words, joined] = await refusedJoin(`http://${hostname}:${plain.port}`, token);
      expect([code, words, joined]).toEqual([
        4,
        expect.stringContaining("could not prove that it knows the token"),
        false,
      ]);
      expect(heard.length).toBe(2);
      // Over TLS it does not even get the request: its certificate is not of that authority.
      const [over, why, entered] = await refusedJoin(`https://${hostname}:${secure.port}`, token);
      expect([over, why, entered, heard.length]).toEqual([
        5,
        expect.stringContaining("no address to join at let this node in"),
        false,
        3,
      ]);
      expect(heard.join()).not.toContain(secret);
      expect(heard.join()).not.toContain(hashSecret(secret));
    } finally {
      await Promise.all([plain.stop(true), secure.stop(true)]);
    }
    expect(await members()).toEqual(["node-1", "node-2"]);
  });
});
