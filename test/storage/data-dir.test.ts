import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { openDataDir } from "../../src/storage/data-dir.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { readIdentity, writeIdentity } from "../../src/storage/identity.ts";
import type { Identity } from "../../src/storage/types.ts";
import { Directory, entry, Log } from "./support.ts";

function fault(action: () => unknown): Fault {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(Fault);
    return error as Fault;
  }
  throw new Error("it did not fail");
}

const holder = `
import { openDataDir } from "${join(import.meta.dir, "../../src/storage/data-dir.ts")}";
openDataDir(process.argv[1]);
Bun.gc(true);
console.log("held");
setInterval(() => {}, 1000);
`;

test("a missing directory is made, for this user only", () => {
  using directory = new Directory();
  const path = directory.file("a/b");
  const opened = openDataDir(path);
  expect(opened.path).toBe(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(readdirSync(path).filter((name) => name.startsWith("probe"))).toEqual([]);
  opened.close();
});

test("an empty directory that others may read is closed to them, and so is one that was used before", () => {
  using directory = new Directory();
  const path = directory.file("data");
  mkdirSync(path);
  for (const mode of [0o755, 0o777]) {
    chmodSync(path, mode);
    openDataDir(path).close();
    expect(statSync(path).mode & 0o7777).toBe(0o700);
  }
});

test("a directory of somebody else's things that others may read is refused and left as it is", () => {
  using directory = new Directory();
  writeFileSync(directory.file("letter"), "");
  chmodSync(directory.path, 0o755);
  expect(fault(() => openDataDir(directory.path)).message).toContain("(mode 755) and holds files that are not Skein's");
  expect(statSync(directory.path).mode & 0o777).toBe(0o755);
  expect(readdirSync(directory.path)).toEqual(["letter"]);
});

test("no file of the databases and locks can be read by others, made now or by an earlier release", async () => {
  using directory = new Directory();
  const path = directory.file("data");
  mkdirSync(path);
  writeFileSync(join(path, "lock"), "", { mode: 0o644 });
  writeFileSync(join(path, "state.db"), "", { mode: 0o644 });
  const opened = openDataDir(path);
  const state = new StateDatabase({ path: join(path, "state.db"), schema: [] });
  await using log = new Log(join(path, "log.db"));
  await log.store.open();
  await log.write([entry(1, 1)]);
  const modes = readdirSync(path).map((name) => [name, statSync(join(path, name)).mode & 0o777]);
  state.close();
  opened.close();
  const names = ["lock", "lock.pid", "log.db", "log.db-shm", "log.db-wal", "state.db", "state.db-shm", "state.db-wal"];
  expect(new Map(modes as [string, number][])).toEqual(
    new Map([...names, ...modes.map(([name]) => String(name))].map((name) => [name, 0o600])),
  );
});

test("a directory that another process holds is refused with its pid, until that process is killed", async () => {
  using directory = new Directory();
  const path = directory.file("data");
  const child = Bun.spawn([process.execPath, "-e", holder, path], { stdout: "pipe", stderr: "ignore" });
  try {
    await child.stdout.getReader().read();
    const refused = fault(() => openDataDir(path));
    expect(refused.code).toBe("data");
    expect(refused.message).toContain(`in use by another process (pid ${child.pid})`);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  openDataDir(path).close();
});

test("the same process cannot hold a directory twice, and can take it again after letting go", () => {
  using directory = new Directory();
  const first = openDataDir(directory.path);
  expect(fault(() => openDataDir(directory.path)).message).toContain("in use");
  first.close();
  openDataDir(directory.path).close();
});

test("a file in the place of the directory, or above it, is said to be one", () => {
  using directory = new Directory();
  writeFileSync(directory.file("plain"), "");
  for (const path of [directory.file("plain"), directory.file("plain/below")]) {
    const refused = fault(() => openDataDir(path));
    expect(refused.code).toBe("data");
    expect(refused.message).toContain("is not a directory");
  }
});

test("a directory that this user may not write is said to be so", () => {
  using directory = new Directory();
  chmodSync(directory.path, 0o555);
  if (process.getuid?.() !== 0) {
    expect(fault(() => openDataDir(directory.path)).message).toContain("cannot be written by this user");
  } else {
    // Root may write anywhere but on a read-only file system.
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", directory.path]).status !== 0) return;
    try {
      expect(fault(() => openDataDir(directory.path)).message).toContain("read-only file system");
    } finally {
      spawnSync("umount", ["-l", directory.path]);
    }
  }
  chmodSync(directory.path, 0o700);
});

test("a directory on a full disk is said to be so", () => {
  using directory = new Directory();
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory.path]).status !== 0) return;
  try {
    writeFileSync(directory.file("ballast"), new Uint8Array(60 * 1024));
    expect(fault(() => openDataDir(directory.path)).message).toContain("full file system");
  } finally {
    spawnSync("umount", ["-l", directory.path]);
  }
});

const identity: Identity = {
  version: 2,
  cluster: "c-1",
  node: nodeId(3),
  name: "goose",
  starts: 4,
  api: "127.0.0.1:7400",
  peer: "127.0.0.1:7401",
  peers: [{ node: nodeId(1), address: "127.0.0.1:7411" }],
};

test("an identity is read back as it was written, is private, and leaves no temporary file", () => {
  using directory = new Directory();
  expect(readIdentity(directory.path)).toBeUndefined();
  writeIdentity(directory.path, identity);
  writeIdentity(directory.path, { ...identity, starts: 5 });
  expect(readIdentity(directory.path)).toEqual({ ...identity, starts: 5 });
  expect(statSync(directory.file("identity.json")).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory.path)).toEqual(["identity.json"]);
});

test.each([
  ["no JSON", "{", /damaged/],
  ["a missing field", JSON.stringify({ ...identity, name: undefined }), /damaged/],
  ["a wrong node", JSON.stringify({ ...identity, node: 0 }), /damaged/],
  ["a peer that is none", JSON.stringify({ ...identity, peers: [null] }), /damaged/],
  ["a later version", JSON.stringify({ ...identity, version: 3 }), /newer skein/],
  [
    "the version before certificates",
    JSON.stringify({ ...identity, version: 1 }),
    /before certificates.*start new ones/,
  ],
])("an identity with %s is refused with what to do", (_what, text, message) => {
  using directory = new Directory();
  writeFileSync(directory.file("identity.json"), text);
  const refused = fault(() => readIdentity(directory.path));
  expect(refused.code).toBe("data");
  expect(refused.message).toMatch(message);
});
