import { describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { packCopiesHeldBy, packCopiesOf, packHolders } from "../../src/state/queries.ts";
import { admin, Cluster } from "./support.ts";

const packs = ["g0aaaaaaa-00000001.pack", "g0aaaaaaa-00000002.pack", "n0aaaaaaa-00000003.pack"] as const;
const [one, two, three] = packs;

/** Three nodes, at the level that knows of copies. */
function three3(): Cluster {
  const cluster = Cluster.of(3);
  cluster.level = 3;
  return cluster;
}

describe("where copies of packs are", () => {
  test("one entry tells it of many packs; a pack that is copied elsewhere has its copy there", () => {
    const cluster = three3();
    cluster.must("pack.placed", {
      node: nodeId(2),
      packs: [
        [one, nodeId(1)],
        [two, nodeId(1)],
        [three, nodeId(3)],
      ],
    });
    cluster.must("pack.placed", { node: nodeId(2), packs: [[one, nodeId(3)]] });
    expect(packCopiesOf(cluster.database, 2).map(({ pack, holder }) => [pack, holder])).toEqual([
      [one, 3],
      [two, 1],
      [three, 3],
    ] as never);
    expect(packHolders(cluster.database, 2)).toEqual([nodeId(1), nodeId(3)]);
    expect(packCopiesHeldBy(cluster.database, 1).map(({ node, pack }) => [node, pack])).toEqual([[2, two]] as never);
  });

  test("is named beside the node that ran a task where the task has not finished before it had its copy (output.sync)", () => {
    const cluster = three3();
    const log = { bytes: 3, sha256: "s" };
    const nodesOf = (output: Record<string, unknown>): readonly number[] | undefined => {
      const job = cluster.submit({ output });
      cluster.assign(job, 2, [0, 1]);
      cluster.finish(job, 0, 1, 2, "succeeded", { log });
      const { log: shown, attempts } = cluster.task(job);
      expect(attempts.at(-1)?.log).toEqual(shown);
      return shown?.nodes;
    };
    expect(nodesOf({ copies: 2, sync: true })).toEqual([2]);
    cluster.must("pack.placed", { node: nodeId(2), packs: [[one, nodeId(3)]] });
    cluster.must("pack.placed", { node: nodeId(1), packs: [[two, nodeId(2)]] });
    expect(nodesOf({ copies: 2, sync: true })).toEqual([2, 3]);
    expect(nodesOf({ copies: 2 })).toEqual([2]);
  });

  test("is kept when the node is removed, for that is when it is needed; copies that it held are not", () => {
    const cluster = three3();
    cluster.must("pack.placed", { node: nodeId(2), packs: [[one, nodeId(3)]] });
    cluster.must("pack.placed", { node: nodeId(3), packs: [[two, nodeId(2)]] });
    cluster.must("node.remove", { node: 2 }, admin);
    expect(packHolders(cluster.database, 2)).toEqual([nodeId(3)]);
    expect(packHolders(cluster.database, 3)).toEqual([]);
  });

  test("a node speaks of its own packs and of copies that it holds, and of no others", () => {
    const cluster = three3();
    cluster.must("pack.placed", { node: nodeId(2), packs: packs.map((pack): [string, NodeId] => [pack, nodeId(3)]) });
    const gone = (node: number, ...names: string[]) =>
      cluster.must("pack.gone", { node: nodeId(node), packs: names.map((pack): [NodeId, string] => [nodeId(2), pack]) })
        .gone;
    expect(gone(1, one, two)).toBe(0);
    expect(gone(3, one)).toBe(1);
    expect(gone(2, one, two)).toBe(1);
    expect(packCopiesOf(cluster.database, 2).map(({ pack }) => pack)).toEqual([three]);
  });

  test("no copy is placed at a node that is none, or at itself", () => {
    const cluster = three3();
    const holders = [nodeId(2), nodeId(9)];
    expect(
      cluster.must("pack.placed", { node: nodeId(2), packs: holders.map((holder): [string, NodeId] => [one, holder]) }),
    ).toEqual({ placed: 0 });
    expect(cluster.refused("pack.placed", { node: nodeId(9), packs: [[one, nodeId(1)]] })[0]).toBe("not-found");
  });

  test("the name of a pack is part of a path: nothing else comes through", () => {
    const { payload } = commandByName("pack.placed");
    for (const bad of ["../../log.db", "g0aaaaaaa-00000001.pack/..", "", "G0AAAAAAA-00000001.pack"])
      expect(payload.safeParse({ node: 2, packs: [[bad, 1]] }).success).toBe(false);
    expect(payload.safeParse({ node: 2, packs: [[one, 1]] }).success).toBe(true);
  });
});

describe("output: {copies: 2, sync: true}", () => {
  test("is refused where there is one node, with the path, and taken where there are two", () => {
    const cluster = Cluster.of(1);
    const { jobs } = commandByName("job.submit").input.parse({
      jobs: [{ run: "true" }, { run: 'echo "sync":true', output: { copies: 2, sync: true } }],
    });
    const outcome = cluster.propose("job.submit", { jobs }, admin);
    expect(outcome).toMatchObject({ ok: false, why: { code: "invalid", details: [{ path: "jobs[1].output.sync" }] } });
    cluster.join(2);
    expect(cluster.propose("job.submit", { jobs }, admin).ok).toBe(true);
  });

  test("words that look like it in a command change nothing", () => {
    expect(Cluster.of(1).submit({ run: 'echo {"sync":true}' })).toBe(1);
  });
});
