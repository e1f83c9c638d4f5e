import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { heldAttempt, listSecrets, secretByName } from "../../src/state/queries.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { specSchema } from "../../src/state/commands/spec-schema.ts";
import { renderSpec } from "../../src/state/spec.ts";
import { admin, Cluster, record, throughTheLog } from "./support.ts";

const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const [first, second] = ["a".repeat(32), "b".repeat(32)] as const;
/** As a voter makes it; its first byte tells which one it is. */
const sealed = (which: number): Uint8Array => new Uint8Array(40).fill(which);

function clusterWith(...names: readonly string[]): Cluster {
  const cluster = Cluster.of(2);
  cluster.level = 3;
  cluster.must("authority.begin", { fingerprint: first, certificate: pem, crossed: null, reason: "first" });
  for (const name of names) cluster.must("secret.set", { name, key: first, sealed: sealed(1) }, admin);
  return cluster;
}

const using = (name: string): Record<string, unknown> => ({ env: { PASSWORD: { secret: name }, PLAIN: "1" } });

describe("a secret", () => {
  test("is kept as it was encrypted, with who set it when, and its revision grows", () => {
    const cluster = clusterWith("door");
    cluster.now += 5;
    expect(cluster.must("secret.set", { name: "door", key: first, sealed: sealed(2) }, admin)).toEqual({
      name: "door",
      revision: 2,
    });
    expect(secretByName(cluster.database, "door")).toEqual({
      name: "door",
      revision: 2,
      key: first,
      sealed: sealed(2),
      setAt: cluster.now,
      setBy: "anna",
    });
    expect(listSecrets(cluster.database, { limit: 10 }).items.map(({ name, isLost }) => [name, isLost])).toEqual([
      ["door", false],
    ]);
    expect(Object.keys(listSecrets(cluster.database, { limit: 10 }).items[0]!)).not.toContain("sealed");
  });

  test("under a key that is not the cluster's, or is about to be forgotten, is refused: repeat it", () => {
    const cluster = clusterWith();
    expect(cluster.refused("secret.set", { name: "door", key: second, sealed: sealed(1) }, admin)[0]).toBe(
      "unavailable",
    );
    cluster.must("authority.begin", { fingerprint: second, certificate: pem, crossed: null, reason: "new" });
    cluster.must("secret.set", { name: "door", key: second, sealed: sealed(1) }, admin);
  });

  test("lists page, and say which were left without a key by a restore", () => {
    const cluster = clusterWith("a", "b", "c");
    const page = listSecrets(cluster.database, { limit: 2 });
    expect([page.items.map((one) => one.name), page.next]).toEqual([["a", "b"], "b"]);
    expect(listSecrets(cluster.database, { limit: 2, next: page.next }).items.map((one) => one.name)).toEqual(["c"]);
  });

  test("is encrypted anew by the leader, but not over a value that was set meanwhile", () => {
    const cluster = clusterWith("door", "gate");
    cluster.must("authority.begin", { fingerprint: second, certificate: pem, crossed: null, reason: "new" });
    cluster.must("secret.set", { name: "gate", key: first, sealed: sealed(3) }, admin);
    const secrets = ["door", "gate", "gone"].map((name) => ({ name, was: sealed(1).slice(0, 12), sealed: sealed(9) }));
    expect(cluster.must("secret.rekey", { key: second, secrets })).toEqual({ rekeyed: 1 });
    const found = (name: string) => secretByName(cluster.database, name)!;
    expect([found("door").key, found("door").sealed, found("door").revision]).toEqual([second, sealed(9), 1]);
    expect([found("gate").key, found("gate").sealed]).toEqual([first, sealed(3)]);
  });

  test("cannot be removed while unfinished jobs use it, which are named, unless by force", () => {
    const cluster = clusterWith("door");
    const jobs = Array.from({ length: limits.secretJobsNamed + 2 }, () => cluster.submit(using("door")));
    const plain = cluster.submit();
    expect(cluster.refused("secret.rm", { secret: "door" }, admin)).toEqual([
      "conflict",
      `secret door is used by unfinished jobs: ${jobs.slice(0, 5).join(", ")} and 2 more; wait for them, cancel them, or remove it by force, and their tasks fail`,
    ]);
    for (const job of jobs.slice(1)) cluster.must("job.cancel", { id: jobId(job) }, admin);
    expect(cluster.refused("secret.rm", { secret: "door" }, admin)[1]).toContain(`jobs: ${jobs[0]};`);
    cluster.assign(jobs[0]!, 1, [0, 1]);
    cluster.finish(jobs[0]!, 0, 1, 1);
    expect(cluster.must("secret.rm", { secret: "door" }, admin)).toEqual({ name: "door", jobs: [] });
    expect(cluster.refused("secret.rm", { secret: "door" }, admin)[0]).toBe("not-found");
    expect(cluster.job(plain).state).toBe("queued");
  });

  test("by force it goes, and the jobs that used it are told", () => {
    const cluster = clusterWith("door");
    const job = cluster.submit(using("door"));
    expect(cluster.must("secret.rm", { secret: "door", force: true }, admin)).toEqual({ name: "door", jobs: [job] });
    expect(secretByName(cluster.database, "door")).toBeUndefined();
  });

  test("stands in the audit by its name alone", () => {
    const cluster = clusterWith("door");
    const rows = cluster.events.flatMap((event) => event.changes).filter((change) => change.topic === "audit");
    expect(rows.find((row) => row.command === "secret.set")!.what).toBe("secret door");
  });
});

describe("a spec that names a secret", () => {
  const specs = (...jobs: Record<string, unknown>[]) => jobs.map((job) => specSchema.parse({ run: "true", ...job }));

  test("is refused with the path of each one that is not there; nothing of the batch is submitted", () => {
    const cluster = clusterWith("door");
    const outcome = cluster.propose(
      "job.submit",
      { jobs: specs(using("door"), using("gate"), {}, using("wall")) },
      admin,
    );
    expect(outcome.ok ? [] : [outcome.why.code, outcome.why.details]).toEqual([
      "invalid",
      [
        { path: "jobs[1].env.PASSWORD", message: "there is no secret gate" },
        { path: "jobs[3].env.PASSWORD", message: "there is no secret wall" },
      ],
    ]);
    expect(cluster.submit(using("door"))).toBe(1);
  });

  test("is shown as it was written, and text that only looks like one is text", () => {
    const [spec] = specs({ env: { A: { secret: "x" }, B: '"secrets":{' } });
    expect(renderSpec(spec!)).toEqual({ run: "true", env: { A: { secret: "x" }, B: '"secrets":{' } });
    expect(specSchema.parse(renderSpec(spec!))).toEqual(spec!);
    const cluster = clusterWith();
    expect(cluster.submit({ env: { B: '"secrets":{"env":{"A":"x"}}' }, labels: { secrets: "env" } })).toBe(1);
    const payload = throughTheLog(record("job.submit", { jobs: specs(using("door")) }, admin));
    expect(JSON.stringify(payload)).toContain("door");
  });

  test("is given to the node that holds the attempt now, and to nobody else", () => {
    const cluster = clusterWith("door");
    const job = cluster.submit({ ...using("door"), retries: { max: 1, backoff: "0s" } });
    const held = (node: number, attempt: number, task = 0) =>
      heldAttempt(cluster.database, { job, task, attempt }, nodeId(node))?.secrets;
    expect(held(1, 1)).toBeUndefined();
    cluster.assign(job, 1, [0, 1]);
    expect(held(1, 1)).toEqual({ env: { PASSWORD: "door" } });
    expect([held(2, 1), held(1, 2), held(1, 1, 1)]).toEqual([undefined, undefined, undefined]);
    cluster.finish(job, 0, 1, 1, "failed");
    expect(held(1, 1)).toBeUndefined();
    cluster.assign(job, 2, [0, 2]);
    expect([held(1, 1), held(1, 2), held(2, 1)]).toEqual([undefined, undefined, undefined]);
    expect(held(2, 2)).toEqual({ env: { PASSWORD: "door" } });
    cluster.finish(job, 0, 2, 2);
    expect(held(2, 2)).toBeUndefined();
  });
});

test("what a node of before would run otherwise than it says waits for the level at which all understand it", () => {
  const submit = commandByName("job.submit");
  const needed = (spec: Record<string, unknown>): number =>
    submit.needs!(submit.prepare({ jobs: [specSchema.parse(spec)] }, admin));
  expect(needed({ run: "x", env: { A: "1" } })).toBe(1);
  for (const spec of [
    using("door"),
    { user: "www" },
    { limits: { files: 64 } },
    { driver: "http", run: undefined, http: { url: "https://x/" } },
  ])
    expect([spec, needed({ run: "x", ...spec })]).toEqual([spec, 3]);
});
