import { nodeId, type NodeId } from "../../lib/ids.ts";
import { type Resources, sortedResources } from "../../lib/resources.ts";
import type { Labels } from "../../lib/selector.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import { forgetCertificate } from "./authority.ts";
import type { NodeRow, NodeState, Wish } from "../types.ts";

/** What a node says of itself when it joins and at every start. */
export interface Announcement {
  readonly incarnation: string;
  readonly api: string;
  readonly peer: string;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
  readonly resources?: Resources | undefined;
  readonly zones?: string | undefined;
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
  readonly wish: Wish | null;
  readonly quarantine: number | null;
  readonly resources: string | null;
  readonly zones: string | null;
  readonly lost_at: number | null;
}

function restore(row: Stored): NodeRow {
  const {
    id,
    labels,
    io_tasks: ioTasks,
    joined_at: joinedAt,
    seen_at: seenAt,
    drained: _,
    lost_at: _lostAt,
    wish,
    quarantine,
    resources,
    zones,
    ...rest
  } = row;
  return {
    ...(wish === null ? {} : { wish }),
    ...(quarantine === null ? {} : { quarantine }),
    ...(resources === null ? {} : { resources: JSON.parse(resources) as Resources }),
    ...(zones === null ? {} : { zones }),
    ...rest,
    id: nodeId(id),
    labels: JSON.parse(labels) as Labels,
    ioTasks,
    joinedAt,
    seenAt,
  };
}

const rows = `select node.*, node_wish.wish, node_quarantine.entry as quarantine from node
  left join node_wish on node_wish.node = node.id left join node_quarantine on node_quarantine.node = node.id`;
const selectAll = sql(`${rows} order by id`);
const selectById = sql(`${rows} where id = ?`);
const selectByName = sql(`${rows} where name = ?`);

/** Every member, by id. */
export function allNodes(tx: ReadTx): NodeRow[] {
  return tx.all<Stored>(selectAll).map(restore);
}

/** undefined: never there, or removed. */
export function nodeById(tx: ReadTx, id: number): NodeRow | undefined {
  const row = tx.get<Stored>(selectById, id);
  return row === undefined ? undefined : restore(row);
}

const selectState = sql("select state from node where id = ?");

/** What most who name a node need of it, without the rest of its row; undefined: never there, or removed. */
export function stateOfNode(tx: ReadTx, id: number): NodeState | undefined {
  return tx.get<{ state: NodeState }>(selectState, id)?.state;
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

const insert = change(
  "node.add",
  `insert into node (id, name, incarnation, api, peer, labels, slots, io_tasks, level, version, state, joined_at, seen_at)
   values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'up', ?, ?)`,
);

/** A new member, up since `at` (epoch ms). */
export function insertNode(tx: Tx, id: number, name: string, said: Announcement, at: number): void {
  const { incarnation, api, peer, labels, slots, ioTasks, level, version } = said;
  tx.run(insert, id, name, incarnation, api, peer, sortedJson(labels), slots, ioTasks, level, version, at, at);
  setResources(tx, id, said);
}

const update = change(
  "node.update",
  `update node set incarnation = ?, api = ?, peer = ?, labels = ?, slots = ?, io_tasks = ?, level = ?, version = ?,
   state = ?, seen_at = ? where id = ?`,
);

/** What a node says of itself replaces what it said before, and it is in `state` from `at` (epoch ms) on. */
export function updateNode(tx: Tx, id: NodeId, said: Announcement, state: NodeState, at: number): void {
  const { incarnation, api, peer, labels, slots, ioTasks, level, version } = said;
  tx.run(update, incarnation, api, peer, sortedJson(labels), slots, ioTasks, level, version, state, at, id);
  setResources(tx, id, said);
  if (said.zones !== undefined) tx.run(writeZones, said.zones, id);
}

const writeZones = change("node.set-zones", "update node set zones = ? where id = ?");
const writeResources = change("node.set-resources", "update node set resources = ? where id = ?");

/** Below resourceLevel nodes say nothing of it, and nothing is written. */
function setResources(tx: Tx, id: number, { resources }: Announcement): void {
  if (resources !== undefined) tx.run(writeResources, JSON.stringify(sortedResources(resources)), id);
}

const setName = change("node.rename", "update node set name = ? where id = ?");

/** The caller sees to it that no other member has that name. */
export function renameNode(tx: Tx, id: NodeId, name: string): void {
  tx.run(setName, name, id);
}

const setState = change("node.set-state", "update node set state = ? where id = ?");

/** Nothing but the state changes. */
export function setNodeState(tx: Tx, id: NodeId, state: NodeState): void {
  tx.run(setState, state, id);
}

const setLostAt = change("node.set-lost", "update node set lost_at = ? where id = ?");
const selectLostAt = sql("select lost_at from node where id = ? and state = 'lost'");

/** Remembers since when it is lost (epoch ms), for as long as it is. */
export function setLostSince(tx: Tx, id: NodeId, at: number): void {
  tx.run(setLostAt, at, id);
}

/** Since when it is lost; undefined: it is not, or nobody said when. */
export function lostSince(tx: ReadTx, id: NodeId): number | undefined {
  return tx.get<{ lost_at: number | null }>(selectLostAt, id)?.lost_at ?? undefined;
}

const setDrainedTo = change("node.set-drained", "update node set drained = ? where id = ?");
const selectDrained = sql("select drained from node where id = ?");

/** Remembers whether a person wants the node drained: the state alone forgets it when the node is lost. */
export function setDrained(tx: Tx, id: NodeId, drained: boolean): void {
  tx.run(setDrainedTo, drained ? 1 : 0, id);
}

/** The state of a node that is heard again: draining when a person drained it, lost in between or not. */
export function stateOnReturn(tx: ReadTx, id: NodeId): NodeState {
  return tx.get<{ drained: number }>(selectDrained, id)?.drained === 1 ? "draining" : "up";
}

const selectLabels = sql("select labels from node_label where node = ?");
const writeLabels = change("node_label.set", "insert or replace into node_label (node, labels) values (?, ?)");
const removeLabels = change("node_label.remove", "delete from node_label where node = ?");
const showLabels = change("node.set-labels", "update node set labels = ? where id = ?");

/** Labels that a person gave to the node; they outlive its restarts. */
export function givenLabels(tx: ReadTx, id: NodeId): Labels {
  const row = tx.get<{ labels: string }>(selectLabels, id);
  return row === undefined ? {} : (JSON.parse(row.labels) as Labels);
}

/** Replaces what a person gave; rows change only when there is, or was, something given. */
export function giveLabels(tx: Tx, id: NodeId, labels: Labels): void {
  if (Object.keys(labels).length > 0) tx.run(writeLabels, id, sortedJson(labels));
  else if (tx.get(selectLabels, id) !== undefined) tx.run(removeLabels, id);
}

/** The labels that the node has now. */
export function setNodeLabels(tx: Tx, id: NodeId, labels: Labels): void {
  tx.run(showLabels, sortedJson(labels), id);
}

const selectWish = sql("select wish from node_wish where node = ?");
const writeWish = change("node_wish.set", "insert or replace into node_wish (node, wish) values (?, ?)");
const removeWish = change("node_wish.remove", "delete from node_wish where node = ?");

/** undefined: the leader decides whether the node votes. */
export function setWish(tx: Tx, id: NodeId, wish: Wish | undefined): void {
  if (wish !== undefined) tx.run(writeWish, id, wish);
  else if (tx.get(selectWish, id) !== undefined) tx.run(removeWish, id);
}

const addQuarantine = change(
  "node_quarantine.set",
  "insert or replace into node_quarantine (node, entry) values (?, ?)",
);
const removeQuarantine = change("node_quarantine.remove", "delete from node_quarantine where node = ?");

/** `entry`: where its state was found to differ; undefined: it has the others' state. */
export function setQuarantine(tx: Tx, id: NodeId, entry: number | undefined): void {
  if (entry !== undefined) tx.run(addQuarantine, id, entry);
  else if (nodeById(tx, id)?.quarantine !== undefined) tx.run(removeQuarantine, id);
}

const remove = change("node.remove", "delete from node where id = ?");

/** Its id stays used up: ids come from the counter. */
export function deleteNode(tx: Tx, id: NodeId): void {
  giveLabels(tx, id, {});
  forgetCertificate(tx, id);
  setWish(tx, id, undefined);
  setQuarantine(tx, id, undefined);
  tx.run(remove, id);
}

function sortedJson(labels: Labels): string {
  return JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));
}
