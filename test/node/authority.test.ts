import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { accept } from "../../src/lib/outcome.ts";
import { Authority, type AuthorityPorts } from "../../src/node/authority.ts";
import { crossSign, lifetimesOf, makeAuthority, makeKey, makeRequest } from "../../src/node/certificates.ts";
import { pinned } from "../../src/node/pinned.ts";
import { askForReissue, reissue } from "../../src/node/reissue.ts";
import { missingHosts, Renewal, renewalAt } from "../../src/node/renewal.ts";
import { hostsOf, parseRequest } from "../../src/node/requests.ts";
import type { AuthorityKeys } from "../../src/storage/types.ts";
import { expiryOf, fingerprintOf, judgeCertificate, parseCertificate } from "../../src/transport/certificate.ts";
import { authority, credentials, stranger } from "../transport/credentials.ts";

const print = fingerprintOf(authority.certificate);
const keys: AuthorityKeys = { version: 1, keys: { [print]: authority } };

/** Members that ask each other directly, with the voters that the test says. */
class Rig {
  voters: readonly number[];
  current: readonly string[] = [authority.certificate];
  readonly stored = new Map<number, AuthorityKeys | undefined>();
  readonly noted: number[] = [];
  readonly parts = new Map<number, Authority>();
  readonly deaf = new Set<number>();
  readonly full = new Set<number>();

  constructor(voters: readonly number[]) {
    this.voters = voters;
  }

  add(id: number, kept?: AuthorityKeys): Authority {
    this.stored.set(id, kept);
    const ports: AuthorityPorts = {
      cluster: "c1",
      self: nodeId(id),
      isVoter: (node) => this.voters.includes(node),
      voters: () => this.voters.filter((one) => one !== id).map(nodeId),
      signing: () => this.current[0]!,
      current: () => new Set(this.current.map(fingerprintOf)),
      ask: (peer, method) => this.#answer(peer, method, nodeId(id)),
      note: (node) => Promise.resolve(this.noted.push(node) > 0),
      store: (kept_) => {
        if (this.full.has(id)) throw new Fault("disk-full", "no room", "safe");
        this.stored.set(id, kept_);
      },
      lifetimeMs: () => 60_000,
      now: () => Date.now(),
      log: () => {},
    };
    const made = new Authority(ports, kept);
    this.parts.set(id, made);
    return made;
  }

  async #answer(peer: NodeId, method: string, from: NodeId): Promise<unknown> {
    const asked = this.parts.get(peer);
    if (asked === undefined || this.deaf.has(peer)) throw new Error("nobody there");
    return method === "authority.keys" ? ((await asked.handOver(from)) ?? null) : asked.held;
  }

  holds(id: number): readonly string[] {
    return Object.keys(this.stored.get(id)?.keys ?? {});
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await Bun.sleep(5);
  }
}

describe("the key of the authority (K1)", () => {
  test("a voter without room for them does not say that it has them, and takes them when there is room", async () => {
    const rig = new Rig([1, 2]);
    rig.add(1, keys);
    rig.full.add(2);
    const two = rig.add(2);
    two.changed();
    await rig.until(() => rig.noted.length > 0);
    await Bun.sleep(0);
    expect(two.held).toEqual([]);
    rig.full.clear();
    await rig.until(() => rig.holds(2).length === 1);
    expect(two.held).toEqual([print]);
  });

  test("is taken over by a new voter, after that was logged, and refused to who does not vote", async () => {
    const rig = new Rig([1]);
    rig.add(1, keys);
    const second = rig.add(2);
    second.changed();
    expect(await rig.parts.get(1)!.handOver(nodeId(2))).toBeUndefined();
    expect(rig.noted).toEqual([]);
    rig.voters = [1, 2];
    second.changed();
    await rig.until(() => rig.holds(2).length === 1);
    expect([rig.holds(2), rig.noted]).toEqual([[print], [2]]);
  });

  test("is given up by who votes no more, but never before a voter has it", async () => {
    const rig = new Rig([1]);
    const first = rig.add(1, keys);
    rig.voters = [2];
    const second = rig.add(2);
    rig.deaf.add(2);
    first.changed();
    await Bun.sleep(50);
    expect(rig.holds(1)).toEqual([print]);
    rig.deaf.clear();
    second.changed(); // asks the only other voter: nobody; node 1 votes no more
    expect(await first.handOver(nodeId(2))).toEqual(keys.keys);
    second.keep(authority);
    await rig.until(() => rig.holds(1).length === 0);
    expect(rig.holds(2)).toEqual([print]);
    first.close();
    second.close();
  });

  test("of an authority that is gone is deleted, and that of one which the log has not named yet is kept", async () => {
    const rig = new Rig([1]);
    const one = rig.add(1, keys);
    const fresh = await makeAuthority("c1", Date.now(), 60_000);
    one.changed();
    one.keep(fresh);
    one.changed();
    await Bun.sleep(20);
    expect(rig.holds(1).toSorted()).toEqual([print, fingerprintOf(fresh.certificate)].toSorted());
    rig.current = [fresh.certificate];
    one.changed();
    await rig.until(() => rig.holds(1).length === 1);
    expect(rig.holds(1)).toEqual([fingerprintOf(fresh.certificate)]);
    one.close();
  });

  test("issues for the node that it is told and for the key that signed the request; without it nothing is issued", async () => {
    const rig = new Rig([1]);
    const request = { csr: await makeRequest(await makeKey()), hosts: ["localhost", "10.0.0.1"] };
    const issued = await rig.add(1, keys).issue(request, nodeId(7));
    if (!issued.ok) throw new Error(issued.why.message);
    expect(judgeCertificate(issued.value, "c1", [authority.certificate], Date.now())).toMatchObject({
      node: nodeId(7),
    });
    expect(missingHosts(issued.value, ["localhost", "10.0.0.1", "::1", "elsewhere"])).toEqual(["::1", "elsewhere"]);
    const broken = { ...request, csr: request.csr.replace(/.{20}(?=\n-----END)/, "A".repeat(20)) };
    const refused = await rig.add(1, keys).issue(broken, nodeId(7));
    expect(refused.ok ? "" : refused.why.code).toBe("invalid");
    const none = await rig.add(2).issue(request, nodeId(7));
    expect(none.ok ? "" : none.why.code).toBe("unavailable");
  });
});

describe("a certificate", () => {
  test("is renewed after about two thirds of its life, long before its end, always at the same moment", async () => {
    const lifetimeMs = 90 * 86_400_000;
    const began = Date.now();
    for (let round = 0; round < 5; round++) {
      const { certificate, trusted } = await credentials({ lifetimeMs });
      const renewal = new Renewal();
      const share = (renewalAt(certificate) - began) / (expiryOf(certificate) - began);
      expect(share).toBeGreaterThan(0.59);
      expect(share).toBeLessThan(0.74);
      expect(renewal.at(certificate, trusted[0]!, [])).toBe(renewalAt(certificate));
      // At once: another authority issues now, or a name is missing.
      expect(renewal.at(certificate, stranger.certificate, [])).toBe(0);
      expect(renewal.at(certificate, trusted[0]!, ["elsewhere"])).toBe(0);
      expect(renewal.at(certificate, trusted[0]!, [])).toBe(renewalAt(certificate));
    }
  });

  test("does not outlive its authority", async () => {
    const brief = await makeAuthority("c1", Date.now(), 60_000);
    const { certificate } = await credentials({ by: brief, lifetimeMs: 86_400_000 });
    expect(expiryOf(certificate)).toBeLessThanOrEqual(expiryOf(brief.certificate));
  });

  test("of a stranger, of another cluster, out of date or of no node is judged so", async () => {
    const trusted = [authority.certificate];
    const judge = async (wish: Parameters<typeof credentials>[0], now = Date.now()) =>
      judgeCertificate((await credentials(wish)).certificate, "c1", trusted, now);
    expect(await judge({ by: stranger })).toContain("authority that is not this cluster's");
    expect(await judge({ cluster: "c2" })).toContain("another cluster");
    expect(await judge({ lifetimeMs: 1000 }, Date.now() + 5000)).toContain("expired");
    expect(await judge({}, Date.now() - 2 * 3_600_000)).toContain("not valid yet");
    expect(judgeCertificate(authority.certificate, "c1", trusted, Date.now())).toContain("names no node");
    expect(judgeCertificate("nonsense", "c1", trusted, Date.now())).toContain("no certificate");
  });

  test.each([
    ["12s", 12_000],
    ["10ms", 90 * 86_400_000],
    ["soon", 90 * 86_400_000],
    [undefined, 90 * 86_400_000],
  ])("lives as long as SKEIN_CERTIFICATE_LIFE=%p says", (text, nodeMs) => {
    expect(lifetimesOf({ SKEIN_CERTIFICATE_LIFE: text }).nodeMs).toBe(nodeMs);
  });
});

describe("requests and hosts", () => {
  test("hosts are those that others can use, each once", () => {
    const hosts = hostsOf(["0.0.0.0", "::", "10.0.0.1", "a.example", "a.example", undefined, "", "bad name"]);
    for (const one of ["localhost", "127.0.0.1", "::1", "10.0.0.1", "a.example"]) expect(hosts).toContain(one);
    for (const one of ["0.0.0.0", "::", "", "bad name"]) expect(hosts).not.toContain(one);
    expect(new Set(hosts).size).toBe(hosts.length);
  });

  test.each([null, {}, { csr: 1, hosts: [] }, { csr: "x", hosts: ["a b"] }, { csr: "x".repeat(10_000), hosts: [] }])(
    "%# is no request for a certificate",
    (value) => {
      expect(parseRequest(value)).toBeUndefined();
    },
  );
});

describe("a pinned authority", () => {
  test("vouches for the one in its place, a stranger's word counts nothing", async () => {
    const next = await makeAuthority("c1", Date.now(), 60_000);
    const crossed = await crossSign(authority, next.certificate);
    const forged = await crossSign(stranger, next.certificate);
    const plain = (one: { readonly certificate: string }, by: string | null = null) => ({
      fingerprint: fingerprintOf(one.certificate),
      certificate: one.certificate,
      crossed: by,
      phase: "issuing" as const,
    });
    expect(pinned([plain(authority), plain(next, crossed)], print)).toEqual([authority.certificate, next.certificate]);
    expect(pinned([plain(authority), plain(next, forged)], print)).toEqual([authority.certificate]);
    // The right word about another key.
    expect(pinned([plain(authority), plain(stranger, crossed)], print)).toEqual([authority.certificate]);
    expect(pinned([plain(stranger)], print)).toEqual([]);
    // One after another, over those that are believed no more; in any order, and not across a gap.
    const last = await makeAuthority("c1", Date.now(), 60_000);
    const onward = plain(last, await crossSign(next, last.certificate));
    expect(pinned([onward], print, [plain(next, crossed), plain(authority)])).toEqual([last.certificate]);
    expect(pinned([onward], print, [plain(authority)])).toEqual([]);
    expect(pinned([onward], print, [plain(next, forged), plain(authority)])).toEqual([]);
    expect(parseCertificate(crossed)?.subject).toBe(parseCertificate(next.certificate)!.subject);
  });
});

const outdated = await credentials({ node: 4, lifetimeMs: -1000 });
const request = { csr: await makeRequest(await makeKey()), hosts: ["localhost"] };

describe("a member whose certificate has expired", () => {
  const ask = (body: unknown, shown: string | undefined = fingerprintOf(outdated.certificate)) =>
    reissue(body, {
      cluster: "c1",
      trusted: [authority.certificate],
      shownBy: (node) => (node === 4 ? shown : undefined),
      now: () => Date.now(),
      issue: (_request, node) => Promise.resolve(accept(`for node ${node}`)),
    });
  const code = async (outcome: ReturnType<typeof ask>) =>
    ((value) => (value.ok ? value.value : value.why.code))(await outcome);

  test("gets another one for a key of its own, as the node that it is", async () => {
    expect(await code(ask(askForReissue({ cluster: "c1", ...outdated }, request)))).toBe("for node 4");
  });

  test("gets none when it was removed, has shown a newer one, or cannot sign; a stranger gets none either", async () => {
    const good = askForReissue({ cluster: "c1", ...outdated }, request);
    expect(await code(ask(good, ""))).toBe("unauthorized");
    expect(await code(ask(good, "f".repeat(32)))).toBe("unauthorized");
    const other = { csr: await makeRequest(await makeKey()), hosts: ["localhost"] };
    expect(await code(ask({ ...good, request: other }))).toBe("unauthorized");
    const forged = await credentials({ node: 4, by: stranger });
    expect(
      await code(ask(askForReissue({ cluster: "c1", ...forged }, request), fingerprintOf(forged.certificate))),
    ).toBe("unauthorized");
    expect(await code(ask(null))).toBe("invalid");
  });
});
