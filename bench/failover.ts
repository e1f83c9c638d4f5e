/**
 * How long are writes held up when the leader's process dies? SIGKILL of the leader of three, then one job through a follower: the time
 * from the signal to its acknowledgement. `skein bench failover` with load comes later; this is the client's view of a single write.
 *
 * `npm run bench -- failover [--rounds=20]`
 */
import { Mesh, until } from "../scripts/mesh.ts";
import { submit } from "../scripts/mesh-jobs.ts";
import { compare, option, printMachine } from "./harness.ts";

await printMachine();
await using mesh = await Mesh.start({ nodes: 3 });
await compare([{ name: "SIGKILL of the leader", measure: killLeader }], option("rounds", 20));

async function killLeader(): Promise<Record<string, number>> {
  const leader = await mesh.leader({ voters: 3 });
  const follower = mesh.nodes.find((node) => node !== leader)!;
  await submit(follower, { driver: "noop" });
  const began = performance.now();
  const killed = leader.kill();
  await submit(follower, { driver: "noop" });
  const nextWriteMs = performance.now() - began;
  await killed;
  await leader.start();
  // All three hear the new leader again before the next one is killed.
  await until(
    async () => {
      const answer = await leader.api("GET", "/v1/cluster");
      const {
        leader: leads,
        applied,
        index,
      } = answer.body as { leader: number | null; applied: number; index: number };
      return leads !== null && leads !== leader.ready.node && applied >= index ? true : undefined;
    },
    20_000,
    () => "the killed node does not come back",
  );
  return { nextWriteMs };
}
