import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, type JobAnswer, submit } from "../../scripts/mesh-jobs.ts";
import { temporaryDirectory } from "./harness.ts";
import { type Trace, traced, tracesIn } from "./traces.ts";

/** Tasks that were given to a node and wait there for others of their unit: what becomes of them when they are not to begin there any more. */
let mesh: Mesh;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 3, flags: ["--slots", "4"] });
  await mesh.leader({ voters: 3 });
  for (const [at, node] of mesh.nodes.entries())
    await node.api("PATCH", `/v1/nodes/${node.ready.node}/labels`, { labels: { n: "abc"[at]! } });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

/** Tasks of a unit that run until their gate opens, for all of them or for one. */
class Gated {
  readonly #directory: string;
  readonly #gate: string;
  readonly #node: MeshNode;
  id = 0;

  constructor(name: string) {
    this.#directory = path.join(scratch.path, name);
    this.#gate = path.join(scratch.path, `${name}-open`);
    mkdirSync(this.#directory);
    [this.#node] = mesh.nodes as [MeshNode];
  }

  async begin(spec: object): Promise<void> {
    const body = `until [ -e ${this.#gate} ] || [ -e ${this.#gate}.$SKEIN_TASK ]; do sleep 0.05; done`;
    this.id = await submit(this.#node, { run: traced(this.#directory, body), ...spec });
  }

  open(task?: number): void {
    writeFileSync(task === undefined ? this.#gate : `${this.#gate}.${task}`, "");
  }

  get live(): Trace[] {
    return tracesIn(this.#directory).filter(({ began, ended }) => !Number.isNaN(began) && ended === undefined);
  }

  get traces(): Trace[] {
    return tracesIn(this.#directory);
  }

  async untilLive(count: number): Promise<void> {
    await until(
      () => Promise.resolve(this.live.length === count ? true : undefined),
      patienceMs,
      () => `${this.live.length} tasks run, and not ${count}`,
    );
  }

  async untilCounts(counts: JobAnswer["counts"]): Promise<void> {
    let seen: JobAnswer["counts"] = {};
    await until(
      async () => {
        seen = ((await this.#node.api("GET", `/v1/jobs/${this.id}`)).body as JobAnswer).counts;
        return Object.entries(counts).every(([state, count]) => seen[state] === count) ? true : undefined;
      },
      patienceMs,
      () => `the counts are ${JSON.stringify(seen)}`,
    );
  }

  post(what: string): ReturnType<MeshNode["api"]> {
    return this.#node.api("POST", `/v1/jobs/${this.id}/${what}`);
  }
}

describe("tasks that wait at a node for others of their unit", () => {
  test("do not begin while their job is held: what runs goes on, and the release lets the others go", async () => {
    const job = new Gated("held");
    await job.begin({ count: 40, unit: 40, on: "n=a" });
    await job.untilLive(4);
    expect((await job.post("hold")).status).toBe(200);
    await job.untilCounts({ running: 4, queued: 36 });
    job.open();
    await job.untilCounts({ succeeded: 4, running: 0 });
    expect(job.traces.length).toBe(4);
    expect((await job.post("release")).status).toBe(200);
    expect(await finished(mesh, job.id)).toMatchObject({ state: "succeeded", counts: { succeeded: 40 } });
    expect(job.traces.length).toBe(40);
  });

  test("do not begin on a node that is drained: they begin elsewhere", async () => {
    const [a, b] = mesh.nodes as [MeshNode, MeshNode];
    const job = new Gated("drained");
    await job.begin({ count: 40, unit: 40, on: "n!=c" });
    await job.untilLive(4);
    const on = job.live[0]!.node;
    expect((await a.api("POST", `/v1/nodes/${on}/drain`)).status).toBe(200);
    await job.untilLive(8);
    job.open();
    expect((await finished(mesh, job.id)).state).toBe("succeeded");
    const other = on === a.ready.node ? b.ready.node : a.ready.node;
    expect(job.traces.filter(({ node }) => node === on).length).toBe(4);
    expect(job.traces.filter(({ node }) => node === other).length).toBe(36);
    expect((await a.api("POST", `/v1/nodes/${on}/undrain`)).status).toBe(200);
  });

  test("begin on nodes that are idle", async () => {
    const job = new Gated("idle");
    await job.begin({ count: 40, unit: 40 });
    await job.untilLive(12);
    expect(new Set(job.live.map(({ node }) => node)).size).toBe(3);
    job.open();
    expect((await finished(mesh, job.id)).state).toBe("succeeded");
    expect(job.traces.length).toBe(40);
  });

  test("let a job of a higher priority begin before them", async () => {
    const job = new Gated("low");
    await job.begin({ count: 120, unit: 40 });
    await job.untilLive(12);
    const [a] = mesh.nodes as [MeshNode];
    const urgent = await submit(a, { run: "true", priority: 90, on: "n=a" });
    await job.untilCounts({ running: 84 }); // of the unit on that node only what runs is left there
    job.open(job.live.find(({ node }) => node === a.ready.node)!.task);
    expect((await finished(mesh, urgent)).state).toBe("succeeded");
    await job.untilLive(12);
    job.open();
    expect((await finished(mesh, job.id)).state).toBe("succeeded");
    expect(job.traces.length).toBe(120);
  });
});
