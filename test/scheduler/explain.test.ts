import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { explainJob } from "../../src/scheduler/explain.ts";
import { foresee } from "../../src/scheduler/foresee.ts";
import { PlacementView } from "../../src/scheduler/view.ts";
import type { ExplainView, PlannedView } from "../../src/state/answers.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { waitingFacts } from "../../src/state/explaining.ts";
import { foreseenJobs, rehearseSubmit } from "../../src/state/rehearsal.ts";
import { admin, Cluster, system } from "../state/support.ts";

/** What a leader that has just begun says of a job. */
function explain(cluster: Cluster, job: number, options: { readonly away?: Record<number, string> } = {}): ExplainView {
  const view = new PlacementView();
  view.reset(cluster.database);
  const facts = waitingFacts(cluster.database, job)!;
  const standings = view.standings((node) => options.away?.[node]);
  return explainJob(facts, view.queued(jobId(job)), standings, cluster.now);
}

/** Places and logs what there is room for. */
function place(cluster: Cluster): void {
  const view = new PlacementView();
  view.reset(cluster.database);
  const { units } = view.plan(new Set(view.nodes()), cluster.now, limits.assignmentsPerEntry);
  for (const { job, node, tasks } of units) expect(cluster.assign(job, node, ...tasks)).toBe(0);
}

const codes = (view: ExplainView): string[] => [
  ...view.reasons.map(({ code }) => code),
  ...view.waiting.flatMap(({ reasons }) => reasons.map(({ code }) => code)),
];

describe("why a job waits", () => {
  test("no member has all of its bundle any more, though its tasks are given to nodes", () => {
    const cluster = Cluster.ofNewest(1);
    const digest = "d".repeat(64);
    const bundle = { name: "site", digest, files: 1, bytes: 1, copies: 1, holders: [nodeId(1)], source: null };
    cluster.must("bundle.set", bundle, admin);
    cluster.must("job.submit", { jobs: [{ run: "x", bundle: { name: "site", digest } }] }, admin);
    place(cluster);
    expect(explain(cluster, 1).reasons).toEqual([]);
    cluster.must("bundle.held", { node: nodeId(1), held: [], gone: [digest] }, system);
    const { queued, reasons } = explain(cluster, 1);
    expect([queued, reasons[0]?.code, reasons[0]?.message]).toEqual([
      0,
      "bundle",
      expect.stringContaining("no member has all of bundle site any more"),
    ]);
  });

  test("no node has the labels: which term fails on which node", () => {
    const cluster = Cluster.of(2);
    cluster.submit({ on: "number=2,gpu,!number" });
    const { waiting, queued } = explain(cluster, 1);
    expect(queued).toBe(1);
    expect(waiting[0]!.reasons.map(({ code }) => code)).toEqual(["no-node"]);
    expect(waiting[0]!.nodes).toEqual([
      {
        node: 1,
        name: "n1",
        state: "never",
        reasons: [
          "number=2 is asked for, node n1 has number=1",
          "gpu is asked for, node n1 has no label gpu",
          "!number is asked for, node n1 has number=1",
        ],
      },
      {
        node: 2,
        name: "n2",
        state: "never",
        reasons: ["gpu is asked for, node n2 has no label gpu", "!number is asked for, node n2 has number=2"],
      },
    ]);
  });

  test("more slots than any node has, and nodes that are full, with how many are free", () => {
    const cluster = Cluster.of(2);
    cluster.submit({ slots: 3, count: 2 });
    place(cluster);
    cluster.submit({ slots: 5 });
    cluster.submit({ slots: 2 });
    expect(explain(cluster, 2).waiting[0]!.nodes.map(({ state, reasons }) => [state, reasons])).toEqual([
      ["never", ["node n1 has 4 slots, the task asks for 5"]],
      ["never", ["node n2 has 4 slots, the task asks for 5"]],
    ]);
    const third = explain(cluster, 3);
    expect(codes(third)).toEqual(["no-room", "queue"]);
    expect(third.ahead).toBe(1);
    expect(third.waiting[0]!.nodes[0]!.reasons).toEqual(["node n1 has 1 of 4 slots free, the task asks for 2"]);
  });

  test("drained, lost, quarantined and silent nodes", () => {
    const cluster = Cluster.of(4);
    cluster.submit();
    cluster.must("node.drain", { node: 1 }, admin);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    cluster.must("node.quarantine", { node: nodeId(3), entry: 1, reason: "" } as never);
    const { waiting } = explain(cluster, 1, { away: { 4: "it has no lease" } });
    expect(waiting[0]!.reasons[0]!.message).toBe("4 nodes can run it, 4 taking no work");
    expect(waiting[0]!.nodes.map(({ state, reasons }) => [state, reasons[0]])).toEqual([
      ["away", "node n1 is drained"],
      ["away", "node n2 is lost: it has not renewed its lease"],
      ["away", "node n3 is in quarantine: its state is being replaced by the others'"],
      ["away", "it has no lease"],
    ]);
  });

  test("`parallel`, retries that wait for their instant, and tasks never started are told apart", () => {
    const cluster = Cluster.of(1);
    cluster.submit({ count: 6, parallel: 2, retries: { max: 3, backoff: "10m", jitter: 0 } });
    place(cluster);
    expect(codes(explain(cluster, 1))).toEqual(["parallel", "next"]);
    cluster.finish(1, 0, 1, 1, "failed");
    const view = explain(cluster, 1);
    expect(view.reasons).toEqual([]);
    expect(view.waiting.map(({ first, tasks, reasons }) => [first, tasks, reasons[0]!.code])).toEqual([
      [0, 1, "backoff"],
      [2, 4, "next"],
    ]);
    expect(view.waiting[0]!.reasons[0]!.until).toBe("1970-01-01T00:26:40.000Z");
  });

  test("a pinned task waits for its own node alone", () => {
    const cluster = Cluster.of(3);
    cluster.submit({ count: 4, on: "number=2" });
    place(cluster);
    cluster.submit({ each_node: true });
    place(cluster);
    const { waiting } = explain(cluster, 2);
    expect(waiting.map(({ pinned, nodes }) => [pinned, nodes.map(({ node, state }) => [node, state])])).toEqual([
      [2, [[2, "full"]]],
    ]);
  });

  test("what was stopped, cancelled or has ended says so", () => {
    const cluster = Cluster.of(1);
    cluster.submit({ count: 8, parallel: 2, max_failures: 0 });
    place(cluster);
    cluster.finish(1, 0, 1, 1, "failed");
    expect(codes(explain(cluster, 1))).toEqual([]); // the rest has ended as skipped, and one runs
    cluster.finish(1, 1, 1, 1);
    expect(codes(explain(cluster, 1))).toEqual(["ended"]);
    cluster.submit({ count: 8 });
    place(cluster);
    cluster.must("job.cancel", { id: jobId(2) }, admin);
    expect(codes(explain(cluster, 2))).toEqual(["cancelling"]);
  });

  test("each gate that is shut, with whom it waits for", () => {
    const cluster = Cluster.of(1);
    cluster.level = 3;
    cluster.must(
      "token.create",
      { id: "t-admin2", hash: "h", name: "anna", kind: "api", role: "admin", expiresAt: null, uses: null },
      { token: "", name: "n1", role: "node" },
    );
    const by = { token: "t-admin2", name: "anna", role: "admin" } as const;
    const submit = (spec: object): number =>
      cluster.must("job.submit", commandByName("job.submit").input.parse({ jobs: [{ run: "x", ...spec }] }), by).first;
    submit({ key: "deploy" });
    const start = new Date(cluster.now + 60_000).toISOString();
    submit({ key: "deploy", after: [1], start_at: start });
    submit({ key: "deploy" });
    expect(explain(cluster, 2).reasons).toEqual([
      { code: "start_at", message: `it starts no earlier than ${start}`, until: start },
      { code: "after", message: "it waits for the end of job 1 (queued)" },
      { code: "key", message: "one job of the key deploy runs at once: job 1 has it" },
    ]);
    expect(explain(cluster, 3).reasons).toEqual([
      { code: "key", message: "one job of the key deploy runs at once: job 1 has it" },
    ]);
    cluster.must("job.hold", { id: jobId(1) }, by);
    expect(explain(cluster, 1).reasons).toEqual([
      { code: "held", message: "it is held: `skein jobs release 1` lets it go" },
    ]);
  });

  test("its place in the queue: higher priorities, older jobs, and those that came back", () => {
    const cluster = Cluster.of(1);
    cluster.submit({ count: 4 });
    place(cluster);
    for (let number = 0; number < 5; number++) cluster.submit();
    cluster.submit({ priority: 90 });
    cluster.submit({ priority: 10 });
    expect([2, 6, 7, 8].map((job) => explain(cluster, job).ahead)).toEqual([1, 5, 0, 6]);
  });
});

test("what a node was given and does not run at once is told, though nothing of it is queued", () => {
  const cluster = Cluster.ofNewest(1);
  cluster.submit({ count: 40, unit: 40 });
  cluster.give(1, 1, 0, 40, 4);
  const why = explain(cluster, 1);
  expect([why.queued, why.running]).toEqual([0, 40]);
  expect(why.reasons).toEqual([
    { code: "given", message: "40 of its tasks are given to node n1, which runs 4 of them at once" },
  ]);
  cluster.end(1, 1, 0, ...Array.from({ length: 37 }, (_, at): [number, number, number] => [at, 1_000_000, 1_000_010]));
  expect(explain(cluster, 1).reasons).toEqual([]);
});

describe("a plan", () => {
  function plan(cluster: Cluster, ...specs: object[]): PlannedView[] {
    const { jobs } = commandByName("job.submit").prepare(
      commandByName("job.submit").input.parse({ jobs: specs.map((spec) => ({ run: "x", ...spec })) }),
      admin,
    );
    const view = new PlacementView();
    view.reset(cluster.database);
    return foresee(
      foreseenJobs(cluster.database, { jobs }, cluster.now),
      view.standings(() => undefined),
      view,
    );
  }

  test("places what has room, one job after the other, and stores nothing", () => {
    const cluster = Cluster.of(2);
    cluster.submit({ count: 3 });
    place(cluster);
    const { applied } = cluster.database;
    const [first, second, third] = plan(cluster, { matrix: { a: [1, 2], b: ["x", "y"] } }, { count: 3 }, { slots: 9 });
    expect(first!.placement).toEqual([
      { node: 1, name: "n1", tasks: 2 },
      { node: 2, name: "n2", tasks: 2 },
    ]);
    expect(first!.first[1]).toEqual({ task: 1, index: 1, matrix: { a: 1, b: "y" } });
    expect([second!.placement, second!.waits]).toEqual([[{ node: 2, name: "n2", tasks: 1 }], 2]);
    expect(second!.reasons.map(({ code }) => code)).toEqual(["no-room"]);
    expect(third!.reasons.map(({ code }) => code)).toEqual(["no-node"]);
    expect(cluster.database.applied).toBe(applied);
    expect(waitingFacts(cluster.database, 2)).toBeUndefined();
  });

  test("places as the planner then does", () => {
    const cluster = Cluster.of(3);
    cluster.submit({ count: 2, on: "number=2" });
    place(cluster);
    const specs = [{ count: 5, slots: 2 }, { each_node: true }, { driver: "noop", run: undefined, count: 7 }];
    const planned = plan(cluster, ...specs);
    for (const spec of specs) cluster.submit(spec);
    place(cluster);
    const really = [2, 3, 4].map((job) => {
      const nodes = new Map<number, number>();
      for (const { node } of cluster.job(job).counts.running > 0 ? tasksOf(cluster, job) : [])
        if (node !== null) nodes.set(node, (nodes.get(node) ?? 0) + 1);
      return [...nodes].sort(([a], [b]) => a - b);
    });
    expect(planned.map(({ placement }) => placement.map(({ node, tasks }) => [node, tasks]))).toEqual(really as never);
  });

  test("a gated spec takes no room", () => {
    const cluster = Cluster.of(1);
    const [gated, other] = plan(
      cluster,
      { count: 4, start_at: new Date(cluster.now + 1000).toISOString() },
      { count: 4 },
    );
    expect([gated!.placement, gated!.waits, gated!.reasons.map(({ code }) => code)]).toEqual([[], 4, ["start_at"]]);
    expect(other!.waits).toBe(0);
  });

  test("says what the state would refuse, by the checks of the submit itself", () => {
    const cluster = Cluster.of(1);
    const refusal = (spec: object) => {
      const jobs = commandByName("job.submit").input.parse({ jobs: [{ run: "x", ...spec }] });
      const payload = commandByName("job.submit").prepare(jobs, admin);
      const facts = { at: cluster.now, level: 3, index: cluster.database.applied, self: nodeId(1) };
      const rehearsed = rehearseSubmit(cluster.database, payload, admin, facts);
      const really = cluster.propose("job.submit", jobs, admin);
      expect(rehearsed).toEqual(really.ok ? undefined : really.why);
      return rehearsed?.details;
    };
    expect(refusal({})).toBeUndefined();
    expect(refusal({ count: 1_000_000 })).toBeUndefined();
    expect(refusal({ env: { A: { secret: "none" } } })).toEqual([
      { path: "jobs[0].env.A", message: "there is no secret none" },
    ]);
    expect(refusal({ each_node: true, on: "number=9" })).toEqual([
      { path: "jobs[0].on", message: 'no node that is up matches "number=9"' },
    ]);
  });
});

function tasksOf(cluster: Cluster, job: number): { readonly node: number | null }[] {
  const { counts } = cluster.job(job);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return Array.from({ length: total }, (_, task) => cluster.task(job, task));
}
