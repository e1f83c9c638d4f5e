import { listTasks } from "../../src/state/queries.ts";
import { type Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";

/**
 * Everybody who is there is given work again, whatever became of them before: drained, lost, quarantined, removed from what the leader believes to be up. Jobs with a task
 * for each node are submitted until every node that is asked for has ended one.
 */
export class EveryoneWorks {
  readonly #cluster: Cluster;
  readonly #hosts: () => readonly Host[];
  readonly #jobs: number[] = [];
  readonly #worked = new Set<number>();
  #isOver = false;

  /** `hosts`: those who must be given work, as they stand at the moment. */
  constructor(cluster: Cluster, hosts: () => readonly Host[]) {
    this.#cluster = cluster;
    this.#hosts = hosts;
    this.#submit();
  }

  /** Those who ended no task yet. */
  idle(): number[] {
    const leader = this.#cluster.leader();
    if (leader?.isUp === true && !leader.isOdd)
      for (const job of this.#jobs)
        for (const task of leader.state.view((tx) => listTasks(tx, job, { limit: 100 }))?.items ?? [])
          for (const { node, state } of task.attempts)
            if (node !== null && state === "succeeded") this.#worked.add(node);
    const idle = this.#hosts().filter((host) => !this.#worked.has(host.id));
    this.#isOver = idle.length === 0;
    return idle.map((host) => host.id);
  }

  /** Again after a while: whoever is not held for up in this instant has no task in this job. */
  #submit(): void {
    const { time } = this.#cluster;
    if (this.#isOver || this.#cluster.isOver) return;
    time.after(5_000_000, undefined, () => this.#submit());
    const leader = this.#cluster.leader();
    if (leader?.process === undefined) return;
    const { node } = leader.process;
    const jobs = [{ driver: "noop" as const, eachNode: true, ttlMs: 86_400_000 }];
    const call = () => node.propose("job.submit", { jobs, digest: "everyone" }, operator);
    this.#cluster.ask(leader, 10_000_000, call).answered((outcome) => {
      if (outcome?.ok === true) this.#jobs.push(outcome.value.value.first);
    });
  }
}
