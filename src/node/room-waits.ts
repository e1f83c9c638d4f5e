import { monotonicMs } from "../lib/clock.ts";

/** Since when schedules have found no room for the jobs of their instants (monotonicMs), and when they last found none. */
interface Wait {
  readonly since: number;
  last: number;
}

/**
 * Schedules whose instants wait for room among all unfinished jobs. Waiting is for a moment: an instant that has found none for limits.fireRoomMs is said to be refused, before it is so
 * late that it would be taken for missed. What was not refused for as long begins anew; what finds room for a part alone does not, since the rest of it waits as before.
 */
export class RoomWaits {
  readonly #waits = new Map<number, Wait>();
  readonly #mostMs: number;

  constructor(mostMs: number) {
    this.#mostMs = mostMs;
  }

  /** There was no room for it again; gives whether that has gone on for so long that its older instants are given up. */
  refused(schedule: number): boolean {
    const now = monotonicMs();
    const wait = this.#waits.get(schedule);
    if (wait === undefined || now - wait.last > this.#mostMs) {
      this.#waits.set(schedule, { since: now, last: now });
      return false;
    }
    wait.last = now;
    return now - wait.since >= this.#mostMs;
  }

  /** All jobs that it asked for were made. */
  made(schedule: number): void {
    this.#waits.delete(schedule);
  }

  /** Those that ask no more. */
  forget(): void {
    const now = monotonicMs();
    for (const [schedule, { last }] of this.#waits) if (now - last > this.#mostMs) this.#waits.delete(schedule);
  }
}
