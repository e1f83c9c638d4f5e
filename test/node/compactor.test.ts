import { expect, test } from "bun:test";
import { index, nodeId } from "../../src/lib/ids.ts";
import type { LogBudget } from "../../src/node/compaction.ts";
import { Compactor, type CompactorPorts } from "../../src/node/compactor.ts";

const budget: LogBudget = {
  trailingEntries: 8,
  trailingBytes: 1 << 20,
  heldEntries: 1_000,
  heldBytes: 1 << 20,
  snapshotEntries: 1_000,
  snapshotBytes: 1 << 20,
};

test("of a node whose state is to be replaced nothing of the log goes, whoever needs less of it, until the right state is there (S1)", () => {
  let base = 0;
  let isHeld = true;
  let neededBySnapshot = 10;
  const raft: CompactorPorts["raft"] = {
    get baseIndex() {
      return index(base);
    },
    progress: () => undefined,
    compact: (upTo) => {
      base = upTo;
      return { index: upTo } as ReturnType<CompactorPorts["raft"]["compact"]>;
    },
  };
  const compactor = new Compactor(
    {
      raft,
      logStore: { compact: () => {} },
      isHeld: () => isHeld,
      met: () => [nodeId(2)],
      needed: () => Infinity,
      neededBySnapshot: () => neededBySnapshot,
      schedule: () => {},
    },
    budget,
  );
  compactor.stateDurable(100);
  // A snapshot that was given to somebody is over, and an entry is found damaged: a right state of entry 20 is on its way here all the same.
  neededBySnapshot = Infinity;
  compactor.cut();
  compactor.damaged(50);
  compactor.cut();
  expect(base).toBe(0);
  isHeld = false;
  compactor.cut();
  expect(base).toBeGreaterThan(20);
});
