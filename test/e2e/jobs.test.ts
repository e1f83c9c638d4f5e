import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, submitToEach, type TaskAnswer, tasksOf } from "../../scripts/mesh-jobs.ts";
import { markedProcesses } from "../../scripts/processes.ts";
import { temporaryDirectory } from "./harness.ts";
import { mostAtOnce, type Trace, traced, tracesIn } from "./traces.ts";

/** What a spec says, shown by real tasks on three nodes of four slots each, called a, b and c by their label `zone`. */
let mesh: Mesh;
let a: MeshNode;
let b: MeshNode;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 1, flags: ["--slots", "4", "--label", "zone=a"], env: { NODE_SECRET: "hidden" } });
  a = mesh.nodes[0]!;
  await Promise.all(["b", "c"].map((zone) => mesh.add(["--label", `zone=${zone}`])));
  b = mesh.nodes[1]!;
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

/** A new empty directory for a test's files. */
function place(name: string): string {
  const directory = path.join(scratch.path, name);
  mkdirSync(directory);
  return directory;
}

/** Submits to one node, reads the tasks from another. */
async function tasksAfter(spec: object): Promise<TaskAnswer[]> {
  const id = await submit(b, spec);
  await finished(mesh, id);
  return tasksOf(a, id);
}

async function taskAfter(spec: object): Promise<TaskAnswer> {
  const [task] = await tasksAfter(spec);
  return task!;
}

/** The tail is cut from the end; tests that need all of an output keep it short. */
function linesOf(task: TaskAnswer): string[] {
  return task.tail.trimEnd().split("\n");
}

async function stateOf(id: number): Promise<string> {
  return ((await a.api("GET", `/v1/jobs/${id}`)).body as { state: string }).state;
}

async function untilFile(file: string): Promise<void> {
  await until(
    () => Promise.resolve(existsSync(file) ? true : undefined),
    patienceMs,
    () => `${file} was never written`,
  );
}

describe("what a task finds around it", () => {
  test("an array's variables, its own and none of the node's", async () => {
    const names = ["JOB", "TASK", "ATTEMPT", "NODE", "INDEX", "TARGET"].map((name) => `$SKEIN_${name}`);
    const tasks = await tasksAfter({
      run: `echo ${names.join(",")},$COLOUR,$SKEIN_DATA,\${NODE_SECRET-none}`,
      env: { COLOUR: "dark red" },
      count: 3,
      on: "zone=b",
    });
    const node = b.ready.node;
    expect(tasks.map((task) => task.tail.trimEnd())).toEqual(
      [0, 1, 2].map((index, at) => `${tasks[at]!.job},${at},1,${node},${index},,dark red,,none`),
    );
  });

  test("each_node: one task per node, whose target is the node's name", async () => {
    const id = await submitToEach(mesh, b, { run: "echo $SKEIN_TARGET $SKEIN_NODE" });
    await finished(mesh, id);
    const tasks = await tasksOf(a, id);
    const expected = mesh.nodes.map((node, at) => `node-${at + 1} ${node.ready.node}\n`);
    expect(tasks.map((task) => task.tail).toSorted()).toEqual(expected.toSorted());
    expect(new Set(tasks.map((task) => task.target))).toEqual(new Set(["node-1", "node-2", "node-3"]));
  });

  test("a scratch directory of its own, private, empty, and gone after", async () => {
    const tasks = await tasksAfter({ run: "pwd; ls -A | wc -l; stat -c %a .; touch x; mkdir -p d/e", count: 6 });
    const places = tasks.map((task) => linesOf(task));
    for (const [, files, mode] of places) expect([files, mode]).toEqual(["0", "700"]);
    const directories = places.map(([directory]) => directory!);
    expect(new Set(directories).size).toBe(6);
    expect(directories.filter((directory) => existsSync(directory))).toEqual([]);
  });

  test("dir: runs there and leaves what is there; one that is missing fails the task with a reason", async () => {
    const directory = place("dir");
    writeFileSync(path.join(directory, "mine"), "");
    expect((await taskAfter({ run: ["ls"], dir: directory })).tail).toBe("mine\n");
    expect(existsSync(path.join(directory, "mine"))).toBe(true);
    const missing = await taskAfter({ run: ["ls"], dir: path.join(directory, "none") });
    expect(missing).toMatchObject({ state: "failed", exit_code: null });
    expect(missing.reason).toContain("does not exist on this node");
  });

  test("stdin: the text as it is, and an end when there is none", async () => {
    const stdin = "räksmörgås\nwithout a last newline";
    expect((await taskAfter({ run: ["cat"], stdin })).tail).toBe(stdin);
    expect(await taskAfter({ run: "cat; echo end" })).toMatchObject({ state: "succeeded", tail: "end\n" });
  });

  test("run as a list: words reach the program untouched by any shell", async () => {
    const task = await taskAfter({ run: ["printf", "[%s]", "a b", "$HOME", "", "*"] });
    expect(task.tail).toBe("[a b][$HOME][][*]");
  });
});

describe("how a task ends", () => {
  test("its exit code, its signal, and what a shell says of commands that do not exist or may not run", async () => {
    const script = path.join(place("not-executable"), "script");
    writeFileSync(script, "#!/bin/sh\n");
    chmodSync(script, 0o644);
    const cases = [
      [{ run: "exit 3" }, { exit_code: 3, signal: null }],
      [{ run: "kill -USR1 $$" }, { exit_code: null, signal: "SIGUSR1" }],
      [{ run: "no-such-command-here" }, { exit_code: 127, signal: null }],
      [{ run: ["no-such-command-here", "x"] }, { exit_code: 127, reason: "no such command: no-such-command-here" }],
      [{ run: [script] }, { exit_code: 126, reason: `not executable: ${script}` }],
    ] as const;
    const tasks = await Promise.all(cases.map(([spec]) => taskAfter(spec)));
    for (const [at, [, expected]] of cases.entries()) expect(tasks[at]).toMatchObject({ state: "failed", ...expected });
  });

  test("timeout: a tree that ignores TERM, part of it in a session of its own, is killed after the grace", async () => {
    const mark = `e2e-stubborn-${process.pid}`;
    const stubborn = `trap '' TERM; sh -c 'sleep 61; true' ${mark} & setsid sh -c 'sleep 62; true' ${mark} & sleep 63`;
    const id = await submit(b, { run: stubborn, timeout: "300ms", grace: "200ms" });
    await until(
      () => Promise.resolve(markedProcesses(mark).length >= 3 ? true : undefined),
      patienceMs,
      () => "the tree did not start",
    );
    await finished(mesh, id);
    expect(markedProcesses(mark)).toEqual([]);
    const [task] = await tasksOf(a, id);
    expect(task).toMatchObject({ state: "timeout", exit_code: null, signal: "SIGKILL" });
    expect(task!.reason).toContain("300ms");
  });

  test("timeout: what heeds TERM has its grace to say goodbye", async () => {
    const task = await taskAfter({
      run: "exec 2>/dev/null; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done",
      timeout: "200ms",
    });
    expect(task).toMatchObject({ state: "timeout", tail: "bye\n" });
  });

  test("what it leaves running in the background ends with it", async () => {
    const mark = `e2e-background-${process.pid}`;
    expect((await taskAfter({ run: `sh -c 'sleep 64; true' ${mark} & echo done` })).state).toBe("succeeded");
    expect(markedProcesses(mark)).toEqual([]);
  });

  test("retries: attempts with a growing pause and a growing fence, until one succeeds", async () => {
    const task = await taskAfter({
      run: "echo $SKEIN_FENCE; [ $SKEIN_ATTEMPT = 3 ]",
      retries: { max: 5, backoff: "100ms", factor: 2, jitter: 0 },
    });
    expect(task).toMatchObject({ state: "succeeded", attempt: 3, exit_code: 0 });
    expect(task.attempts.map((one) => [one.attempt, one.state])).toEqual([
      [1, "failed"],
      [2, "failed"],
      [3, "succeeded"],
    ]);
    const pauses = task.attempts
      .slice(1)
      .map((one, at) => Date.parse(one.started_at!) - Date.parse(task.attempts[at]!.finished_at!));
    expect(pauses[0]).toBeGreaterThanOrEqual(100);
    expect(pauses[1]).toBeGreaterThanOrEqual(200);
    const logs = await Promise.all(
      [1, 2, 3].map((attempt) => a.api("GET", `/v1/jobs/${task.job}/logs?task=0&attempt=${attempt}`)),
    );
    const fences = logs.map((log) => Number(log.body));
    expect(fences).toEqual(fences.toSorted((x, y) => x - y));
    expect(new Set(fences).size).toBe(3);
  });

  test("retries end: the last attempt's result is the task's, and what `on` leaves out is not tried again", async () => {
    const often = await taskAfter({ run: "exit $SKEIN_ATTEMPT", retries: { max: 2, backoff: "1ms" } });
    expect(often).toMatchObject({ state: "failed", attempt: 3, exit_code: 3 });
    const once = await taskAfter({ run: "exit 9", retries: { max: 2, backoff: "1ms", on: ["timeout"] } });
    expect(once).toMatchObject({ state: "failed", attempt: 1, exit_code: 9 });
  });
});

describe("where and when tasks run", () => {
  test("on: only matching nodes; each_node with no match is refused at once", async () => {
    const tasks = await tasksAfter({ run: "true", count: 6, on: "zone!=a" });
    expect(new Set(tasks.map((task) => task.node))).not.toContain(a.ready.node);
    const refused = await b.api("POST", "/v1/jobs", { run: "true", each_node: true, on: "zone=x" });
    expect(refused).toMatchObject({ status: 422, body: { error: { code: "invalid", details: [{ path: "on" }] } } });
  });

  /** Submits tasks that wait until so many have begun, and gives the traces of all once they have ended. */
  async function tracesOnceBegun(
    name: string,
    begun: number,
    spec: { readonly count: number; readonly slots?: number; readonly parallel?: number },
  ): Promise<Trace[]> {
    const directory = place(name);
    const gate = path.join(scratch.path, `${name}-gate`);
    const id = await submit(b, { ...spec, run: traced(directory, `until [ -e ${gate} ]; do sleep 0.02; done`) });
    await until(
      () => Promise.resolve(readdirSync(directory).length >= begun ? true : undefined),
      patienceMs,
      () => `${readdirSync(directory).length} of ${begun} tasks have begun`,
    );
    writeFileSync(gate, "");
    await finished(mesh, id);
    expect(tracesIn(directory).length).toBe(spec.count);
    return tracesIn(directory);
  }

  test("slots: a node never runs more than it has room for, and all nodes are used", async () => {
    const byNode = Map.groupBy(await tracesOnceBegun("slots", 6, { count: 18, slots: 2 }), (trace) => trace.node);
    expect(byNode.size).toBe(3);
    for (const traces of byNode.values()) expect(mostAtOnce(traces)).toBe(2);
  });

  test("parallel: so many at once over all nodes", async () => {
    expect(mostAtOnce(await tracesOnceBegun("parallel", 3, { count: 15, parallel: 3 }))).toBe(3);
  });

  test("priority: of those that wait the highest goes first, and of equals the older", async () => {
    const directory = place("priority");
    const gate = path.join(directory, "gate");
    const blocker = await submit(b, { run: `until [ -e ${gate} ]; do sleep 0.02; done`, slots: 4, on: "zone=c" });
    const order: number[] = [];
    for (const priority of [10, 50, 90, 50]) {
      order.push(
        await submit(b, { run: traced(place(`priority-${order.length}`), "true"), slots: 4, on: "zone=c", priority }),
      );
    }
    expect(await Promise.all(order.map(stateOf))).toEqual(["queued", "queued", "queued", "queued"]);
    writeFileSync(gate, "");
    for (const id of [blocker, ...order]) expect((await finished(mesh, id)).state).toBe("succeeded");
    const began = [0, 1, 2, 3].map((at) => tracesIn(path.join(scratch.path, `priority-${at}`))[0]!.began);
    const started = [...began.keys()].toSorted((x, y) => began[x]! - began[y]!);
    expect(started).toEqual([2, 1, 3, 0]);
  });
});

describe("cancel", () => {
  test("a running job: TERM, its last words, cancelling until they are said, no second attempt", async () => {
    const directory = place("cancel");
    const run = `exec 2>/dev/null; trap 'touch ${directory}/told; until [ -e ${directory}/go ]; do sleep 0.02; done; echo last words; exit 0' TERM; touch ${directory}/up; while :; do sleep 0.02; done`;
    const id = await submit(b, { run, retries: { max: 3, backoff: "1ms", on: ["failed", "timeout"] } });
    await untilFile(`${directory}/up`);
    const said = await a.skein(["cancel", String(id)]);
    expect(said).toMatchObject({ code: 0, stdout: `job ${id} is being cancelled\n` });
    await untilFile(`${directory}/told`);
    expect((await a.api("GET", `/v1/jobs/${id}`)).body).toMatchObject({ state: "running", cancelling: true });
    writeFileSync(`${directory}/go`, "");
    expect((await finished(mesh, id)).state).toBe("cancelled");
    expect(await tasksOf(a, id)).toMatchObject([{ state: "cancelled", attempt: 1, tail: "last words\n" }]);
    const again = await a.skein(["cancel", String(id)]);
    expect(again.code).toBe(6);
    expect(again.stderr).toContain("has ended already: cancelled");
  });

  test("a queued job never runs; of an array that runs, neither do the tasks that wait", async () => {
    const directory = place("cancel-queued");
    const waiting = await submit(b, { run: traced(directory, "true"), on: "zone=none" });
    const array = await submit(b, { run: traced(directory, "sleep 60"), count: 50, parallel: 2 });
    await until(
      () => Promise.resolve(readdirSync(directory).length === 2 ? true : undefined),
      patienceMs,
      () => "the array did not start",
    );
    expect((await a.skein(["cancel", `${waiting},${array}`, "-o", "quiet"])).stdout).toBe(`${waiting}\n${array}\n`);
    expect((await finished(mesh, waiting)).state).toBe("cancelled");
    const job = await finished(mesh, array);
    expect(job).toMatchObject({ state: "cancelled", counts: { cancelled: 50, running: 0, queued: 0 } });
    expect(tracesIn(directory).filter((trace) => trace.job === waiting)).toEqual([]);
    expect(tracesIn(directory).filter((trace) => trace.job === array).length).toBe(2);
  });
});

describe("submitting twice", () => {
  test("with the same idempotency key: one job, whichever node is asked; another body is a conflict", async () => {
    const spec = { run: "true", name: "once" };
    const key = { "idempotency-key": "e2e-once" };
    const first = await a.api("POST", "/v1/jobs", spec, key);
    const second = await b.api("POST", "/v1/jobs", spec, { ...key, authorization: `Bearer ${a.token}` });
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.body).toEqual(first.body);
    expect((await a.api("POST", "/v1/jobs", { ...spec, run: "false" }, key)).status).toBe(409);
    const words = ["run", "-d", "--idempotency-key", "e2e-run", "--"];
    const said = [
      await a.skein([...words, "true"]),
      await a.skein([...words, "true"]),
      await a.skein([...words, "false"]),
    ];
    expect(said.map(({ code }) => code)).toEqual([0, 0, 6]);
    expect(said[1]!.stdout).toBe(said[0]!.stdout);
  });
});
