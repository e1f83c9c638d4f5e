import { describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import type { LeaseGrant } from "../../src/node/lease.ts";
import { grantLease, type GrantPorts } from "../../src/node/grant.ts";

/** A leader that may grant; each situation takes one thing away. */
function leader(more: Partial<GrantPorts> = {}) {
  const granted: [NodeId, number][] = [];
  const ports: GrantPorts = {
    confirm: () => Promise.resolve(7),
    isLeading: () => true,
    committed: () => 7,
    isLosing: () => false,
    stateOf: () => "up",
    ceiling: (_node, index) => index,
    granted: (node, index) => granted.push([node, index]),
    ...more,
  };
  return { granted, ask: () => grantLease(nodeId(2), ports) };
}

describe("a lease is granted (J3)", () => {
  test("to a member, naming the index that was confirmed", async () => {
    const { granted, ask } = leader();
    expect(await ask()).toEqual({ kind: "granted", index: 7 });
    expect(granted).toEqual([[nodeId(2), 7]]);
  });

  test("or what was committed since: the state that it was judged by has that, and another lease may have named it", async () => {
    const { granted, ask } = leader({ committed: () => 9 });
    expect(await ask()).toEqual({ kind: "granted", index: 9 });
    expect(granted).toEqual([[nodeId(2), 9]]);
  });

  test("also while it drains: what runs there goes on", async () => {
    expect(await leader({ stateOf: () => "draining" }).ask()).toEqual({ kind: "granted", index: 7 });
  });

  test("and names no more than it may while something is taken back from the node (J1)", async () => {
    const { granted, ask } = leader({ ceiling: (_node, index) => index - 3 });
    expect(await ask()).toEqual({ kind: "granted", index: 4 });
    expect(granted).toEqual([[nodeId(2), 4]]);
  });

  const cases: [why: string, more: Partial<GrantPorts>, answer: LeaseGrant | undefined][] = [
    ["its leadership was not confirmed", { confirm: () => Promise.resolve(undefined) }, undefined],
    ["it was deposed while it confirmed", { isLeading: () => false }, undefined],
    ["a node.lost of the node is on its way into the log", { isLosing: () => true }, undefined],
    ["the state has declared the node lost", { stateOf: () => "lost" }, { kind: "lost" }],
    ["the node is no member", { stateOf: () => undefined }, { kind: "lost" }],
  ];
  test.each(cases)("by no leader when %s", async (_why, more, answer) => {
    const { granted, ask } = leader(more);
    expect(await ask()).toEqual(answer);
    expect(granted).toEqual([]);
  });

  test("only after the confirmation: what is known then decides, not what was known before", async () => {
    const confirmed = Promise.withResolvers<number>();
    let losing = false;
    const { granted, ask } = leader({ confirm: () => confirmed.promise, isLosing: () => losing });
    const asked = ask();
    losing = true;
    confirmed.resolve(7);
    expect(await asked).toBeUndefined();
    expect(granted).toEqual([]);
  });
});
