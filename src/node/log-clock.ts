/** What the clock of the log needs of its surroundings. */
export interface LogClockPorts {
  /** This host's wall clock, epoch ms. */
  wall(): number;
  monotonic(): number;
  /** A majority of the voters' clocks says that this one is not ahead. */
  isConfirmed(): boolean;
}

/**
 * The leader's clock, as entries are stamped by it (J4). The state's clock never goes back, so one entry by a clock that is far ahead would end
 * every token and hold all time still until real time has come that far. So a wall clock counts only as far as others confirm it; without
 * them, as at the beginning of a term, time goes on from what the log said last, by the monotonic clock. A clock that is behind does no such harm: its
 * stamps count for nothing until they pass the state's.
 */
export class LogClock {
  readonly #ports: LogClockPorts;
  /** The highest time that the log has come to, less the monotonic clock then; undefined: there is none. */
  #ahead: number | undefined;
  /** When (monotonic) the wall clock was confirmed last, and how far it was ahead of the monotonic one then. */
  #confirmed: { readonly at: number; readonly ahead: number } | undefined;

  constructor(ports: LogClockPorts) {
    this.#ports = ports;
  }

  /** Another term: what was confirmed was so by those who were heard in the one before. */
  lead(): void {
    this.#confirmed = undefined;
  }

  /** The state's clock is there. 0 is no time. */
  seen(at: number): void {
    const ahead = at - this.#ports.monotonic();
    if (at > 0 && (this.#ahead === undefined || ahead > this.#ahead)) this.#ahead = ahead;
  }

  /** Epoch ms, for an entry of this leader. */
  now(): number {
    const wall = this.#ports.wall();
    const monotonic = this.#ports.monotonic();
    if (this.#ahead === undefined || this.#isConfirmed(wall - monotonic, monotonic)) return wall;
    return Math.min(wall, Math.floor(this.#ahead + monotonic));
  }

  /** Not asked anew for each of thousands of entries, unless the wall clock was set meanwhile. */
  #isConfirmed(ahead: number, at: number): boolean {
    const last = this.#confirmed;
    if (last !== undefined && at - last.at < confirmEveryMs && ahead - last.ahead < setMs) return true;
    this.#confirmed = this.#ports.isConfirmed() ? { at, ahead } : undefined;
    return this.#confirmed !== undefined;
  }
}

const confirmEveryMs = 250;
/** A wall clock that gains so much on the monotonic one in that time was set. */
const setMs = 50;
