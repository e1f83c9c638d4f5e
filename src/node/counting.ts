import { limits } from "../lib/limits.ts";
import { isCountingUp } from "../state/tables/load.ts";
import type { DutyPorts } from "./duties.ts";

/** A duty of the leader: after the first limit of a submitter was set, the unfinished jobs that are there are counted in steps, one entry after the other (state/tables/load.ts). */
export class Counting {
  readonly #ports: Pick<DutyPorts, "view" | "propose">;
  #isUnderWay = false;

  constructor(ports: Pick<DutyPorts, "view" | "propose">) {
    this.#ports = ports;
  }

  /** Begins where it stands, if there is something to count; goes on by itself for as long as `isLeading` says so and entries are taken. */
  look(isLeading: () => boolean): void {
    if (this.#isUnderWay || !isLeading() || !this.#ports.view(isCountingUp)) return;
    this.#isUnderWay = true;
    void this.#ports.propose("submitter.count", { jobs: limits.countedJobs }).then((outcome) => {
      this.#isUnderWay = false;
      if (outcome.ok) this.look(isLeading);
    });
  }
}
