import { zoneGroups } from "../lib/zone-groups.ts";

/** What telling of it needs of its node. */
interface ZoneWatchPorts {
  isLeading(): boolean;
  readonly log: (level: "info" | "warn", message: string) => void;
}

/**
 * Members whose data of time zones differ may find other instants of one schedule: harmless (C1), but not what people expect. Whoever leads says so in its log, once for each change, so that
 * one of all members does.
 */
export class ZoneWatch {
  readonly #ports: ZoneWatchPorts;
  /** What is to be said; undefined: all have the same. */
  #differs: string | undefined;
  #told: string | undefined;

  constructor(ports: ZoneWatchPorts) {
    this.#ports = ports;
  }

  /** The members are these now: those that work out schedules. */
  onMembers(members: Parameters<typeof zoneGroups>[0]): void {
    const groups = zoneGroups(members);
    this.#differs = groups.length < 2 ? undefined : groups.join(" | ");
  }

  /** Says what it has not said yet, if this node leads. */
  tell(): void {
    if (!this.#ports.isLeading()) {
      this.#told = undefined;
      return;
    }
    if (this.#differs === this.#told) return;
    this.#told = this.#differs;
    if (this.#differs === undefined) this.#ports.log("info", "all members have the same data of time zones again");
    else
      this.#ports.log(
        "warn",
        `members have different data of time zones, so that schedules of some zones may fire at other times with each: update those that are behind: ${this.#differs}`,
      );
  }
}
