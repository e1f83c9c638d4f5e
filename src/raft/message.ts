import { isId, type NodeId } from "../lib/ids.ts";
import { decodeConfiguration, toConfiguration } from "../lib/configuration.ts";
import type { Entry, Message, SnapshotMeta } from "./types.ts";

/**
 * Whether what a peer sent has the shape of a message and keeps what holds between its own fields. A newer or broken peer must
 * not be able to stop this node: what fails here is dropped and counted.
 */
export function isWellFormed(message: Message, self: NodeId): boolean {
  if (message.to !== self || message.from === self || !isId(message.from) || !isCount(message.term)) return false;
  switch (message.kind) {
    case "pre-vote-request":
      return isCount(message.lastIndex) && isCount(message.lastTerm);
    case "vote-request":
      return isCount(message.lastIndex) && isCount(message.lastTerm) && typeof message.transfer === "boolean";
    case "pre-vote-response":
    case "vote-response":
      return typeof message.granted === "boolean";
    case "append-request":
      return (
        isCount(message.previousIndex) &&
        isCount(message.previousTerm) &&
        message.previousTerm <= message.term &&
        isCount(message.commit) &&
        areEntries(message.entries, message.previousIndex, message.previousTerm, message.term)
      );
    case "append-response":
      return isCount(message.match);
    case "append-rejection":
      return (
        isCount(message.rejected) &&
        isCount(message.hintIndex) &&
        isCount(message.hintTerm) &&
        typeof message.repairing === "boolean"
      );
    case "heartbeat-request":
      return isCount(message.commit) && isCount(message.round);
    case "heartbeat-response":
      return isCount(message.round) && typeof message.slowDisk === "boolean";
    case "timeout-now":
      return true;
    case "snapshot-request":
      return isSnapshot(message.snapshot, message.term);
    default:
      return false;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSnapshot(value: unknown, termMax: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { index, term, configuration } = value as { readonly [Field in keyof SnapshotMeta]?: unknown };
  return (
    isCount(index) && index > 0 && isCount(term) && term <= termMax && toConfiguration(configuration) !== undefined
  );
}

/** Consecutive, with terms that never fall and never pass the sender's. */
function areEntries(entries: unknown, previousIndex: number, previousTerm: number, termMax: number): boolean {
  if (!Array.isArray(entries)) return false;
  let term = previousTerm;
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as Entry | null | undefined;
    if (typeof entry !== "object" || entry === null) return false;
    if (entry.index !== previousIndex + 1 + at || !isCount(entry.term) || entry.term < term || entry.term > termMax)
      return false;
    if (!(entry.data instanceof Uint8Array)) return false;
    if (entry.kind === "configuration") {
      if (decodeConfiguration(entry.data) === undefined) return false;
    } else if (entry.kind !== "command" && entry.kind !== "noop") return false;
    term = entry.term;
  }
  return true;
}
