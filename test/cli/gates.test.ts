import { expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { admin } from "../state/support.ts";
import { cli, ServedMesh, start, TestIo } from "./support.ts";

test("flags say what a job waits for", async () => {
  using served = new ServedMesh();
  served.submit();
  served.submit();
  const flags = "--after 1,2:failed --after 2:done --key deploy --on-conflict replace --deadline 2h";
  const wrong = await cli(["run", "-d", ...flags.split(" "), "--", "x"], served.env);
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("after[2]: names 2 a second time")]);
  const right = flags.replace("--after 2:done ", "");
  const ran = await cli(["run", "-d", ...right.split(" "), "--start-at", "2999-12-01T02:00:00+01:00", "--", "x"], {
    ...served.env,
  });
  // The deadline counts from now on.
  expect([ran.code, ran.err]).toEqual([2, expect.stringContaining("deadline: passes before start_at")]);
  const long = right.replace(" --deadline 2h", "");
  expect(
    await cli(["run", "-d", ...long.split(" "), "--start-at", "2999-12-01T02:00:00+01:00", "--", "x"], served.env),
  ).toEqual({ code: 0, out: "3\n", err: "" });
  expect(served.mesh.cluster.job(3).spec).toMatchObject({
    after: [1, { job: 2, when: "failed" }],
    key: "deploy",
    on_conflict: "replace",
    start_at: "2999-12-01T01:00:00.000Z",
  });
  const { out } = await cli(["jobs", "show", "3"], served.env);
  expect(out).toMatch(/waits for +2999-12-01 01:00:00Z, the end of 2 other jobs, its key "deploy"/);
});

test("wrong ones are told together, before anything is sent", async () => {
  const flags = "--after x --after 5:late --on-conflict wait --start-at tomorrow --deadline 0s";
  const { code, err } = await cli(["run", ...flags.split(" "), "--", "x"], { SKEIN_ADDR: "http://127.0.0.1:9" });
  expect(code).toBe(2);
  for (const path of ["--after", "--on-conflict", "--start-at", "--deadline"]) expect(err).toContain(path);
  expect(err).toContain("5 flags are wrong");
});

test("hold and release: many ids, what cannot be held is passed over, in every form of output", async () => {
  using served = new ServedMesh();
  served.submit();
  served.submit();
  const { code, out, err } = await cli(["jobs", "hold", "1,9,2", "-o", "json"], served.env);
  expect([code, JSON.parse(out)]).toEqual([3, { held: [1, 2] }]);
  expect(err).toContain("job 9");
  expect((await cli(["ps"], served.env)).out).toMatch(/1 .*queued \(held\)/);
  expect(JSON.parse((await cli(["jobs", "show", "1", "-o", "json"], served.env)).out)).toMatchObject({
    state: "queued",
    held: true,
    waits: { held: true },
  });
  expect(await cli(["jobs", "release", "1", "-o", "quiet"], served.env)).toEqual({ code: 0, out: "1\n", err: "" });
  expect(await cli(["jobs", "release", "last"], served.env)).toEqual({ code: 0, out: "job 2 is released\n", err: "" });
  served.assign(1);
  served.finish(1);
  expect((await cli(["jobs", "hold", "1"], served.env)).code).toBe(6);
});

test("a key that another job has is a conflict, and a parent that is not there is invalid", async () => {
  using served = new ServedMesh();
  served.submit({ key: "k" });
  const taken = await cli(["run", "--key", "k", "--on-conflict", "refuse", "--", "x"], served.env);
  expect([taken.code, taken.err]).toEqual([6, expect.stringContaining('job 1 has the key "k"')]);
  const missing = await cli(["run", "--after", "7", "--", "x"], served.env);
  expect([missing.code, missing.err]).toEqual([2, expect.stringContaining("after[0]: there is no job 7")]);
});

test("a job that waits says for what, and one that is skipped ends the command with 1 and its reason", async () => {
  using served = new ServedMesh();
  const parent = served.submit();
  const io = new TestIo();
  const code = start(["run", "--after", String(parent), "--", "x"], served.env, io);
  await io.stderr.has("job 2 is queued: it waits for the end of another job");
  served.assign(parent);
  served.finish(parent, 0, "failed");
  expect(await code).toBe(1);
  expect(io.stderr.text).toContain("job 2 was skipped: job 1 failed");
});

test("batches by flags, which one runs, and the approval of the one that waits", async () => {
  using served = new ServedMesh();
  const wrong = await cli(["run", "--batch-pause", "soon", "--approve", "--", "x"], served.env);
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("--approve: is for batches")]);
  for (const path of ['--batch-pause: "soon"', "--batch-pause: is for batches"]) expect(wrong.err).toContain(path);
  const flags = ["--count", "10", "--batch", "1,50%", "--batch-pause", "30s", "--approve"];
  const io = new TestIo();
  const running = start(["run", ...flags, "--", "x"], served.env, io);
  await served.submitted();
  expect(served.mesh.cluster.job(1).spec["batch"]).toEqual({ sizes: [1, "50%"], pause: "30s", approve: true });
  served.assign(1);
  served.finish(1);
  await io.stderr.has("batch 2 of job 1 waits for approval: `skein jobs release 1` lets it begin");
  const { out } = await cli(["jobs", "show", "1"], served.env);
  expect(out).toMatch(/batch +1 of 3: task 0/);
  expect(out).toMatch(/waits for .*the approval of batch 2/);
  expect((await cli(["ps"], served.env)).out).toContain("running (batch 2 waits)");
  expect((await cli(["jobs", "release", "1", "--batch", "3"], served.env)).code).toBe(6);
  expect((await cli(["jobs", "release", "1", "--batch", "x"], served.env)).code).toBe(2);
  expect(await cli(["jobs", "release", "1"], served.env)).toEqual({
    code: 0,
    out: "job 1 is released: batch 2\n",
    err: "",
  });
  served.mesh.change((cluster) => cluster.must("job.cancel", { id: jobId(1) }, admin));
  expect(await running).toBe(1);
});

test("what a job waits for is told in every form of its results", async () => {
  for (const form of [["-b"], ["--diff"], ["-o", "json"]]) {
    using served = new ServedMesh();
    const io = new TestIo();
    const flags = ["--target", "c[1-3]", "--batch", "1,2", "--approve"];
    const code = start(["run", ...form, ...flags, "--", "x"], served.env, io);
    await served.submitted();
    served.assign(1);
    served.finish(1);
    await io.stderr.has("batch 2 of job 1 waits for approval: `skein jobs release 1` lets it begin");
    expect((await cli(["jobs", "release", "1"], served.env)).code).toBe(0);
    for (const task of [1, 2]) {
      served.assign(1, task);
      served.finish(1, task);
    }
    expect(await code).toBe(0);
  }
});

test("a pause between batches is told with its end, and of a job that is queued why", async () => {
  using served = new ServedMesh();
  const paused = new TestIo();
  const argv = ["run", "-b", "--target", "c[1-3]", "--batch", "1,2", "--batch-pause", "1h", "--", "x"];
  const first = start(argv, served.env, paused);
  await served.submitted();
  served.assign(1);
  served.finish(1);
  await paused.stderr.has("nothing of job 1 runs: it waits for ");
  expect(paused.stderr.text).toContain("Z, when its next batch begins\n");
  const queued = new TestIo();
  const second = start(["run", "-b", "--target", "c[1-3]", "--", "x"], served.env, queued);
  await queued.stderr.has("job 2 is queued: no matching node has room yet (`skein jobs explain 2` says why)");
  for (const io of [paused, queued]) io.interrupt();
  expect([await first, await second]).toEqual([130, 130]);
});
