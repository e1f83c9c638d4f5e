import { expect, jest, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { type StateReply, StateWriter } from "../../src/node/state-writer.ts";
import { schema } from "../../src/state/schema.ts";
import { placeOf } from "../../src/storage/snapshot-file.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";

function writer(): StateWriter {
  return new StateWriter(new Worker(new URL("../../src/node/state-worker.ts", import.meta.url)), {
    onApplied: () => {},
    onBug: () => {},
    onDurable: () => {},
    onFull: () => {},
    onFault: () => {},
  });
}

test("a state that cannot be opened is a fault, and closing does not wait for it", async () => {
  const state = writer();
  const opened = await state.open(join(import.meta.path, "state.db"), nodeId(1), 1).catch((error: unknown) => error);
  expect(opened).toMatchObject({ name: "Fault", retry: "never" });
  await state.close();
});

/** A thread of which the test says what it says. */
class Thread extends EventTarget {
  postMessage(): void {}
  terminate(): void {}
  says(reply: StateReply): void {
    this.dispatchEvent(new MessageEvent("message", { data: reply }));
  }
}

function writerOf(thread: Thread): StateWriter {
  const none = (): void => {};
  const hooks = { onApplied: none, onBug: none, onDurable: none, onFull: none, onFault: none };
  return new StateWriter(thread as unknown as Worker, hooks);
}

test("a thread that has said that it lives is given the time that the file takes, and one that says nothing is not", async () => {
  jest.useFakeTimers();
  try {
    const [alive, silent, ended] = [new Thread(), new Thread(), new Thread()];
    const opening = [alive, silent, ended].map((thread) =>
      writerOf(thread)
        .open("state.db", nodeId(1), 1)
        .then(
          ({ applied }) => applied,
          (error: unknown) => String(error),
        ),
    );
    alive.says({ kind: "alive" });
    ended.says({ kind: "alive" });
    jest.advanceTimersByTime(100 * limits.workerStartMs);
    ended.dispatchEvent(new Event("close"));
    alive.says({ kind: "opened", place: { applied: 7, term: 1, configuration: undefined, hash: "" } });
    expect(await Promise.all(opening)).toEqual([
      7,
      expect.stringContaining("did not start"),
      expect.stringContaining("ended"),
    ]);
  } finally {
    jest.useRealTimers();
  }
});

test("closing waits until all is written", async () => {
  const directory = mkdtempSync(join(tmpdir(), "skein-state-writer-"));
  try {
    const state = writer();
    expect(await state.open(join(directory, "state.db"), nodeId(1), 1)).toMatchObject({ applied: 0 });
    await state.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("what a killed process left in the WAL alone is in the file before anything is built on it (D3)", async () => {
  const directory = mkdtempSync(join(tmpdir(), "skein-state-writer-"));
  const [path, image, file] = ["killed.db", "state.db", "file.db"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  try {
    const killed = new StateDatabase({ path, schema });
    killed.transaction(0, 1, () => {}, { term: 1 });
    for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, image + suffix);
    killed.close();
    const state = writer();
    expect(await state.open(image, nodeId(1), 1)).toMatchObject({ applied: 1 });
    // The power goes now, and takes the WAL: it was never synced.
    copyFileSync(image, file);
    expect(placeOf(file).applied).toBe(1);
    await state.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
