import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobStore } from "../../src/executor/blob-store.ts";
import { manifestOf } from "../../src/lib/bundle-manifest.ts";
import { sha256Of } from "../../src/lib/digest.ts";
import { limits } from "../../src/lib/limits.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newStore(): { dataDir: string; store: BlobStore } {
  const dataDir = mkdtempSync(join(tmpdir(), "skein-blobs-"));
  directories.push(dataDir);
  return { dataDir, store: new BlobStore(dataDir) };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const fileOf = (content: Uint8Array) => ({ sha256: sha256Of(content), size: content.length });
const pathOf = (dataDir: string, sha256: string): string => join(dataDir, "blobs", sha256.slice(0, 2), sha256.slice(2));
const large = new Uint8Array(2.5 * limits.blobPieceBytes).map((_, at) => at % 251);

test("a file is kept once, by its content, and what is not what it is called is not kept", async () => {
  const { dataDir, store } = newStore();
  const hello = fileOf(bytes("hello"));
  expect(await store.lacking([hello, hello])).toEqual([hello]);
  await store.add(hello.sha256, bytes("hello"));
  await store.add(hello.sha256, bytes("hello"));
  await store.settle();
  expect(await store.lacking([hello])).toEqual([]);
  expect(Buffer.from((await store.read(hello))!).toString()).toBe("hello");
  const other = fileOf(bytes("other"));
  expect(await store.add(other.sha256, bytes("wrong")).catch(String)).toContain("has another one");
  expect(await store.lacking([other])).toEqual([other]);
  expect(readdirSync(join(dataDir, "blobs", "new"))).toEqual([]);
});

test("a file that was damaged on the disk is found when it is read, and is then not here", async () => {
  const { dataDir, store } = newStore();
  const hello = fileOf(bytes("hello"));
  for (const harm of [
    (path: string) => writeFileSync(path, "hellO"),
    (path: string) => truncateSync(path, 2),
    (path: string) => rmSync(path),
  ]) {
    await store.add(hello.sha256, bytes("hello"));
    await store.settle();
    harm(pathOf(dataDir, hello.sha256));
    expect(await store.copyTo(hello, join(dataDir, "copy"), 0o644)).toBe(false);
    expect(await store.lacking([hello])).toEqual([hello]);
  }
  const big = fileOf(large);
  await appendAll(store, 0);
  await store.settle();
  expect(await store.check(big.sha256)).toBe(true);
  writeFileSync(pathOf(dataDir, big.sha256), large.toReversed());
  expect(await store.copyTo(big, join(dataDir, "copy"), 0o644)).toBe(false);
  expect(existsSync(pathOf(dataDir, big.sha256))).toBe(false);
});

async function appendAll(store: BlobStore, from: number): Promise<number> {
  let at = from;
  while (at < large.length) at = await store.append(fileOf(large), at, large.subarray(at, at + limits.blobPieceBytes));
  return at;
}

test("a large file goes on where it was, in another process too; what does not follow is not taken", async () => {
  const { dataDir, store } = newStore();
  const file = fileOf(large);
  const first = await store.append(file, 0, large.subarray(0, 1000));
  expect([first, await store.append(file, 500, large.subarray(500, 2000))]).toEqual([1000, 1000]);
  const next = new BlobStore(dataDir);
  expect(await next.partOf(file.sha256)).toBe(1000);
  expect(await appendAll(next, 1000)).toBe(large.length);
  expect(await next.append(file, 7, large.subarray(7, 9))).toBe(large.length);
  expect(await next.copyTo(file, join(dataDir, "copy"), 0o640)).toBe(true);
  expect(sha256Of(new Uint8Array(await Bun.file(join(dataDir, "copy")).arrayBuffer()))).toBe(file.sha256);
});

test("a large file that is wrong when all of it is there begins anew", async () => {
  const { store } = newStore();
  const file = fileOf(large);
  await store.append(file, 0, large.subarray(0, 1000).toReversed());
  expect(await appendAll(store, 1000).catch(String)).toContain("has another one");
  expect(await store.partOf(file.sha256)).toBe(0);
  expect(await appendAll(store, 0)).toBe(large.length);
});

test("files that nobody wants go, some at a time, but none that is new", async () => {
  const { dataDir, store } = newStore();
  const names = ["a", "b", "c", "d"];
  for (const name of names) await store.add(sha256Of(name), bytes(name));
  await store.settle();
  const old = new Date(Date.now() - 60_000);
  for (const name of ["a", "b", "c"]) utimesSync(pathOf(dataDir, sha256Of(name)), old, old);
  const before = Date.now() - 30_000;
  expect(await store.sweep((sha256) => sha256 === sha256Of("a"), before, 1)).toBe(1);
  expect(await store.sweep((sha256) => sha256 === sha256Of("a"), before, 10)).toBe(1);
  const left = await store.lacking(names.map((name) => fileOf(bytes(name))));
  expect(left.map(({ sha256 }) => sha256).toSorted()).toEqual([sha256Of("b"), sha256Of("c")].toSorted());
});

test("a bundle is held from when its manifest is here, and a manifest that was damaged is none", async () => {
  const { dataDir, store } = newStore();
  const read = manifestOf([{ kind: "file", path: "a", mode: 0o644, ...fileOf(bytes("a")) }]);
  if (!read.ok) throw new Error("it is a bundle");
  const { digest } = read.manifest;
  expect([...(await store.held()).keys()]).toEqual([]);
  await store.hold(read.manifest);
  expect([...(await store.held()).keys()]).toEqual([digest]);
  expect((await new BlobStore(dataDir).manifest(digest))?.files).toBe(1);
  writeFileSync(join(dataDir, "blobs", "bundles", digest), "{}");
  expect(await new BlobStore(dataDir).manifest(digest)).toBeUndefined();
  expect([...(await store.held()).keys()]).toEqual([]);
  await store.hold(read.manifest);
  await store.drop(digest);
  expect(await store.manifest(digest)).toBeUndefined();
});

test("a bundle that two bring at once is held", async () => {
  const { store } = newStore();
  const read = manifestOf([{ kind: "link", path: "l", target: "there" }]);
  if (!read.ok) throw new Error("it is one");
  const some = Array.from({ length: 20 }, () => store.hold(read.manifest));
  await Promise.all(some);
  expect(await store.manifest(read.manifest.digest)).toEqual(read.manifest);
});

test("what was not synced when a process ended is checked before it is used, and what is half is gone", async () => {
  const { dataDir, store } = newStore();
  const [one, two] = [fileOf(bytes("one")), fileOf(bytes("two"))];
  await store.add(one.sha256, bytes("one"));
  await store.add(two.sha256, bytes("two"));
  const staged = readdirSync(join(dataDir, "blobs", "new"));
  expect(staged).toHaveLength(2);
  writeFileSync(
    join(
      dataDir,
      "blobs",
      "new",
      staged.find((name) => name.startsWith(two.sha256))!,
    ),
    "t\0\0",
  );
  const next = new BlobStore(dataDir);
  expect(await next.lacking([one, two])).toEqual([two]);
  await next.settle();
  expect(existsSync(pathOf(dataDir, one.sha256))).toBe(true);
  expect(readdirSync(join(dataDir, "blobs", "new"))).toEqual([]);
});
