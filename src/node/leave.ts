import { monotonicMs } from "../lib/clock.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";

/** How a node takes itself out of its cluster. */
export interface LeavePorts {
  /** How many members there are, this one included. */
  members(): number;
  drain(): Promise<Outcome<unknown>>;
  undrain(): Promise<Outcome<unknown>>;
  /** Attempts that this node still holds. */
  held(): number;
  isLeading(): boolean;
  /** Tries to hand the leadership to another voter; false: nobody could take it (yet). */
  handOver(): Promise<boolean>;
  remove(): Promise<Outcome<unknown>>;
  /** A quorum may still need this node's vote. */
  counts(): boolean;
}

/**
 * The removal that a node asks for itself. The others shut their doors as soon as they have applied it, perhaps before its outcome is heard
 * here: that they do is an answer too, and not the news that somebody else has thrown this node out.
 */
export class OwnRemoval {
  #asked = false;
  #answered = false;
  readonly #told = Promise.withResolvers<Outcome<undefined>>();
  #heard = false;

  /** The others hold this node for no member any more. */
  get isHeard(): boolean {
    return this.#heard;
  }

  /** Settles with the outcome of `propose`, or as accepted when the others tell of it first. */
  async ask(propose: () => Promise<Outcome<unknown>>): Promise<Outcome<unknown>> {
    this.#asked = true;
    this.#answered = false; // of an attempt before, perhaps
    const removed = await Promise.race([propose(), this.#told.promise]);
    if (this.#heard) return accept(undefined);
    // Not known: the others will tell, if it was.
    this.#asked = removed.ok || (removed.why.code === "unavailable" && removed.why.retry !== "safe");
    return removed;
  }

  /** Whoever asked this node to leave has an answer. */
  answered(): void {
    this.#answered = true;
  }

  /** The others say that this node was removed: the answer to what it asked for, late when nobody waits for it here any more. */
  heard(): "unasked" | "awaited" | "late" {
    if (!this.#asked) return "unasked";
    this.#heard = true;
    this.#told.resolve(accept(undefined));
    return this.#answered ? "late" : "awaited";
  }
}

const pollMs = 100;
/** For another voter to take over: the only learner of two nodes is promoted first. */
const successorMs = 15_000;
/** For the others to need this node's vote no more. */
const settleMs = 30_000;

/**
 * Drains, waits for the work, hands the leadership over, and takes the node out of the members. A refusal leaves the node a member that
 * takes work, but where its work has not ended in time: then it goes on draining.
 */
export async function leaveCluster(timeoutMs: number, ports: LeavePorts): Promise<Outcome<{ readonly left: true }>> {
  if (ports.members() === 1) {
    return refuse(
      "conflict",
      "this is the cluster's last node: stop it with SIGTERM, and delete its data directory if the data is not wanted",
    );
  }
  const drained = await ports.drain();
  if (!drained.ok) return drained;
  if (!(await within(timeoutMs, () => ports.held() === 0))) {
    return refuse(
      "conflict",
      `${ports.held()} tasks still run here: the node is draining, repeat 'skein leave' later or with a longer --timeout`,
    );
  }
  if (!(await succeeded(ports))) {
    await ports.undrain();
    return refuse(
      "unavailable",
      "no other node could take over the leadership: is another one up and caught up ('skein nodes ls')? This node stays",
      { retryAfterMs: 1000 },
    );
  }
  const removed = await ports.remove();
  if (!removed.ok) return removed;
  if (await within(settleMs, () => !ports.counts())) return accept({ left: true });
  return refuse(
    "unavailable",
    "its removal is in the log, but the others cannot go on without its vote yet: are they up ('skein cluster status' there)? This node stays up, and ends by itself as soon as they can",
  );
}

/** True once this node does not lead (any more). */
async function succeeded(ports: LeavePorts): Promise<boolean> {
  const deadline = monotonicMs() + successorMs;
  while (ports.isLeading()) {
    if (await ports.handOver()) return true;
    if (monotonicMs() > deadline) return false;
    await pause();
  }
  return true;
}

async function within(timeoutMs: number, isSo: () => boolean): Promise<boolean> {
  const deadline = monotonicMs() + timeoutMs;
  while (!isSo()) {
    if (monotonicMs() > deadline) return false;
    await pause();
  }
  return true;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pollMs));
}
