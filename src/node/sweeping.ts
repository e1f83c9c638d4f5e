import { limits } from "../lib/limits.ts";
import { hasRemains } from "../state/forgetting.ts";
import type { DutyPorts } from "./duties.ts";

/** A duty of the leader: rows of tasks whose large jobs were forgotten, and lists of targets of no job, go in steps, one entry after the other (state/forgetting.ts). */
export class Sweeping {
  readonly #ports: Pick<DutyPorts, "view" | "propose">;
  #isUnderWay = false;

  constructor(ports: Pick<DutyPorts, "view" | "propose">) {
    this.#ports = ports;
  }

  /** Begins with what is left, if anything is; goes on by itself for as long as `isLeading` says so and entries are taken. */
  look(isLeading: () => boolean): void {
    if (this.#isUnderWay || !isLeading() || !this.#ports.view(hasRemains)) return;
    this.#isUnderWay = true;
    void this.#ports.propose("job.sweep", { rows: limits.sweepRows }).then((outcome) => {
      this.#isUnderWay = false;
      if (outcome.ok) this.look(isLeading);
    });
  }
}
