import { describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { voterProblem, type VoterRightsPorts } from "../../src/node/voter-rights.ts";
import type { CommandInput, CommandName } from "../../src/state/commands/index.ts";
import { findNode } from "../../src/state/queries.ts";
import type { Principal } from "../../src/state/types.ts";
import { Cluster, record } from "../state/support.ts";

/** n1 and n2 vote, n3 learns; "of3" is the token that n3's host was given when it joined, "of2" that of n2's. */
const cluster = Cluster.of(3);
const ports: VoterRightsPorts = {
  find: (reference) => findNode(cluster.database, reference),
  isVoter: (node) => node !== nodeId(3),
  nodeOfToken: (id) =>
    new Map<string, NodeId>([
      ["of2", nodeId(2)],
      ["of3", nodeId(3)],
    ]).get(id) ?? null,
};
const operator: Principal = { token: "o", name: "otto", role: "operator" };
const admin: Principal = { token: "a", name: "anna", role: "admin" };

function problem<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): string | undefined {
  return voterProblem(record(name, input, by), ports);
}

describe("an operator", () => {
  test("removes and demotes no voter, by id or name, and is told what to do", () => {
    for (const node of [2, "n2"]) {
      const removal = problem("node.remove", { node }, operator);
      expect(removal).toContain("node n2 votes, and removing a voter takes an admin's token");
      expect(removal).toContain("otto (operator)");
      expect(removal).toContain("'skein nodes demote n2'");
      expect(problem("node.demote", { node }, operator)).toContain("demoting a voter takes an admin's token");
    }
  });

  test("removes and demotes learners, promotes, drains, and takes a wish back", () => {
    expect(problem("node.remove", { node: 3 }, operator)).toBeUndefined();
    expect(problem("node.demote", { node: "n3" }, operator)).toBeUndefined();
    expect(problem("node.demote", { node: 2, forget: true }, operator)).toBeUndefined();
    expect(problem("node.promote", { node: 3 }, operator)).toBeUndefined();
    expect(problem("node.drain", { node: 2 }, operator)).toBeUndefined();
    // The state says better that there is no such node.
    expect(problem("node.remove", { node: "nowhere" }, operator)).toBeUndefined();
  });

  test("by the token of a host takes out that host's own voter, and no other", () => {
    const host = (token: string): Principal => ({ token, name: "host", role: "operator" });
    expect(problem("node.remove", { node: 2 }, host("of2"))).toBeUndefined();
    expect(problem("node.remove", { node: 2 }, host("of3"))).toContain("takes an admin's token");
    expect(problem("node.demote", { node: 2 }, host("of2"))).toContain("takes an admin's token");
  });
});

test("an admin may do all of it", () => {
  expect(problem("node.remove", { node: 2 }, admin)).toBeUndefined();
  expect(problem("node.demote", { node: 2 }, admin)).toBeUndefined();
});
