import { describe, expect, test } from "bun:test";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { authorityState, findToken } from "../../src/state/queries.ts";
import { rekeyReason, rotationStep } from "../../src/state/rotation.ts";
import { admin, Cluster, record, system } from "./support.ts";

const [first, second, third] = ["a", "b", "c"].map((letter) => letter.repeat(32)) as [string, string, string];
const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/** A cluster of nodes that all show certificates of the first authority. */
function cluster(nodes: number): Cluster {
  const made = Cluster.of(nodes);
  made.level = 3;
  begin(made, first);
  for (let node = 1; node <= nodes; node++) show(made, node, first, [first]);
  return made;
}

function begin(made: Cluster, fingerprint: string): void {
  made.must("authority.begin", { fingerprint, certificate: pem, crossed: null, reason: "test" });
}

/** Says for a node what it shows; as that node, unless another one is named. */
function show(made: Cluster, node: number, authority: string, trusted: readonly string[], as = node): boolean {
  const input = { node: nodeId(node), fingerprint: "f".repeat(32), authority, expiresAt: 9, trusted: [...trusted] };
  made.entry([record("certificate.seen", input, system)], { origin: nodeId(as) });
  made.apply();
  return authorityState(made.database).certificates.some(
    (row) => row.node === node && row.authority === authority && row.trusted.join() === trusted.toSorted().join(),
  );
}

const phases = (made: Cluster) =>
  authorityState(made.database).authorities.map((row) => [row.fingerprint[0], row.phase]);
const members = (...ids: number[]): NodeId[] => ids.map(nodeId);
const step = (made: Cluster, ...ids: number[]) => rotationStep(authorityState(made.database), members(...ids));

describe("the replacement of an authority", () => {
  test("goes on only when every member has followed, step by step, and ends with the new one alone", () => {
    const made = cluster(3);
    expect(phases(made)).toEqual([["a", "issuing"]]);
    expect(step(made, 1, 2, 3)).toBeUndefined();
    begin(made, second);
    expect(phases(made)).toEqual([
      ["a", "issuing"],
      ["b", "coming"],
    ]);
    for (const node of [1, 2]) show(made, node, first, [first, second]);
    expect(step(made, 1, 2, 3)).toEqual({ kind: "issue", fingerprint: second, waitsFor: members(3) });
    expect(made.refused("authority.issue", { fingerprint: second })).toEqual([
      "conflict",
      expect.stringContaining("node 3"),
    ]);
    expect(made.refused("authority.drop", { fingerprint: first })[0]).toBe("conflict");
    show(made, 3, first, [first, second]);
    made.must("authority.issue", { fingerprint: second });
    expect(phases(made)).toEqual([
      ["a", "leaving"],
      ["b", "issuing"],
    ]);
    for (const node of [2, 3]) show(made, node, second, [first, second]);
    expect(step(made, 1, 2, 3)).toEqual({ kind: "drop", fingerprint: first, waitsFor: members(1) });
    expect(made.refused("authority.drop", { fingerprint: first })).toEqual([
      "conflict",
      expect.stringContaining("node 1"),
    ]);
    show(made, 1, second, [first, second]);
    made.must("authority.drop", { fingerprint: first });
    expect(phases(made)).toEqual([["b", "issuing"]]);
    expect(authorityState(made.database).former.map((one) => one.fingerprint)).toEqual([first]);
  });

  test("keeps so many of those that were replaced, the newest ones", () => {
    const made = cluster(1);
    const prints = [
      first,
      ...Array.from({ length: limits.formerAuthorities + 2 }, (_, at) => `${1000 + at}`.repeat(8)),
    ];
    for (const [at, next] of prints.slice(1).entries()) {
      begin(made, next);
      show(made, 1, prints[at]!, [prints[at]!, next]);
      made.must("authority.issue", { fingerprint: next });
      show(made, 1, next, [prints[at]!, next]);
      made.must("authority.drop", { fingerprint: prints[at]! });
    }
    const former = authorityState(made.database).former.map((one) => one.fingerprint);
    expect(former).toEqual(prints.slice(-1 - limits.formerAuthorities, -1));
  });

  test("ends join tokens where nothing leads from the authority that they name to the new one, and only there", () => {
    const made = cluster(1);
    const token = { kind: "join", name: "t", role: "operator", expiresAt: null, uses: 3 } as const;
    made.must("token.create", { ...token, id: "a".repeat(12), hash: "h".repeat(43) }, admin);
    made.must("authority.begin", { fingerprint: second, certificate: pem, crossed: pem, reason: "test" });
    show(made, 1, first, [first, second]);
    made.must("authority.issue", { fingerprint: second });
    expect(findToken(made.database, "a".repeat(12))!.revoked).toBe(false);
    show(made, 1, second, [first, second]);
    made.must("authority.drop", { fingerprint: first });
    begin(made, third);
    show(made, 1, second, [second, third]);
    made.must("authority.issue", { fingerprint: third });
    expect(findToken(made.database, "a".repeat(12))!.revoked).toBe(true);
  });

  test("is not held up by a member that was removed, but by one that has just joined", () => {
    const made = cluster(3);
    begin(made, second);
    for (const node of [1, 2]) show(made, node, first, [first, second]);
    made.must("node.remove", { node: 3 }, admin);
    expect(authorityState(made.database).certificates.map((row) => row.node)).toEqual(members(1, 2));
    made.join(4);
    expect(made.refused("authority.issue", { fingerprint: second })[1]).toContain("node 4");
    show(made, 4, first, [first, second]);
    made.must("authority.issue", { fingerprint: second });
  });

  test("a newer one takes the place of one that issues nothing yet, and waits for one that does", () => {
    const made = cluster(1);
    begin(made, second);
    begin(made, third);
    expect(phases(made)).toEqual([
      ["a", "issuing"],
      ["c", "coming"],
    ]);
    show(made, 1, first, [first, third]);
    made.must("authority.issue", { fingerprint: third });
    const another = { fingerprint: second, certificate: pem, crossed: null, reason: "test" };
    expect(made.refused("authority.begin", another)[1]).toContain("is being replaced already");
    begin(made, third); // the same again is no news
    expect(phases(made)).toEqual([
      ["a", "leaving"],
      ["c", "issuing"],
    ]);
  });

  test("nobody speaks for another node", () => {
    const made = cluster(2);
    expect(show(made, 2, second, [second], 1)).toBe(false);
    expect(authorityState(made.database).certificates[1]!.authority).toBe(first);
  });

  test("takes public certificates alone: the shape lets no private key into the log", () => {
    const { input } = commandByName("authority.begin");
    const one = { fingerprint: second, certificate: pem, crossed: pem, reason: "test" };
    expect(input.safeParse(one).success).toBe(true);
    const key = pem.replaceAll("CERTIFICATE", "PRIVATE KEY");
    for (const wrong of [{ certificate: key }, { certificate: pem + key }, { crossed: key + pem }])
      expect(input.safeParse({ ...one, ...wrong }).success).toBe(false);
  });
});

describe("the reason to replace it (K1)", () => {
  const reason = (made: Cluster, ids: number[], voters: number[], lost: number[] = [], deleted: number[] = []) =>
    rekeyReason(authorityState(made.database), {
      members: members(...ids),
      voters: members(...voters),
      lost: new Set(members(...lost)),
      deleted: new Set(members(...deleted)),
    })?.text;
  const holding = (nodes: number): Cluster => {
    const made = cluster(nodes);
    for (let node = 2; node <= nodes; node++) made.must("authority.held", { node: nodeId(node), authorities: [first] });
    return made;
  };

  test("is a member that votes no more and has not deleted the key, or one that was removed, and nothing else", () => {
    const made = holding(3);
    expect(reason(made, [1, 2, 3], [1, 2, 3])).toBeUndefined();
    expect(reason(made, [1, 2, 3], [1, 2])).toBe("node 3 votes no more, and has not said that it deleted the key");
    expect(reason(made, [1, 2, 3], [1, 2], [], [3])).toBeUndefined();
    // Whatever it said: its host is somebody else's now.
    expect(reason(made, [1, 2], [1, 2], [], [3])).toBe("node 3, which knew its key, was removed");
  });

  test("is not a voter that is away for a while", () => {
    const made = holding(3);
    expect(reason(made, [1, 2, 3, 4], [1, 2, 4], [3])).toBeUndefined();
    expect(reason(made, [1, 2, 3, 4], [1, 2, 4], [])).toBe(
      "node 3 votes no more, and has not said that it deleted the key",
    );
  });

  test("is gone once a new one is under way that they do not know, and comes again when they do", () => {
    const made = holding(3);
    begin(made, second);
    expect(reason(made, [1, 2], [1, 2])).toBeUndefined();
    made.must("authority.held", { node: nodeId(2), authorities: [second] });
    expect(reason(made, [1], [1])).toBe("node 2, which knew its key, was removed");
    for (const node of [1, 2, 3]) show(made, node, first, [first, second]);
    made.must("authority.issue", { fingerprint: second });
    expect(reason(made, [1], [1])).toBeUndefined(); // one at a time
  });

  test("who holds the key of an authority that is gone is forgotten with it", () => {
    const made = holding(2);
    begin(made, second);
    for (const node of [1, 2]) show(made, node, first, [first, second]);
    made.must("authority.issue", { fingerprint: second });
    for (const node of [1, 2]) show(made, node, second, [first, second]);
    made.must("authority.drop", { fingerprint: first });
    expect(authorityState(made.database).holders).toEqual([{ authority: second, node: nodeId(1) }]);
  });
});
