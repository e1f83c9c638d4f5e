import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect as dial, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shellStart } from "../../src/executor/drivers/shell.ts";
import { GuardClient, type GuardPort } from "../../src/executor/guard/client.ts";
import {
  encodeFrame,
  FrameDecoder,
  type FromGuard,
  guardProtocol,
  type ToGuard,
} from "../../src/executor/guard/frames.ts";
import { startGuard } from "../../src/executor/guard/launch.ts";
import { placesOf, readGuardFile, writeGuardFile } from "../../src/executor/guard/places.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Assignment } from "../../src/state/types.ts";
import { guardCommand, isAlive, Rig, until } from "./rig.ts";

let rig: Rig;
const sockets: Socket[] = [];
beforeEach(() => {
  rig = new Rig();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await rig.close();
});

type Heard<Kind extends FromGuard["kind"]> = Extract<FromGuard, { kind: Kind }>;

/** A node's end of the guard's socket, spoken by hand: what the executor would never say. */
class HandNode {
  readonly heard: FromGuard[] = [];
  readonly #socket: Socket;

  constructor(path: string) {
    const decoder = new FrameDecoder();
    this.#socket = dial({ path });
    this.#socket.on("data", (bytes: Buffer) => this.heard.push(...(decoder.push(bytes) as FromGuard[])));
    this.#socket.on("error", () => {});
    sockets.push(this.#socket);
  }

  /** A node that the guard has welcomed; starts the guard if there is none. */
  static async open(): Promise<HandNode> {
    const places = placesOf(rig.dataDir);
    if (readGuardFile(places) === undefined) startGuard(places, guardCommand(rig.dataDir));
    const node = new HandNode((await until("a guard", () => readGuardFile(places))).socket);
    node.say({ kind: "hello", protocol: guardProtocol, node: 7 });
    await node.hears("listed");
    return node;
  }

  /** Reads nothing from now on. */
  pause(): void {
    this.#socket.pause();
  }

  say(frame: ToGuard): void {
    this.#socket.write(encodeFrame(frame));
  }

  /** Until the guard's `leaseMs` from its last reading of its clock. */
  lease(leaseMs: number): void {
    const { clock } = this.heard.findLast((frame) => frame.kind === "hello" || frame.kind === "clock")!;
    this.say({ kind: "lease", endsAt: clock + leaseMs });
  }

  start(assignment: Assignment): void {
    this.say({ kind: "start", start: shellStart(assignment, nodeId(7), {}) });
  }

  hears<Kind extends FromGuard["kind"]>(kind: Kind): Promise<Heard<Kind>> {
    return until(`a frame "${kind}"`, () => this.heard.find((frame): frame is Heard<Kind> => frame.kind === kind));
  }
}

test("a start without a lease is refused and runs nothing (J3)", async () => {
  const node = await HandNode.open();
  const assignment = rig.assignment({ run: `touch ${rig.path("ran")}` }, { task: 4 });
  node.start(assignment);
  expect((await node.hears("refused")).names).toEqual([{ job: assignment.job, task: 4, attempt: 1 }]);
  node.lease(60_000);
  const next = rig.assignment({ run: "true" }, { task: 5 });
  node.start(next);
  expect((await node.hears("finished")).reports.map((report) => report.task)).toEqual([5]);
  expect(existsSync(rig.path("ran"))).toBe(false);
});

test("a start that is said twice, or again after its end, runs once (J1)", async () => {
  const node = await HandNode.open();
  const assignment = rig.assignment({
    run: `echo x >> ${rig.path("ran")}; while [ ! -e ${rig.path("go")} ]; do sleep 0.02; done`,
  });
  node.lease(60_000);
  node.start(assignment);
  node.start(assignment);
  await until("the first run", () => existsSync(rig.path("ran")));
  await Bun.write(rig.path("go"), "");
  await node.hears("finished");
  node.start(assignment);
  node.start(rig.assignment({ run: "true" }, { task: 1 }));
  await until("the end of the next one", () =>
    node.heard.some((frame) => frame.kind === "finished" && frame.reports.some((report) => report.task === 1)),
  );
  expect(readFileSync(rig.path("ran"), "utf8")).toBe("x\n");
});

test("a node that a newer one has taken the place of can start and stop nothing any more", async () => {
  const former = await HandNode.open();
  former.lease(60_000);
  const running = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; sleep 600` });
  former.start(running);
  const pid = await rig.pidIn(rig.path("pid"));
  // More than a socket holds is on its way to the former one, which does not read: so the guard cannot hang up on it yet.
  former.pause();
  const [count, tailBytes] = [16, limits.tailMaxBytes];
  for (let task = 1; task <= count; task++) {
    former.start(rig.assignment({ run: `head -c ${tailBytes} /dev/zero`, output: { tailBytes } }, { task }));
  }
  await until("results", () => statSync(rig.path("guard.outbox")).size > count * tailBytes);
  const node = await HandNode.open();
  former.say({ kind: "drop", names: [running] });
  former.start(rig.assignment({ run: `touch ${rig.path("ran")}` }, { task: 99 }));
  // What was said before is read before the answers to a few later questions.
  for (let answers = 1; answers <= 5; answers++) {
    node.lease(60_000);
    await until("a reading", () => node.heard.filter((frame) => frame.kind === "clock").length === answers);
  }
  const next = rig.assignment({ run: "true" }, { task: 100 });
  node.start(next);
  await until("the end of the next one", () =>
    node.heard.some((frame) => frame.kind === "finished" && frame.reports.some((report) => report.task === 100)),
  );
  expect(isAlive(pid)).toBe(true);
  expect(existsSync(rig.path("ran"))).toBe(false);
});

test("secrets of the environment that the guard was started in reach neither it nor a task", async () => {
  const secrets = { SKEIN_TOKEN: "secret-1", SKEIN_JOIN_TOKEN: "secret-2" };
  Object.assign(process.env, secrets);
  await rig.open();
  for (const name of Object.keys(secrets)) delete process.env[name];
  expect(readFileSync(`/proc/${rig.guardPid()}/environ`, "latin1")).not.toContain("secret-");
  expect(await rig.logText(await rig.run({ run: "env" }))).not.toContain("secret-");
});

test("secrets that the guard itself was given do not reach a task", async () => {
  const env = { ...process.env, SKEIN_TOKEN: "secret-1", SKEIN_JOIN_TOKEN: "secret-2", OTHER: "secret-3" };
  Bun.spawn(guardCommand(rig.dataDir), {
    env,
    detached: true,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  }).unref();
  await until("the guard", () => existsSync(rig.path("guard.json")));
  await rig.open();
  expect(readFileSync(`/proc/${rig.guardPid()}/environ`, "latin1")).toContain("secret-1");
  const text = await rig.logText(await rig.run({ run: "env" }));
  expect(text).toContain("PATH=");
  expect(text).not.toContain("secret-");
});

test("what was dropped while the guard could not be reached is dropped when it is found again", async () => {
  await rig.open();
  const assignment = rig.assignment({ run: `echo $$ > ${rig.path("pid")}; sleep 600` });
  rig.executor.assign([assignment]);
  const pid = await rig.pidIn(rig.path("pid"));
  rig.onMessage = (message) => {
    if (message.includes("went away")) rig.executor.drop([assignment]);
  };
  await HandNode.open(); // takes the executor's place, which looks for the guard again at once
  await until("the end of the orphan", () => !isAlive(pid));
  expect(rig.guardPid()).toBeGreaterThan(0);
  await rig.run({ run: "true" }, { task: 1 });
  expect(rig.reports.map((report) => report.task)).toEqual([1]);
});

test("a result is acknowledged when the log has it and not before: the next node is told it again (J2)", async () => {
  await rig.open();
  rig.logDown = true;
  const assignment = rig.assignment({ run: `echo x >> ${rig.path("ran")}; echo words` });
  rig.executor.assign([assignment]);
  await until("a refused report", () => rig.messages.some((message) => message.includes("no leader")));
  const guard = rig.guardPid();
  await rig.executor.close();
  await until("the guard's end", () => !isAlive(guard));
  rig.logDown = false;
  rig.executor = rig.newExecutor();
  await rig.open({ held: [assignment] });
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "succeeded", log: { bytes: 6 } });
  expect(readFileSync(rig.path("ran"), "utf8")).toBe("x\n");
});

test("a deadline is never later on the guard's clock than on the node's, however long readings travel (J3)", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "skein-clock-"));
  const ahead = 1_000_000;
  const endsAt: number[] = [];
  const places = placesOf(dataDir);
  const socket = join(dataDir, "guard.sock");
  /** Readings of a guard's clock that stand still on their way for this long. */
  const delaysMs = [80, 0, 40];
  const reading = async (): Promise<number> => {
    const clock = monotonicMs() + ahead;
    await Bun.sleep(delaysMs.shift() ?? 0);
    return clock;
  };
  const decoder = new FrameDecoder();
  const listener = Bun.listen<undefined>({
    unix: socket,
    socket: {
      data: async (peer, bytes) => {
        for (const frame of decoder.push(bytes) as ToGuard[]) {
          const say = (answer: FromGuard): void => void peer.write(encodeFrame(answer));
          if (frame.kind === "hello") {
            say({ kind: "hello", protocol: guardProtocol, pid: process.pid, clock: await reading() });
            say({ kind: "listed", running: [], exact: true });
          } else if (frame.kind === "lease") {
            endsAt.push(frame.endsAt);
            say({ kind: "clock", clock: await reading() });
          } else if (frame.kind === "goodbye") peer.end();
        }
      },
    },
  });
  writeGuardFile(places, { version: 1, marker: places.marker, pid: process.pid, socket });
  let client: GuardPort | undefined;
  const ignore = (): void => {};
  await GuardClient.open(
    { node: nodeId(7), dataDir, guardCommand: ["false"] },
    {
      onOpen: (opened) => void (client = opened),
      onFinished: ignore,
      onStarted: ignore,
      onRefused: ignore,
      onLost: ignore,
    },
  );
  const leases = 4;
  for (let lease = 1; lease <= leases; lease++) {
    client!.lease(500);
    await until("the lease", () => endsAt.length === lease);
    await until("the reading", () => delaysMs.length === Math.max(0, 2 - lease));
    await Bun.sleep(60); // and its arrival
  }
  await client!.close();
  listener.stop(true);
  rmSync(dataDir, { recursive: true, force: true });
  expect(Math.max(...endsAt)).toBeLessThanOrEqual(500 + ahead);
  // The better of two readings counts: each lease is mapped at least as well as the one before.
  expect(endsAt).toEqual(endsAt.toSorted((a, b) => a - b));
  expect(endsAt[1]!).toBeGreaterThan(endsAt[0]!);
});
