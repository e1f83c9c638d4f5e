import { nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { inTurns } from "../lib/turns.ts";
import { type Outcome, type Refusal, refuse } from "../lib/outcome.ts";
import type { Proposed, ProposeRefusal } from "../raft/types.ts";
import { type Batch, decodeBatch, encodeBatch, encodeEntry, isBatch, type CommandRecord } from "../state/entry.ts";
import { checkBatch, checkInSteps, needsMore, needsMoreInSteps } from "../state/commands/check.ts";
import { Fault } from "../lib/fault.ts";
import { monotonicMs } from "../lib/clock.ts";
import { admissionLevel } from "../state/levels.ts";
import type { JobAdmission, Ticket, TurnedAway } from "./job-admission.ts";
import type { BatchOutcome } from "./state-writer.ts";

/**
 * Step 4 of the walk. Commands of one turn of the loop become one batch; the batch's bytes go to the leader (this
 * node or another), which logs batches of any origin together as one entry with its clock and random bytes. The
 * outcome comes back through this node's own state, so a caller that has been answered reads its own write here.
 *
 * A batch that no leader took within limits.unroutedWriteMs is refused: nothing happened. One that was handed over is
 * handed to each new leader again until its outcome is seen; the state applies (origin, serial) once (S3).
 */

/** What the proposer needs of its surroundings. */
export interface ProposerPorts {
  readonly self: NodeId;
  /** The level that the entry states (S2). */
  level(): number;
  /** 0 when unknown. */
  leader(): NodeId;
  isLeading(): boolean;
  /** Leader: whether there is room for what commands add. */
  readonly admission: Pick<JobAdmission, "judge" | "logged" | "onLeadership">;
  /** Leader: why a peer may not ask this in that name; undefined: it may. */
  principalProblem(record: CommandRecord): string | undefined;
  /** Step 5: into the machine. */
  propose(data: Uint8Array): Proposed;
  /** Leader: epoch ms, by which the entry is stamped (J4). */
  now(): number;
  /** For the entry: apply has no other source of chance (S1). */
  randomBytes(count: number): Uint8Array;
  /** Bytes to the leader by rpc; resolves when it logged or refused them, throws a Fault otherwise. */
  forward(leader: NodeId, batch: Uint8Array): Promise<ForwardReply>;
  /** Asks for a drain at the end of this turn. */
  schedule(): void;
  /** What this node's state says that a batch of its own was answered; undefined: it has not applied it. */
  remembered(serial: number): BatchOutcome | undefined;
}

/** The leader's answer to a forwarded batch: it is in its log, or why not. */
export type ForwardReply =
  | { readonly ok: true }
  | { readonly ok: false; readonly why: ProposeRefusal | "behind" }
  /** It has logged nothing of the batch, because of these commands of it; the others may be sent again. */
  | { readonly ok: false; readonly why: "turned-away"; readonly away: readonly TurnedAway[] };

interface Waiting {
  readonly record: CommandRecord;
  readonly resolve: (outcome: Outcome<{ value: unknown; index: number }>) => void;
}

interface Flight {
  readonly serial: number;
  readonly bytes: Uint8Array;
  readonly waiting: readonly Waiting[];
  readonly since: number;
  /** Some leader may have logged it: it can not be called unwritten any more. */
  maybeLogged: boolean;
  /** Handed over and not answered. */
  outstanding: number;
  /** The leader that it is being handed to, so that it is not sent twice to the same one. */
  sentTo: NodeId;
  sentTerm: number;
  /** A duty's command: void in any other term than this one (J3: a node.lost must not be logged late). */
  readonly onlyTerm: number | undefined;
}

/** A batch for the next entry. */
interface Gathered {
  readonly batch: Uint8Array;
  readonly ticket: Ticket | undefined;
  readonly reply: (reply: ForwardReply) => void;
}

/** After this long without an outcome a handed-over write is answered as unknown. */
const unknownAfterMs = 30_000;
/** How often flights are looked at: old ones are given up, refused ones handed over again. */
const sweepMs = 50;

/** Batches, hands over, hands over again, and answers. */
export class Proposer {
  readonly #ports: ProposerPorts;
  #queue: Waiting[] = [];
  #flights = new Map<number, Flight>();
  #serial: number;
  #flushScheduled = false;
  /** Leader only: batches to log with the next drain, and how to answer those who brought them. */
  #gathered: Gathered[] = [];
  #gatheredBytes = 0;
  #term = 0;
  /** Leader: large batches that are being looked at, by origin and serial, and the last one of them. */
  readonly #large = new Map<string, Promise<ForwardReply>>();
  #lastLarge: Promise<void> = Promise.resolve();
  #largeBytes = 0;
  /** Commands without an answer, and the bytes of their batches. */
  #pending = 0;
  #pendingBytes = 0;
  #closed = false;
  /** Why nothing is taken at present. */
  #standstill: Refusal | undefined;
  /** Runs while something is in flight. */
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(ports: ProposerPorts, starts: number) {
    this.#ports = ports;
    this.#serial = starts * 2 ** 32;
  }

  /** Unresolved commands of callers: a measure of load. */
  pending(): number {
    return this.#pending;
  }

  submit(record: CommandRecord): Promise<Outcome<{ value: unknown; index: number }>> {
    if (this.#closed) return Promise.resolve({ ok: false, why: stopping });
    if (this.#standstill !== undefined) return Promise.resolve({ ok: false, why: this.#standstill });
    if (this.#pending >= limits.pendingWrites || this.#pendingBytes >= limits.pendingWriteBytes)
      return Promise.resolve({ ok: false, why: tooManyPending });
    this.#pending += 1;
    return new Promise((resolve) => {
      this.#queue.push({ record, resolve });
      if (this.#flushScheduled) return;
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    });
  }

  /**
   * A duty's command: logged by this node in this term or not at all. It is never handed to a successor, whose knowledge may be newer
   * than the plan.
   */
  submitAsLeader(record: CommandRecord): Promise<Outcome<{ value: unknown; index: number }>> {
    if (this.#closed) return Promise.resolve({ ok: false, why: stopping });
    this.#pending += 1;
    return new Promise((resolve) => this.#launch([{ record, resolve }], undefined, this.#term));
  }

  /** Cuts the queue into batches and hands them over. */
  #flush(): void {
    while (this.#queue.length > 0) {
      const waiting = this.#queue.splice(0, limits.commandsPerEntry);
      this.#serial += 1;
      const floor = this.#floor();
      const bytes = encodeBatch({
        origin: this.#ports.self,
        serial: this.#serial,
        floor,
        commands: waiting.map((one) => one.record),
      });
      if (bytes.length > limits.entryBytes && waiting.length > 1) {
        // Too much together: each alone, so that only a command that is too large by itself is refused.
        for (const one of waiting) this.#launch([one]);
        continue;
      }
      this.#launch(waiting, bytes);
    }
  }

  #launch(waiting: readonly Waiting[], encoded?: Uint8Array, onlyTerm?: number): void {
    let bytes = encoded;
    if (bytes === undefined) {
      this.#serial += 1;
      const commands = waiting.map((one) => one.record);
      bytes = encodeBatch({ origin: this.#ports.self, serial: this.#serial, floor: this.#floor(), commands });
    }
    if (bytes.length > limits.entryBytes) {
      const why = refuse(
        "too-large",
        `the request takes ${bytes.length} bytes in the log, more than ${limits.entryBytes}: split it`,
      );
      this.#pending -= waiting.length;
      for (const one of waiting) one.resolve(why);
      return;
    }
    this.#pendingBytes += bytes.length;
    const flight: Flight = {
      serial: this.#serial,
      bytes,
      waiting,
      since: monotonicMs(),
      maybeLogged: false,
      outstanding: 0,
      sentTo: nobody,
      sentTerm: 0,
      onlyTerm,
    };
    this.#flights.set(flight.serial, flight);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
    this.#hand(flight);
  }

  #floor(): number {
    for (const serial of this.#flights.keys()) return serial; // insertion order is serial order
    return this.#serial;
  }

  #hand(flight: Flight): void {
    if (flight.onlyTerm !== undefined && (flight.onlyTerm !== this.#term || !this.#ports.isLeading())) {
      if (!flight.maybeLogged) this.#giveUp(flight, deposed);
      return;
    }
    const leader = this.#ports.leader();
    if (leader === nobody || (flight.sentTo === leader && flight.sentTerm === this.#term)) return;
    flight.sentTo = leader;
    flight.sentTerm = this.#term;
    flight.outstanding += 1;
    if (this.#ports.isLeading()) {
      const commands = flight.waiting.map(({ record }) => record);
      this.#gather(flight.bytes, commands, (reply) => this.#onHanded(flight, leader, reply));
      return;
    }
    this.#ports.forward(leader, flight.bytes).then(
      (reply) => this.#onHanded(flight, leader, reply),
      (error: unknown) => {
        flight.outstanding -= 1;
        if (!(error instanceof Fault) || error.retry === "unknown") flight.maybeLogged = true;
        // The leader will never take it: every other one says the same.
        else if (error.retry === "never" && this.#isUndone(flight)) return this.#refused(flight, error.message);
        if (flight.sentTo === leader) flight.sentTo = nobody; // the sweep tries again
        return undefined;
      },
    );
  }

  /** The leader will not have the batch for one of its commands: each is asked alone, so that only the guilty one is refused. */
  #refused(flight: Flight, message: string): void {
    if (flight.waiting.length === 1) return this.#giveUp(flight, { code: "invalid", message });
    if (!this.#landed(flight)) return;
    this.#pending += flight.waiting.length;
    for (const one of flight.waiting) this.#launch([one]);
  }

  /** Certainly in no log: nobody took it, and nobody who was asked owes an answer. */
  #isUndone(flight: Flight): boolean {
    return !flight.maybeLogged && flight.outstanding === 0;
  }

  #onHanded(flight: Flight, leader: NodeId, reply: ForwardReply): void {
    flight.outstanding -= 1;
    if (reply.ok) flight.maybeLogged = true;
    // One that an earlier leader may have logged is in the log or not, whatever this one thinks of it.
    else if (reply.why === "turned-away" && this.#isUndone(flight)) this.#turnedAway(flight, reply.away);
    else if (reply.why === "busy" && this.#isUndone(flight)) this.#giveUp(flight, tooMuchUnsynced);
    else if (flight.sentTo === leader) flight.sentTo = nobody;
  }

  /** Nothing was logged: those for whom there is no room are answered, and the others handed over again, as a batch of their own. */
  #turnedAway(flight: Flight, away: readonly TurnedAway[]): void {
    if (!this.#landed(flight)) return;
    const refusals = new Map(away.map(({ at, why }) => [at, why]));
    const others: Waiting[] = [];
    flight.waiting.forEach((one, at) => {
      const why = refusals.get(at);
      if (why === undefined) others.push(one);
      else one.resolve({ ok: false, why });
    });
    if (others.length === 0) return;
    this.#pending += others.length;
    this.#launch(others);
  }

  /** Leader: for the next entry, if there is room for what the commands add. */
  #gather(batch: Uint8Array, commands: readonly CommandRecord[], reply: (reply: ForwardReply) => void): void {
    const judged = this.#ports.admission.judge(commands);
    if (judged.kind === "later") return reply({ ok: false, why: "behind" });
    if (judged.kind === "turned-away") return reply({ ok: false, why: judged.kind, away: judged.away });
    this.#gathered.push({ batch, ticket: judged.ticket, reply });
    this.#gatheredBytes += batch.length;
    if (this.#gatheredBytes >= limits.entryBatchBytes) this.logGathered();
    this.#ports.schedule();
  }

  /** Leader: puts everything gathered into one entry. Called before each drain. */
  logGathered(): void {
    if (this.#gathered.length === 0) return;
    const gathered = this.#gathered;
    const batches = gathered.map(({ batch }) => batch);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    const proposed = this.#ports.propose(
      encodeEntry({ at: this.#ports.now(), random: this.#ports.randomBytes(16), level: this.#ports.level(), batches }),
    );
    for (const { ticket } of gathered) this.#ports.admission.logged(ticket, proposed.ok ? proposed.index : undefined);
    for (const { reply } of gathered) reply(proposed);
  }

  /**
   * Leader: a follower's batch arrived by rpc. Its shape is checked again (S3). Throws Fault "protocol" when the follower must
   * not send such a batch at all.
   */
  onForwarded(peer: NodeId, bytes: Uint8Array): Promise<ForwardReply> {
    if (!this.#ports.isLeading()) return Promise.resolve({ ok: false, why: "not-leader" });
    const copy = bytes.slice(); // the frame that it is a view of is used again
    const batch = batchOf(copy);
    if (!isBatch(batch)) throw new Fault("protocol", `node ${peer} forwarded what is no batch of commands`, "never");
    if (batch.origin !== peer)
      throw new Fault("protocol", `node ${peer} forwarded a batch of node ${batch.origin}`, "never");
    if (copy.length > limits.atOnceBytes) return this.#onLarge(copy, batch);
    // The one who sends it has applied a raise of the level that is still to be applied here: it is sent again.
    if (needsMore(batch, this.#ports.level())) return Promise.resolve({ ok: false, why: "behind" });
    const checked = checkBatch(batch);
    if (!checked.ok) throw new Fault("protocol", checked.why.message, "never");
    return this.#take(copy, batch);
  }

  /** One that would keep the leader from its office for too long is checked in turns, one such after the other; what is sent again meanwhile is the same one. */
  #onLarge(copy: Uint8Array, batch: Batch): Promise<ForwardReply> {
    const name = `${batch.origin}/${batch.serial}`;
    const known = this.#large.get(name);
    if (known !== undefined) return known;
    // They are of no entry yet, and would be as many as all members send (L1).
    if (this.#largeBytes > 0 && this.#largeBytes + copy.length > limits.uncommittedBytes)
      return Promise.resolve({ ok: false, why: "busy" });
    this.#largeBytes += copy.length;
    const checked = this.#lastLarge.then(() => this.#checkLarge(batch));
    this.#lastLarge = checked.then(
      () => {},
      () => {},
    );
    const taken = checked.then((refusal) => refusal ?? this.#take(copy, batch));
    this.#large.set(name, taken);
    const forget = (): void => {
      this.#large.delete(name);
      this.#largeBytes -= copy.length;
    };
    taken.then(forget, forget);
    return taken;
  }

  /** Gives why it is not to be taken. Who leads, and at which level, may have changed before it was looked at to its end. */
  async #checkLarge(batch: Batch): Promise<ForwardReply | undefined> {
    const checked = await inTurns(checkInSteps(batch));
    if (!checked.ok) throw new Fault("protocol", checked.why.message, "never");
    if (!this.#ports.isLeading()) return { ok: false, why: "not-leader" };
    const isBehind = await inTurns(needsMoreInSteps(batch, this.#ports.level()));
    if (!this.#ports.isLeading()) return { ok: false, why: "not-leader" };
    return isBehind ? { ok: false, why: "behind" } : undefined;
  }

  /** Leader: a batch that is well made. */
  #take(copy: Uint8Array, batch: Batch): Promise<ForwardReply> {
    for (const record of batch.commands) {
      const problem = this.#ports.principalProblem(record);
      if (problem !== undefined) throw new Fault("protocol", problem, "never");
    }
    return new Promise((resolve) =>
      this.#gather(copy, batch.commands, (reply) => {
        const isOld = this.#ports.level() < admissionLevel;
        resolve(!reply.ok && reply.why === "turned-away" && isOld ? { ok: false, why: "busy" } : reply);
      }),
    );
  }

  /** Role, term or leader changed: everything without an outcome goes to whoever leads now. */
  onLeadership(term: number): void {
    const changed = term !== this.#term;
    this.#term = term;
    const isAnother = changed || !this.#ports.isLeading();
    if (isAnother) this.#ports.admission.onLeadership();
    if (isAnother && this.#gathered.length > 0) {
      const gathered = this.#gathered;
      this.#gathered = [];
      this.#gatheredBytes = 0;
      for (const { reply } of gathered) reply({ ok: false, why: "not-leader" });
    }
    for (const flight of this.#flights.values()) this.#hand(flight);
  }

  /**
   * The state jumped over entries, outcomes of ours perhaps among them. It remembers those (S3); everything else is handed over again. All of it would
   * make the log grow by as much, and a node that is fed by snapshots never come to its end.
   */
  onJumped(): void {
    const remembered = [...this.#flights.keys()].flatMap((serial) => this.#ports.remembered(serial) ?? []);
    this.onOutcomes(remembered);
    for (const flight of this.#flights.values()) {
      flight.sentTo = nobody;
      this.#hand(flight);
    }
  }

  /** The state applied batches of ours. */
  onOutcomes(outcomes: readonly BatchOutcome[]): void {
    for (const batch of outcomes) {
      const flight = this.#flights.get(batch.serial);
      if (flight === undefined) continue;
      this.#landed(flight);
      flight.waiting.forEach((one, position) => {
        const outcome = batch.outcomes[position]!;
        one.resolve(outcome.ok ? { ok: true, value: { value: outcome.value, index: batch.index } } : outcome);
      });
    }
  }

  #sweep(): void {
    if (this.#flights.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    const now = monotonicMs();
    for (const flight of this.#flights.values()) {
      const age = now - flight.since;
      if (this.#isUndone(flight) && age > limits.unroutedWriteMs) {
        this.#giveUp(flight, {
          code: "unavailable",
          message:
            "no leader took the write, nothing was done: repeat it, or ask another node (`skein nodes ls` names who is missing)",
          retryAfterMs: 1000,
          retry: "safe",
        });
      } else if (age > unknownAfterMs) {
        this.#giveUp(flight, {
          code: "unavailable",
          message: "the write was handed to a leader but its outcome is not known yet: look before you repeat it",
          retryAfterMs: 1000,
        });
      } else {
        this.#hand(flight);
      }
    }
  }

  #giveUp(flight: Flight, why: Refusal): void {
    if (!this.#landed(flight)) return; // answered already
    for (const one of flight.waiting) one.resolve({ ok: false, why });
  }

  /** True the first time. */
  #landed(flight: Flight): boolean {
    if (!this.#flights.delete(flight.serial)) return false;
    this.#pending -= flight.waiting.length;
    this.#pendingBytes -= flight.bytes.length;
    return true;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#sweeper);
    this.#answerAll(stopping);
  }

  /** This node's state stands still, and with it every outcome: nobody waits for it, and nothing is taken until `resume`. */
  standStill(why: Refusal): void {
    this.#standstill = why;
    this.#answerAll(why);
  }

  resume(): void {
    this.#standstill = undefined;
  }

  /** Answers everybody: of what was handed over the outcome is not known, of the rest nothing was done. */
  #answerAll(why: Refusal): void {
    const { retry: _, ...unknown } = why;
    for (const one of this.#queue.splice(0)) {
      this.#pending -= 1;
      one.resolve({ ok: false, why });
    }
    for (const flight of this.#flights.values()) this.#giveUp(flight, this.#isUndone(flight) ? why : unknown);
  }
}

/** Throws Fault "protocol". */
function batchOf(bytes: Uint8Array): Batch {
  try {
    return decodeBatch(bytes);
  } catch (error) {
    throw new Fault("protocol", "a batch that cannot be read was forwarded", "never", error);
  }
}

const deposed: Refusal = { code: "unavailable", message: "this node does not lead any more" };

const stopping: Refusal = {
  code: "unavailable",
  message: "this node is stopping: ask another one",
  retryAfterMs: 1000,
  retry: "safe",
};

const tooMuchUnsynced = refuse(
  "busy",
  "the log has too much that is not on a majority's disks, or not in the leader's state yet: repeat the request",
  { retryAfterMs: 1000, limit: "room" },
).why;

const tooManyPending = refuse("busy", "this node has too many writes under way: repeat the request, or ask another", {
  retryAfterMs: 1000,
  limit: "room",
}).why;
