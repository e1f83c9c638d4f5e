import type { NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Node } from "../../src/node/node.ts";
import type { Append } from "../../src/raft/types.ts";
import { decodeEntry } from "../../src/state/entry.ts";
import type { Cluster } from "./cluster.ts";

/** Monotonic clocks run at most so much too fast (plan.ts), so that time which goes on by one of them may gain as much. */
const fastest = 0.05;
/** ms; what a leader knows of the others' clocks is as old as their last wishes for a lease, and rounded. */
const slackMs = 500;

/**
 * J4: one wrong clock never moves the state's. A leader stamps its entries by its wall clock only while of each half of the voters a majority shows
 * no more than limits.clockToleranceMs less, else by the monotonic clock from the newest stamp on. So no stamp is ever further ahead of the true time than
 * the tolerance over what such a majority has shown at some moment, and what a fast monotonic clock gained since.
 */
export class ClockJudge {
  readonly #cluster: Cluster;
  /** ms ahead of the true time that a stamp may be, as of `#at` (µs). */
  #allowed = -Infinity;
  #at = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** ms ahead of the true time that a stamp may be, as of the last look. */
  get allowedMs(): number {
    return this.#allowed;
  }

  /** Also before and after a clock is set: what the majority showed until then counts. */
  look(): void {
    const { time } = this.#cluster;
    const { voters, outgoing } = this.#cluster.configuration();
    const shown = Math.min(this.#shown(voters), this.#shown(outgoing));
    this.#allowed += ((time.now - this.#at) / 1000) * fastest;
    this.#at = time.now;
    if (Number.isFinite(shown)) this.#allowed = Math.max(this.#allowed, shown + limits.clockToleranceMs + slackMs);
  }

  onAppend(node: Node | undefined, { entries }: Append): void {
    if (node?.isLeading !== true || entries.length === 0) return;
    const { term } = node.consensus;
    this.look();
    for (const entry of entries) {
      if (entry.kind !== "command" || entry.term !== term) continue;
      const ahead = decodeEntry(entry.data).at - this.#cluster.time.trueWallMs;
      this.#cluster.count("stampsJudged");
      if (ahead > this.#allowed)
        this.#cluster.fail(
          `J4: node ${node.id} stamps entry ${entry.index} ${Math.round(ahead)} ms ahead of the true time, and no majority has shown more than ${Math.round(this.#allowed)} ms`,
        );
    }
  }

  /** ms ahead of the true time: what a majority shows at least. */
  #shown(voters: readonly NodeId[]): number {
    const clocks = voters.map((id) => this.#cluster.hostOf(id)?.clockAheadMs ?? -Infinity).sort((a, b) => b - a);
    return clocks.length === 0 ? Infinity : clocks[clocks.length >> 1]!;
  }
}
