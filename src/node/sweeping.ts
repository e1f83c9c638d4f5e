import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import { hasRemains } from "../state/forgetting.ts";
import { unusedBundles } from "../state/queries.ts";
import type { DutyPorts } from "./duties.ts";

/** A duty of the leader: rows of tasks whose large jobs were forgotten, lists of targets of no job, and the history of schedules that are gone, go in steps, one entry after the other (state/forgetting.ts); then trees of bundles that nobody has. */
export class Sweeping {
  readonly #ports: Pick<DutyPorts, "view" | "propose">;
  #isUnderWay = false;

  constructor(ports: Pick<DutyPorts, "view" | "propose">) {
    this.#ports = ports;
  }

  /** Begins with what is left, if anything is; goes on by itself for as long as `isLeading` says so and entries are taken. */
  look(isLeading: () => boolean): void {
    if (this.#isUnderWay || !isLeading()) return;
    const { view, propose } = this.#ports;
    const step = view(hasRemains)
      ? propose("job.sweep", { rows: limits.sweepRows })
      : view((tx) => unusedBundles(tx, 1)).length > 0
        ? propose("bundle.sweep", { bundles: limits.bundlesSwept })
        : undefined;
    if (step === undefined) return;
    this.#isUnderWay = true;
    void step.then((outcome: Outcome<unknown>) => {
      this.#isUnderWay = false;
      if (outcome.ok) this.look(isLeading);
    });
  }
}
