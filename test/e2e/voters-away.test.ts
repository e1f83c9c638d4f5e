import { expect, test } from "bun:test";
import { submit } from "../../scripts/mesh-jobs.ts";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";

interface Cluster {
  readonly voters: readonly number[];
  readonly voters_outgoing: readonly number[];
}

test("fewer are to vote a moment after two of five died: those that are here do, and writes go on", async () => {
  await using mesh = await Mesh.start({ nodes: 5 });
  await mesh.leader({ voters: 5 });
  // The first node's token is an admin's.
  const leader = mesh.nodes[0]!;
  await leader.skein(["cluster", "transfer", "--to", `${leader.ready.node}`]);
  const others = mesh.nodes.filter((node) => node !== leader).sort((a, b) => a.ready.node - b.ready.node);
  // By their numbers these would be chosen.
  const gone = others.slice(0, 2);
  const kept = [leader, ...others.slice(2)];
  await Promise.all(gone.map((node) => node.kill()));
  const asked = await leader.api("PATCH", "/v1/cluster", { voters: 3 });
  expect(asked.status).toBe(200);
  let seen: Cluster | undefined;
  await until(
    async () => {
      seen = (await leader.api("GET", "/v1/cluster?consistency=stale")).body as Cluster;
      return seen.voters.length === 3 && seen.voters_outgoing.length === 0 ? true : undefined;
    },
    patienceMs,
    () => `not three voters, but ${JSON.stringify(seen)}\n${leader.log}`,
  );
  expect(seen!.voters).toEqual(kept.map((node) => node.ready.node).toSorted((a, b) => a - b));
  await submit(leader, { driver: "noop" });
}, 300_000);
