import { parseFacts, type Facts } from "../lib/facts.ts";
import type { JobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { findJob, findTask } from "../state/queries.ts";
import { type FactJob, factJobs } from "../state/tables/fact.ts";
import type { ReadTx } from "../state/tx.ts";
import type { DutyPorts } from "./duties.ts";

/** A duty of the leader: what jobs that gather facts have printed is kept, once they have ended, some hundred targets with each entry. How far it has come is in the state. */
export class FactsDuty {
  readonly #ports: Pick<DutyPorts, "view" | "propose">;
  #isUnderWay = false;

  constructor(ports: Pick<DutyPorts, "view" | "propose">) {
    this.#ports = ports;
  }

  /** Does the next step of whichever job has ended; goes on by itself for as long as `isLeading` says so and entries are taken. */
  look(isLeading: () => boolean): void {
    if (this.#isUnderWay || !isLeading()) return;
    const step = this.#ports.view(nextStep);
    if (step === undefined) return;
    this.#isUnderWay = true;
    void this.#ports
      .propose("facts.set", { ...step, facts: [...step.facts], job: step.job as JobId })
      .then((outcome) => {
        this.#isUnderWay = false;
        if (outcome.ok) this.look(isLeading);
      });
  }
}

interface Step {
  readonly job: number;
  readonly next: number | null;
  readonly facts: [string, Facts][];
}

function nextStep(tx: ReadTx): Step | undefined {
  for (const one of factJobs(tx)) {
    const step = stepOf(tx, one);
    if (step !== undefined) return step;
  }
  return undefined;
}

/** undefined: the job has not ended. */
function stepOf(tx: ReadTx, { job, next }: FactJob): Step | undefined {
  const row = findJob(tx, job);
  if (row === undefined) return { job, next: null, facts: [] };
  if (row.finished_at === null) return undefined;
  const tasks = Object.values(row.counts).reduce((sum, count) => sum + count, 0);
  const end = Math.min(tasks, next + limits.factsPerCommand);
  const facts: [string, Facts][] = [];
  for (let task = next; task < end; task++) {
    const view = findTask(tx, job, task);
    const found = view?.state === "succeeded" && view.target !== undefined ? parseFacts(view.tail) : undefined;
    if (found !== undefined) facts.push([view!.target!, found]);
  }
  return { job, next: end === tasks ? null : end, facts };
}
