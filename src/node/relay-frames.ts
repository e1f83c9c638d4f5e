import { isId, nobody, nodeId, term, type NodeId, type Term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Entry } from "../raft/types.ts";
import { binary, decodeEntries, encodeEntries, list, malformed, text, whole } from "../transport/frames.ts";

/**
 * What travels between a learner and who feeds it, as requests of the rpc channel; positional lists, checked when they arrive.
 *   relay.pull    learner -> feeder: what comes after this? Answered when there is something, or after a while with nothing.
 *   relay.report  learner -> feeder, voter -> leader: how far those below are.
 */
export interface Pull {
  /** The newest entry that the learner has. */
  readonly after: number;
  /** Its chain value there; "": not known. */
  readonly chain: string;
  /** A place is made for it if need be. */
  readonly insists: boolean;
}

/** What a feeder says with every answer. */
interface FeederNews {
  readonly term: Term;
  /** {@link nobody}: not known. */
  readonly leader: NodeId;
  /** Since the leader was heard, in ms, over all hops. */
  readonly ageMs: number;
  /** From the feeder to its root. */
  readonly path: readonly NodeId[];
}

/** Why somebody does not feed. "chain": the learner's history is another one. */
export type FeedRefusal = "full" | "order" | "direct" | "loop" | "chain" | "stopping";

export type PullAnswer =
  | (FeederNews & {
      readonly kind: "entries";
      readonly previousTerm: Term;
      /** Chain values before the first and at the last of them; "": not known. */
      readonly before: string;
      readonly after: string;
      /** None: nothing new. */
      readonly entries: readonly Entry[];
    })
  /** What follows is compacted; the state itself is offered. */
  | (FeederNews & { readonly kind: "snapshot" })
  | { readonly kind: "refused"; readonly why: FeedRefusal };

/** How far a learner is: durable, and committed. */
export interface Position {
  readonly node: NodeId;
  readonly match: number;
  /** How old that is. */
  readonly ageMs: number;
}

/** Of a value of the hash chain, at most. */
const chainLength = 100;

const refusals: readonly FeedRefusal[] = ["full", "order", "direct", "loop", "chain", "stopping"];

export const encodePull = ({ after, chain, insists }: Pull): unknown => [after, chain, insists];

/** Throws Fault "protocol", as all below. */
export function parsePull(body: unknown): Pull {
  const [after, chain, insists] = list(body, "pull");
  if (text(chain).length > chainLength) throw malformed("chain");
  return { after: whole(after), chain: text(chain), insists: insists === true };
}

/** The positional form of an answer. */
export function encodePullAnswer(answer: PullAnswer): unknown {
  if (answer.kind === "refused") return [2, answer.why];
  const news = [answer.term, answer.leader, answer.ageMs, answer.path];
  if (answer.kind === "snapshot") return [1, ...news];
  return [0, ...news, answer.previousTerm, answer.before, answer.after, encodeEntries(answer.entries)];
}

/** `after` as it was asked for: entries follow on from there. */
export function parsePullAnswer(body: unknown, after: number): PullAnswer {
  const [kind, ...rest] = list(body, "answer");
  if (kind === 2) {
    const why = refusals.find((one) => one === rest[0]);
    if (why === undefined) throw malformed("refusal");
    return { kind: "refused", why };
  }
  const news = {
    term: term(whole(rest[0])),
    leader: rest[1] === nobody ? nobody : node(rest[1]),
    ageMs: whole(rest[2]),
    path: list(rest[3], "path").map(node),
  };
  if (kind === 1) return { kind: "snapshot", ...news };
  if (kind !== 0) throw malformed("kind of answer");
  return {
    kind: "entries",
    ...news,
    previousTerm: term(whole(rest[4])),
    before: text(rest[5]),
    after: text(rest[6]),
    entries: decodeEntries(binary(rest[7]), after + 1),
  };
}

export const encodeReport = (positions: readonly Position[]): unknown =>
  positions.map(({ node, match, ageMs }) => [node, match, ageMs]);

/** Throws Fault "protocol". */
export function parseReport(body: unknown): Position[] {
  const values = list(body, "report");
  if (values.length > limits.nodes) throw malformed("number of positions");
  return values.map((value) => {
    const [one, match, ageMs] = list(value, "position");
    return { node: node(one), match: whole(match), ageMs: whole(ageMs) };
  });
}

function node(value: unknown): NodeId {
  if (!isId(value)) throw malformed("node");
  return nodeId(value);
}
