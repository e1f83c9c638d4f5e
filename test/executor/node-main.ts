import { monotonicMs } from "../../src/lib/clock.ts";
import { openExecutor } from "../../src/executor/run.ts";
import { nodeId } from "../../src/lib/ids.ts";
import type { Assignment } from "../../src/state/types.ts";
import { guardCommand, unitAssignmentOf, type UnitOfTargets } from "./rig.ts";

/** A node that has an executor and nothing else, as a process that can be killed. Its log never answers: no report gets through. */
const [dataDir, held, leaseMs, units] = process.argv.slice(2) as [string, string, string, string];
const executor = openExecutor({
  node: nodeId(7),
  cluster: "c1",
  dataDir,
  capacity: { slots: 64, ioTasks: 64 },
  guardCommand: guardCommand(dataDir),
  report: () => new Promise(() => {}),
  started: () => {},
  secrets: () => new Promise(() => {}),
  bundle: () => new Promise(() => {}),
  mayGiveBack: () => false,
  giveBack: () => Promise.resolve(),
  unwanted: () => new Set(),
  copied: () => Promise.resolve(true),
  log: (_level, message) => console.error(message),
});
await executor.open();
executor.reconcile([]);
executor.lease(monotonicMs() + Number(leaseMs), 1_000_000);
executor.assign(JSON.parse(held) as Assignment[], (JSON.parse(units) as UnitOfTargets[]).map(unitAssignmentOf));
console.log("ready");
setInterval(() => {}, 1_000_000);
