import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";
import { seededRandom, type Random } from "../lib/prng.ts";
import { noteAudit } from "./audit.ts";
import { canonical } from "./canonical.ts";
import { commandByTag, type AnyCommand } from "./commands/index.ts";
import { decodeBatch, decodeEntry, type Batch, type EntryBody } from "./entry.ts";
import { auditLevel, ownLevel, principalLevel } from "./levels.ts";
import { isForNodes, mayActAs } from "./rights.ts";
import { closeHeldAudit, forgetHeldAudit, openHeldAudit, writeAudit } from "./tables/audit.ts";
import { pruneOutcomes, readFloor, readOutcomes, writeFloor, writeOutcomes } from "./tables/batch.ts";
import { advanceClock, counterMark, holdCounter, readCounter, releaseCounter, writeCounter } from "./tables/counter.ts";
import { closeHeldJobs, forgetHeldJobs, openHeldJobs } from "./tables/held-jobs.ts";
import { type TokenRow, tokenById } from "./tables/token.ts";
import type { SqlValue, Tx } from "./tx.ts";
import type { AuditFacts, Change, Principal } from "./types.ts";
import { noteVoters } from "./voters-audit.ts";

/**
 * Step 7 of the walk: entries -> rows, one transaction per cut, together with the applied index and the rolling hash (D2, S1). Where
 * the cuts fall does not show in rows or hash.
 */

/** What apply needs of the database; storage/state-db.ts is it. */
export interface ApplyDatabase extends Tx {
  /** Index of the last entry that is contained. */
  readonly applied: number;
  /** Runs `apply` and moves the applied index, all or nothing; throws when the file is not at `expectedApplied`. */
  transaction<Value>(
    expectedApplied: number,
    newApplied: number,
    apply: () => Value,
    newest?: { readonly term?: number; readonly configuration?: Uint8Array | undefined },
  ): Value;
  /** Undoes the changes of `apply` alone, rows and hash, when it throws. */
  savepoint<Value>(apply: () => Value): Value;
  /** Adds what is not a row to the rolling hash. */
  mix(value: SqlValue): void;
  /** Writes the rolling hash, as it stands, as two words. */
  copyHash(words: Uint32Array, at: number): void;
  /** The rolling hash as it was at the beginning of history. */
  restartHash(): void;
}

/** An entry as raft hands it out. */
export interface CommittedEntry {
  readonly index: number;
  /** Kept beside the applied index, so that a copy of the state says where in the log it stands; it is not hashed. */
  readonly term?: number;
  readonly kind: "noop" | "command" | "configuration";
  readonly data: Uint8Array;
}

/** Outcomes of one batch, one per command. */
export interface AppliedBatch {
  readonly serial: number;
  /** The entry that first applied it. */
  readonly index: number;
  readonly outcomes: readonly Outcome<unknown>[];
}

export interface AppliedEntry {
  readonly index: number;
  /** Leader's wall clock, epoch ms, made non-decreasing. */
  readonly at: number;
  readonly changes: readonly Change[];
}

export interface ApplyResult {
  /** How many of the entries this cut took; call again with the rest. */
  readonly count: number;
  readonly applied: number;
  /** Of batches whose origin is `self`. */
  readonly outcomes: readonly AppliedBatch[];
  /** One per "command" entry, and per other entry that changed something, in order. */
  readonly events: readonly AppliedEntry[];
  /** The rolling hash after each entry of the cut, two words each (lib/hash, digestOf). */
  readonly hashes: Uint32Array;
  /** Commands whose apply threw: what the outcome does not say, because it must be the same on every node (S4). */
  readonly bugs: readonly AppliedBug[];
}

/** A command that failed with a bug and was undone. */
export interface AppliedBug {
  readonly index: number;
  readonly command: string;
  readonly message: string;
}

export interface ApplyOptions {
  readonly self: NodeId;
  /** The newest level this node understands. */
  readonly level?: number;
  /** Called in the transaction, which goes from the applied index `from` to that of the result, when all of it is done but the commit. */
  readonly beforeCommit?: (from: number, result: ApplyResult) => void;
  /** For tests of what a command may do wrong (S4); otherwise the declared list. */
  readonly commandByTag?: (tag: number) => AnyCommand | undefined;
}

/** The log holds what this binary does not know: apply stops before that entry and must not go on (S2). */
export class UnknownCommand extends Error {
  override readonly name = "UnknownCommand";
}

/**
 * Applies the next cut of `entries`, at least one and at most about limits.applyBatchCommands commands or
 * applyBatchBytes, an entry being never split. The first one must follow the
 * database's applied index. Throws UnknownCommand, Fault (the disk) or Bug; rows and index are then as before.
 */
export function applyEntries(
  database: ApplyDatabase,
  entries: readonly CommittedEntry[],
  options: ApplyOptions,
): ApplyResult {
  const cut = cutOf(entries, options);
  const before = database.applied;
  assert(cut[0]!.index === before + 1, `entry ${cut[0]!.index} does not follow the applied index ${before}`);
  const last = cut.at(-1)!.index;
  const newest = newestOf(entries.slice(0, cut.length));
  const run = (careful: boolean): ApplyResult => {
    openHeldJobs(database, before);
    openHeldAudit(database, before);
    try {
      const apply = (): ApplyResult => {
        const result = new Application(database, options, careful).run(cut);
        options.beforeCommit?.(before, result);
        return result;
      };
      return database.transaction(before, last, apply, newest);
    } catch (error) {
      forgetHeldJobs(database);
      forgetHeldAudit(database);
      throw error;
    } finally {
      closeHeldJobs(database, database.applied);
      closeHeldAudit(database, database.applied);
    }
  };
  try {
    return run(false);
  } catch (error) {
    if (error instanceof Fault) throw error;
    // A command has a bug, most likely. One by one, the culprit is found and its changes alone are undone (S4).
    return run(true);
  }
}

/** Where the state stands after these entries: the last one's term, the last configuration. */
function newestOf(entries: readonly CommittedEntry[]): { term?: number; configuration: Uint8Array | undefined } {
  const configuration = entries.findLast((entry) => entry.kind === "configuration")?.data;
  const term = entries.at(-1)?.term;
  return term === undefined ? { configuration } : { term, configuration };
}

interface ReadEntry {
  readonly index: number;
  readonly data: Uint8Array;
  readonly isConfiguration: boolean;
  /** undefined: no commands to apply (noop, configuration). */
  readonly body: EntryBody | undefined;
  readonly batches: readonly Batch[];
}

/** Decodes entries up to the size of a cut. An unknown one ends the cut; as the first one it is thrown. */
function cutOf(entries: readonly CommittedEntry[], options: ApplyOptions): ReadEntry[] {
  assert(entries.length > 0, "there is something to apply");
  const cut: ReadEntry[] = [];
  let commands = 0;
  let bytes = 0;
  for (const entry of entries) {
    if (commands >= limits.applyBatchCommands || bytes >= limits.applyBatchBytes) break;
    bytes += entry.data.length;
    try {
      const read = readEntry(entry, options);
      for (const batch of read.batches) commands += batch.commands.length;
      cut.push(read);
    } catch (error) {
      if (error instanceof UnknownCommand && cut.length > 0) break;
      throw error;
    }
  }
  return cut;
}

function readEntry(entry: CommittedEntry, options: ApplyOptions): ReadEntry {
  const { index, data } = entry;
  const isConfiguration = entry.kind === "configuration";
  if (entry.kind !== "command") return { index, data, isConfiguration, body: undefined, batches: [] };
  const body = decodeEntry(data);
  const level = options.level ?? ownLevel;
  if (body.level > level) {
    throw new UnknownCommand(
      `entry ${index} needs level ${body.level}, this binary understands ${level}: install a newer one`,
    );
  }
  const find = options.commandByTag ?? commandByTag;
  const batches = body.batches.map(decodeBatch);
  for (const batch of batches) {
    for (const [tag] of batch.commands) {
      if ((find(tag)?.since ?? Infinity) > level) {
        throw new UnknownCommand(
          `entry ${index} holds command ${tag}, which this binary does not know: install a newer one`,
        );
      }
    }
  }
  return { index, data, isConfiguration, body, batches };
}

/** One run over a cut, inside its transaction. */
class Application {
  readonly #database: ApplyDatabase;
  readonly #self: NodeId;
  readonly #find: (tag: number) => AnyCommand | undefined;
  /** Each command in a savepoint of its own. Rows and hash are the same either way. */
  readonly #careful: boolean;
  readonly #outcomes: AppliedBatch[] = [];
  readonly #events: AppliedEntry[] = [];
  readonly #bugs: AppliedBug[] = [];
  /** A command of the present entry asked for it. */
  #restartsHash = false;
  /** Tokens judged in this cut, until the log changes any. */
  readonly #tokens = new Map<string, TokenRow | undefined>();

  constructor(database: ApplyDatabase, options: ApplyOptions, careful: boolean) {
    this.#database = database;
    this.#self = options.self;
    this.#find = options.commandByTag ?? commandByTag;
    this.#careful = careful;
  }

  run(cut: readonly ReadEntry[]): ApplyResult {
    const hashes = new Uint32Array(2 * cut.length);
    holdCounter(this.#database);
    try {
      cut.forEach((entry, at) => {
        this.#entry(entry);
        this.#database.copyHash(hashes, 2 * at);
      });
    } finally {
      releaseCounter(this.#database);
    }
    return {
      count: cut.length,
      applied: cut.at(-1)!.index,
      outcomes: this.#outcomes,
      events: this.#events,
      hashes,
      bugs: this.#bugs,
    };
  }

  #entry(entry: ReadEntry): void {
    this.#database.mix(entry.index);
    this.#database.mix(entry.data);
    const { body } = entry;
    if (entry.isConfiguration) this.#configuration(entry);
    if (body === undefined) return;
    const at = advanceClock(this.#database, body.at);
    let position = 0;
    const changes: Change[] = [];
    const { index } = entry;
    const { level } = body;
    const facts: AuditFacts[] = [];
    for (const batch of entry.batches) {
      const seed = (): Random => seededRandom(seedOf(body.random, position));
      this.#batch(batch, { index, at, stampedAt: body.at, level, changes, facts, seed, next: () => (position += 1) });
    }
    if (facts.length > 0) {
      writeAudit(this.#database, { index, at }, facts);
      for (const one of facts) changes.push({ topic: "audit", kind: "added", ...one });
    }
    writeCounter(this.#database);
    this.#events.push({ index: entry.index, at, changes });
    if (this.#restartsHash) {
      this.#restartsHash = false;
      this.#database.restartHash();
      this.#database.mix(entry.index);
    }
  }

  /** Its entry has no time of its own: that of the state. */
  #configuration({ index, data }: ReadEntry): void {
    const fact = noteVoters(this.#database, data);
    if (fact === undefined) return;
    const { at } = readCounter(this.#database);
    writeAudit(this.#database, { index, at }, [fact]);
    this.#events.push({ index, at, changes: [{ topic: "audit", kind: "added", ...fact }] });
  }

  /** Once per (origin, serial): a batch that comes again is answered with what it was answered before (S3). */
  #batch(batch: Batch, entry: EntryScope): void {
    const { origin, serial } = batch;
    const floor = readFloor(this.#database, origin);
    const earlier = readOutcomes(this.#database, origin, serial);
    if (earlier !== undefined) {
      if (origin === this.#self) this.#outcomes.push({ serial, index: earlier.entry, outcomes: earlier.outcomes });
      return;
    }
    // Its origin has given it up: whether it was applied once is no longer known, so it must not be now.
    if (serial < floor) return;
    const outcomes = batch.commands.map((record) => {
      entry.next();
      return this.#command(record, nodeId(origin), entry);
    });
    const text = canonical(outcomes);
    const hashed = outcomes.every((outcome) => outcome.ok) ? text : canonical(outcomes.map(withoutWords));
    writeOutcomes(this.#database, { origin, serial }, entry.index, text, hashed);
    if (batch.floor > floor) {
      writeFloor(this.#database, origin, batch.floor);
      pruneOutcomes(this.#database, origin, batch.floor);
    }
    if (origin === this.#self) this.#outcomes.push({ serial, index: entry.index, outcomes });
  }

  #command(
    [tag, token, name, role, payload]: Batch["commands"][number],
    origin: NodeId,
    entry: EntryScope,
  ): Outcome<unknown> {
    const command = this.#find(tag);
    assert(command !== undefined, "unknown tags end the cut before");
    let random: Random | undefined;
    const changes: Change[] = [];
    let restartsHash = false;
    const apply = (): Outcome<unknown> =>
      command.apply(this.#database, payload as never, {
        index: entry.index,
        at: entry.at,
        stampedAt: entry.stampedAt,
        level: entry.level,
        by: { token, name, role },
        origin,
        random: () => (random ??= entry.seed())(),
        changed: (change) => changes.push(change),
        restartHash: () => (restartsHash = true),
      });
    const isAudited = entry.level >= auditLevel;
    const isJudged = entry.level >= principalLevel;
    const bad =
      token !== ""
        ? isAudited
          ? this.#tokenProblem(token, entry.at, isJudged ? role : undefined)
          : undefined
        : isJudged && !mayWithoutToken(command, role)
          ? `${command.name} needs a person's token: nothing was done`
          : undefined;
    const told = (outcome: Outcome<unknown>): Judged => ({
      outcome,
      about: isAudited ? command.audit?.(payload as never, outcome) : undefined,
    });
    const judge = (): Judged => told(bad === undefined ? apply() : refuse("unauthorized", bad));
    const { outcome, about } = this.#careful ? this.#contained(command, entry.index, judge, told) : judge();
    if (about !== undefined)
      noteAudit(entry.facts, command.name, about, outcome, { token, by: name, role, node: origin });
    if (outcome.ok && restartsHash) this.#restartsHash = true;
    // A refusal or a bug changed no rows, so it tells of no changes either.
    if (outcome.ok) for (const change of changes) tell(entry.changes, change);
    if (changes.some((change) => change.topic === "token")) this.#tokens.clear();
    return outcome;
  }

  /** The node that was asked may not have known yet that the token had ended: what counts is the log's order and time. */
  #tokenProblem(id: string, at: number, role: Principal["role"] | undefined): string | undefined {
    if (!this.#tokens.has(id)) this.#tokens.set(id, tokenById(this.#database, id));
    const row = this.#tokens.get(id);
    if (row === undefined || row.revoked) return `token ${id} was revoked: nothing was done`;
    if (row.expiresAt !== null && row.expiresAt <= at) return `token ${id} has expired: nothing was done`;
    return role === undefined || mayActAs(row, role)
      ? undefined
      : `token ${id} gives no role ${role}: nothing was done`;
  }

  #contained(
    command: AnyCommand,
    index: number,
    judge: () => Judged,
    told: (outcome: Outcome<unknown>) => Judged,
  ): Judged {
    const takeBack = counterMark(this.#database);
    try {
      return this.#database.savepoint(judge);
    } catch (error) {
      if (error instanceof Fault) throw error;
      takeBack();
      forgetHeldJobs(this.#database);
      this.#bugs.push({ index, command: command.name, message: messageOf(error) });
      const outcome = refuse(
        "bug",
        `${command.name} failed inside the cluster and was undone; please report it with what the logs of the nodes say of entry ${index}`,
      );
      try {
        return told(outcome);
      } catch {
        return { outcome, about: "" }; // it was the audit's words that failed
      }
    }
  }
}

/** The way back when every token is lost is proven to the leader by a voter's key (node/recover-token.ts). */
function mayWithoutToken(command: AnyCommand, role: Principal["role"]): boolean {
  return role === "node" && (isForNodes(command) || command.name === "token.create");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a command came to, and what the audit says that it was about; undefined: it is not audited. */
interface Judged {
  readonly outcome: Outcome<unknown>;
  readonly about: string | undefined;
}

/** What two releases agree about: the words of a refusal may be others in the next one. */
function withoutWords(outcome: Outcome<unknown>): unknown {
  return outcome.ok ? outcome : { ok: false, code: outcome.why.code };
}

/** Jobs added one after the other are one change: whoever reads them reads a range. */
function tell(changes: Change[], change: Change): void {
  const last = changes.at(-1);
  const added = change.topic === "job" && change.kind === "added" && last?.topic === "job" && last.kind === "added";
  if (added && last.first + last.count === change.first)
    changes[changes.length - 1] = { ...last, count: last.count + change.count };
  else changes.push(change);
}

interface EntryScope {
  readonly index: number;
  readonly at: number;
  readonly stampedAt: number;
  readonly level: number;
  readonly facts: AuditFacts[];
  readonly changes: Change[];
  /** A generator for the present command. Before next() is called again: it depends on the command's place. */
  seed(): Random;
  /** Moves on to the next command of the entry. */
  next(): number;
}

/** Folds the entry's random bytes and the command's position into one seed (FNV-1a). */
function seedOf(random: Uint8Array, position: number): number {
  let seed = 0x811c9dc5 ^ position;
  for (const byte of random) seed = Math.imul(seed ^ byte, 0x01000193);
  return seed >>> 0;
}
