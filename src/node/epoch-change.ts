import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Configuration, encodeConfiguration } from "../lib/configuration.ts";
import { epochStart, firstEpoch, sameEpoch } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { syncDirectory } from "../lib/files.ts";
import { index, nobody, term } from "../lib/ids.ts";
import type { Entry } from "../raft/types.ts";
import { applyEntries } from "../state/apply.ts";
import { schema } from "../state/schema.ts";
import type { Tx } from "../state/tx.ts";
import { writeAuthorityKeys, writeCertificate } from "../storage/certificate-file.ts";
import { errorCode, fileFault, syncFile, writeSynced } from "../storage/files.ts";
import { readIdentity, writeIdentity } from "../storage/identity.ts";
import { LogDatabase, type PackedAppend } from "../storage/log-database.ts";
import { asFault } from "../storage/sqlite-errors.ts";
import { StateDatabase } from "../storage/state-db.ts";
import type { AuthorityKeys, Certificate, Identity } from "../storage/types.ts";
import { type Context, writeContext } from "./context.ts";
import { quarantineMark } from "./quarantine.ts";

/**
 * How a data directory goes from one epoch to the next (lib/epoch.ts), so that a crash at any moment leaves the old one or the new one:
 *
 *   1. DATA/next-epoch/ gets the new state.db and log.db, synced. A crash: it is thrown away, nothing has happened.
 *   2. DATA/next-epoch/ready.json is written: from here on the change is decided. A crash: whoever opens the directory next goes on at 3.
 *   3. The old files go to DATA/epoch-N/, the new ones take their places, identity.json names the new epoch, and next-epoch/ goes.
 *      Each step is recognised as done by its result, so that 3 may be repeated from its beginning.
 */
export interface Decided {
  readonly identity: Identity;
  /** A new state.db comes with the new log.db; else the old one only goes. */
  readonly hasState: boolean;
  /** What a restored cluster's first node has beside these. */
  readonly founded?:
    | { readonly context: Context; readonly certificate: Certificate; readonly authority: AuthorityKeys }
    | undefined;
  /** Where the files of the epoch before are kept; undefined: there are none. */
  readonly asideAs: string | undefined;
}

const nextName = "next-epoch";
const decidedName = "ready.json";

/** Told of each step when it is done: tests end the process there. */
export type Step = (name: string) => void;

/** An empty place for the new files. What an earlier attempt left is thrown away; it was not decided. */
export function makeNextEpoch(dataDir: string): string {
  const next = join(dataDir, nextName);
  rmSync(next, { recursive: true, force: true });
  mkdirSync(next, { mode: 0o700 });
  return next;
}

/** What the new epoch begins with. */
export interface Beginning {
  readonly epochNumber: number;
  /** Above every term that anybody who goes on has heard of. */
  readonly term: number;
  readonly configuration: Configuration;
  /** Rows of the new epoch, in the transaction that moves the state to its first index. */
  rows(tx: Tx, index: number): void;
}

/**
 * Moves the state in `next`/state.db (a copy; after `tail` was applied to it) to the new epoch's first index, and makes an empty log beside it that
 * begins there. Throws Fault.
 */
export function beginEpoch(next: string, level: number, tail: readonly Entry[], beginning: Beginning): void {
  const at = epochStart(beginning.epochNumber);
  const state = new StateDatabase({ path: join(next, "state.db"), schema });
  try {
    for (let from = 0; from < tail.length;)
      from += applyEntries(state, from === 0 ? tail : tail.slice(from), { self: nobody, level }).count;
    if (state.applied >= at) throw new Fault("data", "this state is of that epoch already", "never");
    const { term: newTerm, configuration } = beginning;
    state.transaction(
      state.applied,
      at,
      () => {
        state.mix(at);
        beginning.rows(state, at);
      },
      { term: newTerm, configuration: encodeConfiguration(configuration) },
    );
    state.checkpoint();
  } finally {
    state.close();
  }
  const snapshot = { index: index(at), term: term(beginning.term), configuration: beginning.configuration };
  const hardState = { term: term(beginning.term), vote: nobody, commit: index(at) };
  makeLog(next, hardState, snapshot);
  for (const name of ["log.db", "state.db"]) syncFile(join(next, name));
  syncDirectory(next);
}

/** For a node that goes on with nothing but its id: an empty log; its state comes as a snapshot. */
export function beginEmpty(next: string): void {
  makeLog(next, undefined, undefined);
  syncFile(join(next, "log.db"));
  syncDirectory(next);
}

function makeLog(next: string, hardState: PackedAppend["hardState"], snapshot: PackedAppend["snapshot"]): void {
  const path = join(next, "log.db");
  try {
    const log = new LogDatabase(path);
    try {
      if (snapshot !== undefined)
        log.write([
          { token: 1, hardState, snapshot, first: 0, terms: [], kinds: [], lengths: [], data: new Uint8Array(0) },
        ]);
      log.checkpoint();
    } finally {
      log.close();
    }
  } catch (error) {
    throw asFault(error, path);
  }
}

/** From here on there is no way back: the next who opens the directory goes on with it. */
export function decideEpoch(dataDir: string, decided: Decided): void {
  const next = join(dataDir, nextName);
  try {
    syncDirectory(dataDir);
    writeSynced(join(next, decidedName), `${JSON.stringify(decided)}\n`);
    syncDirectory(next);
  } catch (error) {
    throw fileFault(error, next);
  }
}

/** Carries out what was decided, from wherever it was left. True when there was something to carry out. Throws Fault. */
export function finishEpochChange(dataDir: string, step: Step = () => {}): boolean {
  const next = join(dataDir, nextName);
  if (!existsSync(next)) return false;
  try {
    const decided = readDecided(next);
    if (decided === undefined) {
      rmSync(next, { recursive: true, force: true });
      return false;
    }
    // A node that goes on with nothing but its id has no new state.db. Its log.db comes last, so that its presence says how far this is.
    if (!decided.hasState && existsSync(join(next, "log.db"))) putAside(dataDir, "state.db", decided.asideAs, step);
    for (const name of ["state.db", "log.db"]) {
      if (!existsSync(join(next, name))) continue;
      putAside(dataDir, name, decided.asideAs, step);
      renameSync(join(next, name), join(dataDir, name));
      // After it: a mark without its log would be of a log that has gone back (storage/log-mark.ts), a log without its mark is any log.
      if (existsSync(join(next, `${name}-mark`))) renameSync(join(next, `${name}-mark`), join(dataDir, `${name}-mark`));
      syncDirectory(dataDir);
      step(`${name} in place`);
    }
    // It speaks of the state that has been put aside.
    const aside = decided.asideAs === undefined ? undefined : join(dataDir, decided.asideAs);
    if (aside !== undefined && existsSync(join(dataDir, quarantineMark)))
      renameSync(join(dataDir, quarantineMark), join(aside, quarantineMark));
    // What was half received belongs to the old epoch.
    rmSync(join(dataDir, "snapshots"), { recursive: true, force: true });
    syncDirectory(dataDir);
    step("files");
    if (decided.founded !== undefined) {
      writeCertificate(dataDir, decided.founded.certificate);
      writeAuthorityKeys(dataDir, decided.founded.authority);
      writeContext(dataDir, decided.founded.context);
    }
    keepIdentity(dataDir, decided);
    writeIdentity(dataDir, decided.identity);
    step("identity");
    // The decision last: without it the rest of the directory means nothing.
    for (const name of readdirSync(next).filter((one) => one !== decidedName))
      rmSync(join(next, name), { force: true, recursive: true });
    rmSync(next, { recursive: true, force: true });
    syncDirectory(dataDir);
    step("done");
    return true;
  } catch (error) {
    throw fileFault(error, dataDir);
  }
}

/** All of an old database leaves before a new one comes: its WAL would be taken for the new one's. */
function putAside(dataDir: string, name: string, asideAs: string | undefined, step: Step): void {
  if (asideAs === undefined) return;
  const aside = join(dataDir, asideAs);
  mkdirSync(aside, { recursive: true, mode: 0o700 });
  for (const suffix of ["", "-wal", "-shm", "-mark", "-lost"]) {
    if (existsSync(join(dataDir, name + suffix))) renameSync(join(dataDir, name + suffix), join(aside, name + suffix));
    step(`${name}${suffix} aside`);
  }
  syncDirectory(aside);
  syncDirectory(dataDir);
}

/** Who this was in the epoch before, for the one who wants to go back to it. */
function keepIdentity(dataDir: string, { asideAs, identity }: Decided): void {
  const before = asideAs === undefined ? undefined : readIdentity(dataDir);
  if (before === undefined || sameEpoch(before.epoch ?? firstEpoch, identity.epoch ?? firstEpoch)) return;
  writeIdentity(join(dataDir, asideAs!), before);
}

function readDecided(next: string): Decided | undefined {
  const path = join(next, decidedName);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Decided;
  } catch (error) {
    throw new Fault("data", `${path} is damaged: the change of epoch cannot be gone on with`, "never", error);
  }
}
