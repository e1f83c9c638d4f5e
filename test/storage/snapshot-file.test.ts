import { expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { index, term } from "../../src/lib/ids.ts";
import { appliedIndex } from "../../src/state/queries.ts";
import { schema } from "../../src/state/schema.ts";
import { openDataDir } from "../../src/storage/data-dir.ts";
import { checkState, copyState, finishInstall, installState } from "../../src/storage/snapshot-file.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { StateReader } from "../../src/storage/state-reader.ts";
import { Directory } from "./support.ts";

function grow(state: StateDatabase, from: number, to: number): void {
  state.transaction(from, to, () => state.mix(to), { term: 1 });
}

/** A verified state of entry 30 that waits to be installed. */
function writeVerified(path: string): void {
  using other = new Directory();
  const state = new StateDatabase({ path: other.file("state.db"), schema });
  grow(state, 0, 30);
  state.close();
  copyState(other.file("state.db"), path);
}

test("killed at any step of an installation, the next start has the old state with all that was told durable, or the new one (D3)", () => {
  using directory = new Directory();
  using copies = new Directory();
  const [path, from] = [directory.file("state.db"), directory.file("verified.db")];
  openDataDir(directory.path).close();
  const old = new StateDatabase({ path, schema });
  grow(old, 0, 10);
  expect(old.checkpoint().isHome).toBe(true);
  // A reader keeps what follows from the file: it is durable in the WAL alone, and the log may be compacted up to there.
  const reader = new StateReader(path);
  const steps: string[] = [];
  reader.snapshot(() => {
    expect(appliedIndex(reader)).toBe(10);
    grow(old, 10, 20);
    expect(old.checkpoint().isHome).toBe(false);
    old.close();
    writeVerified(from);
    const crash = (step: string): void => {
      steps.push(step);
      cpSync(directory.path, copies.file(step), { recursive: true });
    };
    crash("begun");
    installState(from, path, { index: index(30), term: term(1) }, undefined, crash);
    crash("done");
  });
  reader.close();
  expect(steps).toEqual(["begun", "checked", "decided", "-wal removed", "-shm removed", "in place", "done"]);
  const found = steps.map((step) => {
    const data = copies.file(step);
    openDataDir(data).close();
    expect(existsSync(join(data, "state.db-next"))).toBe(false);
    const whole = checkState(join(data, "state.db")).applied;
    const state = new StateDatabase({ path: join(data, "state.db"), schema });
    const { applied } = state;
    grow(state, applied, applied + 1);
    state.close();
    return [step, whole, applied, checkState(join(data, "state.db")).applied];
  });
  expect(found).toEqual(
    steps.map((step) => (step === "begun" || step === "checked" ? [step, 20, 20, 21] : [step, 30, 30, 31])),
  );
});

test("what was decided is gone on with once, and a start without it changes nothing", () => {
  using directory = new Directory();
  const path = directory.file("state.db");
  writeVerified(path);
  expect(finishInstall(path)).toBe(false);
  expect(checkState(path).applied).toBe(30);
});

test("a state that is no longer what was verified leaves the old one as it is, its WAL too", () => {
  using directory = new Directory();
  const [path, from] = [directory.file("state.db"), directory.file("verified.db")];
  const old = new StateDatabase({ path, schema });
  grow(old, 0, 10);
  writeVerified(from);
  const before = readdirSync(directory.path);
  expect(() => installState(from, path, { index: index(31), term: term(1) }, undefined)).toThrow("was verified as");
  expect(readdirSync(directory.path)).toEqual(before);
  old.close();
  expect(checkState(path).applied).toBe(10);
});

test("a copy of the state is for this user alone", () => {
  using directory = new Directory();
  const from = directory.file("state.db");
  writeVerified(from);
  for (const blanks of [[], ["delete from audit"]]) {
    const to = directory.file(`made-${blanks.length}.db`);
    expect(copyState(from, to, { blanks }).applied).toBe(30);
    expect([blanks, statSync(to).mode & 0o777]).toEqual([blanks, 0o600]);
  }
});
