import { unreachable } from "../../src/lib/assert.ts";
import { isJoint } from "../../src/raft/configuration.ts";
import { decodeConfiguration } from "../../src/lib/configuration.ts";
import type { Append, Configuration, Entry, Message } from "../../src/raft/types.ts";

/** How scripts say what the machine says: one line per thing, short and without anything that is not of the protocol. */

/** `voters 1,2,3 | learners 4`; a joint one `voters 1,2,4 <- 1,2,3`, with the voters that are to learn afterwards. */
export function sayConfiguration(configuration: Configuration): string {
  const { voters, outgoing, learners, learnersNext } = configuration;
  const parts = [`voters ${voters.join()}${isJoint(configuration) ? ` <- ${outgoing.join()}` : ""}`];
  if (learners.length > 0) parts.push(`learners ${learners.join()}`);
  if (learnersNext.length > 0) parts.push(`then learners ${learnersNext.join()}`);
  return parts.join(" | ");
}

/** `index/term what`. */
export function sayEntry({ index, term, kind, data }: Entry): string {
  const place = `${index}/${term}`;
  if (kind === "noop") return `${place} noop`;
  if (kind === "configuration") return `${place} (${sayConfiguration(decodeConfiguration(data)!)})`;
  const text = Buffer.from(data).toString();
  return text.length > 20 ? `${place} ${text.slice(0, 8)}... (${text.length} bytes)` : `${place} ${text}`;
}

export function sayEntries(entries: readonly Entry[]): string {
  return `[${entries.map(sayEntry).join(", ")}]`;
}

/** `from -> to kind term fields`. */
export function sayMessage(message: Message): string {
  return `${message.from} -> ${message.to} ${message.kind} term ${message.term}${sayFields(message)}`;
}

function sayFields(message: Message): string {
  switch (message.kind) {
    case "pre-vote-request":
    case "vote-request": {
      const transfer = message.kind === "vote-request" && message.transfer ? " by hand-over" : "";
      return ` log ${message.lastIndex}/${message.lastTerm}${transfer}`;
    }
    case "pre-vote-response":
    case "vote-response":
      return message.granted ? " yes" : " no";
    case "append-request": {
      const { previousIndex, previousTerm, entries, commit } = message;
      return ` after ${previousIndex}/${previousTerm} ${sayEntries(entries)} commit ${commit}`;
    }
    case "append-response":
      return ` match ${message.match}`;
    case "append-rejection": {
      const { rejected, hintIndex, hintTerm, repairing } = message;
      return ` not after ${rejected}, try ${hintIndex}/${hintTerm}${repairing ? " (repairing)" : ""}`;
    }
    case "heartbeat-request":
      return ` commit ${message.commit} round ${message.round}`;
    case "heartbeat-response":
      return ` round ${message.round}${message.slowDisk ? " (slow disk)" : ""}`;
    case "snapshot-request": {
      const { index, term, configuration } = message.snapshot;
      return ` state ${index}/${term} (${sayConfiguration(configuration)})`;
    }
    case "timeout-now":
      return "";
    default:
      return unreachable(message, "message");
  }
}

/** What is handed to storage in one write. */
export function sayAppend({ token, hardState, snapshot, entries }: Append): string {
  const parts = [`write ${token}:`];
  if (hardState !== undefined) {
    const { term, vote, commit } = hardState;
    parts.push(`term ${term} vote ${vote === 0 ? "-" : vote} commit ${commit}`);
  }
  if (snapshot !== undefined) parts.push(`log begins after ${snapshot.index}/${snapshot.term}`);
  if (entries.length > 0) parts.push(sayEntries(entries));
  return parts.join(" ");
}
