import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { nodeId } from "../../src/lib/ids.ts";
import { commandByTag } from "../../src/state/commands/index.ts";
import { decodeBatch, decodeEntry } from "../../src/state/entry.ts";
import { hashLevel } from "../../src/state/levels.ts";
import { Cluster } from "../state/support.ts";
import { type Digest, digestFile, levels, readLog, replay } from "./replay.ts";

describe.each(levels)("the kept log of level %d (S1)", (level) => {
  test("leads to the rows and the hash that it has always led to; see record.ts when it does not", () => {
    expect(replay(readLog(level))).toEqual(JSON.parse(readFileSync(digestFile(level), "utf8")) as Digest);
  });

  test("a byte of an entry that changes nothing changes the hash all the same, and the rows of no table", () => {
    const log = readLog(level);
    const before = replay(log);
    const at = log.findLastIndex((entry) => entry.kind === "configuration");
    log[at] = { ...log[at]!, data: new Uint8Array([1, 2, 4]) };
    const { hash, rows } = replay(log);
    expect(hash).not.toBe(before.hash);
    expect(rows).toEqual(before.rows);
  });
});

test("what was before the level that nodes compare hashes from does not count after it: earlier releases hashed otherwise (S2)", () => {
  const log = readLog(3);
  const at = log.findIndex((entry) => entry.kind === "configuration");
  const other = log.with(at, { ...log[at]!, data: new Uint8Array([1, 2, 4]) });
  const raised = log.findLastIndex((entry) => entry.kind === "command" && decodeEntry(entry.data).level < hashLevel);
  expect(replay(other.slice(0, raised)).hash).not.toBe(replay(log.slice(0, raised)).hash);
  expect(replay(other)).toEqual(replay(log));
});

test("every command is in a kept log", () => {
  const tags = levels
    .flatMap((level) => readLog(level))
    .filter((entry) => entry.kind === "command")
    .flatMap((entry) => decodeEntry(entry.data).batches)
    .flatMap((batch) => decodeBatch(batch).commands.map(([tag]) => tag));
  const missing = Array.from({ length: 100 }, (_, tag) => commandByTag(tag))
    .filter((command) => command !== undefined && !tags.includes(command.tag))
    .map((command) => command?.name);
  expect(missing).toEqual([]);
});

test("two logs that differ in one byte of a refused command differ in hash, though every answer is the same", () => {
  const histories = ["x", "y", "x"].map((incarnation) => {
    const cluster = Cluster.of(2);
    const refusal = cluster.refused("node.lost", { node: nodeId(2), incarnation });
    return { refusal, ...replay(cluster.log) };
  });
  expect(histories[1]).toEqual({ ...histories[0]!, hash: histories[1]!.hash });
  expect(histories[1]!.hash).not.toBe(histories[0]!.hash);
  expect(histories[2]!.hash).toBe(histories[0]!.hash);
});
