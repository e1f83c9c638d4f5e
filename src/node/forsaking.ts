import { monotonicMs } from "../lib/clock.ts";
import { forsakenNode } from "../state/forsaken.ts";
import type { DutyPorts } from "./duties.ts";

const lookEveryMs = 10_000;

/** A duty of the leader: what only a node may run that never came back ends, some tasks with each entry (state/forsaken.ts). */
export class Forsaking {
  readonly #ports: Pick<DutyPorts, "view" | "propose" | "now">;
  #isUnderWay = false;
  /** monotonicMs. */
  #lookAt = 0;

  constructor(ports: Pick<DutyPorts, "view" | "propose" | "now">) {
    this.#ports = ports;
  }

  /** Begins when it is time; goes on by itself for as long as `isLeading` says so and entries are taken. */
  look(isLeading: () => boolean): void {
    if (this.#isUnderWay || monotonicMs() < this.#lookAt || !isLeading()) return;
    const node = this.#ports.view((tx) => forsakenNode(tx, this.#ports.now()));
    if (node === undefined) {
      this.#lookAt = monotonicMs() + lookEveryMs;
      return;
    }
    this.#isUnderWay = true;
    void this.#ports.propose("node.forsake", { node }).then((outcome) => {
      this.#isUnderWay = false;
      // Refused: by the log's clock, which may lag behind this one, it is not time yet. Nothing ended: it would be said again with every entry.
      if (outcome.ok && outcome.value.value.ended > 0) this.look(isLeading);
      else this.#lookAt = monotonicMs() + lookEveryMs;
    });
  }
}
