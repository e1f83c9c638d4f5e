import { expect, test } from "bun:test";
import { submit } from "../../scripts/mesh-jobs.ts";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";

interface Cluster {
  readonly voters: readonly number[];
  readonly voters_outgoing: readonly number[];
  readonly nodes: readonly { readonly id: number; readonly silent: boolean | null }[];
}

const numbers = (nodes: readonly { readonly ready: { readonly node: number } }[]): number[] =>
  nodes.map((node) => node.ready.node).toSorted((a, b) => a - b);

test("two of five die: leader and followers say so before they are held for lost, and of fewer that are to vote a moment later those that are here do", async () => {
  await using mesh = await Mesh.start({ nodes: 5 });
  await mesh.leader({ voters: 5 });
  // The first node's token is an admin's.
  const leader = mesh.nodes[0]!;
  await leader.skein(["cluster", "transfer", "--to", `${leader.ready.node}`]);
  const others = mesh.nodes.filter((node) => node !== leader).sort((a, b) => a.ready.node - b.ready.node);
  // By their numbers these would be chosen.
  const gone = others.slice(0, 2);
  const kept = [leader, ...others.slice(2)];
  const before = (await kept[1]!.api("GET", "/v1/cluster?consistency=stale")).body as Cluster;
  expect(before.nodes.map((node) => node.silent)).toEqual([false, false, false, false, false]);
  await Promise.all(gone.map((node) => node.kill()));
  for (const asked of kept) {
    let silent: number[] | undefined;
    await until(
      async () => {
        const { nodes } = (await asked.api("GET", "/v1/cluster?consistency=stale")).body as Cluster;
        silent = nodes.filter((node) => node.silent === true).map((node) => node.id);
        return silent.length === 2 ? true : undefined;
      },
      patienceMs,
      () => `node ${asked.ready.node} says that silent are ${String(silent)}\n${leader.log}`,
    );
    expect(silent!.toSorted((a, b) => a - b)).toEqual(numbers(gone));
  }
  // Silent or, where this takes ten seconds, lost: not up in any case.
  const { stdout: status } = await leader.skein(["cluster", "status"]);
  expect(status).toMatch(/tolerance +bears the loss of 2 voters; .* of them (is|are) (silent|lost) now/);
  for (const { ready } of gone) expect(status).toMatch(new RegExp(`^ *${ready.node} .* (silent|lost) `, "m"));
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
  expect(seen!.voters).toEqual(numbers(kept));
  await submit(leader, { driver: "noop" });
}, 300_000);
