import { nodeId, type NodeId } from "../../lib/ids.ts";
import type { Labels } from "../../lib/selector.ts";
import { sql, type ReadTx, type Tx } from "../tx.ts";
import type { NodeRow, NodeState } from "../types.ts";

/** What a node says of itself when it joins and at every start. */
export interface Announcement {
  readonly incarnation: string;
  readonly api: string;
  readonly peer: string;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
  readonly level: number;
  readonly version: string;
}

interface Stored {
  readonly id: number;
  readonly name: string;
  readonly incarnation: string;
  readonly api: string;
  readonly peer: string;
  readonly labels: string;
  readonly slots: number;
  readonly io_tasks: number;
  readonly level: number;
  readonly version: string;
  readonly state: NodeState;
  readonly drained: number;
  readonly joined_at: number;
  readonly seen_at: number;
}

function restore(row: Stored): NodeRow {
  const { id, labels, io_tasks: ioTasks, joined_at: joinedAt, seen_at: seenAt, drained: _, ...rest } = row;
  return { ...rest, id: nodeId(id), labels: JSON.parse(labels) as Labels, ioTasks, joinedAt, seenAt };
}

const selectAll = sql("select * from node order by id");
const selectById = sql("select * from node where id = ?");
const selectByName = sql("select * from node where name = ?");

/** Every member, by id. */
export function allNodes(tx: ReadTx): NodeRow[] {
  return tx.all<Stored>(selectAll).map(restore);
}

/** undefined: never there, or removed. */
export function nodeById(tx: ReadTx, id: number): NodeRow | undefined {
  const row = tx.get<Stored>(selectById, id);
  return row === undefined ? undefined : restore(row);
}

/** Names are unique among the members. */
export function nodeByName(tx: ReadTx, name: string): NodeRow | undefined {
  const row = tx.get<Stored>(selectByName, name);
  return row === undefined ? undefined : restore(row);
}

/** By id, by digits, or by name. A node that is named by digits is found by its id only when no id fits. */
export function nodeByReference(tx: ReadTx, reference: string | number): NodeRow | undefined {
  if (typeof reference === "number") return nodeById(tx, reference);
  const byId = /^\d{1,15}$/.test(reference) ? nodeById(tx, Number(reference)) : undefined;
  return byId ?? nodeByName(tx, reference);
}

const insert = sql(
  `insert into node (id, name, incarnation, api, peer, labels, slots, io_tasks, level, version, state, joined_at, seen_at)
   values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'up', ?, ?)`,
);

/** A new member, up since `at` (epoch ms). */
export function insertNode(tx: Tx, id: number, name: string, said: Announcement, at: number): void {
  const { incarnation, api, peer, labels, slots, ioTasks, level, version } = said;
  tx.run(insert, id, name, incarnation, api, peer, sortedJson(labels), slots, ioTasks, level, version, at, at);
}

const update = sql(
  `update node set incarnation = ?, api = ?, peer = ?, labels = ?, slots = ?, io_tasks = ?, level = ?, version = ?,
   state = ?, seen_at = ? where id = ?`,
);

/** What a node says of itself replaces what it said before, and it is in `state` from `at` (epoch ms) on. */
export function updateNode(tx: Tx, id: NodeId, said: Announcement, state: NodeState, at: number): void {
  const { incarnation, api, peer, labels, slots, ioTasks, level, version } = said;
  tx.run(update, incarnation, api, peer, sortedJson(labels), slots, ioTasks, level, version, state, at, id);
}

const setState = sql("update node set state = ? where id = ?");

/** Nothing but the state changes. */
export function setNodeState(tx: Tx, id: NodeId, state: NodeState): void {
  tx.run(setState, state, id);
}

const setDrainedTo = sql("update node set drained = ? where id = ?");
const selectDrained = sql("select drained from node where id = ?");

/** Remembers whether a person wants the node drained: the state alone forgets it when the node is lost. */
export function setDrained(tx: Tx, id: NodeId, drained: boolean): void {
  tx.run(setDrainedTo, drained ? 1 : 0, id);
}

/** The state of a node that is heard again: draining when a person drained it, lost in between or not. */
export function stateOnReturn(tx: ReadTx, id: NodeId): NodeState {
  return tx.get<{ drained: number }>(selectDrained, id)?.drained === 1 ? "draining" : "up";
}

const remove = sql("delete from node where id = ?");

/** Its id stays used up: ids come from the counter. */
export function deleteNode(tx: Tx, id: NodeId): void {
  tx.run(remove, id);
}

function sortedJson(labels: Labels): string {
  return JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));
}
