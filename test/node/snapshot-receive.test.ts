import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeConfiguration } from "../../src/lib/configuration.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import { SnapshotReceiver } from "../../src/node/snapshot-receive.ts";
import type { SnapshotOffer } from "../../src/node/snapshot-send.ts";
import { schema } from "../../src/state/schema.ts";
import { checkState } from "../../src/storage/snapshot-file.ts";
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
      check: (path) =>
        Promise.resolve({
          kind: "done",
          place: checkState(path),
          bytes: data.length,
          sha256: createHash("sha256").update(readFileSync(path)).digest("hex"),
        }),
      chunk: () => Promise.resolve({ data, crc: Bun.hash.crc32(data) }),
      done: (_peer, _id, ok) => Promise.resolve(end.resolve(ok)),
      offerToRaft: () => {
        taken = true;
        return Promise.resolve();
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
