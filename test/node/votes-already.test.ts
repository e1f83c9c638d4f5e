import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { votesAlready } from "../../src/node/votes-already.ts";
import type { NodeRow } from "../../src/state/types.ts";

function asked(
  row: Partial<NodeRow>,
  more: { readonly forget?: boolean; readonly votes?: boolean; readonly behind?: true } = {},
) {
  let { votes = true } = more;
  const ports = {
    find: (reference: string | number) =>
      reference === "b" ? ({ id: nodeId(2), labels: {}, ...row } as NodeRow) : undefined,
    isVoter: () => votes,
    catchUp: () => {
      if (more.behind) votes = false; // it was demoted through another node
      return Promise.resolve(accept(undefined));
    },
  };
  return votesAlready({ node: "b", forget: more.forget }, ports);
}

test("promoting is not logged for a node that votes and keeps its vote, and for every other one it is", async () => {
  expect(await asked({})).toEqual({ node: nodeId(2), wish: null, already: true });
  expect(await asked({ wish: "voter", labels: { learner: "true" } })).toMatchObject({ wish: "voter", already: true });
  expect(await asked({ wish: "learner" })).toBeUndefined();
  expect(await asked({ labels: { learner: "true" } })).toBeUndefined();
  expect(await asked({}, { votes: false })).toBeUndefined();
  expect(await asked({ wish: "voter" }, { forget: true })).toBeUndefined();
  expect(await asked({}, { behind: true })).toBeUndefined();
});

test("where nobody leads it is left to the log, as is a node that is not there", async () => {
  const ports = {
    find: () => ({ id: nodeId(2), labels: {} }) as NodeRow,
    isVoter: () => true,
    catchUp: () => Promise.resolve(refuse("unavailable", "no leader")),
  };
  expect(await votesAlready({ node: "b" }, ports)).toBeUndefined();
  expect(await votesAlready({ node: "b" }, { ...ports, find: () => undefined })).toBeUndefined();
});
