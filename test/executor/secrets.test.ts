import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../src/lib/limits.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { Rig, until } from "./rig.ts";

/** Secrets where they are used: given to a task, and kept out of all that is written. */

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

const value = "correct horse battery staple";
const spec = (run: string) => ({ run, secrets: { env: { PASSWORD: "door" } } });

function filesOf(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test("a task has the value in its environment; log, tail and reason do not, in whatever pieces it comes", async () => {
  await rig.open();
  rig.secrets = () => Promise.resolve(accept({ door: value }));
  const run = `test "$PASSWORD" = "${value}" || exit 9; printf 'a %s' "correct horse "; sleep 0.3; printf 'battery staple z'; echo "$PASSWORD" >&2`;
  const report = await rig.run(spec(run));
  expect([report.state, report.exitCode]).toEqual(["succeeded", 0]);
  expect(await rig.logText(report, "stdout")).toBe("a *** z");
  expect(await rig.logText(report, "stderr")).toBe("***\n");
  expect(Buffer.from(report.tail).toString()).not.toContain("staple");
  // Nothing that node or guard wrote has it: logs, outbox, guard.json.
  const files = filesOf(rig.dataDir).filter((file) => statSync(file).isFile());
  expect(files.length).toBeGreaterThan(2);
  expect(files.filter((file) => readFileSync(file).includes(value))).toEqual([]);
});

test("a tail that begins within a value, and a log that ends within it, show nothing of it", async () => {
  await rig.open();
  rig.secrets = () => Promise.resolve(accept({ door: value }));
  const report = await rig.run({ ...spec('echo "$PASSWORD.12345"'), output: { tailBytes: 10, keepBytes: 8 } });
  expect(Buffer.from(report.tail).toString()).toBe("***.12345\n");
  expect(await rig.logText(report)).toBe("***.1234");
});

test("a secret that is gone ends the task with a reason, and nothing runs", async () => {
  await rig.open();
  rig.secrets = () => Promise.resolve(refuse("not-found", "secret door does not exist any more"));
  const report = await rig.run(spec("echo ran"));
  expect(report).toMatchObject({ state: "failed", exitCode: null, reason: "secret door does not exist any more" });
  expect(await rig.logText(report)).toBe("");
});

test("where nobody can give the value it is asked for again, and what is cancelled meanwhile never runs", async () => {
  await rig.open();
  let asked = 0;
  rig.secrets = () => {
    asked += 1;
    return Promise.resolve(asked < 3 ? refuse("unavailable", "no voter can be reached") : accept({ door: value }));
  };
  expect((await rig.run(spec("exit 0"))).state).toBe("succeeded");
  expect(asked).toBe(3);
  rig.secrets = () => {
    asked += 1;
    return Promise.resolve(refuse("unavailable", "no voter can be reached"));
  };
  const waiting = rig.assignment(spec("echo ran"), { task: 1 });
  rig.executor.assign([waiting]);
  await until("a question", () => asked > 3);
  rig.executor.stop([waiting]);
  expect(await rig.reportOf(waiting)).toMatchObject({ state: "cancelled" });
});

test("where nobody gives the value for too long the task fails with a reason, and nothing runs", async () => {
  await rig.open();
  rig.secrets = () => Promise.resolve(refuse("unavailable", "no voter can be reached"));
  const { secretWaitMs } = limits;
  Object.assign(limits, { secretWaitMs: 300 });
  const report = await rig.run(spec("echo ran")).finally(() => Object.assign(limits, { secretWaitMs }));
  expect(report).toMatchObject({
    state: "failed",
    exitCode: null,
    reason: "no voter gave it its secrets within 300ms, and it did not start: no voter can be reached",
  });
  expect(await rig.logText(report)).toBe("");
});
