/** Submitting jobs to a mesh and reading what became of them, over the HTTP API: for `npm start`, benchmarks and tests of the binary. */
import { type Mesh, type MeshNode, patienceMs, until } from "./mesh.ts";

/** A job as GET /v1/jobs/:id gives it, as far as scripts and tests ask. */
export interface JobAnswer {
  readonly id: number;
  readonly state: "queued" | "running" | "succeeded" | "failed" | "cancelled" | "skipped";
  readonly counts: Readonly<Record<string, number>>;
}

/** A task as GET /v1/jobs/:id/tasks gives it, as far as scripts and tests ask. */
export interface TaskAnswer {
  readonly job: number;
  readonly task: number;
  readonly index?: number;
  readonly target?: string;
  readonly state: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly node: number | null;
  readonly attempt: number;
  readonly attempts: readonly {
    readonly attempt: number;
    readonly node: number;
    readonly state: string;
    /** null: it never began. */
    readonly started_at: string | null;
    readonly finished_at: string | null;
  }[];
  readonly reason?: string;
  readonly tail: string;
  readonly log: { readonly bytes: number; readonly sha256: string; readonly nodes: readonly number[] } | null;
}

/** Whether an earlier attempt was taken back from its node before it had begun: neither a loss nor a failure, and it must have left nothing. */
export function isTakenBack({ state, started_at }: TaskAnswer["attempts"][number]): boolean {
  return state === "skipped" && started_at === null;
}

/** Submits a spec through `node` and gives the job's id. Throws with the answer when it is refused. */
export async function submit(node: MeshNode, spec: object): Promise<number> {
  const answer = await node.api("POST", "/v1/jobs", spec);
  if (answer.status !== 201) throw new Error(`POST /v1/jobs: ${answer.status} ${JSON.stringify(answer.body)}`);
  return (answer.body as { id: number }).id;
}

/**
 * Waits until `node` has it in its state that every running node is there, at the address where it is: one that joined or came back says so after it
 * is ready, and a job of one task per node has no task for it before.
 */
export async function allUp(mesh: Mesh, node: MeshNode): Promise<void> {
  let seen = "";
  await until(
    async () => {
      const { body } = await node.api("GET", "/v1/cluster");
      const { nodes = [] } = body as { readonly nodes?: readonly { id: number; state: string; api: string }[] };
      seen = JSON.stringify(nodes.map(({ id, state, api }) => ({ id, state, api })));
      const isThere = ({ ready }: MeshNode): boolean =>
        nodes.some(
          (one) =>
            one.id === ready.node &&
            one.state === "up" &&
            one.api !== "" &&
            ready.api.endsWith(one.api.replace("https://", "")),
        );
      return mesh.nodes.filter((one) => one.running).every(isThere) ? true : undefined;
    },
    patienceMs,
    () =>
      `node ${node.ready.node} does not see that all nodes are at ${mesh.nodes.map(({ ready }) => `${ready.node}: ${ready.api}`).join(", ")}, but ${seen}`,
  );
}

/** Submits a job that has a task for every running node. */
export async function submitToEach(mesh: Mesh, node: MeshNode, spec: object): Promise<number> {
  await allUp(mesh, node);
  return await submit(node, { ...spec, each_node: true });
}

const terminal = new Set(["succeeded", "failed", "cancelled", "skipped"]);

/** The job once it is terminal, asked of any node of the mesh that answers; throws after `timeoutMs` with what was seen last. */
export async function finished(mesh: Mesh, job: number, timeoutMs = patienceMs): Promise<JobAnswer> {
  let seen: JobAnswer | undefined;
  return await until(
    async () => {
      for (const node of mesh.nodes.filter((each) => each.running)) {
        const answer = await node.api("GET", `/v1/jobs/${job}?wait=1s`).catch(() => undefined);
        if (answer?.status !== 200) continue;
        seen = answer.body as JobAnswer;
        return terminal.has(seen.state) ? seen : undefined;
      }
      return undefined;
    },
    timeoutMs,
    () => `job ${job} has not ended: ${JSON.stringify(seen?.counts)}`,
  );
}

/** All tasks of a job, page by page. */
export async function tasksOf(node: MeshNode, job: number): Promise<TaskAnswer[]> {
  const tasks: TaskAnswer[] = [];
  for (let next = ""; ;) {
    const page = await node.api("GET", `/v1/jobs/${job}/tasks?limit=1000${next === "" ? "" : `&next=${next}`}`);
    if (page.status !== 200) throw new Error(`GET /v1/jobs/${job}/tasks: ${page.status} ${JSON.stringify(page.body)}`);
    const body = page.body as { tasks: TaskAnswer[]; next?: string | null };
    tasks.push(...body.tasks);
    if (body.next === undefined || body.next === null || body.next === "") return tasks;
    next = body.next;
  }
}
