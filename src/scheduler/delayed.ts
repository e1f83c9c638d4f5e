import type { JobId } from "../lib/ids.ts";
import type { WaitingTask } from "../state/planning.ts";

/** Tasks that must not start before an instant (backoff), earliest first: a binary heap. Jobs that end are skipped when due. */
interface Entry {
  readonly due: number;
  readonly job: JobId;
  readonly task: WaitingTask;
}

/** Tasks by the instant from which they may start. */
export class Delayed {
  #heap: Entry[] = [];

  add(due: number, job: JobId, task: WaitingTask): void {
    const heap = this.#heap;
    heap.push({ due, job, task });
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.due <= heap[at]!.due) break;
      [heap[parent], heap[at]] = [heap[at]!, heap[parent]!];
      at = parent;
    }
  }

  /** Epoch ms of the earliest, undefined when there is none. */
  next(): number | undefined {
    return this.#heap[0]?.due;
  }

  /** Takes out everything that is due at `now`. */
  *due(now: number): Generator<{ readonly job: JobId; readonly task: WaitingTask }> {
    while (this.#heap.length > 0 && this.#heap[0]!.due <= now) {
      const first = this.#heap[0]!;
      const last = this.#heap.pop()!;
      if (this.#heap.length > 0) {
        this.#heap[0] = last;
        this.#sink();
      }
      yield first;
    }
  }

  /** Drops a job's entries; costs a pass over the heap, so it is for jobs that end early. */
  forget(job: JobId): void {
    if (!this.#heap.some((entry) => entry.job === job)) return;
    const rest = this.#heap.filter((entry) => entry.job !== job);
    this.#heap = [];
    for (const entry of rest) this.add(entry.due, entry.job, entry.task);
  }

  #sink(): void {
    const heap = this.#heap;
    let at = 0;
    while (true) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && heap[child]!.due < heap[least]!.due) least = child;
      }
      if (least === at) return;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }
}
