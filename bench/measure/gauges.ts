/** What a node's /metrics say of the mesh, and waiting for it. */
import { type Mesh, type MeshNode, until } from "../../scripts/mesh.ts";

/** The value of one metric without labels, or of all its labels together. */
export async function gauge(node: MeshNode, name: string): Promise<number> {
  const { body } = await node.api("GET", "/metrics");
  const values = String(body).matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([\\d.e+]+)$`, "gm"));
  const numbers = [...values].map((match) => Number(match[1]));
  if (numbers.length === 0) throw new Error(`node ${node.ready.node} has no metric ${name}`);
  return numbers.reduce((sum, value) => sum + value, 0);
}

/** Waits until at most `count` jobs have not ended. */
export async function untilUnfinished(node: MeshNode, count: number, timeoutMs = 300_000): Promise<void> {
  let open = Number.NaN;
  await until(
    async () => {
      open = await gauge(node, "skein_jobs_unfinished");
      return open <= count ? true : undefined;
    },
    timeoutMs,
    () => `${open} jobs have not ended, and ${count} were waited for`,
  );
}

/** Waits until exactly so many tasks run. */
export async function untilRunning(node: MeshNode, count: number): Promise<void> {
  let running = Number.NaN;
  await until(
    async () => {
      running = await gauge(node, "skein_tasks_running");
      return running === count ? true : undefined;
    },
    300_000,
    () => `${running} tasks run, and ${count} were waited for`,
  );
}

/** Waits until every running node has applied what the leader has. */
export async function inStep(mesh: Mesh): Promise<void> {
  const leader = await mesh.leader();
  const goal = await gauge(leader, "skein_raft_commit_index");
  for (const node of mesh.nodes.filter((each) => each.running))
    await until(
      async () => ((await gauge(node, "skein_raft_applied_index")) >= goal ? true : undefined),
      300_000,
      () => `node ${node.ready.node} does not reach entry ${goal}`,
    );
}

/** Does nothing for a while. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
