import { amountOf, memoryResource, type Need, unitsOf } from "../lib/resources.ts";
import { formatSize } from "../lib/units.ts";
import type { Term } from "../lib/selector.ts";
import { ansibleLabel, matchesSelector } from "../lib/selector.ts";
import type { NodeReasonView } from "../state/answers.ts";
import type { NodeRow } from "../state/types.ts";
import { freeOf, type Room, type Want } from "./choose.ts";

/** A node as the leader sees it: what it has, what is free of it, and why it takes no work at present. */
export interface Standing {
  readonly row: NodeRow;
  readonly room: Room;
  /** undefined: it takes work. */
  readonly away: string | undefined;
}

/** What decides about a node: the constraints of a job, and what a task of it takes. */
export interface Asked extends Want {
  readonly terms: readonly Term[];
}

/** How a node stands to a task, in words for each constraint that does not hold. */
export function standingOf({ row, room, away }: Standing, asked: Asked): NodeReasonView {
  const { id: node, name } = row;
  const never = [...asked.terms.flatMap((term) => lackOfLabel(row, term)), ...lackOfSize(row, asked)];
  const now = lackOfRoom(room, row, asked);
  const state = never.length > 0 ? "never" : away !== undefined ? "away" : now.length > 0 ? "full" : "free";
  return {
    node,
    name,
    state,
    reasons: [...never, ...(away === undefined ? [] : [away]), ...(never.length > 0 ? [] : now)],
  };
}

function lackOfLabel({ labels, name }: NodeRow, term: Term): string[] {
  if (matchesSelector([term], labels)) return [];
  const { key, operator, value } = term;
  if (key === ansibleLabel && operator === "present")
    return [
      `node ${name} has no ansible, which driver ansible needs: install ansible-core there and start the node again`,
    ];
  const has = labels[key] === undefined ? `no label ${key}` : `${key}=${labels[key]}`;
  const wanted = { "=": `${key}=${value}`, "!=": `${key}!=${value}`, present: key, absent: `!${key}` }[operator];
  return [`${wanted} is asked for, node ${name} has ${has}`];
}

/** What the node could not give if nothing else ran there. */
function lackOfSize(row: NodeRow, { io, need, resources }: Asked): string[] {
  const { name, slots, ioTasks } = row;
  const words: string[] = [];
  if (io && need > ioTasks) words.push(`node ${name} takes no tasks without slots (--io-tasks is 0)`);
  if (!io && need > slots) words.push(`node ${name} has ${count(slots, "slot")}, the task asks for ${need}`);
  for (const [resource, units] of resources) {
    const has = unitsOf(resource, row.resources?.[resource] ?? 0);
    if (has >= units) continue;
    const what = has === 0 ? `no ${resource}` : amountText([resource, has]);
    words.push(`node ${name} has ${what}, the task asks for ${sizeText(resource, units)}`);
  }
  return words;
}

/** "8GiB of memory", "2 cores", "1 license" */
export function amountText([name, units]: Need): string {
  return `${sizeText(name, units)}${name === memoryResource ? " of" : ""} ${name}`;
}

function sizeText(name: string, units: number): string {
  return name === memoryResource ? formatSize(units) : String(amountOf(name, units));
}

/** What is taken now. */
function lackOfRoom(room: Room, { name, slots, ioTasks }: NodeRow, { io, need, resources }: Asked): string[] {
  const { freeSlots, freeIo } = room;
  const words: string[] = [];
  if (io && freeIo < need)
    words.push(`node ${name} runs ${ioTasks} tasks without slots already, as many as it takes at once`);
  if (!io && freeSlots < need)
    words.push(`node ${name} has ${Math.max(0, freeSlots)} of ${count(slots, "slot")} free, the task asks for ${need}`);
  for (const [resource, units] of resources) {
    const free = Math.max(0, freeOf(room, resource));
    if (free < units)
      words.push(
        `node ${name} has ${amountText([resource, free])} free, the task asks for ${sizeText(resource, units)}`,
      );
  }
  return words;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
