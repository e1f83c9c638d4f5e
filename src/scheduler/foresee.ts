import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Placement } from "../lib/placement.ts";
import { matchesSelector } from "../lib/selector.ts";
import type { PlannedView, ReasonView } from "../state/answers.ts";
import type { UnitWants } from "../state/planning.ts";
import type { SpecForeseen } from "../state/rehearsal.ts";
import { bestRoom, chooseNode, giveLanes, hasRoom, type Room, takeLanes } from "./choose.ts";
import { askedOf, nodeReasons, reasonsOfNodes, shown } from "./explain.ts";
import type { Asked, Standing } from "./lack.ts";
import { Pace, unitSize } from "./unit-size.ts";
import type { PlacementView } from "./view.ts";

/**
 * What specs would become if they were submitted now (`skein plan`): their tasks, and where those would start by what is free. Places the jobs one after the other in what is free: `standings` are a copy, which this uses up. What waits already is thought to have taken what it could,
 * as the planner leaves no room that a waiting job fits. At most limits.assignmentsPerEntry tasks are placed, as one plan places.
 */
export function foresee(
  jobs: readonly SpecForeseen[],
  standings: readonly Standing[],
  { placement, knowsRanges }: Pick<PlacementView, "placement" | "knowsRanges">,
): PlannedView[] {
  const names = new Map(standings.map(({ row }) => [row.id, row.name]));
  const open = standings.filter(({ away }) => away === undefined).map(({ room }) => room);
  let left: number = limits.assignmentsPerEntry;
  return jobs.map(({ name, driver, wants, units, gates, tasks, batches, first, pins }) => {
    const asked = askedOf(wants);
    const rooms = open.filter((room) => matchesSelector(wants.terms, room.labels));
    const placed = new Map<NodeId, number>();
    let started = 0;
    const inBatch = batches?.sizes[0] ?? tasks;
    const most = gates.length > 0 ? 0 : Math.min(inBatch, wants.parallel);
    if (knowsRanges && units.isArray) {
      const array = { ...units, pace: new Pace() };
      for (const [node, count] of ranges(array, asked, rooms, placement, most, left)) {
        placed.set(node, (placed.get(node) ?? 0) + count);
        started += count;
        left -= 1;
      }
    } else
      for (let task = 0; task < tasks && started < most && left > 0; task++) {
        const pin = pins[task];
        const node = chooseNode(rooms, asked, { task, attempt: 0, notBefore: 0, pin, avoid: undefined }, placement);
        if (node === undefined && pin === undefined) break;
        if (node === undefined) continue;
        placed.set(node, (placed.get(node) ?? 0) + 1);
        started += 1;
        left -= 1;
      }
    const waits = tasks - started;
    const nodes = nodeReasons(standings, asked);
    const isBounded = started >= most && started < tasks;
    return {
      name,
      driver,
      tasks,
      slots: wants.slots,
      first,
      ...(batches === undefined ? {} : { batches }),
      placement: [...placed]
        .sort(([a], [b]) => a - b)
        .map(([node, tasks]) => ({ node, name: names.get(node) ?? "", tasks })),
      waits,
      reasons:
        waits === 0 || gates.length > 0
          ? gates
          : isBounded
            ? [inBatch <= wants.parallel ? batchReason(inBatch, batches?.of ?? 1) : parallelReason(wants.parallel)]
            : reasonsOfNodes(nodes, undefined, wants),
      ...shown(nodes),
    };
  });
}

/** How `most` tasks of an array are given out together, in so many ranges at most, as the planner does while nothing is known of their time. Takes the room. */
function* ranges(
  array: UnitWants & { readonly pace: Pace },
  asked: Asked,
  matching: readonly Room[],
  placement: Placement,
  most: number,
  limit: number,
): Generator<readonly [node: NodeId, count: number]> {
  const rooms = matching.filter((room) => hasRoom(room, asked));
  for (let [left, given] = [most, 0]; left > 0 && given < limit; given++) {
    const room = bestRoom(rooms, asked, placement);
    if (room === undefined) return;
    const lanes = takeLanes(room, asked, left);
    const { count, width } = unitSize(array, left, lanes, rooms.length);
    giveLanes(room, asked, lanes - width);
    left -= count;
    yield [room.node, count];
  }
}

function parallelReason(parallel: number): ReasonView {
  return {
    code: "parallel",
    message: `${parallel} of its tasks run at once, as many as \`parallel: ${parallel}\` allows`,
  };
}

function batchReason(tasks: number, of: number): ReasonView {
  return { code: "batch", message: `batch 1 of ${of} has ${tasks} of its tasks: the others wait for its end` };
}
