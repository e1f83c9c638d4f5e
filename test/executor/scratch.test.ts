import { expect, test } from "bun:test";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scratch } from "../../src/executor/guard/scratch.ts";
import { Directory } from "../storage/support.ts";

const swept = Promise.resolve();

test("a directory that nobody touched is the next attempt's, under its name, and one that somebody did is removed", async () => {
  using directory = new Directory();
  const scratch = new Scratch(join(directory.path, "scratch"));
  const first = scratch.take("1.0.1");
  const { ino } = lstatSync(first.path);
  await scratch.giveBack(first, swept);
  await swept;
  expect(existsSync(first.path)).toBe(false);
  let last = scratch.take("1.1.1");
  expect([last.path, lstatSync(last.path).ino]).toEqual([join(directory.path, "scratch", "1.1.1"), ino]);

  const touched: ((path: string) => void)[] = [
    (path) => writeFileSync(join(path, "left"), "behind"),
    (path) => {
      mkdirSync(join(path, "made"));
      rmSync(join(path, "made"), { recursive: true });
    },
    (path) => chmodSync(path, 0o755),
    (path) => rmSync(path, { recursive: true }),
  ];
  for (const [task, touch] of touched.entries()) {
    // A file system that counts time in ticks does not tell what happens within one.
    await untilChangesShow(directory.path);
    touch(last.path);
    await scratch.giveBack(last, swept);
    await swept;
    expect(readdirSync(join(directory.path, "scratch"))).toEqual([]);
    last = scratch.take(`2.${task}.1`);
    expect([readdirSync(last.path), lstatSync(last.path).mode & 0o777]).toEqual([[], 0o700]);
  }
});

test("a spare is used only after a sweep, and not when somebody wrote into it or took it away meanwhile", async () => {
  using directory = new Directory();
  const parent = join(directory.path, "scratch");
  const scratch = new Scratch(parent);
  const later = Promise.withResolvers<void>();
  const first = scratch.take("1.0.1");
  await scratch.giveBack(first, later.promise);
  const [spare] = readdirSync(parent);
  const second = scratch.take("1.1.1");
  expect(readdirSync(parent).toSorted()).toEqual(["1.1.1", spare!].toSorted());
  later.resolve();
  await later.promise;
  writeFileSync(join(parent, spare!, "late"), "from a process that nobody knows of");
  const third = scratch.take("1.2.1");
  expect([readdirSync(third.path), readdirSync(parent).toSorted()]).toEqual([[], ["1.1.1", "1.2.1"]]);

  for (const one of [second, third]) await scratch.giveBack(one, swept);
  await swept;
  for (const name of readdirSync(parent)) rmSync(join(parent, name), { recursive: true });
  expect(readdirSync(scratch.take("1.3.1").path)).toEqual([]);
  scratch.close();
  expect(readdirSync(parent)).toEqual(["1.3.1"]);
});

test("a spare that somebody changed or put something else in the place of is no attempt's", async () => {
  using directory = new Directory();
  const parent = join(directory.path, "scratch");
  const scratch = new Scratch(parent);
  const changes: ((spare: string) => void)[] = [
    (spare) => chmodSync(spare, 0o500),
    (spare) => {
      rmSync(spare, { recursive: true });
      symlinkSync(directory.path, spare);
    },
  ];
  for (const [task, change] of changes.entries()) {
    await scratch.giveBack(scratch.take(`1.${task}.1`), swept);
    await swept;
    const [spare] = readdirSync(parent);
    await untilChangesShow(directory.path);
    change(join(parent, spare!));
    const next = scratch.take(`2.${task}.1`);
    const { mode } = lstatSync(next.path);
    expect([mode & 0o777, lstatSync(next.path).isDirectory(), readdirSync(parent)]).toEqual([
      0o700,
      true,
      [`2.${task}.1`],
    ]);
    rmSync(next.path, { recursive: true });
  }
});

/** Until the file system's clock has moved on. */
async function untilChangesShow(path: string): Promise<void> {
  const file = join(path, "clock");
  const timeOf = (): bigint => {
    writeFileSync(file, "");
    const { ctimeNs } = lstatSync(file, { bigint: true });
    rmSync(file);
    return ctimeNs;
  };
  const before = timeOf();
  while (timeOf() === before) await Bun.sleep(1);
}
