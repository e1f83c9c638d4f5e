import { expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import type { PlaybookRecap } from "../../src/state/types.ts";
import { recapOf } from "../../src/state/tables/recap.ts";
import { admin, Cluster } from "./support.ts";

/** What becomes of a playbook is told of the whole job, added up as its hosts end. */

const played = { driver: "ansible", run: undefined, targets: "h[1-6]", ansible: { playbook: "- hosts: all\n" } };
const told = (tasks: number, ok: number, changed = 0): { recap: PlaybookRecap } => ({
  recap: { tasks, ok, failed: tasks - ok, changed },
});

test("each host counts once, as its last attempt left it, and one that told nothing in its state alone", () => {
  const cluster = Cluster.ofNewest(1);
  const job = cluster.submit({ ...played, retries: { max: 1 } });
  expect(cluster.job(job)).not.toHaveProperty("recap");
  const ends = (task: number, attempt: number, ...how: [Parameters<Cluster["finish"]>[4], object?]): void => {
    cluster.assign(job, 1, [task, attempt]);
    cluster.finish(job, task, attempt, 1, ...how);
  };
  ends(0, 1, "succeeded", told(10, 10));
  ends(1, 1, "succeeded", told(10, 9, 4));
  // It changed something and failed; the second time it was through.
  ends(2, 1, "failed", told(10, 2, 2));
  expect(cluster.job(job).recap).toEqual({
    hosts: { ok: 2, changed: 1, failed: 0, unreachable: 0 },
    tasks: { total: 20, ok: 19, failed: 1 },
    success_percent: 95,
  });
  ends(2, 2, "succeeded", told(10, 10, 1));
  const away = { exitCode: null, reason: "unreachable: no route", ...told(10, 3, 1) };
  ends(3, 1, "failed", away);
  ends(3, 2, "failed", away);
  ends(4, 1, "timeout", { reason: "ran longer" });
  ends(4, 2, "timeout", { reason: "ran longer" });
  cluster.must("job.cancel", { id: jobId(job) }, admin);
  expect(cluster.job(job)).toMatchObject({
    counts: { succeeded: 3, failed: 1, timeout: 1, cancelled: 1 },
    recap: {
      hosts: { ok: 3, changed: 2, failed: 1, unreachable: 1 },
      tasks: { total: 40, ok: 32, failed: 8 },
      success_percent: 80,
    },
  });
  const { counts } = cluster.job(job);
  cluster.must("job.remove", { id: jobId(job) }, admin);
  expect(recapOf(cluster.database, job, counts)).toBeUndefined();
});

test("a module alone, and whatever else has the word in its spec, has none", () => {
  const cluster = Cluster.ofNewest(1);
  for (const spec of [
    { driver: "ansible", run: undefined, targets: "h1", ansible: { module: "ping" } },
    { run: "x", env: { playbook: "site" } },
  ]) {
    const job = cluster.submit(spec);
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1, "failed", { exitCode: null, reason: "unreachable: no" });
    expect(cluster.job(job)).not.toHaveProperty("recap");
  }
});
