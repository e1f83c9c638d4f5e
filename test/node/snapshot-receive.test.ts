import { expect, spyOn, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeConfiguration } from "../../src/lib/configuration.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { installingIndex, SnapshotReceiver, tidySnapshots, type Verdict } from "../../src/node/snapshot-receive.ts";
import type { SnapshotOffer } from "../../src/node/snapshot-send.ts";
import type { JudgedState } from "../../src/storage/snapshot-task.ts";
import { schema } from "../../src/state/schema.ts";
import { checkState, installState, placeOf } from "../../src/storage/snapshot-file.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";

const configuration = { voters: [nodeId(1)], outgoing: [], learners: [], learnersNext: [] };

/** A state that has applied up to entry 7, and what its owner says of it when `more` is right. */
function makeState(directory: string, more: Partial<SnapshotOffer>): { data: Uint8Array; offer: SnapshotOffer } {
  const path = join(directory, "source.db");
  const database = new StateDatabase({ path, schema });
  const newest = { term: 3, configuration: encodeConfiguration(configuration) };
  database.transaction(0, 7, () => database.mix("an entry"), newest);
  const { hash } = database;
  database.checkpoint();
  database.close();
  const data = new Uint8Array(readFileSync(path));
  const offer: SnapshotOffer = {
    id: "7-x",
    cluster: "c",
    snapshot: { index: index(7), term: term(3), configuration },
    bytes: data.length,
    chunkBytes: data.length,
    sha256: createHash("sha256").update(data).digest("hex"),
    hash,
    ...more,
  };
  return { data, offer };
}

/** As the worker does it: the whole file is read. */
function checked(path: string): Promise<JudgedState> {
  const bytes = readFileSync(path);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return Promise.resolve({ kind: "done", place: checkState(path), bytes: bytes.length, sha256 });
}

/** Offers that state and gives whether it was handed to consensus, and what the log says. */
async function received(more: Partial<SnapshotOffer>): Promise<{ taken: boolean; ok: boolean; said: string }> {
  const directory = mkdtempSync(join(tmpdir(), "skein-receive-"));
  try {
    const { data, offer } = makeState(directory, more);
    const end = Promise.withResolvers<boolean>();
    let [taken, said] = [false, ""];
    const receiver = new SnapshotReceiver({
      dataDir: directory,
      cluster: "c",
      oldest: () => 5,
      check: checked,
      chunk: () => Promise.resolve({ data, crc: Bun.hash.crc32(data) }),
      done: (_peer, _id, ok) => Promise.resolve(end.resolve(ok)),
      offerToRaft: () => {
        taken = true;
        return Promise.resolve("ended");
      },
      log: (_level, message) => (said = message),
    });
    receiver.offered(nodeId(2), offer);
    const ok = await end.promise;
    return { taken, ok, said };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const wrong = { taken: false, ok: false, said: expect.stringContaining("is not what was offered") };

test("a state that is what it was said to be is taken", async () => {
  expect(await received({})).toEqual({ taken: true, ok: true, said: "" });
});

test("a state whose rolling hash is another than it was said to be is thrown away", async () => {
  expect(await received({ hash: "0123456789abcdef" })).toEqual(wrong);
});

test("a state of another entry or term than its label says is thrown away", async () => {
  expect(await received({ snapshot: { index: index(8), term: term(3), configuration } })).toEqual(wrong);
  expect(await received({ snapshot: { index: index(7), term: term(4), configuration } })).toEqual(wrong);
});

test("bytes that are others than were offered are thrown away", async () => {
  expect(await received({ sha256: "00" })).toEqual(wrong);
});

test("a state that is older than what is of use here is refused at once", () => {
  return expect(received({ snapshot: { index: index(4), term: term(3), configuration } })).rejects.toThrow("older");
});

/** A receiver whose consensus says what the test has it say; chunks are of the one state, whoever is asked. */
class Rig implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "skein-receive-"));
  readonly receiver: SnapshotReceiver;
  readonly offer: SnapshotOffer;
  readonly data: Uint8Array;
  /** What consensus says, and how often it was asked. */
  verdict: Verdict = "later";
  asked = 0;
  readonly done: [peer: number, ok: boolean][] = [];
  #waiting: { readonly isSo: () => boolean; readonly resolve: () => void }[] = [];

  constructor() {
    ({ data: this.data, offer: this.offer } = makeState(this.directory, {}));
    const { data } = this;
    this.receiver = new SnapshotReceiver({
      dataDir: this.directory,
      cluster: "c",
      oldest: () => 5,
      check: checked,
      chunk: () => Promise.resolve({ data, crc: Bun.hash.crc32(data) }),
      done: (peer, _id, ok) => {
        this.done.push([peer, ok]);
        this.#look();
        return Promise.resolve();
      },
      offerToRaft: () => {
        this.asked += 1;
        this.#look();
        return Promise.resolve(this.verdict);
      },
      log: () => {},
    });
  }

  /** That peer offers the same state as a file of its own. */
  offered(peer: number): void {
    this.receiver.offered(nodeId(peer), { ...this.offer, id: `7-${peer}` });
  }

  until(isSo: () => boolean): Promise<void> {
    return isSo() ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ isSo, resolve }));
  }

  #look(): void {
    for (const { isSo, resolve } of this.#waiting) if (isSo()) resolve();
  }

  [Symbol.dispose](): void {
    this.receiver.close();
    rmSync(this.directory, { recursive: true });
  }
}

test("while a verified state waits for a leader, and while it is installed, another sender's offer does not touch it (D3)", async () => {
  using rig = new Rig();
  rig.offered(2);
  await rig.until(() => rig.asked > 0);
  expect(() => rig.offered(3)).toThrow("on its way already");
  rig.verdict = "installing";
  await rig.until(() => rig.done.length > 0);
  expect(rig.done).toEqual([[2, true]]);
  expect(() => rig.offered(4)).toThrow("on its way already");
  expect(rig.receiver.isReceiving).toBe(true);
  expect(Buffer.from(rig.data).equals(readFileSync(rig.receiver.path))).toBe(true);
  expect(installingIndex(rig.directory)).toBe(7);
  installState(rig.receiver.path, join(rig.directory, "state.db"), rig.offer.snapshot, undefined);
  rig.receiver.installed();
  expect(installingIndex(rig.directory)).toBeUndefined();
  rig.offered(3);
  await rig.until(() => rig.done.length > 1);
  expect(rig.done.at(-1)).toEqual([3, true]);
});

test("a state that consensus does not take leaves nothing behind, and the next one may come", async () => {
  using rig = new Rig();
  rig.verdict = "ended";
  for (const peer of [2, 3]) {
    rig.offered(peer);
    await rig.until(() => rig.done.some(([one]) => one === peer));
    expect(rig.receiver.isReceiving).toBe(false);
    expect(existsSync(rig.receiver.path)).toBe(false);
    expect(installingIndex(rig.directory)).toBeUndefined();
  }
});

test("a leader that never comes is not waited for for ever: the next sender is heard", async () => {
  using rig = new Rig();
  rig.offered(2);
  await rig.until(() => rig.asked > 0);
  const now = performance.now() + limits.snapshotIdleMs;
  using clock = spyOn(performance, "now").mockImplementation(() => now + 1);
  await rig.until(() => rig.done.length > 0);
  clock.mockRestore();
  expect(rig.done).toEqual([[2, false]]);
  expect(installingIndex(rig.directory)).toBeUndefined();
  rig.verdict = "installing";
  rig.offered(3);
  await rig.until(() => rig.done.length > 1);
  expect(rig.done.at(-1)).toEqual([3, true]);
});

test("ended before consensus was asked, the next start has the whole file still, and goes on with it", async () => {
  using rig = new Rig();
  rig.offered(2);
  await rig.until(() => rig.asked > 0);
  rig.receiver.close();
  tidySnapshots(rig.directory);
  expect(existsSync(rig.receiver.path)).toBe(false);
  expect(Buffer.from(rig.data).equals(readFileSync(join(rig.directory, "snapshots", "incoming.part")))).toBe(true);
});

test("a file that is cut short, or is another state than was verified, takes nobody's place", () => {
  using rig = new Rig();
  const [from, path] = [join(rig.directory, "source.db"), join(rig.directory, "state.db")];
  new StateDatabase({ path, schema }).close();
  const install = (at: number, inTerm: number): void =>
    installState(from, path, { index: index(at), term: term(inTerm) }, undefined);
  expect(() => install(8, 3)).toThrow("was verified as");
  expect(() => install(7, 4)).toThrow("was verified as");
  truncateSync(from, rig.data.length - 4096);
  expect(() => install(7, 3)).toThrow("source.db");
  expect(placeOf(path).applied).toBe(0);
});
