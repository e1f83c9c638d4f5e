import { afterEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobStore } from "../../src/executor/blob-store.ts";
import { BundleTrees, type LaidOut } from "../../src/executor/bundle-trees.ts";
import { type BundleEntry, type Manifest, manifestOf } from "../../src/lib/bundle-manifest.ts";
import { sha256Of } from "../../src/lib/digest.ts";
import { jobId } from "../../src/lib/ids.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) {
    Bun.spawnSync(["chmod", "-R", "u+w", directory]);
    rmSync(directory, { recursive: true, force: true });
  }
});

const attempt = (job: number) => ({ job: jobId(job), task: 0, attempt: 1 });
const file = (path: string, text: string, mode = 0o644): BundleEntry => ({
  kind: "file",
  path,
  mode,
  size: text.length,
  sha256: sha256Of(text),
});

/** A node's store with a bundle in it. */
async function rig(): Promise<{ dataDir: string; store: BlobStore; trees: BundleTrees; manifest: Manifest }> {
  const dataDir = mkdtempSync(join(tmpdir(), "skein-trees-"));
  directories.push(dataDir);
  const store = new BlobStore(dataDir);
  const files = [
    file("bin/run", "#!/bin/sh\necho ran\n", 0o755),
    file("etc/conf", "a=1"),
    file("etc/same", "a=1", 0o600),
  ];
  for (const text of ["#!/bin/sh\necho ran\n", "a=1"]) await store.add(sha256Of(text), Buffer.from(text));
  await store.settle();
  const read = manifestOf([
    ...files,
    { kind: "directory", path: "empty", mode: 0o750 },
    { kind: "link", path: "bin/conf", target: "../etc/conf" },
  ]);
  if (!read.ok) throw new Error("it is a bundle");
  return { dataDir, store, trees: new BundleTrees(dataDir, store), manifest: read.manifest };
}

function pathOf(laid: LaidOut): string {
  if (laid.kind !== "done") throw new Error(`it was not laid out: ${laid.kind}`);
  return laid.tree.path;
}

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test("an attempt's own tree has everything as it was, and what is done to it is done to nothing else", async () => {
  const { trees, manifest } = await rig();
  const [one, other] = await Promise.all(
    [1, 2].map((job) => trees.layOut(manifest, { attempt: attempt(job), kind: "own" })),
  );
  const path = pathOf(one!);
  expect(one).toMatchObject({ kind: "done", tree: { isOwn: true } });
  expect(Bun.spawnSync([join(path, "bin/run")]).stdout.toString()).toBe("ran\n");
  expect([modeOf(join(path, "bin/run")), modeOf(join(path, "etc/same")), modeOf(join(path, "empty"))]).toEqual([
    0o755, 0o600, 0o750,
  ]);
  expect(readlinkSync(join(path, "bin/conf"))).toBe("../etc/conf");
  writeFileSync(join(path, "bin/conf"), "b=2");
  expect(readFileSync(join(path, "etc/conf"), "utf8")).toBe("b=2");
  expect(readFileSync(join(path, "etc/same"), "utf8")).toBe("a=1");
  expect(readFileSync(join(pathOf(other!), "etc/conf"), "utf8")).toBe("a=1");
  // Once more, as after a crash: what an earlier one left is not in it.
  writeFileSync(join(path, "left"), "");
  expect(existsSync(join(pathOf(await trees.layOut(manifest, { attempt: attempt(1), kind: "own" })), "left"))).toBe(
    false,
  );
});

test("what is only taken out of a tree has the permissions of the bundle, and is one for all attempts, beside the one that nobody may write to", async () => {
  const { trees, manifest } = await rig();
  const lay = async (job: number, kind: "as-is" | "read-only"): Promise<string> =>
    pathOf(await trees.layOut(manifest, { attempt: attempt(job), kind }));
  const path = await lay(1, "as-is");
  expect(await lay(2, "as-is")).toBe(path);
  expect(["bin/run", "etc/same", "empty"].map((one) => modeOf(join(path, one)))).toEqual([0o755, 0o600, 0o750]);
  const closed = await lay(3, "read-only");
  expect(closed).not.toBe(path);
  expect(modeOf(join(closed, "bin/run"))).toBe(0o555);
});

test("attempts that only read share a tree that they may not write to; one that was changed all the same is used no more", async () => {
  const { dataDir, store, manifest } = await rig();
  const trees = new BundleTrees(dataDir, store, 0);
  const wish = { attempt: attempt(1), kind: "read-only" } as const;
  const [path = "", again = ""] = (await Promise.all([trees.layOut(manifest, wish), trees.layOut(manifest, wish)])).map(
    pathOf,
  );
  expect(again).toBe(path);
  for (const one of ["", "bin", "bin/run", "etc/conf", "empty"]) expect(modeOf(join(path, one)) & 0o222).toBe(0);
  // What only root can do, or who allows it to himself first.
  chmodSync(join(path, "etc/conf"), 0o644);
  writeFileSync(join(path, "etc/conf"), "b=2");
  const fresh = pathOf(await trees.layOut(manifest, wish));
  expect([fresh === path, readFileSync(join(fresh, "etc/conf"), "utf8")]).toEqual([false, "a=1"]);
  expect(readFileSync(join(path, "etc/conf"), "utf8")).toBe("b=2");
  expect(pathOf(await trees.layOut(manifest, wish))).toBe(fresh);
  // Another process of the node knows nothing of a tree of before, and makes its own.
  expect([path, fresh]).not.toContain(pathOf(await new BundleTrees(dataDir, store).layOut(manifest, wish)));
});

test.if(process.getuid?.() === 0)(
  "what root's task wrote into a shared tree the very next one does not see",
  async () => {
    const { trees, manifest } = await rig();
    const lay = async (job: number): Promise<string> =>
      pathOf(await trees.layOut(manifest, { attempt: attempt(job), kind: "read-only" }));
    const path = await lay(1);
    expect(await lay(2)).toBe(path);
    writeFileSync(join(path, "bin/run"), "#!/bin/sh\necho evil\n");
    const next = await lay(3);
    expect(readFileSync(join(next, "bin/run"), "utf8")).toBe("#!/bin/sh\necho ran\n");
    writeFileSync(join(next, "etc/added"), "");
    const third = await lay(4);
    expect(third).not.toBe(next);
    // It always writes: from now on each has a copy that goes with it.
    writeFileSync(join(third, "etc/added"), "");
    await lay(5);
    const laid = await trees.layOut(manifest, { attempt: attempt(6), kind: "read-only" });
    expect(laid).toMatchObject({ kind: "done", tree: { isOwn: true } });
    expect([existsSync(join(pathOf(laid), "etc/added")), modeOf(join(pathOf(laid), "etc/conf")) & 0o222]).toEqual([
      false,
      0,
    ]);
  },
);

test("a tree of which files were damaged is not laid out, and all of them are found at once", async () => {
  const { dataDir, store, trees, manifest } = await rig();
  const files = manifest.entries.filter((entry) => entry.kind === "file");
  for (const { sha256, size } of files)
    writeFileSync(join(dataDir, "blobs", sha256.slice(0, 2), sha256.slice(2)), "x".repeat(size));
  expect(await trees.layOut(manifest, { attempt: attempt(1), kind: "read-only" })).toEqual({ kind: "incomplete" });
  expect(await store.lacking(files)).toHaveLength(2);
  expect(await trees.layOut(manifest, { attempt: attempt(1), kind: "own" })).toEqual({ kind: "incomplete" });
});

test("a user who is not there is told, and nothing is laid out", async () => {
  const { trees, manifest } = await rig();
  const laid = await trees.layOut(manifest, { attempt: attempt(1), kind: "own", user: "nobody-of-that-name" });
  expect(laid).toMatchObject({ kind: "impossible" });
});

test.if(process.getuid?.() === 0)("another user gets a tree that is theirs, where they may pass", async () => {
  const { trees, manifest } = await rig();
  const path = pathOf(await trees.layOut(manifest, { attempt: attempt(1), kind: "own", user: "nobody" }));
  directories.push(path);
  const { uid } = lstatSync(join(path, "etc/conf"));
  expect([lstatSync(path).uid, lstatSync(join(path, "bin/conf")).uid]).toEqual([uid, uid]);
  expect(uid).not.toBe(0);
  const said = Bun.spawnSync(
    ["setpriv", `--reuid=${uid}`, "--clear-groups", "sh", "-c", "echo x > new && cat bin/conf"],
    { cwd: path },
  );
  expect(said.stdout.toString()).toBe("a=1");
});

test("trees of bundles and attempts that are gone are removed, those in use are not", async () => {
  const { trees, manifest } = await rig();
  const own = pathOf(await trees.layOut(manifest, { attempt: attempt(1), kind: "own" }));
  const held = pathOf(await trees.layOut(manifest, { attempt: attempt(2), kind: "own" }));
  const shared = pathOf(await trees.layOut(manifest, { attempt: attempt(3), kind: "read-only" }));
  utimesSync(own, 0, 0);
  const there = (): boolean[] => [own, held, shared].map((path) => existsSync(path));
  await trees.sweep(
    () => true,
    () => false,
    60_000,
  );
  expect(there()).toEqual([true, true, true]);
  await trees.sweep(
    () => true,
    (name) => name === "2.0.1",
    -1000,
  );
  expect(there()).toEqual([false, true, true]);
  await trees.sweep(
    () => false,
    (name) => name === "2.0.1",
    -1000,
  );
  expect(there()).toEqual([false, true, false]);
});
