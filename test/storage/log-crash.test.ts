import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { index } from "../../src/lib/ids.ts";
import { Directory, entry, Log, run, texts } from "./support.ts";

test("every acknowledged entry is there after SIGKILL at any moment (D1)", async () => {
  using directory = new Directory();
  const path = directory.file("log.db");
  for (const lines of [1, 40, 150]) {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "append-until-killed.ts"), path], {
      stdout: "pipe",
      stderr: "inherit",
    });
    let printed = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      printed += decoder.decode(chunk);
      if (printed.split("\n").length > lines) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    const acknowledged = Number(printed.slice(0, printed.lastIndexOf("\n")).split("\n").at(-1));
    expect(acknowledged).toBeGreaterThan(0);
    await using log = new Log(path);
    const { lastIndex } = await log.store.open();
    expect(lastIndex as number).toBeGreaterThanOrEqual(acknowledged);
    const entries = log.store.entries(index(1), index(lastIndex + 1), Number.MAX_SAFE_INTEGER);
    expect(texts(entries)).toEqual(texts(run(1, lastIndex, 1)));
  }
});

/** A file system of 2 MiB, or undefined where this user may not mount one. */
function smallDisk(directory: string): (Disposable & { readonly path: string }) | undefined {
  const path = join(directory, "small");
  mkdirSync(path);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", path]).status !== 0) return undefined;
  return { path, [Symbol.dispose]: () => void spawnSync("umount", ["-l", path]) };
}

test("on a full disk nothing is acknowledged, and all of it in order once there is room", async () => {
  using directory = new Directory();
  using disk = smallDisk(directory.path);
  if (disk === undefined) {
    console.warn("not run: this user may not mount a small file system");
    return;
  }
  await using log = new Log(join(disk.path, "log.db"));
  await log.store.open();
  await log.write(run(1, 3, 1));
  const ballast = join(disk.path, "ballast");
  writeFileSync(ballast, new Uint8Array(1024 * 1024));
  const big = entry(4, 1, new Uint8Array(1536 * 1024).fill(7));
  log.append([big]);
  await log.until(() => log.faults.length > 0);
  expect(log.faults[0]!.code).toBe("disk-full");
  expect(log.faults[0]!.message).toContain("log.db");
  log.append([entry(5, 1)]);
  expect(log.tokens.at(-1)).toBe(1);
  expect(log.store.pendingBytes()).toBeGreaterThan(1536 * 1024);
  rmSync(ballast);
  await log.until(() => log.tokens.at(-1) === 3);
  expect(log.faults).toHaveLength(1);
  expect(log.store.entries(index(4), index(6), Number.MAX_SAFE_INTEGER)).toEqual([big, entry(5, 1)]);
});

test("a log on a full disk can be closed and opened again without what was never acknowledged", async () => {
  using directory = new Directory();
  using disk = smallDisk(directory.path);
  if (disk === undefined) return;
  const path = join(disk.path, "log.db");
  {
    await using log = new Log(path);
    await log.store.open();
    await log.write(run(1, 3, 1));
    log.append([entry(4, 1, new Uint8Array(4 * 1024 * 1024))]);
    await log.until(() => log.faults.length > 0);
  }
  await using log = new Log(path);
  expect((await log.store.open()).lastIndex).toBe(index(3));
});
