import { expect, test } from "bun:test";
import { type Configuration, encodeConfiguration } from "../../src/lib/configuration.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { surveyData } from "../../src/node/survey.ts";
import type { Identity } from "../../src/storage/types.ts";
import { schema } from "../../src/state/schema.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { configurationEntry, Directory, hardState, Log, run } from "../storage/support.ts";

const three: Configuration = { voters: [1, 4, 5].map(nodeId), outgoing: [], learners: [], learnersNext: [] };
const joint: Configuration = { ...three, voters: [nodeId(1)], outgoing: three.voters };
const identity = { cluster: "c1", node: nodeId(1), name: "n1", peers: [], peer: "" } as unknown as Identity;

/** A state that has applied so many entries of term 1. */
function writeState(path: string, applied: number, configuration: Configuration): void {
  const state = new StateDatabase({ path, schema });
  state.transaction(0, applied, () => {}, { term: 1, configuration: encodeConfiguration(configuration) });
  state.close();
}

test("what is left of a node says which entry its voters came with: one that is only in the log may not be committed", async () => {
  using directory = new Directory();
  writeState(directory.file("state.db"), 5, three);
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    log.append([configurationEntry(1, 1, three), ...run(2, 5, 1), configurationEntry(6, 1, joint)], hardState(1, 5));
    await log.until(() => log.tokens.length === 1);
  }
  const found = { voters: [1], outgoing: [1, 4, 5], configurationIndex: 6, commit: 5, lastIndex: 6 };
  expect(surveyData(directory.path, identity)).toMatchObject(found);
});

test("what the state contains is committed, and newer than what a damaged log may know", async () => {
  using directory = new Directory();
  writeState(directory.file("state.db"), 6, joint);
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    log.append([configurationEntry(1, 1, three), ...run(2, 4, 1)], hardState(1, 4));
    await log.until(() => log.tokens.length === 1);
  }
  const found = { voters: [1], outgoing: [1, 4, 5], configurationIndex: 6, commit: 6, lastIndex: 6 };
  expect(surveyData(directory.path, identity)).toMatchObject(found);
});
