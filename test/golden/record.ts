import { writeFileSync } from "node:fs";
import { assert } from "../../src/lib/assert.ts";
import { formatInstant } from "../../src/lib/calendar.ts";
import { encode } from "../../src/lib/codec.ts";
import { encodeConfiguration } from "../../src/lib/configuration.ts";
import { readInventory } from "../../src/lib/inventory-format.ts";
import { packInventory } from "../../src/lib/inventory-pieces.ts";
import { type JobId, jobId, type NodeId, nodeId } from "../../src/lib/ids.ts";
import type { CalendarEvents } from "../../src/lib/calendar-events.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { planFires } from "../../src/scheduler/fires.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import type { Step } from "../../src/state/firing.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { calendarEvents } from "../../src/state/tables/calendar.ts";
import { bundleSource } from "../../src/state/tables/bundle-source.ts";
import { admin, announcement, Cluster, record, report } from "../state/support.ts";
import { digestFile, levels, logFile, readLog, replay } from "./replay.ts";

/**
 * Records a kept log and what it leads to: `bun test/golden/record.ts LEVEL` for both files, `bun test/golden/record.ts LEVEL digest` for what
 * the log that is kept leads to now. The log of a level holds every command that the level brought. Nodes that disagree about a
 * digest cannot be in one cluster, so after the first release a new one means a new level, beside the old one.
 */
const level = levels.find((one) => String(one) === process.argv[2]);
assert(level !== undefined, `name a level: ${levels.join(", ")}`);
const histories = { 1: historyOfLevel1, 2: historyOfLevel2, 3: historyOfLevel3 } as const;
if (process.argv[3] !== "digest")
  writeFileSync(logFile(level), encode(histories[level]().log.map(({ kind, data }) => [kind, data])));
writeFileSync(digestFile(level), `${JSON.stringify(replay(readLog(level)), null, 2)}\n`);

function historyOfLevel1(): Cluster {
  const cluster = Cluster.of(4);
  cluster.log.push({ index: cluster.log.length + 1, kind: "noop", data: new Uint8Array() });
  cluster.log.push({ index: cluster.log.length + 1, kind: "configuration", data: new Uint8Array([1, 2, 3]) });
  cluster.now += 1234;
  const submission = {
    jobs: [
      { run: "a", env: { NAME: "Grüße" }, ttlMs: 1000 },
      { run: ["b", "c"], count: 3, priority: 90 },
    ],
    key: "k",
    digest: "d",
  };
  cluster.must("job.submit", submission, admin);
  cluster.must("job.submit", submission, admin);
  const retried = cluster.submit({ count: 8, retries: { max: 2, jitter: 0.5 }, max_failures: "40%" });
  const pinned = cluster.submit({ each_node: true, on_lost: "fail" });
  cluster.assign(1, 1, [0, 1]);
  cluster.assign(retried, 1, [0, 1], [1, 1], [4, 1], [9, 1]);
  cluster.assign(pinned, 2, [1, 1]);
  cluster.must("task.start", { node: nodeId(1), tasks: [{ job: jobId(1), task: 0, attempt: 1, startedAt: 77 }] });
  cluster.finish(1, 0, 1, 1, "succeeded", { log: { bytes: 3, sha256: "s" } });
  cluster.finish(retried, 0, 1, 1, "failed", { reason: "no such command: x", tail: new Uint8Array([0, 255]) });
  cluster.finish(retried, 1, 1, 1, "timeout", { signal: "SIGKILL" });
  cluster.finish(retried, 1, 1, 1);
  cluster.must("node.drain", { node: 2 }, admin);
  cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  cluster.refused("node.lost", { node: nodeId(3), incarnation: "earlier" });
  cluster.must("node.seen", { node: nodeId(2), ...announcement(2), slots: 6 });
  cluster.must("node.undrain", { node: "n2" }, admin);
  cluster.must("node.remove", { node: "n4" }, admin);
  cluster.must("token.revoke", { id: "j" }, admin);
  cluster.must("job.cancel", { id: jobId(2) }, admin);
  cluster.now += 2000;
  cluster.must("job.expire", { jobs: [jobId(1), jobId(2)] });
  const batch = [record("job.submit", { jobs: [{ run: "d" }] }, admin), record("job.cancel", { id: jobId(99) }, admin)];
  for (let again = 0; again < 2; again++)
    cluster.entry(batch, { origin: nodeId(3), serial: 2 ** 32 + 1, floor: 2 ** 32 });
  cluster.apply();
  return cluster;
}

/** The level is raised, and what it brought is used: labels, wishes, settings, the audit, tokens judged at their use. */
function historyOfLevel2(): Cluster {
  const cluster = Cluster.of(3);
  cluster.log.push({ index: cluster.log.length + 1, kind: "configuration", data: new Uint8Array([1, 2, 3]) });
  cluster.must("cluster.hold", { hold: true }, admin);
  cluster.refused("cluster.raise", { level: 2 }, admin);
  for (let number = 1; number <= 3; number++)
    cluster.must("node.seen", { node: nodeId(number), ...announcement(number), level: 2 });
  cluster.must("cluster.hold", { hold: false }, admin);
  cluster.must("cluster.raise", { level: 2 }, admin);
  cluster.level = 2;
  cluster.now += 1000;
  cluster.must("node.label", { node: "n2", labels: { zone: "eu", number: null } }, admin);
  cluster.must("node.seen", { node: nodeId(2), ...announcement(2), level: 2, labels: { zone: "us" } });
  cluster.must("node.promote", { node: 2, forget: false }, admin);
  cluster.must("node.demote", { node: "n3" }, admin);
  cluster.must("node.demote", { node: "n1" }, admin);
  cluster.refused("node.demote", { node: "n2" }, admin);
  cluster.must("node.demote", { node: "n1", forget: true }, admin);
  cluster.must("cluster.set", { voters: 4 }, admin);
  cluster.must("cluster.transfer", { from: nodeId(1), to: nodeId(2) }, admin);
  cluster.refused("cluster.raise", { level: 1 }, admin);
  const token = { id: "short", hash: "h", name: "otto", kind: "api", role: "operator", uses: null } as const;
  cluster.must("token.create", { ...token, expiresAt: cluster.now + 10 }, admin);
  const otto = { token: "short", name: "otto", role: "operator" } as const;
  const submit = record("job.submit", { jobs: [{ run: "a" }] }, otto);
  cluster.entry([submit, submit, record("job.submit", { jobs: [{ run: "b" }] }, admin)]);
  cluster.apply();
  cluster.now += 10;
  cluster.refused("job.cancel", { id: jobId(1) }, otto);
  cluster.must("token.revoke", { id: "short" }, admin);
  cluster.must("node.remove", { node: "n3" }, admin);
  cluster.must("node.remove", { node: "n2" }, admin);
  cluster.refused("node.remove", { node: "n1" }, admin);
  return cluster;
}

/** The level is raised once more, and what it brought is used. */
function historyOfLevel3(): Cluster {
  const cluster = Cluster.of(3);
  cluster.log.push({ index: cluster.log.length + 1, kind: "configuration", data: new Uint8Array([1, 2, 3]) });
  for (let number = 1; number <= 3; number++)
    cluster.must("node.seen", { node: nodeId(number), ...announcement(number), level: 3 });
  cluster.must("cluster.raise", { level: 2 }, admin);
  cluster.level = 2;
  cluster.submit({ count: 3 });
  cluster.must("cluster.raise", { level: 3 }, admin);
  cluster.level = 3;
  for (const [voters, outgoing] of [
    [[1], []],
    [[1, 2, 3], [1]],
    [[1, 2, 3], []],
    [[1, 2], []],
  ] as const) {
    const configuration = {
      voters: voters.map(nodeId),
      outgoing: outgoing.map(nodeId),
      learners: [],
      learnersNext: [],
    };
    cluster.log.push({
      index: cluster.log.length + 1,
      kind: "configuration",
      data: encodeConfiguration(configuration),
    });
  }
  cluster.log.push({ index: cluster.log.length + 1, kind: "configuration", data: new Uint8Array([1, 2, 3]) });
  cluster.now += 1000;
  cluster.must("node.quarantine", { node: nodeId(2), entry: cluster.log.length });
  cluster.must("node.quarantine", { node: nodeId(3), entry: cluster.log.length });
  cluster.refused("node.return", { node: nodeId(1) });
  cluster.must("node.return", { node: nodeId(2) });
  cluster.must("cluster.timing", { heartbeat_ms: 100, election_timeout_ms: 1000 }, admin);
  replaceAuthority(cluster);
  const token = { id: "t-late", hash: "h", name: "node late" };
  const late = { ...announcement(9), api: "", peer: "", level: 3, joinToken: "j", token };
  cluster.must("node.join", { name: "late", ...late });
  cluster.must("node.join", { name: "later", ...late });
  const job = cluster.submit({ count: 2 });
  cluster.assign(job, 1, [0, 1]);
  cluster.finish(job, 0, 1, 1);
  onlyTasks(cluster);
  keepSecrets(cluster);
  extendTasks(cluster);
  gatedJobs(cluster);
  shapes(cluster);
  packs(cluster);
  resources(cluster);
  for (const weight of [3, 1, 2]) cluster.must("submitter.set", { name: "anna", weight }, admin);
  loads(cluster);
  deadLetters(cluster);
  cluster.must("cluster.bounds", { finished_jobs: 1000 }, admin);
  cluster.must("cluster.bounds", { unfinished_jobs: 500 }, admin);
  recalls(cluster);
  for (const placement of ["pack", "spread", "pack"] as const) cluster.must("cluster.placement", { placement }, admin);
  units(cluster);
  targets(cluster);
  batches(cluster);
  bundles(cluster);
  inventories(cluster);
  facts(cluster);
  playbooks(cluster);
  bundleSources(cluster);
  schedules(cluster);
  calendars(cluster);
  return cluster;
}

/** What evaluators propose is worked out here: the log holds what came of it. */
function schedules(cluster: Cluster): void {
  const minute = 60_000;
  const set = (...given: Record<string, unknown>[]): void => {
    const whole = given.map((one) => ({ every: "1m", job: { run: "true" }, ...one }));
    cluster.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: whole }), admin);
  };
  const step = (...names: string[]): void => {
    const scope = scheduleScope(cluster.database);
    const steps = names.map((name): Step => {
      const row = scheduleByName(cluster.database, name)!;
      const planned = { row, scope, calendars: new Map<string, CalendarEvents>() };
      const { to, check, fires, skips } = atOnce(planFires(planned, cluster.now));
      return [row.id, row.revision, row.watermark, to, check, fires, skips];
    });
    cluster.must("schedule.step", { scope: scope.scope, steps });
    cluster.must("schedule.step", { scope: scope.scope, steps });
  };
  const limit = (jobs_max: number | null): void =>
    void cluster.must("submitter.set", { name: admin.name, jobs_max }, admin);
  limit(1_000);
  cluster.now = Math.ceil(cluster.now / minute) * minute;
  set(
    { name: "skips" },
    { name: "queues", overlap: "queue", jitter: "20s", labels: { team: "a" } },
    { name: "replaces", overlap: "replace", history: 2 },
    { name: "allows", overlap: "allow", limit: 3, missed: "all", tags: ["t"] },
    { name: "once", every: undefined, at: formatInstant(cluster.now + minute) },
  );
  step("skips", "queues", "replaces", "allows", "once");
  for (let round = 1; round <= 3; round++) {
    cluster.now += minute;
    step("skips", "queues", "replaces", "allows", "once");
  }
  const { job } = scheduleByName(cluster.database, "skips")!;
  cluster.assign(job!, 1, [0, 1]);
  cluster.finish(job!, 0, 1, 1, "failed");
  cluster.must("schedule.pause", { names: ["skips", "queues"], paused: true }, admin);
  cluster.now += 2 * minute;
  cluster.must("schedule.pause-all", { paused: true }, admin);
  step("skips", "queues", "replaces");
  cluster.now += 2 * minute;
  cluster.must("schedule.pause-all", { paused: false }, admin);
  cluster.must("schedule.pause", { names: ["skips"], paused: false }, admin);
  set({ name: "skips", every: "2m" });
  cluster.now += 90 * minute;
  step("skips", "queues", "replaces");
  cluster.must("schedule.fire", { schedule: "replaces" }, admin);
  for (let time = 1; time <= 2; time++)
    cluster.must("schedule.fire", { schedule: "replaces", key: "fire", digest: "a" }, admin);
  cluster.refused("schedule.fire", { schedule: "replaces", key: "fire", digest: "b" }, admin);
  cluster.refused("schedule.fire", { schedule: "skips" }, admin);
  limit(1);
  cluster.now += minute;
  step("queues", "replaces");
  cluster.refused("schedule.fire", { schedule: "replaces" }, admin);
  limit(null);
  cluster.must("schedule.rm", { names: ["queues"] }, admin);
  cluster.refused("schedule.rm", { names: ["queues"] }, admin);
}

/** A calendar that is set, is the same, is another one, and cannot go while a schedule goes by it; what that does meanwhile. */
function calendars(cluster: Cluster): void {
  const minute = 60_000;
  const set = (events: CalendarEvents, until: number | null = null): void => {
    const input = { name: "freeze", description: "nobody deploys", events: JSON.stringify(events), until };
    cluster.must("calendar.set", input, admin);
  };
  cluster.now = Math.ceil(cluster.now / minute) * minute;
  const span = [cluster.now + minute, cluster.now + 2 * minute] as const;
  for (let again = 0; again < 2; again++) set({ spans: [span], windows: [] }, cluster.now);
  const schedule = { name: "closed", every: "1m", job: { run: "true" }, calendars: ["freeze"] };
  const step = (): void => {
    const row = scheduleByName(cluster.database, "closed")!;
    const scope = scheduleScope(cluster.database);
    const calendars = new Map([["freeze", calendarEvents(cluster.database, "freeze")!]]);
    const { to, check, fires, skips } = atOnce(planFires({ row, scope, calendars }, cluster.now));
    const steps: Step[] = [[row.id, row.revision, row.watermark, to, check, fires, skips]];
    // What was worked out before another calendar is refused.
    set({ spans: [span], windows: [{ cron: "0 22 * * *", tz: "Europe/Berlin", forMs: (cluster.now % 1e6) + 1000 }] });
    cluster.must("schedule.step", { scope: scope.scope, steps });
    cluster.must("schedule.step", { scope: scheduleScope(cluster.database).scope, steps });
  };
  cluster.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: [schedule] }), admin);
  for (let round = 0; round < 3; round++) {
    step();
    cluster.now += minute;
  }
  cluster.refused("calendar.rm", { calendar: "freeze" }, admin);
  cluster.must("schedule.rm", { names: ["closed"] }, admin);
  cluster.must("calendar.rm", { calendar: "freeze" }, admin);
  cluster.refused("calendar.rm", { calendar: "freeze" }, admin);
  set({ spans: [], windows: [] });
}

/** Batches that begin at once, after a pause, and when they are approved; one of which nothing succeeded, and one that is cancelled while it waits. */
function batches(cluster: Cluster): void {
  const end = (job: number, from: number, count: number, state: "succeeded" | "failed" = "succeeded"): void => {
    for (let task = from; task < from + count; task++) {
      cluster.assign(job, 1, [task, 1], [task + count, 1]);
      cluster.finish(job, task, 1, 1, state);
    }
  };
  const [plain, canary] = [cluster.submit({ count: 4, batch: [1, "50%"] }), cluster.submit({ count: 9, batch: [2] })];
  end(plain, 0, 1);
  cluster.give(plain, 1, 1, 3);
  cluster.give(plain, 1, 1, 2);
  end(canary, 0, 2, "failed");
  const slow = cluster.submit({ count: 3, batch: { sizes: [1], pause: "10s", approve: true } });
  end(slow, 0, 1);
  cluster.must("job.release", { id: jobId(slow), batch: 2 }, admin);
  cluster.refused("job.release", { id: jobId(slow), batch: 3 }, admin);
  cluster.must("job.open", { jobs: [jobId(slow)] });
  cluster.now += 10_000;
  cluster.must("job.open", { jobs: [jobId(slow)] });
  end(slow, 1, 1);
  cluster.must("job.cancel", { id: jobId(slow) }, admin);
}

/** Lists of names that come with a job, are there already, are missing, and go; a retry is about some of them. */
function targets(cluster: Cluster): void {
  const [first, second] = [cluster.submit({ targets: "web[1-1500]" }), cluster.submit({ targets: "web[1-1500]" })];
  const { jobs } = cluster.withTargets([{ run: "x", targets: { from: ["a,b"], list: "", count: 0 } }]);
  cluster.refused("job.submit", { jobs }, admin);
  cluster.assign(first, 1, [0, 1], [1, 1]);
  cluster.give(first, 1, 2, 1499, 4);
  cluster.finish(first, 1, 1, 1, "failed");
  cluster.must("job.cancel", { id: jobId(first) }, admin);
  for (const task of [0, 2]) cluster.finish(first, task, 1, 1, "cancelled");
  for (const id of [second, cluster.submit({ targets: ["a", "b"] })]) {
    cluster.must("job.cancel", { id: jobId(id) }, admin);
    cluster.must("job.remove", { id: jobId(id) }, admin);
  }
  cluster.must("job.sweep", { rows: 5 });
}

/** Jobs that fail and are run again, in one command, by a person's retry, and in part; one is forgotten as it is. */
function deadLetters(cluster: Cluster): void {
  const jobs = [cluster.submit(), cluster.submit(), cluster.submit({ count: 3 }), cluster.submit()].map(jobId);
  for (const job of jobs) {
    cluster.assign(job, 1, [0, 1], [1, 1], [2, 1]);
    for (const task of [0, 1, 2]) cluster.finish(job, task, 1, 1, task === 1 ? "succeeded" : "failed");
  }
  const [one, other, several, forgotten] = jobs as [JobId, JobId, JobId, JobId];
  const replay = [
    { id: one, tasks: null },
    { id: jobId(1), tasks: null },
    { id: several, tasks: "0,2" },
  ];
  for (let times = 0; times < 2; times++) cluster.must("job.replay", { jobs: replay }, admin);
  cluster.must("job.retry", { id: other, only: "all", tasks: null, key: null, digest: "" }, admin);
  cluster.must("job.remove", { id: forgotten }, admin);
}

/** Limits of submitters: jobs are counted from the first one on, until the last one is taken back, and then for another one. */
function loads(cluster: Cluster): void {
  const bert = { token: "t-admin", name: "bert", role: "admin" } as const;
  cluster.must("submitter.set", { name: "bert", jobs_max: 3 }, admin);
  const { first } = cluster.must("job.submit", { jobs: [{ run: "x" }, { run: "y" }] }, bert);
  cluster.must("submitter.count", { jobs: 5 });
  cluster.must("job.cancel", { id: first }, admin);
  while (cluster.must("submitter.count", { jobs: 100 }).counted > 0) continue;
  cluster.must("job.submit", { jobs: [{ run: "x" }] }, bert);
  cluster.must("submitter.set", { name: "bert", jobs_max: null }, admin);
  cluster.must("submitter.set", { name: "*", weight: 2, jobs_max: 9 }, admin);
  cluster.must("submitter.count", { jobs: 5 });
}

/** Tasks that are given out together: they end together and one by one, well and badly, begin, are lost, cancelled and forgotten. */
function units(cluster: Cluster): void {
  cluster.must("node.seen", { node: nodeId(2), ...announcement(2), level: 3 });
  const job = cluster.submit({ count: 40, unit: 8, timeout: "1m", retries: { max: 1, jitter: 0 } });
  for (const [first, node] of [
    [0, 1],
    [8, 2],
    [8, 1],
    [17, 1],
    [16, 2],
  ] as const)
    cluster.give(job, node, first, 8, 3);
  cluster.end(job, 1, 0, [0, 1_000, 1_010], [1, 1_000, 1_010], [2, 1_005, 1_004], [5, 2_000, 9_000]);
  const tasks = [3, 4].map((task) => ({ job: jobId(job), task, attempt: 1, startedAt: 1_234_567_890_123 }));
  cluster.must("task.start", { node: nodeId(1), tasks });
  cluster.finish(job, 3, 1, 1, "failed");
  cluster.finish(job, 6, 1, 1);
  cluster.finish(job, 7, 1, 1, "succeeded", { tail: new Uint8Array(0) });
  cluster.end(job, 1, 0, [0, 1, 2], [3, 1, 2], [4, 1_234_567_890_123, 1_234_567_890_999]);
  cluster.must("job.extend", { id: jobId(job), by: 1000, task: 9 }, admin);
  cluster.assign(job, 1, [3, 2]);
  for (let task = 16; task < 24; task++) cluster.finish(job, task, 1, 2, "failed", { startedAt: 1, finishedAt: 2 });
  cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  cluster.submit({ each_node: true });
  cluster.refused("node.forsake", { node: nodeId(2) });
  cluster.now += 24 * 3_600_000;
  cluster.must("node.forsake", { node: nodeId(2) });
  cluster.must("node.seen", { node: nodeId(2), ...announcement(2), level: 3 });
  cluster.must("job.cancel", { id: jobId(job) }, admin);
  cluster.finish(job, 3, 2, 1, "cancelled");
  const short = cluster.submit({ count: 4, ttl: "1s" });
  cluster.give(short, 1, 0, 4, 4);
  cluster.end(short, 1, 0, [0, 1, 2], [1, 1, 2], [2, 1, 2], [3, 1, 2]);
  cluster.must("job.remove", { id: jobId(short) }, admin);
  const running = cluster.submit({ count: 5000 });
  cluster.give(running, 1, 0, 4096, 64);
}

/** Nodes that say what they have, and a job that asks for some of it. */
function resources(cluster: Cluster): void {
  for (const has of [
    { memory: 4_294_967_296, cores: 2 },
    { memory: 8_589_934_592, license: 1, cores: 2.5 },
  ])
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 3, resources: has });
  const job = cluster.submit({ resources: { memory: "512MiB", license: 1 } });
  cluster.assign(job, 1, [0, 1]);
  cluster.finish(job, 0, 1, 1);
}

/** Jobs that wait: for each other, for a key, for an instant, for a person; some in vain. */
function gatedJobs(cluster: Cluster): void {
  const head = cluster.submit();
  const children = Array.from({ length: 300 }, () => ({ run: "true", after: [{ job: head }] }));
  cluster.must("job.submit", { jobs: children }, admin);
  const start_at = formatInstant(cluster.now + 1000);
  const first = cluster.submit({ key: "k" });
  const second = cluster.submit({ key: "k", after: [{ job: first, when: "done" }], deadline: "1h" });
  const third = cluster.submit({ key: "k", start_at });
  const overdue = cluster.submit({ deadline: "1s", after: [third] });
  cluster.must("job.hold", { id: jobId(first) }, admin);
  cluster.must("job.release", { id: jobId(first) }, admin);
  cluster.must("job.hold", { id: jobId(overdue) }, admin);
  cluster.assign(first, 1, [0, 1]);
  cluster.assign(head, 1, [0, 1]);
  cluster.finish(head, 0, 1, 1, "failed");
  cluster.must("job.settle", {});
  cluster.must("job.open", { jobs: [jobId(third)] });
  cluster.now += 1000;
  cluster.must("job.open", { jobs: [jobId(third)] });
  cluster.must("job.overdue", { jobs: [jobId(overdue), jobId(second)] });
  cluster.finish(first, 0, 1, 1);
  const last = cluster.submit({ key: "k", on_conflict: "replace" });
  cluster.must("job.hold", { id: jobId(last) }, admin);
  cluster.submit({ after: [last, head] });
  cluster.submit({ after: [last], start_at: formatInstant(cluster.now + 1000) });
}

/** Running tasks are given more time, twice and in a job of many; what has ended is swept out. */
function extendTasks(cluster: Cluster): void {
  const [one, many] = [cluster.submit({ timeout: "10s" }), cluster.submit({ timeout: "10s", count: 3 })];
  cluster.refused("job.extend", { id: jobId(one), by: 1000 }, admin);
  cluster.assign(one, 1, [0, 1]);
  cluster.assign(many, 1, [0, 1], [1, 1]);
  for (const by of [1000, 2000]) cluster.must("job.extend", { id: jobId(one), by }, admin);
  cluster.finish(one, 0, 1, 1);
  cluster.must("job.extend", { id: jobId(many), by: 1000 }, admin);
  cluster.must("job.extend", { id: jobId(many), by: 1000, task: 1 }, admin);
}

/** Secrets that are set, used by a job, encrypted anew and removed. The authority is the second one by now. */
function keepSecrets(cluster: Cluster): void {
  const [key, sealed] = ["b".repeat(32), (which: number) => new Uint8Array(40).fill(which)] as const;
  for (const name of ["door", "gate"]) cluster.must("secret.set", { name, key, sealed: sealed(1) }, admin);
  cluster.must("secret.set", { name: "gate", key, sealed: sealed(2) }, admin);
  cluster.refused("secret.set", { name: "gate", key: "a".repeat(32), sealed: sealed(3) }, admin);
  const job = cluster.submit({ env: { PASSWORD: { secret: "door" } } });
  cluster.propose("job.submit", { jobs: [{ run: "x", secrets: { env: { PASSWORD: "wall" } } }] }, admin);
  cluster.refused("secret.rm", { secret: "door" }, admin);
  const secrets = ["door", "gate"].map((name) => ({ name, was: sealed(1).slice(0, 12), sealed: sealed(4) }));
  cluster.must("secret.rekey", { key, secrets });
  cluster.assign(job, 1, [0, 1]);
  cluster.finish(job, 0, 1, 1);
  cluster.must("secret.rm", { secret: "door" }, admin);
  cluster.must("secret.rm", { secret: "gate", force: true }, admin);
}

/** Jobs of several shapes, retried whole and in part and over generations, removed, and the rows of a large one swept. */
function shapes(cluster: Cluster): void {
  const retry = (id: number, only: "all" | "failed" | "unfinished" | "tasks", tasks: string | null): number =>
    cluster.must(
      "job.retry",
      { id: jobId(id), only, tasks, key: only === "all" ? null : `retry ${id}`, digest: "d" },
      admin,
    ).first;
  const run = (job: number, tasks: number): void => {
    for (let from = 0; from < tasks; from += 500) {
      const some = Array.from({ length: Math.min(500, tasks - from) }, (_, at) => from + at);
      cluster.assign(job, 1, ...some.map((task) => [task, 1] as const));
      const reports = some.map((task) => report(job, task, 1, task % 3 === 0 ? "succeeded" : "failed"));
      cluster.must("task.finish", { node: nodeId(1), reports });
    }
  };
  const array = cluster.submit({ array: "10-90:10,1000" });
  const matrix = cluster.submit({
    matrix: {
      mode: ["a", "b"],
      size: [1, 2],
      exclude: [{ mode: "b", size: 1 }],
      include: [{ mode: "c" }, { more: true }],
    },
  });
  const pinned = cluster.submit({ each_node: true });
  run(array, 10);
  run(matrix, 4);
  run(pinned, cluster.job(pinned).counts.queued);
  const second = retry(array, "failed", "1-2,4-5,7-8");
  run(second, 6);
  const third = retry(second, "tasks", "1-5:2");
  retry(matrix, "all", null);
  retry(pinned, "all", null);
  cluster.refused("job.retry", { id: jobId(third), only: "all", tasks: null, key: null, digest: "" }, admin);
  cluster.refused("job.remove", { id: jobId(third) }, admin);
  cluster.must("job.cancel", { id: jobId(third) }, admin);
  retry(third, "all", null);
  for (const job of [third, matrix]) cluster.must("job.remove", { id: jobId(job) }, admin);
  const large = cluster.submit({ count: 1200 });
  run(large, 1200);
  cluster.must("job.remove", { id: jobId(large) }, admin);
  cluster.must("job.sweep", { rows: 700 });
  cluster.must("job.sweep", { rows: 700 });
  const template = { name: "t", parameters: { n: { type: "number" as const } }, spec: { run: "x", count: "{{n}}" } };
  for (const description of ["a", "b", "b"]) cluster.must("template.set", { ...template, description }, admin);
  cluster.must("template.set", { name: "u", spec: { run: "y" } }, admin);
  cluster.must("template.remove", { template: "t" }, admin);
  cluster.refused("template.remove", { template: "t" }, admin);
  cluster.must("template.set", template, admin);
  const of = cluster.must("job.submit", { jobs: [{ run: "x" }, { run: "y", count: 2 }], template: "t@3" }, admin).first;
  cluster.must("job.cancel", { id: of }, admin);
  retry(of, "all", null);
}

/** Versions of two bundles, jobs that have one of them, and what is swept when nobody has it. */
function bundles(cluster: Cluster): void {
  const facts = { bytes: 10, files: 2, copies: 1, holders: [nodeId(1)], source: null };
  const [first, second] = ["a".repeat(64), "b".repeat(64)] as const;
  for (const digest of [first, first, second])
    cluster.must("bundle.set", { name: "site", digest, ...facts, source: "by hand" }, admin);
  cluster.must("bundle.set", { name: "other", digest: first, ...facts }, admin);
  cluster.refused("bundle.set", { name: "other", digest: second, ...facts, copies: 2 }, admin);
  cluster.must("bundle.held", { node: nodeId(1), held: [first, "c".repeat(64)], gone: [second] });
  cluster.must("bundle.held", { node: nodeId(1), held: [], gone: [first] });
  const bundle = { name: "site", digest: first, readOnly: true as const };
  const job = cluster.must("job.submit", { jobs: [{ run: "x", bundle }] }, admin).first;
  cluster.refused("job.submit", { jobs: [{ run: "x", bundle: { ...bundle, digest: "d".repeat(64) } }] }, admin);
  for (const name of ["site", "other"]) cluster.must("bundle.rm", { bundle: name }, admin);
  cluster.refused("bundle.rm", { bundle: "site", version: 1 }, admin);
  cluster.must("bundle.sweep", { bundles: 1 });
  cluster.must("job.cancel", { id: job }, admin);
  cluster.must("bundle.sweep", { bundles: 5 });
}

/** Jobs of one task: one waits, one runs, one has ended, one is tried again, one is lost, one is forgotten. */
function onlyTasks(cluster: Cluster): void {
  const first = cluster.submit({ retries: { max: 1 }, ttl: "1s" });
  for (let more = 0; more < 5; more++) cluster.submit({ retries: { max: 1 }, ttl: "1s" });
  const [running, ended, retried, lost, forgotten] = [first + 1, first + 2, first + 3, first + 4, first + 5];
  for (const job of [running, ended, retried, forgotten]) cluster.assign(job, 1, [0, 1]);
  cluster.assign(lost, 2, [0, 1]);
  const started = { task: 0, attempt: 1, startedAt: 77 };
  cluster.must("task.start", { node: nodeId(1), tasks: [{ ...started, job: jobId(running) }] });
  cluster.finish(ended, 0, 1, 1, "succeeded", { log: { bytes: 3, sha256: "s" }, tail: new Uint8Array([0, 255]) });
  cluster.finish(retried, 0, 1, 1, "failed", { reason: "no such command: x" });
  cluster.assign(retried, 1, [0, 2]);
  cluster.finish(retried, 0, 2, 1, "timeout", { signal: "SIGKILL" });
  cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  cluster.finish(forgotten, 0, 1, 1, "failed");
  cluster.assign(forgotten, 1, [0, 2]);
  cluster.finish(forgotten, 0, 2, 1);
  cluster.now += 2000;
  cluster.must("job.expire", { jobs: [jobId(forgotten), jobId(running)] });
}

/** Attempts that their node never began: of a job's only task, of an array, and of a job that is being cancelled. */
function recalls(cluster: Cluster): void {
  const single = cluster.submit({ on_lost: "fail" });
  const [array, cancelled] = [cluster.submit({ count: 2 }), cluster.submit()];
  cluster.assign(array, 1, [0, 1], [1, 1]);
  for (const job of [single, cancelled]) cluster.assign(job, 1, [0, 1]);
  cluster.must("job.cancel", { id: jobId(cancelled) }, admin);
  const attempts = [single, array, cancelled, 9999].map((job): [ReturnType<typeof jobId>, number, number] => [
    jobId(job),
    0,
    1,
  ]);
  cluster.must("unit.recall", { node: nodeId(1), attempts });
  const waiting = cluster.submit();
  cluster.assign(waiting, 2, [0, 1]);
  const { incarnation } = announcement(2);
  const returned = {
    node: nodeId(2),
    attempts: [[jobId(waiting), 0, 1]] as [ReturnType<typeof jobId>, number, number][],
  };
  for (const who of ["one of before", incarnation]) cluster.must("unit.return", { ...returned, incarnation: who });
  // The end of most jobs: it leaves nothing but its times.
  const plain = cluster.submit();
  cluster.assign(plain, 1, [0, 1]);
  cluster.finish(plain, 0, 1, 1, "succeeded", { tail: new Uint8Array(0) });
  cluster.assign(single, 3, [0, 2]);
  cluster.finish(single, 0, 2, 3);
}

/** The first authority, and another one in its place; a member whose certificate is known is removed meanwhile. */
function replaceAuthority(cluster: Cluster): void {
  const pem = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
  const [first, second] = ["a".repeat(32), "b".repeat(32)] as const;
  const system = { token: "", name: "n1", role: "node" } as const;
  const seen = (node: number, authority: string, trusted: readonly string[]): void => {
    const input = { node: nodeId(node), fingerprint: "c".repeat(32), authority, expiresAt: 99, trusted: [...trusted] };
    cluster.entry([record("certificate.seen", input, system)], { origin: nodeId(node) });
    cluster.apply();
  };
  cluster.must("authority.begin", { fingerprint: first, certificate: pem("AAAA"), crossed: null, reason: "first" });
  for (const node of [1, 2, 3]) seen(node, first, [first]);
  cluster.must("authority.held", { node: nodeId(2), authorities: [first] });
  cluster.must("authority.begin", {
    fingerprint: second,
    certificate: pem("BBBB"),
    crossed: pem("CCCC"),
    reason: "new",
  });
  for (const node of [1, 2]) seen(node, first, [second, first]);
  cluster.refused("authority.issue", { fingerprint: second });
  cluster.must("node.remove", { node: "n3" }, admin);
  cluster.must("authority.issue", { fingerprint: second });
  cluster.refused("authority.drop", { fingerprint: first });
  for (const node of [1, 2]) seen(node, second, [first, second]);
  cluster.must("authority.drop", { fingerprint: first });
}

/** Copies of packs of logs: placed, moved, given up, and left when nodes go. */
function packs(cluster: Cluster): void {
  const of = (node: number, ...numbers: number[]): [NodeId, string][] =>
    numbers.map((number) => [nodeId(node), `g0000000${number}-0000000${number}.pack`]);
  const at = (...places: [number: number, holder: number][]): [string, NodeId][] =>
    places.map(([number, holder]) => [of(0, number)[0]![1], nodeId(holder)]);
  cluster.must("pack.placed", { node: nodeId(1), packs: at([1, 2], [2, 2], [3, 99], [4, 4]) });
  cluster.must("pack.placed", { node: nodeId(1), packs: at([1, 4]) });
  cluster.must("pack.gone", { node: nodeId(2), packs: of(1, 1, 2) });
  cluster.must("node.remove", { node: 4 }, admin);
  cluster.must("pack.placed", { node: nodeId(1), packs: at([1, 2], [5, 2]) });
  cluster.must("pack.gone", { node: nodeId(1), packs: of(1, 1, 2) });
  cluster.refused("pack.placed", { node: nodeId(99), packs: at([1, 2]) });
  cluster.submit({ output: { copies: 2, sync: true } });
}

/** Versions of an inventory, what sets one, and a job that has the variables of one that is gone. */
function inventories(cluster: Cluster): void {
  const put = (lines: string, version: { base: string | null; job?: JobId }): string => {
    const read = atOnce(readInventory(lines, "ini"));
    assert(read.ok, "the inventory is good");
    const packed = atOnce(packInventory(read.inventory));
    assert(packed !== undefined, "it fits");
    const { content, pieces, hosts, groups } = packed;
    cluster.must("inventory.put", { pieces: [...pieces] }, admin);
    const counts = { hosts, groups, added: 1, removed: 0, changed: 0, changedGroups: 1 };
    const { base, job = null } = version;
    cluster.must("inventory.set", { name: "fleet", content, base, ...counts, origin: "file", job }, admin);
    return content;
  };
  const first = put("[web]\nweb[1:3] a=1\n[web:vars]\nb=2\n", { base: null });
  const target = cluster.submit({ targets: ["@fleet:web!web2"], ttl: "1s" });
  put("web1 a=2\n", { base: first });
  cluster.refused("inventory.refresh", { inventory: "fleet" }, admin);
  cluster.must("inventory.source", { inventory: "made", command: "list", every: 3_600_000, on: "zone=eu" }, admin);
  const { job } = cluster.must("inventory.refresh", { inventory: "made" }, admin);
  cluster.must("inventory.refresh", { inventory: "made" }, admin);
  cluster.must("inventory.fail", { name: "made", job: jobId(job), failure: "it prints garbage" });
  cluster.refused("inventory.fail", { name: "made", job: jobId(job), failure: "it prints garbage" });
  cluster.must("inventory.source", { inventory: "made", command: null }, admin);
  cluster.must("inventory.remove", { inventory: "fleet" }, admin);
  cluster.must("job.cancel", { id: jobId(target) }, admin);
  cluster.must("job.cancel", { id: jobId(job) }, admin);
  cluster.must("job.remove", { id: jobId(target) }, admin);
  cluster.now += 600_001;
  cluster.submit({});
  cluster.must("job.sweep", { rows: 5_000 });
}

/** A playbook whose hosts end in several ways, and that is forgotten; another one stays. */
function playbooks(cluster: Cluster): void {
  const spec = { driver: "ansible", run: undefined, targets: "p[1-3]", ansible: { playbook: "- hosts: all\n" } };
  const recap = { tasks: 5, ok: 4, failed: 1, changed: 2 };
  for (const isLast of [false, true]) {
    const job = cluster.submit(spec);
    cluster.assign(job, 1, [0, 1], [1, 1], [2, 1]);
    cluster.finish(job, 0, 1, 1, "succeeded", { recap });
    cluster.finish(job, 1, 1, 1, "failed", { exitCode: null, reason: "unreachable: no route", recap });
    cluster.finish(job, 2, 1, 1, "lost");
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    if (!isLast) cluster.must("job.remove", { id: jobId(job) }, admin);
  }
}

/** What targets say is kept, and who they are found by it. */
function facts(cluster: Cluster): void {
  const { jobs, lists } = cluster.withTargets([{ run: "x", targets: { from: ["f[1-2]"], list: "", count: 0 } }]);
  const { first } = cluster.must("job.submit", { jobs: [...jobs], lists: lists ?? [], gathers: true }, admin);
  cluster.must("facts.set", { job: jobId(first), next: 1, facts: [["f1", { os: "debian", cores: "2" }]] });
  cluster.must("facts.set", { job: jobId(first), next: null, facts: [["f1", { os: "debian", cores: "4" }]] });
  cluster.submit({ targets: "os=debian" });
  const played = cluster.submit({
    driver: "ansible",
    run: undefined,
    targets: "f[1-3]",
    ansible: { playbook: "- hosts: all\n" },
  });
  cluster.assign(played, 1, [0, 1], [2, 1]);
  cluster.finish(played, 0, 1, 1, "succeeded", { facts: { cores: "8", kernel: "6.1" } });
  cluster.finish(played, 2, 1, 1, "failed", { facts: { os: "alpine" } });
  cluster.must("job.cancel", { id: jobId(played) }, admin);
  cluster.must("job.remove", { id: jobId(played) }, admin);
}

/** What bundles are pinned from by themselves: looks that find what was there, something else, or nothing, and what has changed meanwhile. */
function bundleSources(cluster: Cluster): void {
  const [key, sealed] = ["b".repeat(32), new Uint8Array(40).fill(5)] as const;
  const made = { name: "play", url: "git@git.lan:ops/play.git", ref: "main", every: 600_000 };
  cluster.refused("bundle.source.set", { ...made, key: "deploy" }, admin);
  for (const name of ["deploy", "hook"]) cluster.must("secret.set", { name, key, sealed }, admin);
  cluster.must("bundle.source.set", { ...made, key: "deploy", subdir: "roles" }, admin);
  const tree = { digest: "e".repeat(64), bytes: 10, files: 2, copies: 1, holders: [nodeId(1)], source: "play.git" };
  const look = (base: string | null) => {
    const { revision, asked } = bundleSource(cluster.database, "play")!;
    return { name: "play", revision, asked, base };
  };
  const [first, second] = ["1".repeat(40), "2".repeat(40)] as const;
  cluster.must("bundle.source.note", { ...look(null), failure: "the host cannot be reached" });
  cluster.must("bundle.source.pin", { ...look(null), ...tree, commit: first });
  cluster.refused("bundle.source.pin", { ...look(null), ...tree, commit: second });
  const before = look(first);
  cluster.must("bundle.source.fetch", { bundle: "play" }, admin);
  cluster.must("bundle.source.note", { ...before, failure: null });
  cluster.must("bundle.source.fetch", { bundle: "play" }, { token: "", name: "webhook:play", role: "node" });
  cluster.must("bundle.source.pin", { ...look(first), ...tree, digest: "f".repeat(64), commit: second });
  cluster.must("bundle.source.set", { name: "play", url: made.url, webhook: "hook" }, admin);
  cluster.refused("bundle.source.note", { ...before, failure: null });
  cluster.must("bundle.source.rm", { bundle: "play" }, admin);
  cluster.refused("bundle.source.rm", { bundle: "play" }, admin);
  cluster.must("bundle.source.set", made, admin);
  cluster.must("bundle.rm", { bundle: "play" }, admin);
  cluster.must("bundle.source.set", { ...made, name: "kept" }, admin);
}
