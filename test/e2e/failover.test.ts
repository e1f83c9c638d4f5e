import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, submitToEach, type TaskAnswer, tasksOf } from "../../scripts/mesh-jobs.ts";
import { temporaryDirectory, untilTrue, whileLeasesHold } from "./harness.ts";

/** The real binary, real processes, SIGKILL. */

/** What an attempt wrote about itself: when it began and, if it got that far, when it ended (ms), and on which node it ran. */
interface Trace {
  readonly task: number;
  readonly attempt: number;
  readonly node: number;
  readonly began: number;
  readonly ended: number | undefined;
}

/** A shell line that writes such a trace into `directory` around `body`. */
function traced(directory: string, body: string): string {
  const file = `${directory}/$SKEIN_TASK.$SKEIN_ATTEMPT`;
  return `echo "$SKEIN_NODE $(date +%s%3N)" > ${file}; ${body}; date +%s%3N >> ${file}`;
}

function traces(directory: string): Trace[] {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map(({ name }) => {
    const [task, attempt] = name.split(".").map(Number);
    const [node, began, ended] = readFileSync(path.join(directory, name), "utf8").trim().split(/\s+/).map(Number);
    return { task: task!, attempt: attempt!, node: node!, began: began!, ended };
  });
}

/** No task had two attempts alive at the same time (J1). */
function expectNoOverlap(all: readonly Trace[]): void {
  const byTask = Map.groupBy(all, (trace) => trace.task);
  for (const [task, attempts] of byTask) {
    attempts.sort((a, b) => a.attempt - b.attempt);
    attempts.slice(1).forEach((later, at) => {
      const earlier = attempts[at]!;
      const { ended } = earlier;
      if (ended !== undefined && later.began < ended) {
        throw new Error(`task ${task}: attempt ${later.attempt} began before attempt ${earlier.attempt} ended`);
      }
    });
  }
}

/** Kills `victim` once about a third of the tasks has begun, while plenty of them run on it. */
async function killInTheMiddle(victim: MeshNode, directory: string, tasks: number): Promise<void> {
  const begun = (): number => readdirSync(directory).length;
  await untilTrue(
    () => begun() >= tasks / 3,
    () => `only ${begun()} of ${tasks} tasks have begun`,
  );
  await victim.kill();
}

async function followerOf(mesh: Mesh): Promise<MeshNode> {
  const leader = await mesh.leader({ voters: 3 });
  return mesh.nodes.find((node) => node !== leader)!;
}

/**
 * An array that the three nodes were given in units of 40, four of which run at once on each. Those that begin first on a node end at once, the others when the gate is open: so each node holds four
 * that have ended, four that run, and many that wait there for their turn. With `on_lost: fail` none waits there: a node is given four, and the next four when those have ended.
 */
class Units {
  readonly #mesh: Mesh;
  readonly #directory: string;
  readonly #gate: string;
  readonly #onLost: "retry" | "fail";
  readonly #victim: MeshNode;
  #id = 0;
  /** What of the victim's had ended before it died, as it was told then. */
  #kept: readonly TaskAnswer[] = [];

  constructor(mesh: Mesh, directory: string, victim: MeshNode, onLost: "retry" | "fail") {
    this.#mesh = mesh;
    this.#directory = path.join(directory, "units");
    this.#gate = path.join(directory, "open");
    this.#victim = victim;
    this.#onLost = onLost;
    mkdirSync(this.#directory);
  }

  /** Returns when the victim is in the middle of its unit. */
  async begin(node: MeshNode): Promise<void> {
    const isFirst = this.#onLost === "retry" ? "$((SKEIN_INDEX % 40)) -lt 4" : "$SKEIN_INDEX -lt 12";
    const body = `[ ${isFirst} ] || until [ -e ${this.#gate} ]; do sleep 0.1; done`;
    const run = traced(this.#directory, body);
    this.#id = await submit(node, { run, count: 120, unit: 40, slots: 0, on_lost: this.#onLost });
    const victim = this.#victim.ready.node;
    const isThere = async (): Promise<true | undefined> => {
      const own = (await tasksOf(node, this.#id)).filter((task) => task.node === victim);
      this.#kept = own.filter(({ state }) => state === "succeeded");
      const live = traces(this.#directory).filter((trace) => trace.node === victim && trace.ended === undefined);
      // What would be lost with the node is not given to it to wait there.
      const isWhole = own.length === (this.#onLost === "retry" ? 40 : this.#kept.length + 4);
      return isWhole && this.#kept.length >= 4 && live.length === 4 ? true : undefined;
    };
    await until(isThere, patienceMs, () => `node ${victim} is not in the middle of a unit: ${this.#kept.length} ended`);
  }

  /** The victim is dead: the rest goes on. Every task is there once, and has ended as it had to. */
  async end(node: MeshNode): Promise<void> {
    writeFileSync(this.#gate, "");
    const job = await finished(this.#mesh, this.#id);
    const tasks = await tasksOf(node, this.#id);
    expect(tasks.map((task) => task.task)).toEqual(Array.from({ length: 120 }, (_, at) => at));
    for (const { task, finished_at } of this.#kept)
      expect(tasks[task]).toMatchObject({ state: "succeeded", attempt: 1, finished_at, node: this.#victim.ready.node });
    const all = traces(this.#directory);
    expectNoOverlap(all);
    const succeeded = tasks.filter((task) => task.state === "succeeded");
    const wrote = new Set(all.map(({ task, attempt }) => `${task}.${attempt}`));
    expect(succeeded.filter(({ task, attempt }) => !wrote.has(`${task}.${attempt}`))).toEqual([]);
    const others = tasks.filter((task) => task.state !== "succeeded");
    if (this.#onLost === "retry") {
      expect(job.state).toBe("succeeded");
      expect(others).toEqual([]);
      return;
    }
    expect(job).toMatchObject({ state: "failed", counts: { succeeded: succeeded.length, lost: others.length } });
    // Those that ran: nothing that is lost with its node waits there.
    expect(others.length).toBe(4);
    expect(others.every((task) => task.state === "lost" && task.node === this.#victim.ready.node)).toBe(true);
    expect(new Set(all.map(({ task }) => task)).size).toBe(all.length);
  }
}

describe("a node dies while a job of 300 tasks runs on three, in the middle of a unit of another one", () => {
  test.each([
    ["leader", "retry"],
    ["follower", "fail"],
  ] as const)(
    "SIGKILL of the %s, on_lost: %s",
    async (whom, onLost) => {
      await using mesh = await Mesh.start({ nodes: 3, flags: ["--io-tasks", "4"] });
      using scratch = temporaryDirectory();
      using aside = temporaryDirectory();
      const victim = whom === "leader" ? await mesh.leader({ voters: 3 }) : await followerOf(mesh);
      const survivor = mesh.nodes.find((node) => node !== victim)!;
      const units = new Units(mesh, aside.path, victim, onLost);
      await units.begin(survivor);
      const id = await submit(survivor, {
        run: traced(scratch.path, "sleep 0.$((5 + SKEIN_TASK % 15))"),
        count: 300,
      });
      const waiting = survivor.skein(["wait", String(id)]);
      await killInTheMiddle(victim, scratch.path, 300);

      await units.end(survivor);
      const waited = await waiting; // returns by itself
      expect({ code: waited.code, stderr: waited.stderr }).toMatchObject({ code: 0 });
      const job = await finished(mesh, id);
      expect(job.counts).toMatchObject({ succeeded: 300, failed: 0, lost: 0 });

      const tasks = await tasksOf(survivor, id);
      expect(tasks.map((task) => task.task)).toEqual(Array.from({ length: 300 }, (_, at) => at));
      expect(tasks.every((task) => task.state === "succeeded" && task.exit_code === 0)).toBe(true);
      const dead = victim.ready.node;
      // Only what the dead node had begun was begun again, and it was declared lost before; what is not begun (skipped) goes elsewhere from any slow node.
      const begun = tasks.map(({ attempts }) => attempts.filter(({ state }) => state !== "skipped"));
      const twice = begun.filter((attempts) => attempts.length > 1);
      expect(twice.every(([first]) => first!.node === dead && first!.state === "lost")).toBe(true);
      const all = traces(scratch.path);
      expectNoOverlap(all);
      const ranTwice = [...Map.groupBy(all, (trace) => trace.task).values()].filter((attempts) => attempts.length > 1);
      expect(ranTwice.every((attempts) => attempts.some((one) => one.node === dead))).toBe(true);

      // Back again: it catches up and takes work.
      await victim.start();
      await until(
        async () => {
          const next = await submit(victim, { run: "true", count: 12 });
          expect((await finished(mesh, next)).state).toBe("succeeded");
          return (await tasksOf(victim, next)).find((task) => task.node === dead);
        },
        patienceMs,
        () => `node ${dead} takes no work after its restart`,
      );
    },
    600_000,
  );
});

describe("a node's process dies and comes back before its lease is over", () => {
  test("what its guard still runs or has finished is handed back, nothing is started again", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    const victim = await followerOf(mesh);
    await whileLeasesHold(async (counts) => {
      counts(mesh.nodes);
      using scratch = temporaryDirectory();
      // Two tasks per node: one ends while the node is away, one goes on beyond its return.
      const [short, long] = await Promise.all(
        ["short", "long"].map(async (name) => {
          const directory = path.join(scratch.path, name);
          mkdirSync(directory);
          const gate = path.join(scratch.path, `${name}-gate`);
          const spec = { run: traced(directory, `until [ -e ${gate} ]; do sleep 0.02; done`) };
          return { id: await submitToEach(mesh, victim, spec), gate, traces: () => traces(directory) };
        }),
      );
      for (const job of [short!, long!]) {
        await untilTrue(
          () => job.traces().length >= 3,
          () => `only ${job.traces().length} of 3 tasks have begun`,
        );
      }
      await victim.kill();
      writeFileSync(short!.gate, "");
      await untilTrue(
        () => short!.traces().every((trace) => trace.ended !== undefined),
        () => `not all have ended: ${JSON.stringify(short!.traces())}`,
      );
      await victim.start();
      writeFileSync(long!.gate, "");
      for (const job of [short!, long!]) {
        expect((await finished(mesh, job.id)).counts).toMatchObject({ succeeded: 3 });
        expect((await tasksOf(victim, job.id)).map((task) => task.attempt)).toEqual([1, 1, 1]);
        expect(job.traces().length).toBe(3);
      }
    });
  }, 600_000);
});

describe("all nodes die at once", () => {
  test("every acknowledged job is there after the restart, and finishes", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    await mesh.leader({ voters: 3 });
    const acknowledged: number[] = [];
    const clients = mesh.nodes.map(async (node) => {
      while (node.running) {
        try {
          acknowledged.push(await submit(node, { run: "true" }));
        } catch {
          return; // the node is dead: nothing was acknowledged
        }
      }
    });
    await untilTrue(
      () => acknowledged.length >= 200,
      () => `only ${acknowledged.length} jobs were acknowledged`,
    );
    await Promise.all(mesh.nodes.map((node) => node.kill()));
    await Promise.all(clients);

    await Promise.all(mesh.nodes.map((node) => node.start()));
    await mesh.leader({ voters: 3 });
    expect(new Set(acknowledged).size).toBe(acknowledged.length);
    for (const id of acknowledged) expect((await finished(mesh, id)).state).toBe("succeeded");
  }, 600_000);
});
