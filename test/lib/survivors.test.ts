import { describe, expect, test } from "bun:test";
import { epochOfIndex, epochSpan, epochStart, formatEpoch, parseEpoch } from "../../src/lib/epoch.ts";
import {
  type Judgement,
  judgeSurvivors,
  parseSurvivor,
  type Survivor,
  unfinishedRecovery,
  viewSurvivor,
} from "../../src/lib/survivors.ts";

const members = [1, 2, 3, 4, 5].map((node) => ({ node, name: `n${node}`, api: `h${node}:1`, peer: `h${node}:2` }));

function survivor(node: number, more: Partial<Survivor> = {}): Survivor {
  const log = {
    lastIndex: 100,
    lastTerm: 3,
    term: 4,
    commit: 100,
    applied: 100,
    hash: "aa",
    lastAt: 1_700_000_000_000,
  };
  const configuration = { voters: [1, 2, 3, 4, 5], outgoing: [], learners: [], configurationIndex: 50 };
  const who = {
    cluster: "c1",
    epoch: { number: 0, id: "" },
    node,
    name: `n${node}`,
    level: 3,
    damagedFrom: null,
    quarantinedAt: null,
  };
  return { ...who, leader: null, ...log, ...configuration, members, ...more };
}

function judged(...survivors: Survivor[]): Judgement {
  const result = judgeSurvivors(survivors);
  if ("problem" in result) throw new Error(result.problem);
  return result;
}

function problem(...survivors: Survivor[]): string {
  const result = judgeSurvivors(survivors);
  return "problem" in result ? result.problem : "none";
}

describe("the most advanced survivor", () => {
  test("is the one with the later last term, not the longer log: what the longer one has was acknowledged to nobody", () => {
    const long = survivor(1, { lastIndex: 180, lastTerm: 3 });
    const late = survivor(2, { lastIndex: 120, lastTerm: 4 });
    const { best, words } = judged(long, late);
    expect(best).toBe(late);
    expect(words.join("\n")).toContain("its last 60 are of term 3, which no quorum confirmed");
    const shorter = judged(survivor(1, { lastIndex: 90 }), survivor(2)).words.join("\n");
    expect(shorter).not.toContain("discarded");
  });

  test("of the same term it is the longer one, and of equals the voter", () => {
    const [short, long] = [survivor(1), survivor(2, { lastIndex: 101 })];
    expect(judged(short, long).best).toBe(long);
    const [learner, voter] = [survivor(4, { voters: [1, 2, 3], learners: [4] }), survivor(1, { voters: [1, 2, 3] })];
    expect(judged(learner, voter).best).toBe(voter);
  });

  test("one whose state is wrong gives its log alone, on the state of the most advanced right one", () => {
    const wrong = survivor(1, { lastIndex: 130, quarantinedAt: 80 });
    const [right, older] = [survivor(2, { applied: 90 }), survivor(3, { lastIndex: 70, applied: 70, commit: 70 })];
    const five = { voters: [1, 2, 3, 4, 5, 6, 7] };
    const found = judged({ ...older, ...five }, { ...wrong, ...five }, { ...right, ...five });
    expect([found.head.node, found.best.node]).toEqual([1, 2]);
    expect(found.words[0]).toContain("entries up to 130, all that node 1 has");
    expect(found.words.join("\n")).toContain("the state of node 2 (entry 90) and what the log of node 1 has after it");
  });

  test("whoever joined in what the state has not applied yet is a member too: of one's own log, and of another one's", () => {
    const own = judged(survivor(1, { voters: [1, 2, 3, 4, 5, 6, 7], applied: 90 }));
    expect(own.gone.map(({ node, peer }) => [node, peer])).toEqual([
      ...[2, 3, 4, 5].map((node) => [node, `h${node}:2`]),
      ...[6, 7].map((node) => [node, ""]),
    ]);
    const sixth = { node: 6, name: "n6", api: "h6:1", peer: "h6:2" };
    const wrong = survivor(1, { lastIndex: 130, quarantinedAt: 80, learners: [6], members: [...members, sixth] });
    expect(judged(wrong, survivor(2)).gone.at(-1)).toEqual(sixth);
  });

  test("one whose state is wrong is not needed where a right one has the same log, and is the last choice alone", () => {
    const [wrong, right] = [survivor(1, { quarantinedAt: 80, hash: "bb" }), survivor(2)];
    const found = judged(wrong, right);
    expect([found.head, found.best]).toEqual([right, right]);
    expect(found.words.join("\n")).toContain("at entry 80, and is not used");
    // Which of the two differs is known.
    expect(found.words.join("\n")).not.toContain("different:");
    expect(judged(wrong).best).toBe(wrong);
    expect(judged(wrong).words.join("\n")).toContain("nobody is left whose state is right");
  });

  test("what may be lost is said with numbers: how many voters are missing, and that they were enough", () => {
    const { words, gone } = judged(survivor(1), survivor(2, { commit: 90, applied: 90, hash: "bb" }));
    expect(gone.map(({ node }) => node)).toEqual([3, 4, 5]);
    expect(words[0]).toContain("entries up to 100");
    expect(words[1]).toContain("when 3 of 5 voters have it; 3 are missing");
    expect(words[1]).toContain("2023-11-14T22:13:20.000Z");
  });

  test("entries beyond what is known to be committed are kept, and told apart", () => {
    expect(judged(survivor(1, { lastIndex: 107 })).words[0]).toContain("the 7 after them may or may not");
  });

  test("half of an even number of voters may have been left out of a change that only the others know of", () => {
    const four = { voters: [1, 2, 3, 4] };
    const { words } = judged(survivor(1, four), survivor(2, four));
    expect(words[1]).toStartWith("may be lost");
    expect(words[1]).toContain("when 3 of 4 voters have it; 2 are missing");
    expect(words[1]).toContain("once there is a voter more or less");
  });

  test("behind a joint configuration that is committed nothing is lost with a majority of its new half", () => {
    const half = { voters: [1, 2, 3], outgoing: [4, 5, 6] };
    const [one, two] = [survivor(1, half), survivor(2, half)];
    expect(judged(one, two).words[1]).toStartWith(
      "lost: nothing that was acknowledged. An acknowledged entry is on 2 of 3",
    );
    expect(judged(one).words[1]).toStartWith("may be lost");
    expect(judged(one, survivor(2, { ...half, damagedFrom: 101 })).words[1]).toStartWith("may be lost");
    expect(judged(survivor(1, { ...half, voters: [1, 2] })).words[1]).toContain(
      "when 2 of 2 voters have it; 1 are missing",
    );
  });

  test("a change of voters that was not committed when its leader was cut off is no ground to say that nothing is lost", () => {
    const cutOff = { lastIndex: 52, commit: 51, applied: 51, configurationIndex: 52, voters: [1], outgoing: [1, 4, 5] };
    const { words } = judged(survivor(1, cutOff));
    expect(words[1]).toStartWith("may be lost");
    expect(words[1]).toContain("when 2 of 3 voters have it; 2 are missing");
    expect(words[1]).toContain("from 1, 4, 5 to 1, is not known to be committed");
    // Another one here knows that it was.
    const learner = survivor(2, { ...cutOff, commit: 52, applied: 52, learners: [2] });
    expect(judged(survivor(1, cutOff), learner).words[1]).toStartWith("lost: nothing");
    const simple = judged(survivor(1, { ...cutOff, voters: [1, 2], outgoing: [] })).words[1];
    expect(simple).toContain("the change that made 1, 2 the voters, is not known to be committed");
  });

  test("a damaged survivor may have acknowledged what it has no more", () => {
    const three = { voters: [1, 2, 3] };
    const damaged = survivor(2, { ...three, lastIndex: 40, commit: 40, applied: 40, hash: "bb", damagedFrom: 41 });
    const [, loss] = judged(survivor(1, three), damaged).words;
    expect(loss).toStartWith("may be lost");
    expect(loss).toContain("2 are missing (members that are gone: 3, 4, 5; damaged: 2), and 2 of them are enough");
    // Also where the damage begins after all that is known: what followed may be on the third one alone.
    const later = survivor(2, { ...three, damagedFrom: 101 });
    expect(judged(survivor(1, three), later).words[1]).toStartWith("may be lost");
  });

  test("different states after the same entry, and damage, are pointed out", () => {
    const words = judged(survivor(1), survivor(2, { hash: "bb", damagedFrom: 101 })).words.join("\n");
    expect(words).toContain("nodes 1 and 2 have different states");
    expect(words).toContain("damaged: node 2");
  });
});

describe("nothing is to be judged", () => {
  test.each([
    ["of nobody", [], "no survivor"],
    ["of two clusters", [survivor(1), survivor(2, { cluster: "c2" })], "cluster c2"],
    ["of two epochs", [survivor(1), survivor(2, { epoch: { number: 1, id: "00000001" } })], "epoch 1.00000001"],
    ["of one node twice", [survivor(1), survivor(1)], "twice"],
    ["while there is a leader", [survivor(1, { leader: 4 })], "nothing to recover"],
    ["of a quorum", [survivor(1), survivor(2), survivor(3)], "3 of 5 voters are here, which is a quorum"],
    ["of a node that never came to be a member", [survivor(9)], "does not know of itself"],
  ])("%s", (_, survivors, words) => {
    expect(problem(...survivors)).toContain(words);
  });

  test("a quorum of which one is damaged is none", () => {
    expect(problem(survivor(1), survivor(2), survivor(3, { damagedFrom: 90 }))).toBe("none");
  });
});

describe("a recovery that broke off", () => {
  const epoch = { number: 1, id: "00000001" };
  const head = survivor(1, { epoch, voters: [1], learners: [2] });

  test("is gone on with for those who were named", () => {
    const behind = survivor(2);
    expect(unfinishedRecovery([behind, head])).toEqual({ head, behind: [behind] });
  });

  test("is none for strangers, and when all are there", () => {
    expect(unfinishedRecovery([head, survivor(3)])).toBeUndefined();
    expect(unfinishedRecovery([head])).toBeUndefined();
    expect(unfinishedRecovery([head, survivor(2, { epoch: { number: 1, id: "00000002" } })])).toBeUndefined();
  });
});

test("a survivor travels as JSON, and nothing else passes for one", () => {
  for (const one of [
    survivor(1),
    survivor(2, { lastAt: 0, leader: 3, damagedFrom: 5, epoch: { number: 2, id: "0a0b0c0d" } }),
  ]) {
    const text = JSON.stringify(viewSurvivor(one));
    expect(parseSurvivor(JSON.parse(text))).toEqual(one);
    for (const key of Object.keys(viewSurvivor(one))) {
      const { [key]: _, ...rest } = JSON.parse(text) as Record<string, unknown>;
      expect([key, parseSurvivor(rest)]).toEqual([key, undefined]);
      expect([key, parseSurvivor({ ...rest, [key]: -1.5 })]).toEqual([key, undefined]);
    }
  }
  for (const other of [undefined, null, 5, "text", [], {}]) expect(parseSurvivor(other)).toBeUndefined();
});

test("an epoch and its indexes", () => {
  for (const text of ["0", "1.00ff00ff", "8191.0123abcd"]) expect(formatEpoch(parseEpoch(text)!)).toBe(text);
  for (const text of ["", "1", "0.00ff00ff", "1.xyz", "8192.00ff00ff", "01234.00ff00ff", "1.00ff00ff "])
    expect(parseEpoch(text)).toBeUndefined();
  expect([0, 1, epochSpan - 1, epochSpan, epochSpan + 5].map(epochOfIndex)).toEqual([0, 0, 0, 1, 1]);
  expect(Number.isSafeInteger(epochStart(8191) + epochSpan - 1)).toBe(true);
});
