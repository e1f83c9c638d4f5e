import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import type { Outcome } from "../../src/lib/outcome.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { applyEntries, type CommittedEntry } from "../../src/state/apply.ts";
import { encodeBatch, encodeEntry } from "../../src/state/entry.ts";
import { schema } from "../../src/state/schema.ts";
import { sql } from "../../src/state/tx.ts";
import { copyState } from "../../src/storage/snapshot-file.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { admin, Cluster, record } from "./support.ts";

/**
 * A reply is lost, its write is handed to the next leader, and the state that knows of the first time has travelled as a snapshot meanwhile (S3;
 * summitdb#5, rabbitmq/ra#145, openraft#2096).
 */

const directory = mkdtempSync(join(tmpdir(), "skein-lost-replies-"));
afterAll(() => rmSync(directory, { recursive: true }));

interface Write {
  readonly serial: number;
  readonly bytes: Uint8Array;
  answer?: Outcome<{ readonly first: number }>;
}

/** A node whose writes wait for answers; what it sends again are the same bytes. */
class Origin {
  readonly writes: Write[] = [];
  readonly node: NodeId;

  constructor(node: number) {
    this.node = nodeId(node);
  }

  get waiting(): Write[] {
    return this.writes.filter((write) => write.answer === undefined);
  }

  write(): Write {
    const serial = 2 ** 32 + this.writes.length + 1;
    const floor = this.waiting[0]?.serial ?? serial;
    const name = `${this.node}/${serial}`;
    const bytes = encodeBatch({
      origin: this.node,
      serial,
      floor,
      commands: [record("job.submit", { jobs: [{ run: "true", name }] }, admin)],
    });
    const write = { serial, bytes };
    this.writes.push(write);
    return write;
  }
}

/** One history; gives how often something rare happened, so that the test can see that it did. */
function history(seed: number): Record<"sentAgain" | "late" | "restored", number> {
  const random = seededRandom(seed);
  const pick = <Value>(values: readonly Value[]): Value | undefined => values[Math.floor(random() * values.length)];
  const counts = { sentAgain: 0, late: 0, restored: 0 };
  const log: CommittedEntry[] = [...Cluster.of(3).log];
  const origins = [1, 2, 3].map((node) => new Origin(node));
  const logged = new Set<Uint8Array>();
  let copies = 0;
  const open = (): StateDatabase => new StateDatabase({ path: join(directory, `${seed}-${copies}.db`), schema });
  let database = open();
  const put = (batches: readonly Uint8Array[]): void => {
    const data = encodeEntry({ at: 2_000_000 + log.length, random: new Uint8Array(16), level: 3, batches });
    log.push({ index: log.length + 1, term: 1, kind: "command", data });
    for (const bytes of batches) logged.add(bytes);
  };
  /** The state applies on one of the nodes, which hears the outcomes of its own writes, or does not. */
  const apply = (at: Origin, lossShare: number): void => {
    while (database.applied < log.length) {
      const result = applyEntries(database, log.slice(database.applied), { self: at.node });
      for (const { serial, outcomes } of result.outcomes) {
        const write = at.writes.find((one) => one.serial === serial);
        if (write !== undefined && random() >= lossShare)
          write.answer ??= outcomes[0] as Outcome<{ readonly first: number }>;
      }
    }
  };
  for (let step = 0; step < 150; step++) {
    const origin = pick(origins)!;
    const dice = random();
    if (dice < 0.35) origin.write();
    else if (dice < 0.7) {
      const write = pick(origin.waiting);
      if (write === undefined) continue;
      if (logged.has(write.bytes)) counts.sentAgain += 1;
      // By two leaders at once now and then, or twice in one entry.
      put(random() < 0.2 ? [write.bytes, write.bytes] : [write.bytes]);
    } else if (dice < 0.8) {
      // A deposed leader's copy, long after the answer.
      const write = pick(origin.writes);
      if (write === undefined || !logged.has(write.bytes)) continue;
      if (write.answer !== undefined) counts.late += 1;
      put([write.bytes]);
    } else if (dice < 0.95) apply(origin, 0.6);
    else if (database.applied > 0) {
      const from = join(directory, `${seed}-${copies}.db`);
      copies += 1;
      copyState(from, join(directory, `${seed}-${copies}.db`));
      database.close();
      database = open();
      counts.restored += 1;
    }
  }
  for (const origin of origins) {
    while (origin.waiting.length > 0) {
      put(origin.waiting.map(({ bytes }) => bytes));
      apply(origin, 0);
    }
  }
  const jobs = database.all<{ id: number; name: string }>(sql("select id, name from job order by id"));
  const written = origins.flatMap(({ node, writes }) =>
    writes.map((write) => ({ name: `${node}/${write.serial}`, write })),
  );
  expect(jobs.map(({ name }) => name).sort()).toEqual(written.map(({ name }) => name).sort());
  for (const { name, write } of written) {
    const first = jobs.find((job) => job.name === name)!.id;
    expect(write.answer).toMatchObject({ ok: true, value: { first, count: 1 } });
  }
  // Whoever has applied it all from the beginning has the same state.
  const whole = new StateDatabase({ path: ":memory:", schema });
  while (whole.applied < log.length) applyEntries(whole, log.slice(whole.applied), { self: nodeId(9) });
  expect(database.hash).toBe(whole.hash);
  database.close();
  whole.close();
  return counts;
}

test("every write has one effect and is answered with it, whatever replies were lost and whoever applied it from a snapshot", () => {
  const sums = { sentAgain: 0, late: 0, restored: 0 };
  for (let seed = 1; seed <= 6; seed++) {
    const counts = history(seed);
    for (const key of ["sentAgain", "late", "restored"] as const) sums[key] += counts[key];
  }
  for (const count of Object.values(sums)) expect(count).toBeGreaterThan(4);
}, 60_000);
