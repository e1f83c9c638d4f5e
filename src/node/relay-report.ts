import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { encodeReport, type Position } from "./relay-frames.ts";

export interface ReporterPorts {
  readonly self: NodeId;
  /** Whom to tell; {@link nobody}: none, or this node leads. */
  target(): NodeId;
  /** How far this node itself is, if somebody is to know; undefined for a voter. */
  own(): number | undefined;
  /** Throws Fault. */
  request(target: NodeId, body: unknown): Promise<unknown>;
}

/**
 * How far the learners below this node are, told upward: what changed within limits.relayReportSoonMs in one message, and all of it every
 * limits.relayReportMs. So the leader hears of every learner from a few voters, and a learner that is told of no more is one without a feeder.
 */
export class RelayReporter {
  readonly #ports: ReporterPorts;
  readonly #below = new Map<NodeId, { match: number; heardAt: number; isNews: boolean }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #wholeAt = 0;
  #ownTold = -1;
  #asking = false;
  #stopped = false;

  constructor(ports: ReporterPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#schedule(limits.relayReportMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** A child tells of itself and of those below it. */
  heard(positions: readonly Position[]): void {
    const now = monotonicMs();
    for (const { node, match, ageMs } of positions) {
      const known = this.#below.get(node);
      const heardAt = now - ageMs;
      if (node === this.#ports.self || (known !== undefined && known.heardAt > heardAt)) continue;
      this.#below.set(node, { match, heardAt, isNews: match !== known?.match });
    }
    this.#schedule(limits.relayReportSoonMs);
  }

  /** This node itself has come further. */
  moved(): void {
    if (this.#ports.own() !== this.#ownTold) this.#schedule(limits.relayReportSoonMs);
  }

  /** Another one is to be told: everything, soon. */
  onTarget(): void {
    this.#wholeAt = 0;
    this.#schedule(limits.relayReportSoonMs);
  }

  /** Those of which something was heard not long ago. */
  positions(): Position[] {
    const now = monotonicMs();
    const positions: Position[] = [];
    for (const [node, { match, heardAt }] of this.#below) {
      if (now - heardAt > limits.relayUnheardMs) this.#below.delete(node);
      else positions.push({ node, match, ageMs: Math.round(now - heardAt) });
    }
    return positions;
  }

  /** Something was heard of it not long ago. */
  isHeard(node: NodeId): boolean {
    const heardAt = this.#below.get(node)?.heardAt ?? -Infinity;
    return monotonicMs() - heardAt <= limits.relayUnheardMs;
  }

  #schedule(inMs: number): void {
    const at = monotonicMs() + inMs;
    if (this.#stopped || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => void this.#report(), inMs);
  }

  async #report(): Promise<void> {
    this.#timerAt = Infinity;
    this.#schedule(limits.relayReportMs);
    const target = this.#ports.target();
    if (target === nobody || this.#asking) return;
    const now = monotonicMs();
    const isWhole = now >= this.#wholeAt;
    const own = this.#ports.own();
    const told = this.positions().filter(({ node }) => isWhole || this.#below.get(node)!.isNews);
    if (own !== undefined && (isWhole || own !== this.#ownTold))
      told.push({ node: this.#ports.self, match: own, ageMs: 0 });
    if (told.length === 0) return;
    for (const { node } of told) {
      const one = this.#below.get(node);
      if (one !== undefined) one.isNews = false;
    }
    if (own !== undefined) this.#ownTold = own;
    if (isWhole) this.#wholeAt = now + limits.relayReportMs - limits.relayReportSoonMs;
    this.#asking = true;
    try {
      await this.#ports.request(target, encodeReport(told));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#wholeAt = 0; // nobody knows what of it arrived
    }
    this.#asking = false;
  }
}
