import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "../../src/state/types.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { guardCommand, isAlive, Rig, until } from "./rig.ts";

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

const text = (report: Report): string => new TextDecoder().decode(report.tail);
/** A shell that writes its pid to a file, takes no notice of TERM, and has a child that does not either. */
const stubborn = (rigNow: Rig): string =>
  `trap '' TERM; (trap '' TERM; echo $$ > ${rigNow.path("parent")}; exec sleep 600) & echo $! > ${rigNow.path("child")}; while :; do sleep 600; done`;

test("the result tells exit code, both streams in the tail, size and hash of the log", async () => {
  await rig.open();
  const report = await rig.run({ run: "echo out; echo err >&2; exit 3" });
  expect(report).toMatchObject({ state: "failed", exitCode: 3, signal: null });
  // Two pipes: of what is in both at the same moment nobody knows which came first.
  expect(text(report).split("\n").toSorted()).toEqual(["", "err", "out"]);
  expect(text(report)).toBe(await rig.logText(report));
  expect(report.log).toEqual({
    bytes: 8,
    sha256: new Bun.CryptoHasher("sha256").update(await rig.logText(report)).digest("hex"),
  });
  expect(await rig.logText(report, "stdout")).toBe("out\n");
  expect(await rig.logText(report, "stderr")).toBe("err\n");
});

test("an attempt gets the environment of the contract, a clean base and a scratch directory that is removed", async () => {
  process.env["SKEIN_TOKEN"] = "secret";
  await rig.open();
  delete process.env["SKEIN_TOKEN"];
  const report = await rig.run(
    { run: "pwd; env", env: { MODE: "release", SKEIN_JOB: "forged" }, count: 8 },
    { job: 5, task: 3, attempt: 2, target: "web1" },
  );
  const lines = (await rig.logText(report)).split("\n");
  expect(lines[0]).toEndWith("/scratch/5.3.2");
  for (const wanted of [
    "MODE=release",
    "SKEIN_JOB=5",
    "SKEIN_TASK=3",
    "SKEIN_ATTEMPT=2",
    "SKEIN_FENCE=1",
    "SKEIN_NODE=7",
    "SKEIN_INDEX=3",
    "SKEIN_TARGET=web1",
  ]) {
    expect(lines).toContain(wanted);
  }
  expect(lines.join("\n")).not.toContain("secret");
  expect(existsSync(lines[0]!)).toBe(false);
});

test("dir is where it runs, stdin is given and closed, a list is argv and no shell reads it", async () => {
  await rig.open();
  mkdirSync(rig.path("place"));
  const report = await rig.run({
    run: ["sh", "-c", 'pwd; cat; echo "$1"', "x", "$HOME *"],
    dir: rig.path("place"),
    stdin: "given\n",
  });
  expect(text(report)).toBe(`${rig.path("place")}\ngiven\n$HOME *\n`);
});

test("stdin that nobody reads does not hurt", async () => {
  await rig.open();
  expect(await rig.run({ run: "head -c 3; exit 0", stdin: "x".repeat(3_000_000) })).toMatchObject({
    state: "succeeded",
    exitCode: 0,
  });
});

test("what cannot be started is a result that says why", async () => {
  await rig.open();
  expect(await rig.run({ run: ["no-such-command-here"] }, { task: 1 })).toMatchObject({
    state: "failed",
    exitCode: 127,
    reason: "no such command: no-such-command-here",
  });
  writeFileSync(rig.path("plain"), "text");
  expect(await rig.run({ run: [rig.path("plain")] }, { task: 2 })).toMatchObject({ state: "failed", exitCode: 126 });
  writeFileSync(rig.path("orphan"), "#!/no/such/interpreter\n");
  chmodSync(rig.path("orphan"), 0o755);
  expect(await rig.run({ run: [rig.path("orphan")] }, { task: 3 })).toMatchObject({ state: "failed", exitCode: 127 });
  const nowhere = await rig.run({ run: "true", dir: "/no/such/dir" }, { task: 4 });
  expect(nowhere).toMatchObject({ state: "failed", exitCode: null });
  expect(nowhere.reason).toContain("/no/such/dir");
  expect(await rig.run({ run: "no-such-command-here" }, { task: 5 })).toMatchObject({ state: "failed", exitCode: 127 });
  expect(await rig.run({ run: ["true", "a\0b"] }, { task: 6 })).toMatchObject({ state: "failed", exitCode: null });
});

test("death by a signal is told as that signal", async () => {
  await rig.open();
  expect(await rig.run({ run: "kill -SEGV $$" })).toMatchObject({ state: "failed", exitCode: null, signal: "SIGSEGV" });
});

test("10 MiB without a newline and bytes that are not UTF-8 come through whole", async () => {
  await rig.open();
  const report = await rig.run({ run: "head -c 10485760 /dev/zero | tr '\\0' '\\377'; printf '\\200\\376end'" });
  expect(report.log?.bytes).toBe(10 * 1024 * 1024 + 5);
  const expected = Buffer.concat([Buffer.alloc(10 * 1024 * 1024, 0xff), Buffer.from([0x80, 0xfe]), Buffer.from("end")]);
  expect(report.log?.sha256).toBe(new Bun.CryptoHasher("sha256").update(expected).digest("hex"));
  expect(Buffer.from(report.tail).equals(expected.subarray(-2048))).toBe(true);
});

test("output past keep is counted and not kept; the tail is still the end", async () => {
  await rig.open();
  const report = await rig.run({
    run: "head -c 5000 /dev/zero; printf end",
    output: { keepBytes: 1000, tailBytes: 4 },
  });
  expect(report).toMatchObject({ state: "succeeded", log: { bytes: 1000 } });
  expect(report.reason).toContain("4003 bytes of output were not kept");
  expect(text(report)).toBe("\0end");
});

test("a flood of output does not grow the guard", async () => {
  await rig.open();
  const peakKb = (): number =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${rig.guardPid()}/status`, "utf8"))![1]);
  const report = await rig.run({ run: "head -c 400000000 /dev/zero", output: { keepBytes: 1024 } });
  expect(report.state).toBe("succeeded");
  expect(peakKb()).toBeLessThan(200 * 1024);
});

test("timeout: TERM first, KILL after the grace, the whole tree", async () => {
  await rig.open();
  const report = await rig.run({ run: stubborn(rig), timeoutMs: 300, graceMs: 200 });
  expect(report).toMatchObject({ state: "timeout", exitCode: null, signal: "SIGKILL" });
  expect(report.reason).toContain("300ms");
  expect(isAlive(await rig.pidIn(rig.path("child")))).toBe(false);
});

test("timeout: who heeds TERM has the grace to clean up, also below a shell that dies at once", async () => {
  await rig.open();
  const inner = `trap 'sleep 0.3; echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done`;
  const report = await rig.run({ run: `sh -c "${inner}"; true`, timeoutMs: 500, graceMs: 10_000 });
  expect(report.state).toBe("timeout");
  expect(text(report)).toStartWith("ready\n");
  expect(text(report)).toEndWith("cleaned\n");
});

test("cancel: the group is ended and the result says cancelled", async () => {
  await rig.open();
  const assignment = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; sleep 600` });
  rig.executor.assign([assignment]);
  const pid = await rig.pidIn(rig.path("pid"));
  rig.executor.stop([assignment]);
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "cancelled", signal: "SIGTERM" });
  expect(isAlive(pid)).toBe(false);
});

test("drop: killed at once, nothing is told, nothing is left but what it printed, in a pack with others", async () => {
  await rig.open();
  const assignment = rig.assignment({ run: `echo words; ${stubborn(rig)}` });
  rig.executor.assign([assignment]);
  const pid = await rig.pidIn(rig.path("parent"));
  rig.executor.drop([assignment]);
  await until("the end of the dropped attempt", () => !isAlive(pid) && rig.marked().length === 0);
  const kept = (): string[] => readdirSync(rig.path("scratch"), { recursive: true }) as string[];
  await until("its files gone", () => kept().every((name) => name.startsWith("spare-") && !name.includes("/")));
  await rig.run({ run: "true" }, { task: 9 });
  expect(rig.reports.map((report) => report.task)).toEqual([9]);
  expect(rig.executor.running()).toBe(0);
});

test("a background child that holds the output does not hang the task, and is ended", async () => {
  await rig.open();
  const report = await rig.run({ run: `sleep 600 & echo $! > ${rig.path("pid")}; echo done` });
  expect(report).toMatchObject({ state: "succeeded", exitCode: 0 });
  expect(text(report)).toBe("done\n");
  expect(isAlive(await rig.pidIn(rig.path("pid")))).toBe(false);
});

test("a process that left the group is swept, whether it holds the output or not", async () => {
  await rig.open();
  const holding = await rig.run(
    {
      run: `setsid sh -c 'echo $$ > ${rig.path("a")}; exec sleep 600' & while [ ! -s ${rig.path("a")} ]; do sleep 0.02; done`,
    },
    { task: 1 },
  );
  expect(holding.state).toBe("succeeded");
  expect(isAlive(await rig.pidIn(rig.path("a")))).toBe(false);
  const silent = await rig.run(
    {
      run: `setsid sh -c 'echo $$ > ${rig.path("b")}; exec sleep 600' >/dev/null 2>&1 & while [ ! -s ${rig.path("b")} ]; do sleep 0.02; done`,
    },
    { task: 2 },
  );
  expect(silent.state).toBe("succeeded");
  const escaped = await rig.pidIn(rig.path("b"));
  await until("the sweep", () => !isAlive(escaped));
});

test("the sweep of one attempt leaves its neighbour alone", async () => {
  await rig.open();
  const neighbour = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; setsid sleep 600` }, { task: 2 });
  rig.executor.assign([neighbour]);
  const pid = await rig.pidIn(rig.path("pid"));
  await rig.run({ run: "setsid sleep 600 & sleep 600", timeoutMs: 100 }, { task: 1 });
  expect(isAlive(pid)).toBe(true);
});

test("stdout and stderr are kept in order of arrival, stamped", async () => {
  await rig.open();
  const before = Date.now();
  const report = await rig.run({ run: "for i in 1 2 3; do echo o$i; sleep 0.05; echo e$i >&2; sleep 0.05; done" });
  expect(text(report)).toBe("o1\ne1\no2\ne2\no3\ne3\n");
  expect(report.startedAt).toBeGreaterThanOrEqual(before);
  expect(report.finishedAt).toBeGreaterThanOrEqual(report.startedAt);
});

test("when the lease ends every group is killed, and the results say lost", async () => {
  await rig.open({ leaseMs: 1_500 });
  const assignments = [1, 2].map((task) =>
    rig.assignment({ run: `trap '' TERM; echo $$ > ${rig.path(`pid${task}`)}; while :; do sleep 600; done` }, { task }),
  );
  rig.executor.assign(assignments);
  const pids = [await rig.pidIn(rig.path("pid1")), await rig.pidIn(rig.path("pid2"))];
  for (const assignment of assignments)
    expect(await rig.reportOf(assignment)).toMatchObject({ state: "lost", signal: "SIGKILL" });
  expect(pids.some(isAlive)).toBe(false);
});

test("a guard that was frozen past the lease kills on thaw, before it hears of a new one", async () => {
  await rig.open({ leaseMs: 1_000 });
  const endsAt = monotonicMs() + 1_000;
  const assignment = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; sleep 600` });
  rig.executor.assign([assignment]);
  const pid = await rig.pidIn(rig.path("pid"));
  process.kill(rig.guardPid(), "SIGSTOP");
  await until("the end of the lease", () => monotonicMs() > endsAt);
  rig.executor.lease(monotonicMs() + 60_000, 1_000_000);
  expect(isAlive(pid)).toBe(true);
  process.kill(rig.guardPid(), "SIGCONT");
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "lost" });
  expect(isAlive(pid)).toBe(false);
});

test("the node is killed: the guard goes on, and hands the result to the next node", async () => {
  const assignments = [
    rig.assignment({ run: `echo $$ > ${rig.path("quick")}; echo words` }, { task: 1 }),
    rig.assignment(
      { run: `echo $$ > ${rig.path("slow")}; while [ ! -e ${rig.path("go")} ]; do sleep 0.02; done; echo done` },
      { task: 2 },
    ),
    rig.assignment({ run: `echo $$ > ${rig.path("foreign")}; sleep 600` }, { task: 3 }),
  ];
  const node = await rig.otherNode(assignments);
  await rig.pidIn(rig.path("quick"));
  const slow = await rig.pidIn(rig.path("slow"));
  const foreign = await rig.pidIn(rig.path("foreign"));
  const guard = rig.guardPid();
  await node.crash();
  expect(isAlive(slow)).toBe(true);
  await rig.open({ held: assignments.slice(0, 2) });
  expect(rig.guardPid()).toBe(guard);
  expect(await rig.reportOf(assignments[0]!)).toMatchObject({ state: "succeeded", log: { bytes: 6 } });
  await until("the end of what the state gave away", () => !isAlive(foreign));
  expect(isAlive(slow)).toBe(true);
  writeFileSync(rig.path("go"), "");
  expect(await rig.reportOf(assignments[1]!)).toMatchObject({ state: "succeeded" });
  expect(rig.reports.map((report) => report.task).toSorted((a, b) => a - b)).toEqual([1, 2]);
});

test("the node stays away: the lease ends all work, then the guard goes; the next one tells it as lost", async () => {
  const assignment = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; sleep 600` });
  const node = await rig.otherNode([assignment], 2_000);
  const pid = await rig.pidIn(rig.path("pid"));
  const guard = rig.guardPid();
  await node.crash();
  await until("the guard's end", () => !isAlive(guard));
  expect(isAlive(pid)).toBe(false);
  await rig.open({ held: [assignment] });
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "lost" });
});

test("guard and node are killed: the work ends with them, for its lease ends unseen otherwise (J3)", async () => {
  const assignments = [1, 2, 3].map((task) =>
    rig.assignment({ run: `echo $$ > ${rig.path(`pid${task}`)}; exec sleep ${task === 2 ? 0 : 600}` }, { task }),
  );
  const node = await rig.otherNode(assignments);
  const [first, second, third] = await Promise.all([1, 2, 3].map((task) => rig.pidIn(rig.path(`pid${task}`))));
  await until("the end of the short one", () => !isAlive(second!));
  const guard = rig.guardPid();
  await node.crash();
  process.kill(guard, "SIGKILL");
  await until("the end of the work", () => !isAlive(first!) && !isAlive(third!));
  await rig.open({ held: assignments });
  const states = await Promise.all(assignments.map(async (one) => (await rig.reportOf(one)).state));
  expect([states[0], states[2]]).toEqual(["lost", "lost"]);
});

test("assigned and never started when the node was killed: the next node starts it", async () => {
  const waiting = rig.assignment({ run: "echo ran" });
  const node = await rig.otherNode([]);
  await node.crash();
  await rig.open({ held: [waiting] });
  expect(await rig.reportOf(waiting)).toMatchObject({ state: "succeeded", exitCode: 0 });
});

test("results outlive guard and node, until they are acknowledged, and no longer", async () => {
  const assignment = rig.assignment({ run: `echo words; echo $$ > ${rig.path("pid")}` });
  const node = await rig.otherNode([assignment]);
  const pid = await rig.pidIn(rig.path("pid"));
  await until(
    "the result in the outbox",
    () => !isAlive(pid) && readFileSync(rig.path("guard.outbox"), "latin1").includes("finished"),
  );
  process.kill(rig.guardPid(), "SIGKILL");
  await node.crash();
  await rig.open({ held: [assignment] });
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "succeeded", exitCode: 0, log: { bytes: 6 } });
  await until("the acknowledgement", () => rig.executor.running() === 0);
  await rig.executor.close();
  rig.reports.length = 0;
  rig.executor = rig.newExecutor();
  const fence = rig.assignment({ run: "true" }, { task: 8 });
  await rig.open({ held: [fence] });
  await rig.reportOf(fence);
  expect(rig.reports.map((report) => report.task)).toEqual([8]);
});

test("the guard is killed while the node lives: what it left is killed, and told as lost by a new guard", async () => {
  await rig.open();
  const grouped = rig.assignment(
    { run: `trap '' TERM; echo $$ > ${rig.path("a")}; while :; do sleep 600; done` },
    { task: 1 },
  );
  const escaped = rig.assignment({ run: `setsid sh -c 'echo $$ > ${rig.path("b")}; exec sleep 600'` }, { task: 2 });
  const bare = rig.assignment({ run: `exec env -i sh -c 'echo $$ > ${rig.path("c")}; exec sleep 600'` }, { task: 3 });
  rig.executor.assign([grouped, escaped, bare]);
  const pids = await Promise.all(["a", "b", "c"].map((name) => rig.pidIn(rig.path(name))));
  const killed = rig.guardPid();
  process.kill(killed, "SIGKILL");
  for (const assignment of [grouped, escaped, bare])
    expect(await rig.reportOf(assignment)).toMatchObject({ state: "lost" });
  expect(pids.filter(isAlive)).toEqual([]);
  expect(rig.guardPid()).not.toBe(killed);
  expect(await rig.run({ run: "echo again" }, { task: 4 })).toMatchObject({ state: "succeeded" });
});

test("both are killed: an attempt that the state still gives to this node is told as lost, not run again", async () => {
  const known = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; sleep 600` }, { task: 1 });
  const unknown = rig.assignment({ run: `touch ${rig.path("ran")}` }, { task: 2 });
  const node = await rig.otherNode([known]);
  const pid = await rig.pidIn(rig.path("pid"));
  process.kill(rig.guardPid(), "SIGSTOP"); // so that the node does not get a new one first
  await node.crash();
  process.kill(rig.guardPid(), "SIGKILL");
  await rig.open({ held: [known, unknown] });
  expect(await rig.reportOf(known)).toMatchObject({ state: "lost" });
  expect(await rig.reportOf(unknown)).toMatchObject({ state: "lost" });
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(rig.path("ran"))).toBe(false);
});

test("a second guard cannot own the data directory", async () => {
  await rig.open();
  const owner = rig.guardPid();
  const second = Bun.spawn(guardCommand(rig.dataDir), { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  expect(await second.exited).toBe(1);
  expect(await new Response(second.stderr).text()).toContain("another guard owns");
  expect(rig.guardPid()).toBe(owner);
  expect(await rig.run({ run: "true" })).toMatchObject({ state: "succeeded" });
});

test("goodbye to an idle guard leaves no process and no socket", async () => {
  await rig.open();
  await rig.run({ run: "true" });
  const guard = rig.guardPid();
  await rig.executor.close();
  await until("the guard's end", () => !isAlive(guard));
  expect(existsSync(rig.path("guard.sock"))).toBe(false);
  expect(existsSync(rig.path("guard.json"))).toBe(false);
});

test("goodbye with work: the guard stays until the work ends, and the result waits for the next node", async () => {
  await rig.open();
  const assignment = rig.assignment({
    run: `echo $$ > ${rig.path("pid")}; while [ ! -e ${rig.path("go")} ]; do sleep 0.02; done; echo done`,
  });
  rig.executor.assign([assignment]);
  const pid = await rig.pidIn(rig.path("pid"));
  const guard = rig.guardPid();
  await rig.executor.close();
  expect(isAlive(pid)).toBe(true);
  writeFileSync(rig.path("go"), "");
  await until("the guard's end", () => !isAlive(guard));
  rig.executor = rig.newExecutor();
  await rig.open({ held: [assignment] });
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "succeeded", exitCode: 0 });
});

test("a guard that is told to end kills its work first", async () => {
  await rig.open();
  rig.executor.assign([
    rig.assignment({ run: `trap '' TERM; echo $$ > ${rig.path("pid")}; while :; do sleep 600; done` }),
  ]);
  const pid = await rig.pidIn(rig.path("pid"));
  process.kill(rig.guardPid(), "SIGTERM");
  await until("the end of the work", () => !isAlive(pid));
});

test("a data directory with a path too long for a socket works the same", async () => {
  const parent = join(mkdtempSync(join(tmpdir(), "skein-long-")), "x".repeat(120));
  mkdirSync(parent);
  const runtime = process.env["XDG_RUNTIME_DIR"];
  process.env["XDG_RUNTIME_DIR"] = mkdtempSync(join(tmpdir(), "run-"));
  const long = new Rig(parent);
  try {
    await long.open();
    const { socket } = JSON.parse(readFileSync(long.path("guard.json"), "utf8")) as { socket: string };
    expect(socket.startsWith(long.dataDir)).toBe(false);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(await long.run({ run: "echo hi" })).toMatchObject({ state: "succeeded" });
  } finally {
    await long.close();
    rmSync(process.env["XDG_RUNTIME_DIR"], { recursive: true, force: true });
    if (runtime === undefined) delete process.env["XDG_RUNTIME_DIR"];
    else process.env["XDG_RUNTIME_DIR"] = runtime;
    rmSync(join(parent, ".."), { recursive: true, force: true });
  }
});

test("what the guard keeps is for this user alone", async () => {
  await rig.open();
  await rig.logText(await rig.run({ run: "echo words" }));
  const [pack] = readdirSync(rig.path("logs/packs"));
  const kept = ["guard.sock", "guard.lock", "guard.outbox", "guard.json", "guard.log", `logs/packs/${pack}`];
  for (const name of [...kept, "logs/index.db"]) {
    expect([name, statSync(rig.path(name)).mode & 0o777]).toEqual([name, 0o600]);
  }
});

test("no zombie stays behind", async () => {
  await rig.open();
  rig.executor.assign(Array.from({ length: 30 }, (_, task) => rig.assignment({ run: "sleep 0.01 & true" }, { task })));
  await until("30 reports", () => rig.reports.length === 30);
  const children = readFileSync(`/proc/${rig.guardPid()}/task/${rig.guardPid()}/children`, "utf8").trim();
  // One is alive: the sentinel.
  expect(children.split(" ").map(Number).filter(isAlive)).toHaveLength(1);
  expect(children.split(" ")).toHaveLength(1);
});
