import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findUser } from "../../src/executor/guard/user.ts";
import { placesOf } from "../../src/executor/guard/places.ts";
import { Rig, until } from "./rig.ts";

/** Whom a task runs as, and what it may take: by rlimits, by a control group of plain files, and by a real one where there is one. */

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

const isRoot = process.getuid?.() === 0;
const nobody = findUser("nobody");
const canBecome = isRoot && typeof nobody === "object";
const whyNot = canBecome ? "" : ` (skipped: ${typeof nobody === "string" ? nobody : "this test does not run as root"})`;

describe("user", () => {
  test("nobody of that name, or a node that may not: the task fails at once, and says so", async () => {
    await rig.open();
    const report = await rig.run({ run: "echo ran", user: "no-such-user-here" });
    expect(report).toMatchObject({
      state: "failed",
      exitCode: null,
      reason: "there is no user no-such-user-here on this node",
    });
    expect(await rig.logText(report)).toBe("");
  });

  test("the node's own user needs nothing", async () => {
    await rig.open();
    const username = Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
    const report = await rig.run({ run: 'id -un; echo "$USER"', user: username });
    expect([report.state, await rig.logText(report)]).toEqual(["succeeded", `${username}\n${username}\n`]);
  });

  test.skipIf(!canBecome)(
    `another one: its ids, groups, home and a scratch directory of its own${whyNot}`,
    async () => {
      await rig.open();
      const run = `id -un; id -gn; id -Gn; echo "$HOME $USER $LOGNAME"; touch mine && stat -c %U . mine; pwd; echo $SKEIN_TASK; umask; kill -0 1 2>/dev/null || echo powerless`;
      const report = await rig.run({ run, user: "nobody" }, { task: 7 });
      const group = Bun.spawnSync(["id", "-gn", "nobody"]).stdout.toString().trim();
      const groups = Bun.spawnSync(["id", "-Gn", "nobody"]).stdout.toString().trim();
      const { home } = nobody as Exclude<typeof nobody, string>;
      const scratch = join(placesOf(rig.dataDir).userScratch, "1.7.1");
      const text = await rig.logText(report);
      expect(text.split("\n").slice(0, 8)).toEqual([
        "nobody",
        group,
        groups,
        `${home} nobody nobody`,
        "nobody",
        "nobody",
        scratch,
        "7",
      ]);
      expect(text).toContain("powerless");
      expect([report.state, existsSync(scratch)]).toEqual(["succeeded", false]);
      rmSync(placesOf(rig.dataDir).userScratch, { recursive: true });
    },
  );

  test.skipIf(!canBecome)(
    `another one's processes end as all do, with the words of a list as they are${whyNot}`,
    async () => {
      await rig.open();
      const words = await rig.run({ run: ["printf", "%s|", "a b", "$HOME", "; id"], user: "nobody" }, { task: 1 });
      expect(await rig.logText(words)).toBe("a b|$HOME|; id|");
      const missing = await rig.run({ run: ["no-such-command"], user: "nobody" }, { task: 2 });
      expect([missing.exitCode, missing.reason]).toEqual([127, "no such command: no-such-command"]);
      const slow = await rig.run(
        { run: "setsid sleep 600 & sleep 600", user: "nobody", timeoutMs: 300, graceMs: 100 },
        { task: 3 },
      );
      expect(slow.state).toBe("timeout");
      await until("the end of all", () => rig.marked().length === 0);
      rmSync(placesOf(rig.dataDir).userScratch, { recursive: true, force: true });
    },
  );
});

describe("limits by rlimits", () => {
  test("open files and addresses are what the process finds, and the command's number stays", async () => {
    await rig.open();
    const report = await rig.run({
      run: "ulimit -n; ulimit -v; ulimit -t",
      limits: { files: 64, memoryBytes: 2 ** 30, cpuMs: 90_000 },
    });
    expect([report.state, await rig.logText(report)]).toEqual(["succeeded", "64\n1048576\n90\n"]);
  });

  test("CPU time past the limit ends the task, and the reason says what counted it", async () => {
    await rig.open();
    const report = await rig.run({ run: ["sh", "-c", "while :; do :; done"], limits: { cpuMs: 1000 } });
    expect([report.state, report.signal, report.reason]).toEqual([
      "failed",
      "SIGXCPU",
      "used more CPU time than limits.cpu allows (1s for each process, by rlimit)",
    ]);
  });

  test("memory past the limit cannot be had, and the reason says that it may have been that", async () => {
    await rig.open();
    const report = await rig.run({
      run: "head -c 400000000 /dev/zero | tail -c 300000000 >/dev/null || exit 3",
      limits: { memoryBytes: 64 * 2 ** 20 },
    });
    expect([report.state, report.exitCode, report.reason]).toEqual([
      "failed",
      3,
      "failed under rlimits, which do not tell whether they were hit: limits.memory (64MiB of addresses for each process)",
    ]);
  });

  test.skipIf(!canBecome)(`processes past the limit cannot be had by another user${whyNot}`, async () => {
    await rig.open();
    const run = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait";
    const report = await rig.run({ run, user: "nobody", limits: { processes: 3 } });
    expect(report.state).toBe("failed");
    expect(report.reason).toContain("limits.processes (3 of its user)");
    rmSync(placesOf(rig.dataDir).userScratch, { recursive: true, force: true });
  });
});

/** As the kernel shows a directory in which groups with limits may be made; what is in a new group is there when it is made. */
function plainRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "skein-cgroup-"));
  writeFileSync(join(root, "cgroup.controllers"), "cpuset cpu io memory pids\n");
  writeFileSync(join(root, "cgroup.subtree_control"), "\n");
  return root;
}

describe("limits by a control group", () => {
  let root: string;
  beforeEach(async () => {
    root = plainRoot();
    await rig.executor.close();
    rig.cgroupRoot = root;
    rig.executor = rig.newExecutor();
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const groupOf = (attempt: string): string => join(root, `skein-${placesOf(rig.dataDir).marker}-${attempt}`);
  const read = (attempt: string, file: string): string => readFileSync(join(groupOf(attempt), file), "utf8").trim();

  test("the limits are written before the process starts, which enters it first, and all is killed at the end", async () => {
    await rig.open();
    const spec = {
      run: "echo $$; ulimit -v; ulimit -n",
      limits: { memoryBytes: 2 ** 30, processes: 20, cpuMs: 60_000, files: 99 },
    };
    const report = await rig.run(spec, { task: 4 });
    const [pid, ...rlimits] = (await rig.logText(report)).trim().split("\n");
    expect([report.state, report.reason, rlimits]).toEqual(["succeeded", undefined, ["unlimited", "99"]]);
    expect(readFileSync(join(root, "cgroup.subtree_control"), "utf8")).toBe("+memory +pids");
    expect([read("1.4.1", "memory.max"), read("1.4.1", "pids.max")]).toEqual([String(2 ** 30), "20"]);
    expect([read("1.4.1", "cgroup.procs"), read("1.4.1", "cgroup.kill")]).toEqual([pid!, "1"]);
  });

  test("what the kernel tells of memory and processes is the reason", async () => {
    await rig.open();
    const tells = (file: string, text: string): string =>
      `echo '${text}' > ${groupOf("$SKEIN_JOB.$SKEIN_TASK.1")}/${file}; exit 137`.replace(`'${text}'`, `"${text}"`);
    const memory = await rig.run(
      { run: tells("memory.events", "oom_kill 1"), limits: { memoryBytes: 2 ** 26 } },
      { task: 1 },
    );
    expect(memory.reason).toBe("used more memory than limits.memory allows (64MiB, by its cgroup)");
    const processes = await rig.run({ run: tells("pids.events", "max 3"), limits: { processes: 5 } }, { task: 2 });
    expect(processes.reason).toBe("wanted more processes than limits.processes allows (5, by its cgroup)");
    const neither = await rig.run({ run: "exit 3", limits: { processes: 5 } }, { task: 3 });
    expect([neither.state, neither.reason]).toEqual(["failed", undefined]);
  });

  test("CPU time of all processes together past the limit ends them, whatever they make of it", async () => {
    await rig.open();
    const stat = `${groupOf("1.0.1")}/cpu.stat`;
    const run = `trap 'exit 0' TERM; echo "usage_usec 1000001" > ${stat}; while :; do sleep 0.05; done`;
    const report = await rig.run({ run, limits: { cpuMs: 1000 } });
    expect([report.state, report.reason]).toEqual([
      "failed",
      "used more CPU time than limits.cpu allows (1s, counted by its cgroup)",
    ]);
  });

  test("one that was left by a guard that was killed is ended by the next", async () => {
    const left = groupOf("9.9.9");
    mkdirSync(left);
    const strange = join(root, "skein-0123456789abcdef-1.1.1");
    mkdirSync(strange);
    await rig.open();
    await rig.run({ run: "true", limits: { processes: 5 } });
    await until("the end of it", () => existsSync(join(left, "cgroup.kill")));
    expect(readdirSync(strange)).toEqual([]);
  });

  test("a root that lacks controllers is told once: rlimits hold what they would, the group the rest", async () => {
    writeFileSync(join(root, "cgroup.controllers"), "cpu io\n");
    await rig.open();
    const report = await rig.run({ run: "ulimit -v; ulimit -t", limits: { memoryBytes: 2 ** 30, cpuMs: 90_000 } });
    const failed = await rig.run({ run: "exit 3", limits: { processes: 500 } }, { task: 1 });
    expect(await rig.logText(report)).toBe("1048576\nunlimited\n");
    expect([readdirSync(groupOf("1.0.1")).includes("memory.max"), read("1.0.1", "cgroup.kill")]).toEqual([false, "1"]);
    expect(failed.reason).toContain("limits.processes (500 of its user)");
    const words = readFileSync(rig.path("guard.log"), "utf8");
    expect(words.split("lacks the controllers memory and pids").length - 1).toBe(1);
  });

  test("a root where none can be made is told once, and rlimits are used", async () => {
    rmSync(join(root, "cgroup.controllers"));
    await rig.open();
    const report = await rig.run({ run: "ulimit -v", limits: { memoryBytes: 2 ** 30 } });
    await rig.run({ run: "true", limits: { processes: 500_000 } }, { task: 1 });
    expect(await rig.logText(report)).toBe("1048576\n");
    const words = readFileSync(rig.path("guard.log"), "utf8");
    expect(words.split("no control groups below").length - 1).toBe(1);
  });
});

/** A real one: of version 2, and writable; with the controllers, or beside those of version 1 and without. */
const known = [process.env["SKEIN_TEST_CGROUP"], "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const real = known.find((path) => path !== undefined && existsSync(join(path, "cgroup.controllers"))) ?? "";
const whyNotReal = ((): string | undefined => {
  if (real === "") return "no control groups of version 2 here";
  if (!isRoot) return "this test does not run as root";
  try {
    const probe = join(real, `skein-probe-${process.pid}`);
    mkdirSync(probe);
    rmdirSync(probe);
    return undefined;
  } catch (error) {
    return `no group can be made below ${real}: ${(error as Error).message}`;
  }
})();
const controllers = whyNotReal === undefined ? readFileSync(join(real, "cgroup.controllers"), "utf8").split(/\s+/) : [];
const hasControllers = ["memory", "pids"].every((one) => controllers.includes(one));
const whyNotBounded = whyNotReal ?? (hasControllers ? undefined : `${real} has no memory and pids controllers`);
const skipped = (reason: string | undefined): string => (reason === undefined ? "" : ` (skipped: ${reason})`);

describe("a real control group", () => {
  beforeEach(async () => {
    await rig.executor.close();
    rig.cgroupRoot = real;
    rig.executor = rig.newExecutor();
    await rig.open();
  });

  test.skipIf(whyNotBounded !== undefined)(`bounds memory and processes${skipped(whyNotBounded)}`, async () => {
    const hungry = "head -c 400000000 /dev/zero | tail -c 300000000 > /dev/null || exit 3";
    const memory = await rig.run({ run: hungry, limits: { memoryBytes: 2 ** 25 } }, { task: 1 });
    expect([memory.state, memory.reason]).toEqual([
      "failed",
      "used more memory than limits.memory allows (32MiB, by its cgroup)",
    ]);
    const run = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait; exit 3";
    const processes = await rig.run({ run, limits: { processes: 3 } }, { task: 2 });
    expect(processes.reason).toBe("wanted more processes than limits.processes allows (3, by its cgroup)");
  });

  test.skipIf(whyNotReal !== undefined)(
    `counts the CPU time of all processes, and ends what nothing else would find${skipped(whyNotReal)}`,
    async () => {
      const busy = "(while :; do :; done) & (while :; do :; done) & wait";
      const cpu = await rig.run({ run: busy, graceMs: 100, limits: { cpuMs: 1000 } }, { task: 3 });
      expect(cpu.reason).toBe("used more CPU time than limits.cpu allows (1s, counted by its cgroup)");
      // Out of its group, and without a mark in its environment: only the control group knows it.
      const escaped = `env -i setsid sh -c 'echo $$ > ${rig.path("pid")}; exec sleep 600' > /dev/null 2>&1 & until [ -s ${rig.path("pid")} ]; do sleep 0.02; done`;
      await rig.run({ run: escaped, limits: { cpuMs: 60_000 } }, { task: 4 });
      const pid = await rig.pidIn(rig.path("pid"));
      await until("its end", () => !existsSync(`/proc/${pid}`));
      const { marker } = placesOf(rig.dataDir);
      expect(readdirSync(real).filter((name) => name.includes(marker))).toEqual([]);
    },
  );
});
