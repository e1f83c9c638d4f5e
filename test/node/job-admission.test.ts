import { afterEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { decode, encode } from "../../src/lib/codec.ts";
import { jobId, nobody, type NodeId, nodeId } from "../../src/lib/ids.ts";
import type { Outcome } from "../../src/lib/outcome.ts";
import { JobAdmission } from "../../src/node/job-admission.ts";
import { forwardReply } from "../../src/node/peer-answers.ts";
import { Proposer } from "../../src/node/propose.ts";
import { applyEntries, type CommittedEntry } from "../../src/state/apply.ts";
import { type CommandInput, type CommandName, commandByName } from "../../src/state/commands/index.ts";
import type { Step } from "../../src/state/firing.ts";
import { totals } from "../../src/state/queries.ts";
import { loadOf } from "../../src/state/tables/load.ts";
import type { Principal } from "../../src/state/types.ts";
import type { StateDatabase } from "../../src/storage/state-db.ts";
import { admin, Cluster, openDatabase, record } from "../state/support.ts";

type Answer = Outcome<{ readonly value: unknown; readonly index: number }>;

/** Jobs that a new leader of these tests lets in unseen. */
const unseen = 5;

/** One node: its state, its way to the log, and what it lets in when it leads. */
class Member {
  readonly id: NodeId;
  readonly database: StateDatabase = openDatabase();
  readonly admission: JobAdmission;
  readonly proposer: Proposer;
  /** How often the leader's judge looked into the state. */
  looks = 0;

  constructor(mesh: Mesh, number: number) {
    this.id = nodeId(number);
    this.admission = new JobAdmission(
      {
        view: (query) => {
          this.looks += 1;
          return query(this.database);
        },
        lastIndex: () => mesh.log.length,
        applied: () => this.database.applied,
      },
      unseen,
    );
    this.proposer = new Proposer(
      {
        self: this.id,
        level: () => 3,
        leader: () => mesh.leader,
        isLeading: () => mesh.leader === this.id,
        admission: this.admission,
        principalProblem: () => undefined,
        propose: (data) => ({ ok: true, index: mesh.append(data) as never, term: mesh.term as never }),
        now: () => 2_000_000,
        randomBytes: (count) => new Uint8Array(count),
        forward: async (to, batch) => {
          const reply: unknown = await mesh.member(to).proposer.onForwarded(this.id, batch);
          return forwardReply(decode(encode(reply)));
        },
        schedule: () => {},
        remembered: () => undefined,
      },
      1,
    );
  }

  /** Applies the next entries of the log. */
  apply(log: readonly CommittedEntry[], upTo = log.length): void {
    while (this.database.applied < upTo) {
      const { outcomes } = applyEntries(this.database, log.slice(this.database.applied, upTo), { self: this.id });
      this.admission.onApplied(this.database.applied);
      this.proposer.onOutcomes(outcomes);
    }
  }

  get unfinished(): number {
    return totals(this.database).jobsUnfinished;
  }
}

/** Three nodes, one log, and a leader that the test names. */
class Mesh {
  readonly log: CommittedEntry[];
  readonly members: readonly Member[];
  leader: NodeId = nobody;
  term = 1;
  /** What came of each submit, in order; undefined: nothing yet. */
  readonly answers: (Answer | undefined)[] = [];

  constructor(prepare: (cluster: Cluster) => void) {
    const cluster = Cluster.of(3);
    cluster.level = 3;
    prepare(cluster);
    this.log = cluster.log;
    this.members = [1, 2, 3].map((number) => new Member(this, number));
    for (const one of this.members) one.apply(this.log);
  }

  member(id: NodeId): Member {
    return this.members[id - 1]!;
  }

  append(data: Uint8Array): number {
    this.log.push({ index: this.log.length + 1, kind: "command", data });
    return this.log.length;
  }

  leads(number: number): void {
    this.leader = nodeId(number);
    this.term += 1;
    for (const { proposer } of this.members) proposer.onLeadership(this.term);
  }

  ask<Name extends CommandName>(
    number: number,
    name: Name,
    input: CommandInput<Name>,
    by: Principal = admin,
  ): { answer: Answer | undefined } {
    const seen: { answer: Answer | undefined } = { answer: undefined };
    void this.members[number - 1]!.proposer.submit(record(name, input, by)).then((answer) => {
      seen.answer = answer;
      this.answers.push(answer);
    });
    return seen;
  }

  submit(number: number, jobs: number, by: Principal = admin, key?: string): { answer: Answer | undefined } {
    const specs = Array.from({ length: jobs }, () => ({ run: "x" }));
    return this.ask(number, "job.submit", { jobs: specs, ...(key === undefined ? {} : { key, digest: "d" }) }, by);
  }

  /** What is on its way arrives, is judged and logged. Rounds: some are answered with "again". */
  async turn(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.leader !== nobody) this.member(this.leader).proposer.logGathered();
    }
  }

  /** The same, until everybody has everything. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet++) {
      const before = this.log.length;
      await this.turn();
      for (const one of this.members) one.apply(this.log);
      await this.turn();
      if (this.log.length > before) quiet = -1;
    }
  }
}

const meshes: Mesh[] = [];
function mesh(prepare: (cluster: Cluster) => void = () => {}): Mesh {
  const made = new Mesh(prepare);
  meshes.push(made);
  return made;
}
function bounded(bound: number): Mesh {
  return mesh((cluster) => cluster.must("cluster.bounds", { unfinished_jobs: bound }, admin));
}
afterEach(() => {
  for (const { members } of meshes.splice(0)) for (const { proposer } of members) proposer.close();
});

const full = { ok: false, why: { code: "busy", limit: "jobs", retryAfterMs: 1000 } };

describe("the bound on unfinished jobs (L1)", () => {
  test("all nodes together come up to it, and not past it, though none has applied what the others were let in with", async () => {
    const m = bounded(10);
    m.leads(2);
    const asked = Array.from({ length: 12 }, (_, at) => m.submit((at % 3) + 1, 1));
    await m.settle();
    expect(m.members.map((one) => one.unfinished)).toEqual([10, 10, 10]);
    expect(asked.filter(({ answer }) => answer?.ok === true)).toHaveLength(10);
    for (const { answer } of asked) if (answer?.ok !== true) expect(answer).toMatchObject(full);
  });

  test("of a batch that a follower forwards only those commands are refused that there is no room for; the others are done once", async () => {
    const m = bounded(10);
    m.leads(1);
    const [large, other, small] = [
      m.submit(3, 11),
      m.ask(3, "submitter.set", { name: "x", weight: 2 }),
      m.submit(3, 10),
    ];
    await m.settle();
    expect(large.answer).toMatchObject(full);
    expect([other.answer?.ok, small.answer?.ok]).toEqual([true, true]);
    expect(m.members[0]!.unfinished).toBe(10);
  });

  test("jobs that end make room; a request is taken whole or not at all", async () => {
    const m = bounded(10);
    m.leads(1);
    m.submit(1, 9);
    await m.settle();
    const two = m.submit(2, 2);
    await m.settle();
    expect(two.answer).toMatchObject(full);
    m.ask(3, "job.cancel", { id: jobId(1) });
    await m.settle();
    const again = m.submit(2, 2);
    await m.settle();
    expect([again.answer?.ok, m.members[0]!.unfinished]).toEqual([true, 10]);
  });

  test("a retry of a finished job is one job more", async () => {
    const m = bounded(2);
    m.leads(1);
    m.submit(1, 2);
    await m.settle();
    m.ask(1, "job.cancel", { id: jobId(1) });
    await m.settle();
    const retry = (): ReturnType<Mesh["ask"]> =>
      m.ask(2, "job.retry", { id: jobId(1), only: "all", tasks: null, key: null, digest: "" });
    const [first, second] = [retry(), retry()];
    await m.settle();
    expect([first.answer?.ok, second.answer?.ok]).toEqual([true, false]);
    expect(second.answer).toMatchObject(full);
  });

  test("what was done under a key before is answered with the first ids, however full it is", async () => {
    const m = bounded(3);
    m.leads(1);
    const first = m.submit(2, 3, admin, "once");
    await m.settle();
    const [again, other] = [m.submit(3, 3, admin, "once"), m.submit(3, 1, admin, "another")];
    await m.settle();
    expect(first.answer).toMatchObject({ ok: true, value: { value: { first: 1, count: 3, repeated: false } } });
    expect(again.answer).toMatchObject({ ok: true, value: { value: { first: 1, count: 3, repeated: true } } });
    expect(other.answer).toMatchObject(full);
  });

  test("another bound holds from its entry on", async () => {
    const m = mesh();
    m.leads(1);
    m.submit(1, 50);
    await m.settle();
    m.ask(2, "cluster.bounds", { unfinished_jobs: 20 });
    await m.settle();
    for (const { admission } of m.members) admission.forget(); // as a node does at a change of the cluster
    const refused = m.submit(3, 1);
    await m.settle();
    expect(refused.answer).toMatchObject(full);
  });

  test("a new leader lets in few before it has what was logged before, and the rest waits for that instead of being refused", async () => {
    const m = bounded(100);
    m.leads(1);
    m.submit(1, 98);
    await m.turn(); // logged, and applied nowhere
    m.leads(2);
    const asked: ReturnType<Mesh["ask"]>[] = [];
    for (let at = 0; at < 3; at++) {
      asked.push(m.submit(3, 2));
      await m.turn();
    }
    expect(m.answers).toEqual([]);
    const before = m.log.length;
    m.members[1]!.apply(m.log);
    // What waits is handed over again by the sweep of its node.
    while (asked.some(({ answer }) => answer === undefined)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await m.settle();
    }
    expect(asked.map(({ answer }) => answer?.ok)).toEqual([true, true, false]);
    expect(asked[2]!.answer).toMatchObject(full);
    expect([m.log.length, m.members[0]!.unfinished]).toEqual([before, 102]);
  });

  test("what a new leader counted before its state had the entries of others is not what it judges by after", () => {
    const [older, newer] = [Cluster.ofNewest(1), Cluster.ofNewest(1)];
    for (const cluster of [older, newer]) cluster.must("cluster.bounds", { unfinished_jobs: 100 }, admin);
    for (let job = 0; job < 98; job++) newer.submit();
    let [present, applied] = [older, 5];
    const admission = new JobAdmission({
      view: (query) => query(present.database),
      lastIndex: () => 10,
      applied: () => applied,
    });
    const two = [record("job.submit", { jobs: [{ run: "x" }, { run: "x" }] }, admin)];
    admission.onLeadership();
    expect(admission.judge(two).kind).toBe("admitted");
    [present, applied] = [newer, 10];
    admission.onApplied(10);
    expect(admission.judge(two).kind).toBe("turned-away");
  });

  test("what could not be logged leaves its room to others", () => {
    const m = bounded(10);
    m.leads(1);
    const { admission } = m.members[0]!;
    const ten = [record("job.submit", { jobs: Array.from({ length: 10 }, () => ({ run: "x" })) }, admin)];
    const first = admission.judge(ten);
    expect([first.kind, admission.judge(ten).kind]).toEqual(["admitted", "turned-away"]);
    admission.logged(first.kind === "admitted" ? first.ticket : undefined, undefined);
    expect(admission.judge(ten).kind).toBe("admitted");
  });

  test("far from it nothing is read for a submit", async () => {
    const m = bounded(1000);
    m.leads(1);
    for (let at = 0; at < 50; at++) {
      m.submit((at % 3) + 1, 2);
      await m.settle();
    }
    expect(m.members[0]!.unfinished).toBe(100);
    expect(m.members[0]!.looks).toBe(1);
  });

  test("whatever is asked of whom, and whoever applies what when, it holds, and what has room is let in", async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant("submit" as const),
          node: fc.integer({ min: 1, max: 3 }),
          jobs: fc.integer({ min: 1, max: 6 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("cancel" as const),
          node: fc.integer({ min: 1, max: 3 }),
          job: fc.integer({ min: 1, max: 40 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant("apply" as const), node: fc.integer({ min: 1, max: 3 }) }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("lead" as const), node: fc.integer({ min: 1, max: 3 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const bound = 12;
        const m = bounded(bound);
        m.leads(1);
        let changes = 0;
        let most = 0;
        const watched = openDatabase();
        const look = (): void => {
          while (watched.applied < m.log.length) {
            applyEntries(watched, m.log.slice(watched.applied, watched.applied + 1), { self: nodeId(9) });
            most = Math.max(most, totals(watched).jobsUnfinished);
          }
        };
        for (const one of steps) {
          if (one.kind === "submit") m.submit(one.node, one.jobs);
          else if (one.kind === "cancel") m.ask(one.node, "job.cancel", { id: jobId(one.job) });
          else if (one.kind === "apply") m.members[one.node - 1]!.apply(m.log);
          else if (one.kind === "turn") await m.turn();
          else if (nodeId(one.node) !== m.leader) {
            m.leads(one.node);
            changes += 1;
          }
        }
        await m.settle();
        look();
        expect(most).toBeLessThanOrEqual(bound + unseen * changes);
        const room = bound - totals(watched).jobsUnfinished;
        if (room > 0) {
          const last = m.submit(3, room);
          await m.settle();
          expect(last.answer?.ok).toBe(true);
        }
        meshes.splice(0).forEach(({ members }) => members.forEach(({ proposer }) => proposer.close()));
      }),
      { numRuns: 25 },
    );
  });
});

describe("limits of submitters", () => {
  const person = (name: string): Principal => ({ ...admin, name });
  /** Counting is the leader's duty; here there are no jobs of before. */
  const limited = (...all: (readonly [name: string, jobs: number])[]): Mesh =>
    mesh((cluster) => {
      for (const [name, jobs_max] of all) cluster.must("submitter.set", { name, jobs_max }, admin);
      cluster.must("submitter.count", { jobs: 1 });
    });
  const refused = { ok: false, why: { code: "busy", limit: "submitter", retryAfterMs: 1000 } };

  test("a hundred requests of one who is greedy, at every node, keep nobody else out, and get what their limit is", async () => {
    const m = limited(["*", 20]);
    m.leads(1);
    const greedy: ReturnType<Mesh["ask"]>[] = [];
    const others: ReturnType<Mesh["ask"]>[] = [];
    for (let at = 0; at < 100; at++) {
      greedy.push(m.submit((at % 3) + 1, 3, person("greedy")));
      if (at % 10 === 0) others.push(m.submit((at % 3) + 1, 1, person(`other${at}`)));
    }
    await m.settle();
    expect(others.map(({ answer }) => answer?.ok)).toEqual(others.map(() => true));
    expect(greedy.filter(({ answer }) => answer?.ok === true)).toHaveLength(6);
    for (const { answer } of greedy) if (answer?.ok !== true) expect(answer).toMatchObject(refused);
    expect(m.members.map((one) => one.unfinished)).toEqual([28, 28, 28]);
  });

  test("an own limit goes before everybody's; what ends makes room; without limits nobody is asked for", async () => {
    const m = limited(["*", 2], ["anna", 4]);
    m.leads(3);
    const [anna, bert] = [m.submit(1, 4, person("anna")), m.submit(1, 3, person("bert"))];
    await m.settle();
    expect([anna.answer?.ok, bert.answer?.ok]).toEqual([true, false]);
    expect(bert.answer).toMatchObject({ why: { message: expect.stringContaining("bert may have 2 unfinished jobs") } });
    const more = m.submit(2, 1, person("anna"));
    await m.settle();
    expect(more.answer).toMatchObject(refused);
    m.ask(2, "job.cancel", { id: jobId(2) });
    await m.settle();
    const again = m.submit(2, 1, person("anna"));
    await m.settle();
    expect(again.answer?.ok).toBe(true);
  });

  test("whoever retries or submits is who is asked for, not whose job it was", async () => {
    const m = limited(["bert", 1]);
    m.leads(1);
    m.submit(1, 3, person("anna"));
    await m.settle();
    m.ask(1, "job.cancel", { id: jobId(1) });
    await m.settle();
    const retry = (): ReturnType<Mesh["ask"]> =>
      m.ask(2, "job.retry", { id: jobId(1), only: "all", tasks: null, key: null, digest: "" }, person("bert"));
    const [first, second] = [retry(), retry()];
    await m.settle();
    expect([first.answer?.ok, second.answer?.ok]).toEqual([true, false]);
    expect(second.answer).toMatchObject(refused);
  });

  test("jobs of schedules count for whoever set them, and never for the node that proposes them", async () => {
    let step: readonly [number, number, number] = [0, 0, 0];
    const m = mesh((cluster) => {
      for (const [name, jobs_max] of [["*", 1] as const, ["anna", 4] as const])
        cluster.must("submitter.set", { name, jobs_max }, admin);
      cluster.must("submitter.count", { jobs: 1 });
      const schedules = [{ name: "s", every: "1s", overlap: "allow", job: { run: "x" } }];
      const input = commandByName("schedule.set").input.parse({ schedules });
      const [set] = cluster.must("schedule.set", input, person("anna")).schedules;
      step = [set!.id, set!.revision, cluster.now];
    });
    m.leads(1);
    m.submit(1, 1, person("anna")); // what she has is known from here on
    await m.settle();
    const [id, revision, from] = step;
    const fires = [1_001_000, 1_002_000, 1_003_000];
    const node: Principal = { token: "", name: "n2", role: "node" };
    const steps: [Step] = [[id, revision, from, 1_003_000, 1_004_000, fires, []]];
    const fired = m.ask(2, "schedule.step", { scope: 0, steps }, node);
    await m.turn(); // logged, and applied nowhere
    const more = m.submit(1, 1, person("anna"));
    await m.turn();
    expect(more.answer).toMatchObject(refused);
    await m.settle();
    expect(fired.answer).toMatchObject({ ok: true, value: { value: { refused: [] } } });
    expect(m.members.map(({ database }) => loadOf(database, "anna"))).toEqual([4, 4, 4]);
  });

  test("whatever is asked of whom under one leader, nobody has more than they may", async () => {
    const name = fc.constantFrom("anna", "bert", "carl");
    const node = fc.integer({ min: 1, max: 3 });
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant("submit" as const), node, name, jobs: fc.nat({ max: 3 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("cancel" as const), node, job: fc.integer({ min: 1, max: 30 }) }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("apply" as const), node }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
        const m = limited(["anna", 3], ["*", 5]);
        m.leads(1);
        for (const one of steps) {
          if (one.kind === "submit") m.submit(one.node, one.jobs + 1, person(one.name));
          else if (one.kind === "cancel") m.ask(one.node, "job.cancel", { id: jobId(one.job) });
          else if (one.kind === "apply") m.members[one.node - 1]!.apply(m.log);
          else await m.turn();
        }
        await m.settle();
        const watched = openDatabase();
        const load = (one: string): number => loadOf(watched, one);
        while (watched.applied < m.log.length) {
          applyEntries(watched, m.log.slice(watched.applied, watched.applied + 1), { self: nodeId(9) });
          expect([load("anna") <= 3, load("bert") <= 5, load("carl") <= 5]).toEqual([true, true, true]);
        }
        meshes.splice(0).forEach(({ members }) => members.forEach(({ proposer }) => proposer.close()));
      }),
      { numRuns: 25 },
    );
  });
});
