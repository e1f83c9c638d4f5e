import { describe, expect, test } from "bun:test";
import { Raft } from "../../src/raft/raft.ts";
import { TracedRaft } from "../../src/raft/trace.ts";
import { Cluster } from "./cluster.ts";
import { Simulation } from "./simulation.ts";
import { checkTogether, TraceChecker } from "./trace-checker.ts";

function check(lines: readonly string[]): TraceChecker["counts"] {
  const checker = new TraceChecker();
  for (const line of lines) checker.read(line);
  return checker.counts;
}

/** A cluster that grows to three nodes, writes, loses its leader and writes again. */
function life(): string[] {
  const lines: string[] = [];
  const cluster = Cluster.bootstrapped({}, 1, (line) => void lines.push(line));
  cluster.raft(1).campaign();
  cluster.settle();
  for (const id of [2, 3]) {
    cluster.addBlank(id);
    cluster.change("add-learner", id);
    cluster.tick(4);
    cluster.change("promote", id);
  }
  cluster.commit("a");
  cluster.crash(1);
  cluster.tickUntil("another leader", () => cluster.leader() !== undefined);
  cluster.commit("b");
  cluster.restart(cluster.get(1));
  cluster.tick(4);
  return lines;
}

interface Line {
  node: number;
  event: string;
  what: {
    message?: Record<string, unknown>;
    append?: { entries: { index: number; term: number; digest: number }[]; hardState: { vote: number } | null } | null;
    committed?: { digest: number }[];
  };
  state: { role: string; term: number; commit: number; lastIndex: number };
}

/** The trace with the first line that fits changed, or left out where `change` gives nothing. */
function forged(lines: readonly string[], fits: (line: Line) => boolean, change?: (line: Line) => void): string[] {
  const at = lines.findIndex((line) => fits(JSON.parse(line) as Line));
  expect(at).toBeGreaterThan(-1);
  const line = JSON.parse(lines[at]!) as Line;
  change?.(line);
  return [...lines.slice(0, at), ...(change === undefined ? [] : [JSON.stringify(line)]), ...lines.slice(at + 1)];
}

describe("a trace of the core", () => {
  test("is accepted by a checker that knows nothing of it, in random clusters with every fault", () => {
    const seen = { lines: 0, messages: 0, elections: 0, committed: 0, restarts: 0 };
    for (let seed = 1; seed <= 10; seed++) {
      const checker = new TraceChecker();
      new Simulation(seed, { steps: 5000, trace: (line) => checker.read(line) }).run();
      for (const key of Object.keys(seen) as (keyof typeof seen)[]) seen[key] += checker.counts[key];
    }
    console.log(`seeds 1..10: ${JSON.stringify(seen)}`);
    expect(seen.elections).toBeGreaterThan(50);
    expect(seen.restarts).toBeGreaterThan(50);
    expect(seen.committed).toBeGreaterThan(500);
    expect(seen.messages).toBeGreaterThan(5000);
  });

  test("of several nodes is judged together, whatever the order of the files; not without one of them", () => {
    const lines = life();
    const of = (node: number): string[] => lines.filter((line) => (JSON.parse(line) as Line).node === node);
    expect(checkTogether([of(3), of(1), of(2)])).toEqual(check(lines));
    expect(() => checkTogether([of(3), of(1)])).toThrow(/nobody sent/);
  });

  test("leaves out nothing that a machine is fed", () => {
    const methodsOf = (prototype: object): string[] =>
      Object.entries(Object.getOwnPropertyDescriptors(prototype))
        .filter(([name, { value }]) => typeof value === "function" && name !== "constructor")
        .map(([name]) => name);
    const views = ["progress", "lag", "hasReady", "isEvicted", "committedFrom", "retime"];
    const fed = methodsOf(Raft.prototype).filter((name) => !views.includes(name));
    expect(methodsOf(TracedRaft.prototype).toSorted()).toEqual(fed.toSorted());
  });

  test("the same run gives the same lines", () => {
    expect(life()).toEqual(life());
    expect(check(life()).elections).toBe(2);
  });

  const isElected = ({ node, event, state }: Line): boolean =>
    node === 1 && event === "appended" && state.role === "leader" && state.term === 2;
  test.each<[string, (lines: readonly string[]) => readonly string[], RegExp]>([
    ["a line that is missing", (lines) => forged(lines, ({ event }) => event === "appended"), /a line is missing/],
    [
      "a message that nobody sent",
      (lines) =>
        forged(
          lines,
          ({ what }) => what.message?.["kind"] === "append-response",
          ({ what }) => (what.message!["match"] = 1),
        ),
      /nobody sent/,
    ],
    [
      "two leaders of one term",
      (lines) =>
        forged(
          lines,
          ({ node, state }) => node === 3 && state.term === 2,
          ({ state }) => (state.role = "leader"),
        ),
      /two leaders/,
    ],
    [
      "a leader whose vote is not on disk",
      (lines) =>
        forged(
          lines,
          ({ node, event, state }) => node === 1 && event === "ready" && state.role === "candidate",
          ({ state }) => (state.role = "leader"),
        ),
      /without its own vote/,
    ],
    [
      "a commit without a majority",
      (lines) =>
        forged(
          lines,
          ({ node, event, state }) => node === 1 && event === "propose" && state.commit < state.lastIndex,
          ({ state }) => (state.commit = state.lastIndex),
        ),
      /no write of its leader|without a majority/,
    ],
    [
      "an entry that is applied and was never committed",
      (lines) =>
        forged(
          lines,
          ({ node, what }) => node === 3 && (what.committed?.length ?? 0) > 0,
          ({ what }) => (what.committed![0]!.digest += 1),
        ),
      /two entries are applied/,
    ],
    [
      "a commit index that falls",
      (lines) =>
        forged(
          lines,
          ({ node, event, state }) => node === 1 && event === "receive" && state.commit > 2,
          ({ state }) => (state.commit = 1),
        ),
      /a commit index falls/,
    ],
    [
      "a vote that is taken back",
      (lines) =>
        forged(
          lines,
          ({ node, what }) => node === 1 && what.append?.hardState?.vote === 1,
          ({ what }) => (what.append!.hardState!.vote = 3),
        ),
      /without its own vote/,
    ],
  ])("is refused with %s", (_what, forge, why) => {
    const lines = life();
    expect(lines.some((line) => isElected(JSON.parse(line) as Line))).toBe(true);
    expect(() => check(forge(lines))).toThrow(why);
  });
});
