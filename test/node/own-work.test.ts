import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Executor } from "../../src/executor/types.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { OwnWork, type OwnWorkPorts } from "../../src/node/own-work.ts";
import { Cluster } from "../state/support.ts";

const directories: string[] = [];
const started: OwnWork[] = [];
afterEach(() => {
  for (const work of started.splice(0)) work.stop();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** The work of a node that leads and grants itself what the test says. What its executor is told of leases is kept. */
function rig() {
  const cluster = Cluster.of(2);
  const told: (readonly ["lease" | "covers", number])[] = [];
  const granted = { index: 7 };
  const executor = {
    reconcile: () => {},
    stop: () => {},
    onLeaseWanted: () => {},
    lease: (_endsAt: number, index: number) => told.push(["lease", index]),
    covers: (index: number) => told.push(["covers", index]),
  } as unknown as Executor;
  const dataDir = mkdtempSync(join(tmpdir(), "skein-own-work-"));
  directories.push(dataDir);
  const work = new OwnWork({
    self: nodeId(1),
    incarnation: "i1",
    level: () => 1,
    dataDir,
    openExecutor: () => executor,
    copiesLogs: false,
    transport: { request: () => Promise.reject(new Error("nobody else is asked")) },
    reader: { waitApplied: () => Promise.resolve(true) },
    leading: { grant: () => Promise.resolve({ kind: "granted", index: granted.index }), clocks: undefined as never },
    leader: () => nodeId(1),
    isLeading: () => true,
    applied: () => 100,
    view: (query) => query(cluster.database),
    propose: () => new Promise(() => {}),
    wallClock: () => 0,
    onDeclaredLost: () => {},
    secrets: () => new Promise(() => {}),
    bundle: () => new Promise(() => {}),
    log: () => {},
  } as OwnWorkPorts);
  started.push(work);
  return { work, told, granted };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("while a node's state is older than the cluster's its lease is renewed, and covers nothing more before the work is what the state says (J1)", async () => {
  expect(limits.leaseRenewMs).toBeGreaterThan(1000); // what is renewed here is asked for by the test
  const { work, told, granted } = rig();
  work.reconcile();
  work.lease.start();
  await turn();
  work.lease.cover(8);
  await turn();
  expect(told.splice(0)).toEqual([
    ["lease", 7],
    ["covers", 8],
  ]);
  work.pause();
  granted.index = 9;
  work.lease.want();
  await turn();
  work.lease.cover(10);
  work.onApplied([]);
  await turn();
  expect(told.splice(0)).toEqual([["lease", 0]]);
  work.reconcile();
  work.lease.want();
  await turn();
  expect(told).toEqual([["lease", 9]]);
});
