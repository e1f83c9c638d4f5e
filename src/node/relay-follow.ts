import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { index as toIndex, nobody, term as toTerm, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Fed, FedOutcome } from "../raft/types.ts";
import type { EntryChain } from "./relay-chain.ts";
import { encodePull, parsePullAnswer, type PullAnswer } from "./relay-frames.ts";

export interface FollowerPorts {
  readonly self: NodeId;
  /** How often the feeder of the plan is tried. */
  readonly improveMs: number;
  readonly chain: EntryChain;
  /** This node is a learner in a mesh that relays, or does not know yet what it is. */
  isRelayed(): boolean;
  /** Whom to ask, best first; the first one is the same for who insists. */
  feeders(insists: boolean): readonly NodeId[];
  /** Throws Fault. */
  request(feeder: NodeId, body: unknown): Promise<unknown>;
  /** To consensus. */
  feed(fed: Fed): FedOutcome;
  /** Nobody has fed this node for a while. */
  lost(): void;
  /** Resolves once what was fed is durable, but for limits.relayBacklogBytes. */
  room(): Promise<void>;
  /** The feeder, its path or who leads is another one. */
  changed(): void;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** How long a feeder is not asked again, by what was wrong with it. */
const avoidMs = { failed: 2_000, refused: 1_000, stale: 3_000, wrong: 60_000 } as const;
/** When nobody feeds, or nothing is to be fed. */
const pauseMs = 100;
const waitMs = 1_000;
/** While the state itself is on its way. */
const snapshotPauseMs = 500;

type Verdict = keyof typeof avoidMs | "ended";

/**
 * The side that is fed: asks its feeder, one question at a time, and goes to the next one in its order when the answer fails, is late, is refused,
 * does not fit the hash chain, or when the leader's word gets old on its way. Entries reach consensus only after they were checked. It never
 * depends on a tree: a learner of which the leader hears nothing is fed by the leader itself (relay-leader.ts).
 */
export class RelayFollower {
  readonly #ports: FollowerPorts;
  readonly #avoided = new Map<NodeId, number>();
  #feeder: NodeId = nobody;
  #path: readonly NodeId[] = [];
  #heardAt = -Infinity;
  #heardAgeMs = 0;
  #improveAt = 0;
  #wake: (() => void) | undefined;
  #insists = false;
  #stopped = false;

  constructor(ports: FollowerPorts) {
    this.#ports = ports;
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.onChange();
  }

  /** What {@link FollowerPorts.isRelayed} says may be another thing now. */
  onChange(): void {
    this.#wake?.();
  }

  /** Who feeds this node; {@link nobody}: none. */
  get feeder(): NodeId {
    return this.#feeder;
  }

  /** From the feeder to its root. */
  get path(): readonly NodeId[] {
    return this.#path;
  }

  /** Since the leader was heard through the feeder. */
  get ageMs(): number {
    return monotonicMs() - this.#heardAt + this.#heardAgeMs;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (!this.#ports.isRelayed()) {
        await this.#pause(waitMs);
        continue;
      }
      const feeder = this.#next();
      if (feeder === undefined) {
        if (this.ageMs > limits.relayStaleMs) this.#ports.lost();
        // All were asked in vain: the next time a place is asked to be made.
        this.#insists = !this.#insists;
        await this.#pause(pauseMs);
        if (this.#insists) this.#avoided.forEach((until, node) => this.#avoided.set(node, until - avoidMs.refused));
        continue;
      }
      const verdict = await this.#follow(feeder);
      this.#leave();
      if (this.ageMs > limits.relayStaleMs) this.#ports.lost();
      if (verdict !== "ended") this.#avoid(feeder, verdict);
    }
  }

  #next(): NodeId | undefined {
    const now = monotonicMs();
    return this.#ports.feeders(this.#insists).find((node) => (this.#avoided.get(node) ?? 0) <= now);
  }

  #avoid(feeder: NodeId, verdict: Exclude<Verdict, "ended">): void {
    const now = monotonicMs();
    for (const [node, until] of this.#avoided) if (until <= now) this.#avoided.delete(node);
    this.#avoided.set(feeder, now + avoidMs[verdict]);
  }

  #leave(): void {
    if (this.#feeder === nobody) return;
    this.#feeder = nobody;
    this.#path = [];
    this.#ports.changed();
  }

  async #follow(first: NodeId): Promise<Verdict> {
    let feeder = first;
    while (!this.#stopped && this.#ports.isRelayed()) {
      await this.#ports.room();
      const better = this.#better(feeder);
      if (better !== undefined) {
        const tried = await this.#ask(better);
        if (tried === "taken") feeder = better;
        else if (tried !== "ended") this.#avoid(better, tried);
        continue;
      }
      const verdict = await this.#ask(feeder);
      if (verdict !== "taken") return verdict;
    }
    return "ended";
  }

  /** The feeder by the plan, tried now and then. One that is avoided just now is tried when that is over. */
  #better(feeder: NodeId): NodeId | undefined {
    const now = monotonicMs();
    if (this.#feeder === nobody || now < this.#improveAt) return undefined;
    const [ideal = nobody] = this.#ports.feeders(false);
    const avoidedUntil = this.#avoided.get(ideal) ?? 0;
    // Not all at the same moment.
    this.#improveAt =
      avoidedUntil > now ? avoidedUntil : now + this.#ports.improveMs * (1 + (this.#ports.self % 8) / 8);
    return avoidedUntil > now || ideal === nobody || ideal === feeder ? undefined : ideal;
  }

  async #ask(feeder: NodeId): Promise<Verdict | "taken"> {
    const { chain, self } = this.#ports;
    const after = chain.head;
    const insists = this.#insists || feeder === this.#ports.feeders(false)[0];
    let answer: PullAnswer;
    try {
      const body = await this.#ports.request(feeder, encodePull({ after, chain: chain.value, insists }));
      answer = parsePullAnswer(body, after);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return this.#stopped ? "ended" : "failed";
    }
    if (this.#stopped) return "ended";
    if (answer.kind === "refused") {
      if (answer.why !== "chain") return "refused";
      this.#ports.log("warn", `node ${feeder} has another history than this node: another one is asked`, { after });
      return "wrong";
    }
    if (answer.path.includes(self)) return "stale";
    if (answer.ageMs > limits.relayStaleMs + limits.relayStalePerHopMs * answer.path.length) return "stale";
    this.#heard(feeder, answer);
    if (answer.kind === "snapshot") {
      // Who leads, and when: consensus takes a snapshot only from a leader that it has heard of.
      const { term, leader } = answer;
      this.#ports.feed({ term, leader, previousIndex: toIndex(after), previousTerm: toTerm(0), entries: [] });
      await this.#pause(snapshotPauseMs);
      return "taken";
    }
    return this.#take(feeder, after, answer);
  }

  #heard(feeder: NodeId, answer: Exclude<PullAnswer, { kind: "refused" }>): void {
    const isNews = feeder !== this.#feeder || answer.path.length !== this.#path.length;
    // Somebody above has another place, and so have all below: what was good may be deep now.
    if (feeder === this.#feeder && answer.path.length > this.#path.length) this.#improveAt = 0;
    this.#insists = false;
    this.#feeder = feeder;
    this.#path = answer.path;
    this.#heardAt = monotonicMs();
    this.#heardAgeMs = answer.ageMs;
    if (isNews) this.#ports.changed();
  }

  #take(feeder: NodeId, after: number, answer: Extract<PullAnswer, { kind: "entries" }>): Verdict | "taken" {
    const { chain } = this.#ports;
    const { term, leader, previousTerm, entries } = answer;
    // A snapshot, or the leader itself, may have brought this node further meanwhile.
    if (chain.head !== after) return "taken";
    chain.adopt(answer.before);
    const fits = answer.before === "" || chain.value === "" || answer.before === chain.value;
    if (!fits || !chain.leadsTo(entries, answer.after)) {
      const last = entries.at(-1)?.index ?? after;
      this.#ports.log(
        "warn",
        `what node ${feeder} feeds does not fit the hash chain and is refused: another one is asked`,
        {
          after,
          last,
        },
      );
      return "wrong";
    }
    const outcome = this.#ports.feed({ term, leader, previousIndex: toIndex(after), previousTerm, entries });
    if (outcome === "taken") {
      chain.advance(entries);
      return "taken";
    }
    if (outcome === "not-learner") return "ended";
    this.#ports.log("warn", `what node ${feeder} feeds does not follow on from this node's log: another one is asked`, {
      after,
    });
    return "wrong";
  }

  /** Until then, or until something may have changed. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
