import { decode, encode } from "../lib/codec.ts";
import { isId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Principal } from "./types.ts";

/**
 * The bytes of a "command" entry. Two layers, so that a follower's bytes are never encoded again by the leader:
 *
 *   Batch  what one node proposes at once: made by the origin, forwarded as it is.
 *   Entry  what the leader logs: its clock, 16 random bytes, the level, and batches of any origins.
 *
 * (origin, serial) names a batch for all time; the state remembers the outcomes of the newest ones per origin,
 * so that a batch may be sent again after a change of leader (S3).
 */

/** [tag, token id, principal name, role, payload] */
export type CommandRecord = readonly [
  tag: number,
  token: string,
  name: string,
  role: Principal["role"],
  payload: unknown,
];

export interface Batch {
  readonly origin: NodeId;
  /** Grows over the origin's whole life: (number of its starts) * 2^32 + batches since then. */
  readonly serial: number;
  /** The origin will not ask for outcomes of serials below this one any more. */
  readonly floor: number;
  readonly commands: readonly CommandRecord[];
}

export interface EntryBody {
  /** Leader's wall clock, epoch ms. */
  readonly at: number;
  readonly random: Uint8Array;
  readonly level: number;
  readonly batches: readonly Uint8Array[];
}

/** The batch as it is forwarded and logged; not encoded again on the way. */
export function encodeBatch(batch: Batch): Uint8Array {
  return encode([batch.origin, batch.serial, batch.floor, batch.commands]);
}

/** Binary members of payloads are views of `bytes`. Throws on bytes that are not MessagePack. */
export function decodeBatch(bytes: Uint8Array): Batch {
  const [origin, serial, floor, commands] = decode(bytes) as [NodeId, number, number, CommandRecord[]];
  return { origin, serial, floor, commands };
}

/** What holds of every batch, whatever its commands are: they come from other nodes, and the state keeps their names for all time. */
export function isBatch({ origin, serial, floor, commands }: Batch): boolean {
  const areWhole = isId(origin) && isId(serial) && Number.isSafeInteger(floor) && floor >= 0 && floor <= serial;
  if (!areWhole || !Array.isArray(commands)) return false;
  return commands.length > 0 && commands.length <= limits.commandsPerEntry && commands.every(isRecord);
}

function isRecord(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 5) return false;
  const [tag, token, name, role] = value as readonly unknown[];
  const isNamed = isText(token) && isText(name);
  return isId(tag) && isNamed && roles.has(role);
}

const roles: ReadonlySet<unknown> = new Set<Principal["role"]>(["viewer", "operator", "admin", "node"]);

/** Of a token's id, or a principal's name. */
function isText(value: unknown): boolean {
  return typeof value === "string" && value.length <= limits.nameLength;
}

/** The data of a "command" entry. */
export function encodeEntry(body: EntryBody): Uint8Array {
  return encode([body.at, body.random, body.level, body.batches]);
}

/** Batches stay bytes, views of the entry's. Throws on bytes that are not MessagePack. */
export function decodeEntry(bytes: Uint8Array): EntryBody {
  const [at, random, level, batches] = decode(bytes) as [number, Uint8Array, number, Uint8Array[]];
  return { at, random, level, batches };
}
