import { z } from "zod";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, type Refusal, refuse } from "../lib/outcome.ts";
import { toozPoint, ToozRing } from "../lib/tooz-ring.ts";
import { inTurns } from "../lib/turns.ts";
import type { NodeApi } from "../node/api.ts";
import { idealMoved, maxOverMean, OwnerMoves, type Ring } from "../scheduler/owner-moves.ts";
import { liveMembers, Owners } from "../scheduler/owners.ts";
import type { ScheduleOwnersView, ScheduleRing } from "../state/answers.ts";
import { findNode, listNodes, newestNode } from "../state/queries.ts";
import { dueSchedules, type DueSchedule, scheduleIds } from "../state/tables/schedule.ts";
import type { ReadTx } from "../state/tx.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, whole } from "./shapes.ts";
import { whileWatching } from "./wait.ts";
import { stoppingToServe } from "./watchers.ts";

/** Ids that are read at once. */
const rowsAtOnce = 1_024;
/** Ids between two looks at the time. */
const idsAtOnce = 64;
const dueMs = 60_000;

const owner = z.object({
  node: z.int(),
  name: z.string().nullable(),
  zones: z.string().nullable().describe("The data of time zones that it goes by."),
  schedules: z.int(),
  share: z.number(),
  due: z.int(),
  after: z.int().optional(),
});
const answer = z.object({
  ring: z.enum(["rendezvous", "tooz"]),
  schedules: z.int(),
  due: z.int(),
  max_over_mean: z.number().nullable(),
  members: z.array(owner),
  change: z
    .object({
      moved: z.int(),
      moved_share: z.number(),
      ideal_share: z.number(),
      needless: z.int(),
      max_over_mean: z.number().nullable(),
    })
    .optional(),
});

/** Who works out how many schedules, and what a change of the members would move. */
export function scheduleOwnerRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/schedule-owners",
      right: "read",
      doc: "Which member works out how many schedules, how many of them are due within a minute, and how many another member would if some were gone (without=NODE,…) or so many came (with=N); ring=tooz: by the ring of OpenStack's tooz instead, to compare with.",
      query: z.strictObject({
        consistency,
        ring: z.enum(["rendezvous", "tooz"]).default("rendezvous"),
        without: z.string().optional(),
        with: whole(1, limits.listMax).optional(),
      }),
      answer,
      handle: ({ exchange, query }) =>
        whileWatching(parts, exchange, async (signal) => {
          const { ring, without = "", with: joining } = query;
          const leaving = without.split(",").filter((one) => one !== "");
          const read = await readState(parts, exchange, query.consistency, (tx) =>
            membership(tx, leaving, joining ?? 0),
          );
          if (!read.ok) return reply.refusal(read.why);
          if (!read.value.value.ok) return reply.refusal(read.value.value.why);
          const members = read.value.value.value;
          const asksOfChange = leaving.length > 0 || joining !== undefined;
          const counted = await count(node, members, ring, signal);
          if (!counted.ok) return reply.refusal(counted.why);
          return reply.json(viewOf(members, counted.value, ring, asksOfChange), read.value.index);
        }),
    }),
  ];
}

interface Membership {
  readonly before: readonly NodeId[];
  readonly after: readonly NodeId[];
  readonly names: ReadonlyMap<NodeId, string>;
  readonly zones: ReadonlyMap<NodeId, string | undefined>;
}

/** Who works out schedules, and who would. */
function membership(tx: ReadTx, leaving: readonly string[], joining: number): Outcome<Membership> {
  const nodes = listNodes(tx);
  const before = liveMembers(nodes);
  const gone = new Set<NodeId>();
  for (const name of leaving) {
    const row = findNode(tx, name);
    if (row === undefined) return refuse("not-found", `there is no node ${name}: list nodes to see them`);
    if (!before.includes(row.id))
      return refuse("invalid", `node ${row.name} works out no schedules: it is ${row.state}, or in quarantine`);
    gone.add(row.id);
  }
  const next = newestNode(tx) + 1;
  const joiners = Array.from({ length: joining }, (_, at) => nodeId(next + at));
  const after = [...before.filter((id) => !gone.has(id)), ...joiners];
  if (after.length === 0) return refuse("invalid", "nobody would be left to work out schedules");
  const names = new Map(nodes.map(({ id, name }) => [id, name]));
  return accept({ before, after, names, zones: new Map(nodes.map(({ id, zones }) => [id, zones])) });
}

interface Counted {
  readonly moves: OwnerMoves;
  readonly due: OwnerMoves;
}

/** Goes once over all schedules. It is of no single instant: meanwhile some are set, and others removed. */
async function count(
  node: NodeApi,
  { before, after, names }: Membership,
  ring: ScheduleRing,
  signal: AbortSignal,
): Promise<Outcome<Counted>> {
  const pointOf = rememberingPoint();
  const ringOf = (members: readonly NodeId[]): Ring =>
    ring === "tooz" ? toozRing(members, names, pointOf) : new Owners(members);
  const now = ringOf(before);
  const moves = new OwnerMoves(now, before.join() === after.join() ? now : ringOf(after));
  const due = new OwnerMoves(now, now);
  const by = Date.now() + dueMs;
  const why =
    (await addPages(node, signal, moves, 0, (tx, last) => scheduleIds(tx, last, rowsAtOnce).map((id) => [id, id]))) ??
    (await addPages(node, signal, due, { id: 0, check_at: -1 }, (tx, last: DueSchedule) =>
      dueSchedules(tx, by, last, rowsAtOnce).map((row) => [row.id, row]),
    ));
  return why === undefined ? accept({ moves, due }) : { ok: false, why };
}

/** Adds page after page, with rests for everything else that the node does. Gives what kept it from that. */
async function addPages<Place>(
  node: NodeApi,
  signal: AbortSignal,
  sum: OwnerMoves,
  first: Place,
  page: (tx: ReadTx, last: Place) => readonly (readonly [id: number, place: Place])[],
): Promise<Refusal | undefined> {
  let last = first;
  for (;;) {
    if (signal.aborted) return stoppingToServe;
    const from = last;
    const read = await node.read((tx) => page(tx, from), { consistency: "stale" });
    if (!read.ok) return read.why;
    const rows = read.value.value;
    await inTurns(
      adding(
        sum,
        rows.map(([id]) => id),
      ),
    );
    if (rows.length < rowsAtOnce) return undefined;
    last = rows.at(-1)![1];
  }
}

function* adding(sum: OwnerMoves, ids: readonly number[]): Generator<undefined, void, undefined> {
  for (let at = 0; at < ids.length; at += idsAtOnce) {
    sum.add(ids.slice(at, at + idsAtOnce));
    yield;
  }
}

/** Members by their names, as they are called there; schedules by their ids, whose names are not read for this. */
function toozRing(
  members: readonly NodeId[],
  names: ReadonlyMap<NodeId, string>,
  pointOf: (schedule: number) => string,
): Ring {
  const nameOf = (id: NodeId): string => names.get(id) ?? `node${id}`;
  const byName = new Map(members.map((id) => [nameOf(id), id]));
  const ring = new ToozRing([...byName.keys()]);
  return { members, of: (schedule) => byName.get(ring.behind(pointOf(schedule)) ?? "") };
}

/** Two rings are asked of each schedule, one after the other. */
function rememberingPoint(): (schedule: number) => string {
  let last: number | undefined;
  let point = "";
  return (schedule) => {
    if (schedule !== last) point = toozPoint(String(schedule));
    last = schedule;
    return point;
  };
}

function viewOf(
  { before, after, names, zones }: Membership,
  { moves, due }: Counted,
  ring: ScheduleRing,
  asksOfChange: boolean,
): ScheduleOwnersView {
  const { schedules, owned, willOwn } = moves;
  const counts = (of: ReadonlyMap<NodeId, number>, members: readonly NodeId[]): number[] =>
    members.map((id) => of.get(id) ?? 0);
  const all = [...before, ...after.filter((id) => !before.includes(id))];
  const members = all.map((id) => ({
    node: id,
    name: names.get(id) ?? null,
    zones: zones.get(id) ?? null,
    schedules: owned.get(id) ?? 0,
    share: rounded((owned.get(id) ?? 0) / Math.max(1, schedules)),
    due: due.owned.get(id) ?? 0,
    ...(asksOfChange ? { after: willOwn.get(id) ?? 0 } : {}),
  }));
  const change = {
    moved: moves.moved,
    moved_share: rounded(moves.moved / Math.max(1, schedules)),
    ideal_share: rounded(idealMoved(before, after)),
    needless: moves.needless,
    max_over_mean: roundedOr(maxOverMean(counts(willOwn, after))),
  };
  return {
    ring,
    schedules,
    due: due.schedules,
    max_over_mean: roundedOr(maxOverMean(counts(owned, before))),
    members,
    ...(asksOfChange ? { change } : {}),
  };
}

const rounded = (value: number): number => Math.round(value * 10_000) / 10_000;
const roundedOr = (value: number | null): number | null => (value === null ? null : rounded(value));
