import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeId } from "../../src/lib/ids.ts";
import { StateWriter } from "../../src/node/state-writer.ts";

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
