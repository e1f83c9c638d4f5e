import { index as toIndex, type NodeId } from "../lib/ids.ts";
import { bytesOf } from "../raft/log.ts";
import type { Raft } from "../raft/raft.ts";
import type { Entry } from "../raft/types.ts";
import type { LogStore } from "../storage/types.ts";
import { Compaction, type LogBudget } from "./compaction.ts";

/** What the log is cut by. */
export interface CompactorPorts {
  readonly raft: Pick<Raft, "baseIndex" | "compact" | "progress">;
  readonly logStore: Pick<LogStore, "compact">;
  /** Members that can be reached now. */
  met(): Iterable<NodeId>;
  /** The state of this node is wrong, and may be replaced by one of any entry that the log has: then nothing of it goes (S1). */
  isHeld(): boolean;
  /** The lowest index that a learner that is fed here has not got beyond. */
  needed(): number;
  /** The lowest index from which somebody who is given a snapshot goes on. */
  neededBySnapshot(): number;
  /** Something is to be drained. */
  schedule(): void;
}

/** Cuts the log behind what state.db has synced (D3): when, and for whose sake not yet. How far is the arithmetic of compaction.ts. */
export class Compactor {
  readonly #ports: CompactorPorts;
  readonly #compaction: Compaction;

  constructor(ports: CompactorPorts, budget: LogBudget) {
    this.#ports = ports;
    this.#compaction = new Compaction(budget);
  }

  /** These entries were handed to apply. */
  committed(entries: readonly Entry[]): void {
    this.#compaction.committed(entries.at(-1)!.index, bytesOf(entries));
  }

  /** Entries up to `applied` are synced in state.db, and not needed in the log for this node's sake. */
  stateDurable(applied: number): void {
    this.#compaction.durable(applied);
    this.cut();
  }

  /** The log's entry of that index cannot be read any more, and the state contains it: the log goes so far as soon as the state is durable. */
  damaged(at: number): void {
    this.#compaction.damaged(at);
    setImmediate(() => this.cut()); // not in the middle of a drain
  }

  /** The state was replaced by one that has entries up to `applied`: what follows is handed to apply again. */
  reset(applied: number): void {
    this.#compaction.reset(applied);
  }

  /** As far as it may go now; what is held back goes with a later one. Not in the middle of a drain. */
  cut(): void {
    const { raft, logStore } = this.#ports;
    if (this.#ports.isHeld()) return;
    const needed = Math.min(this.#slowestPeer(), this.#ports.needed());
    const target = this.#compaction.target(
      raft.baseIndex,
      this.#compaction.durableIndex,
      needed,
      this.#ports.neededBySnapshot(),
    );
    const base = target === undefined ? undefined : raft.compact(toIndex(target));
    if (base === undefined) return;
    logStore.compact(base);
    this.#ports.schedule();
  }

  /**
   * What the slowest member that is there has of this leader's log; one that gets a snapshot needs what follows that, and one that others feed is
   * waited for by them.
   */
  #slowestPeer(): number {
    let slowest = Infinity;
    for (const node of this.#ports.met()) {
      const progress = this.#ports.raft.progress(node);
      if (progress?.mode === "probe" || progress?.mode === "replicate") slowest = Math.min(slowest, progress.match);
    }
    return slowest;
  }
}
