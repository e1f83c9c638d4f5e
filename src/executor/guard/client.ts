import { limits } from "../../lib/limits.ts";
import type { NodeId } from "../../lib/ids.ts";
import type { Report } from "../../state/types.ts";
import { monotonicMs } from "../../lib/clock.ts";
import type { AttemptName } from "../types.ts";
import type { FromGuard, Start, Started, Timeout } from "./frames.ts";
import { notReached, startGuard } from "./launch.ts";
import { connect, isWelcomed, type Link, type Listing, type Welcome } from "./link.ts";
import { placesOf } from "./places.ts";

export interface GuardEvents {
  /** The connection is made; its listing is known. Comes before every other event. */
  onOpen(client: GuardPort): void;
  onFinished(reports: readonly Report[]): void;
  onStarted(attempts: readonly Started[]): void;
  onRefused(names: readonly AttemptName[]): void;
  /** The connection is gone, and with it perhaps the guard. Not called after close(). */
  onLost(): void;
}

/** The guard as the executor sees it. */
export type GuardPort = Pick<
  GuardClient,
  "listing" | "start" | "stop" | "extend" | "drop" | "acknowledge" | "declareLost" | "disown" | "lease" | "close"
>;

export interface GuardClientOptions {
  readonly node: NodeId;
  readonly dataDir: string;
  readonly guardCommand: readonly string[];
}

/** The node's end of the socket to its guard. */
export class GuardClient {
  readonly pid: number;
  readonly listing: Listing;
  readonly #link: Link;
  #clockAhead: number;

  private constructor(link: Link, welcome: Welcome, events: GuardEvents) {
    this.#link = link;
    this.pid = welcome.pid;
    this.listing = welcome.listing;
    this.#clockAhead = welcome.clockAhead;
    link.onFrame = (frame) => this.#onFrame(frame, events);
    link.onClosed = () => events.onLost();
  }

  /**
   * Finds the guard of the data directory or starts one, and learns what it knows; resolves after `onOpen`. Throws Fault
   * "guard" when there is none to be had.
   */
  static async open(options: GuardClientOptions, events: GuardEvents): Promise<void> {
    const places = placesOf(options.dataDir);
    const deadline = monotonicMs() + limits.guardStartMs;
    let started: { readonly exitCode: number | null } | undefined;
    let startsLeft = startsMax;
    while (true) {
      const link = await connect(places);
      if (link !== undefined) {
        const onWelcome = (welcome: Welcome): void => events.onOpen(new GuardClient(link, welcome, events));
        if (await isWelcomed(link, options.node, deadline, onWelcome)) return;
        link.destroy();
      }
      if (monotonicMs() >= deadline) throw notReached(places, options.guardCommand);
      if (started === undefined || started.exitCode !== null) {
        if (startsLeft === 0) throw notReached(places, options.guardCommand);
        startsLeft -= 1;
        started = startGuard(places, options.guardCommand);
      }
      await Bun.sleep(connectEveryMs);
    }
  }

  start(start: Start): void {
    this.#link.send({ kind: "start", start });
  }

  stop(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "stop", names });
  }

  extend(timeouts: readonly Timeout[]): void {
    if (timeouts.length > 0) this.#link.send({ kind: "extend", timeouts });
  }

  drop(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "drop", names });
  }

  acknowledge(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "ack", names });
  }

  /** Makes the guard keep and tell "lost" as the result of these; with that, even of none, its past is settled. */
  declareLost(names: readonly AttemptName[]): void {
    this.#link.send({ kind: "lost", names });
  }

  /** These were begun for other tasks: the guard ends them, and tells that they are lost when nothing of them is left. */
  disown(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "disown", names });
  }

  /**
   * Hands over the deadline, given on this process's monotonicMs(). The two clocks count from different moments. A
   * reading of the guard's clock is taken as made when it was received, though it was made before: so the deadline it
   * gets is early by the time the reading travelled, never late (J3).
   */
  lease(endsAt: number): void {
    this.#link.send({ kind: "lease", endsAt: endsAt + this.#clockAhead });
  }

  /** Says goodbye and waits, for a bounded time, until the guard has heard it. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#link.onClosed = resolve;
    });
    this.#link.send({ kind: "goodbye" });
    await Promise.race([closed, Bun.sleep(goodbyeMs)]);
    this.#link.destroy();
  }

  #onFrame(frame: FromGuard, events: GuardEvents): void {
    switch (frame.kind) {
      case "finished":
        return events.onFinished(frame.reports);
      case "started":
        return events.onStarted(frame.attempts);
      case "refused":
        return events.onRefused(frame.names);
      case "clock":
        // The reading that travelled least is the best; each alone is on the safe side.
        this.#clockAhead = Math.max(this.#clockAhead, frame.clock - monotonicMs());
        return undefined;
      default:
        return undefined; // of a later release: see guardProtocol
    }
  }
}

const startsMax = 5;
const connectEveryMs = 15;
const goodbyeMs = 2_000;
