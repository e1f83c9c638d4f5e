import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { bundlesAfter, bundleVersions } from "../../src/state/bundle-views.ts";
import { resolveBundles, versionNamed } from "../../src/state/bundles.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { specSchema } from "../../src/state/commands/spec-schema.ts";
import { bundleByDigest, bundleHolders, unusedBundles } from "../../src/state/queries.ts";
import { renderSpec } from "../../src/state/spec.ts";
import { admin, Cluster } from "./support.ts";

const digest = (letter: string): string => letter.repeat(64);

function push(cluster: Cluster, name: string, letter: string, holders: readonly number[] = [1, 2]) {
  const facts = { digest: digest(letter), bytes: 10, files: 1, copies: 2, source: null };
  return cluster.must("bundle.set", { name, ...facts, holders: holders.map(nodeId) }, admin);
}

/** Submits as the API does, with the name looked up. */
function submitIn(cluster: Cluster, bundle: unknown): number {
  const { jobs, problems } = resolveBundles(cluster.database, [specSchema.parse({ run: "x", bundle })]);
  expect(problems).toEqual([]);
  return cluster.must("job.submit", { jobs: [...jobs] }, admin).first;
}

const has = (cluster: Cluster, letter: string): boolean =>
  bundleByDigest(cluster.database, digest(letter)) !== undefined;

describe("a bundle", () => {
  test("stands for its newest version, which is another one only when it is another tree", () => {
    const cluster = Cluster.ofNewest(3);
    expect(push(cluster, "site", "a")).toEqual({ name: "site", version: 1, isNew: true });
    expect(push(cluster, "site", "a", [1, 3])).toEqual({ name: "site", version: 1, isNew: false });
    expect(push(cluster, "site", "b")).toEqual({ name: "site", version: 2, isNew: true });
    push(cluster, "other", "a");
    const named = (text: string): unknown => {
      const found = versionNamed(cluster.database, text);
      return typeof found === "string" ? found : `${found.name}@${found.version} ${found.digest[0]}`;
    };
    expect(named("site")).toBe("site@2 b");
    expect(named("site@1")).toBe("site@1 a");
    expect(named(`site@sha256:${"a".repeat(8)}`)).toBe("site@1 a");
    expect(named("site@7")).toBe("bundle site has no version 7: its newest is site@2");
    expect(named("none")).toBe("there is no bundle none");
    expect(bundlesAfter(cluster.database, "", 10).map(({ name, version, nodes }) => [name, version, nodes])).toEqual([
      ["other", 1, [1, 2, 3]],
      ["site", 2, [1, 2]],
    ]);
    expect(bundleVersions(cluster.database, "site").map(({ version, set_by: by }) => [version, by])).toEqual([
      [2, "anna"],
      [1, "anna"],
    ]);
  });

  test("is taken only when as many members as it is to be on have it, those that are lost left out", () => {
    const cluster = Cluster.ofNewest(3);
    const facts = { name: "site", digest: digest("a"), bytes: 10, files: 1, copies: 2, source: null };
    expect(cluster.refused("bundle.set", { ...facts, holders: [nodeId(1)] }, admin)[0]).toBe("unavailable");
    expect(cluster.refused("bundle.set", { ...facts, holders: [nodeId(1), nodeId(9)] }, admin)[0]).toBe("unavailable");
    const one = Cluster.ofNewest(1);
    one.must("bundle.set", { ...facts, holders: [nodeId(1)] }, admin);
    expect(bundleHolders(one.database, digest("a"))).toEqual([nodeId(1)]);
  });

  test("keeps its newest versions alone, and what only older ones had is swept, in steps", () => {
    const cluster = Cluster.ofNewest(2);
    const letters = "0123456789abcdef".slice(0, limits.bundleVersions + 2);
    for (const letter of letters) push(cluster, "site", letter);
    expect(bundleVersions(cluster.database, "site")).toHaveLength(limits.bundleVersions);
    expect(unusedBundles(cluster.database, 10)).toEqual([digest("0"), digest("1")]);
    expect(cluster.must("bundle.sweep", { bundles: 1 })).toEqual({ removed: 1 });
    expect(["0", "1", "2"].map((letter) => has(cluster, letter))).toEqual([false, true, true]);
    expect(bundleHolders(cluster.database, digest("0"))).toEqual([]);
  });

  test("is removed with all its versions or one of them, and there is a word where there is none", () => {
    const cluster = Cluster.ofNewest(2);
    for (const letter of "abc") push(cluster, "site", letter);
    expect(cluster.must("bundle.rm", { bundle: "site", version: 2 }, admin)).toEqual({ name: "site", versions: [2] });
    expect(cluster.refused("bundle.rm", { bundle: "site", version: 2 }, admin)).toEqual([
      "not-found",
      "bundle site has no version 2",
    ]);
    expect(cluster.must("bundle.rm", { bundle: "site" }, admin)).toEqual({ name: "site", versions: [3, 1] });
    expect(cluster.refused("bundle.rm", { bundle: "site" }, admin)).toEqual(["not-found", "there is no bundle site"]);
  });

  test("is on the nodes that say so, and on none that was removed", () => {
    const cluster = Cluster.ofNewest(3);
    push(cluster, "site", "a");
    expect(cluster.must("bundle.held", { node: nodeId(3), held: [digest("a"), digest("f")], gone: [] })).toEqual({
      held: 1,
    });
    cluster.must("bundle.held", { node: nodeId(1), held: [], gone: [digest("a")] });
    expect(bundleHolders(cluster.database, digest("a"))).toEqual([nodeId(2), nodeId(3)]);
    cluster.must("node.remove", { node: 3 }, admin);
    expect(bundleHolders(cluster.database, digest("a"))).toEqual([nodeId(2)]);
  });
});

describe("a job's bundle", () => {
  test("is the tree that its name stood for when it was submitted, whatever the name stands for later", () => {
    const cluster = Cluster.ofNewest(2);
    push(cluster, "site", "a");
    const id = submitIn(cluster, { name: "site", read_only: true });
    push(cluster, "site", "b");
    expect(cluster.job(id).spec["bundle"]).toEqual({ name: `site@sha256:${digest("a")}`, read_only: true });
    expect(renderSpec(specSchema.parse({ run: "x", bundle: "site@3" }))["bundle"]).toBe("site@3");
  });

  test("is not swept while the job is unfinished, though its name is removed, and is when it has finished", () => {
    const cluster = Cluster.ofNewest(2);
    push(cluster, "site", "a");
    const id = submitIn(cluster, "site");
    cluster.must("bundle.rm", { bundle: "site" }, admin);
    cluster.must("bundle.sweep", { bundles: 10 });
    expect(has(cluster, "a")).toBe(true);
    cluster.must("job.cancel", { id: jobId(id) }, admin);
    cluster.must("bundle.sweep", { bundles: 10 });
    expect(has(cluster, "a")).toBe(false);
    // What is gone cannot be run in again.
    const digestOf = { only: "all", tasks: null, key: null, digest: "" } as const;
    expect(cluster.refused("job.retry", { id: jobId(id), ...digestOf }, admin)[1]).toContain("is not kept any more");
  });

  test("is the retried job's again, and counts for it", () => {
    const cluster = Cluster.ofNewest(2);
    push(cluster, "site", "a");
    const id = submitIn(cluster, "site");
    cluster.must("job.cancel", { id: jobId(id) }, admin);
    cluster.must("job.retry", { id: jobId(id), only: "all", tasks: null, key: null, digest: "" }, admin);
    expect(bundleByDigest(cluster.database, digest("a"))?.jobs).toBe(1);
  });

  test("that is gone since its name was looked up is a refusal, and so is a name that nobody knows", () => {
    const cluster = Cluster.ofNewest(2);
    push(cluster, "site", "a");
    const { jobs } = resolveBundles(cluster.database, [specSchema.parse({ run: "x", bundle: "site" })]);
    cluster.must("bundle.rm", { bundle: "site" }, admin);
    cluster.must("bundle.sweep", { bundles: 10 });
    expect(cluster.refused("job.submit", { jobs: [...jobs] }, admin)[0]).toBe("conflict");
    const { problems } = resolveBundles(cluster.database, [specSchema.parse({ run: "x", bundle: "site" })]);
    expect(problems).toEqual([{ path: "jobs[0].bundle", message: "there is no bundle site" }]);
  });

  test("needs the level that brought it, and is of drivers that run something on the node", () => {
    const spec = { run: "x", bundle: { name: "site", digest: digest("a") } };
    const payload = commandByName("job.submit").prepare({ jobs: [spec] }, admin);
    expect(commandByName("job.submit").needs?.(payload)).toBe(3);
    const problems = (raw: unknown): string[] => {
      const read = specSchema.safeParse(raw);
      return read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    };
    expect(problems({ driver: "noop", bundle: "site" })).toEqual([
      "bundle: driver noop has no use for a tree of files: leave it out",
    ]);
    const ssh = { driver: "ssh", run: "x", targets: "a", bundle: "site" };
    expect(problems(ssh).join()).toContain("bundle: is where driver ssh puts files from");
    expect(problems({ ...ssh, ssh: { put: [{ from: "app.conf", to: "/etc/app.conf" }] } })).toEqual([]);
    expect(problems({ run: "x", bundle: "site", dir: "/srv" })).toEqual([
      "dir: is the bundle's own tree: leave it out",
    ]);
    expect(problems({ run: "x", bundle: "no such name!" })).toHaveLength(1);
    expect(problems({ run: "x", bundle: { name: "site", write: true } })).toHaveLength(1);
  });
});
