/** Processes that do nothing, as tasks of a mesh and in a bare loop. */
import { type Mesh, patienceMs } from "../../scripts/mesh.ts";
import { finished, submit } from "../../scripts/mesh-jobs.ts";
import { run, tool } from "../../scripts/steps.ts";

/** One array of `count` tasks that run /bin/true, from sending it to its end. Throws when one of them failed. */
export async function shellTasksPerSecond(mesh: Mesh, count: number, more: object = {}): Promise<number> {
  const leader = await mesh.leader();
  const began = performance.now();
  const job = await finished(mesh, await submit(leader, { run: ["/bin/true"], count, ...more }), patienceMs * 2);
  const seconds = (performance.now() - began) / 1000;
  if (job.counts["succeeded"] !== count) throw new Error(`not all have succeeded: ${JSON.stringify(job.counts)}`);
  return count / seconds;
}

/** The same by a bare loop: in `processes` at the same time, which share the work. */
export async function bareTasksPerSecond(count: number, atOnce: number, processes = 1): Promise<number> {
  const order = JSON.stringify({ count: Math.ceil(count / processes), atOnce: Math.ceil(atOnce / processes) });
  const loops = await Promise.all(
    Array.from({ length: processes }, async () => {
      const ended = await run(tool("bun"), ["bench/peers/spawn-loop.ts", order], { timeoutMs: patienceMs * 2 });
      if (ended.code !== 0) throw new Error(ended.output);
      return (JSON.parse(ended.output) as { tasksPerSecond: number }).tasksPerSecond;
    }),
  );
  return loops.reduce((sum, rate) => sum + rate, 0);
}
