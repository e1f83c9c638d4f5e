/**
 * Plays the scripts of this folder and compares what happens with what was recorded. `SKEIN_RECORD=1` writes what happens into them: a
 * recording is then reviewed like code, since one of wrong behaviour is a defect.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { FailingDiskStage, SnapshotStage, StateStage } from "./around-stage.ts";
import { ConfigurationStage, QuorumStage } from "./arithmetic-stage.ts";
import { CoreStage } from "./core-stage.ts";
import { parse, parseCommand, play, type Stage } from "./script.ts";

const folder = import.meta.dirname;
const records = process.env["SKEIN_RECORD"] === "1";
/** What a script is played on: a line `# on: NAME`, the core without one. */
const stages: Readonly<Record<string, () => Stage>> = {
  core: () => new CoreStage(),
  configuration: () => new ConfigurationStage(),
  quorum: () => new QuorumStage(),
  disk: () => new FailingDiskStage(),
  snapshots: () => new SnapshotStage(),
  state: () => new StateStage(),
};

const scripts = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".txt"))
  .sort();

describe("scripts of consensus", () => {
  test.each(scripts)("%s", async (file) => {
    const place = path.join(folder, file);
    const text = readFileSync(place, "utf8");
    const name = /^# on: (\w+)$/m.exec(text)?.[1] ?? "core";
    const stage = stages[name];
    if (stage === undefined) throw new Error(`there is no stage ${name}`);
    const begun = stage();
    const played = await play(text, begun);
    await begun.close?.();
    if (records) writeFileSync(place, played);
    else expect(played).toBe(text);
  });

  test("each says at its top what it pins", () => {
    const silent = scripts.filter((file) => !readFileSync(path.join(folder, file), "utf8").startsWith("# "));
    expect(silent).toEqual([]);
  });
});

describe("the runner", () => {
  test("a step that was recorded otherwise is seen", async () => {
    const text = "# x\n\nadd-nodes 1\n\ncampaign 1\n----\nok\n";
    expect(() => parse(text)).toThrow("a step has commands");
    const changed = "# x\n\nadd-nodes 1\nraft-state\n----\n1: leader term 9\n";
    expect(await play(changed, new CoreStage())).not.toBe(changed);
  });

  test("words, options, and words with spaces", () => {
    const { verb, words, options } = parseCommand('propose 1 "two words" bytes=7');
    expect([verb, ...words]).toEqual(["propose", "1", "two words"]);
    expect([...options]).toEqual([["bytes", "7"]]);
  });

  test("an unknown verb and a node that is not there are mistakes", async () => {
    for (const line of ["fly 1", "campaign 9"]) {
      const playing = play(`${line}\n----\nok\n`, new CoreStage());
      await playing.then(
        () => expect.unreachable(),
        (error: Error) => expect(error.message).toContain("there is no"),
      );
    }
  });
});
