import { isId, nobody, type NodeId, nodeId } from "../lib/ids.ts";
import { binary, list, malformed, text, whole } from "../transport/frames.ts";
import type { LogPage } from "./api.ts";
import type { Looked } from "./bundle-looks.ts";
import type { ClockNews } from "./clocks.ts";
import type { Undecided } from "./divergence.ts";
import type { LeaseGrant } from "./lease.ts";
import type { TurnedAway } from "./job-admission.ts";
import type { ForwardReply } from "./propose.ts";
import type { SnapshotChunk } from "./snapshot-send.ts";

/**
 * What members answer to the questions of peer-requests.ts that a node asks by itself, while nobody waits who could be told: a wrong answer is
 * one that did not come, a Fault "protocol". Nothing else that is received may be worse than silence.
 */

/** The leader's, to a forwarded batch. */
export function forwardReply(body: unknown): ForwardReply {
  const { ok, why, away } = fields(body);
  if (ok === true) return { ok };
  if (ok === false && why === "turned-away") return { ok, why, away: list(away, "commands").map(turnedAway) };
  if (ok !== false || (why !== "not-leader" && why !== "transferring" && why !== "busy" && why !== "behind"))
    throw malformed("answer");
  return { ok, why };
}

/** What is full cures by itself: nothing else is turned away before the log. */
function turnedAway(one: unknown): TurnedAway {
  const { at, why } = fields(one);
  const { code, message, limit, retryAfterMs } = fields(why);
  if (code !== "busy" || (limit !== "jobs" && limit !== "submitter" && limit !== "room")) throw malformed("refusal");
  return { at: whole(at), why: { code, message: text(message), retryAfterMs: whole(retryAfterMs), limit } };
}

/** undefined: who was asked does not lead. */
export function readIndex(body: unknown): number | undefined {
  return isNothing(body) ? undefined : whole(body);
}

/** {@link nobody}: not known there. */
export function knownLeader(body: unknown): NodeId {
  return body === nobody ? nobody : node(body);
}

/** Members that do not answer the leader; undefined: who was asked does not lead. */
export function silentNodes(body: unknown): readonly NodeId[] | undefined {
  return isNothing(body) ? undefined : list(body, "nodes").map(node);
}

/** undefined: not granted. */
export function leaseGrant(body: unknown): LeaseGrant | undefined {
  if (isNothing(body)) return undefined;
  const { kind, index, clock } = fields(body);
  if (kind === "lost") return { kind };
  if (kind !== "granted") throw malformed("kind of grant");
  return { kind, index: whole(index), clock: isNothing(clock) ? undefined : clockNews(clock) };
}

function clockNews(body: unknown): ClockNews {
  const { own, off } = fields(body);
  return {
    own: own === null ? null : finite(own),
    off: list(off, "clocks").map((one) => {
      const [of, differenceMs] = list(one, "clock");
      return [node(of), finite(differenceMs)] as const;
    }),
  };
}

/** undefined: not known there. */
export function hashAnswer(body: unknown): string | undefined {
  if (isNothing(body)) return undefined;
  if (typeof body !== "string") throw malformed("hash");
  return body;
}

/** undefined: nothing is. */
export function undecidedAnswer(body: unknown): Undecided | undefined {
  if (isNothing(body)) return undefined;
  const { index, groups } = fields(body);
  return { index: whole(index), groups: list(groups, "groups").map((group) => list(group, "group").map(node)) };
}

/** Whether it is the right one, its checksum tells. */
export function snapshotChunk(body: unknown): SnapshotChunk {
  const { data, crc } = fields(body);
  return { data: binary(data), crc: whole(crc) };
}

/** Of an attempt's log. */
export function logPage(body: unknown): LogPage {
  const { attempt, chunks, next, end } = fields(body);
  return {
    attempt: whole(attempt),
    chunks: list(chunks, "chunks").map((one) => {
      const { stream, at, bytes } = fields(one);
      if (stream !== "stdout" && stream !== "stderr") throw malformed("stream");
      return { stream, at: finite(at), bytes: binary(bytes) };
    }),
    next: whole(next),
    end: end === true,
  };
}

/** Of a copy of an attempt's log: `end` says that the copy has no more now, `whole` how much of the output it has from the beginning on. */
export interface CopyPage extends LogPage {
  readonly whole: number;
}

/** A page of a copy. */
export function copyPage(body: unknown): CopyPage {
  return { ...logPage(body), whole: whole(fields(body)["whole"]) };
}

/** How long a copy of a pack is now. */
export function packHeld(body: unknown): { readonly end: number } {
  return { end: whole(fields(body)["end"]) };
}

/** What came of a look at a repository. */
export function sourceLooked(body: unknown): Looked {
  const { kind, why } = fields(body);
  if (kind === "same" || kind === "pinned" || kind === "over") return { kind };
  if (kind !== "busy" && kind !== "unable" && kind !== "failed") throw malformed("kind of look");
  return { kind, why: text(why) };
}

/** The text of a bundle's manifest; undefined: who was asked does not have it. Whether it is the right one, its digest tells. */
export function manifestText(body: unknown): string | undefined {
  return isNothing(body) ? undefined : text(body);
}

/** Files in the order in which they were asked for; null for each that who was asked does not have. Whether they are right, their digests tell. */
export function blobAnswers(body: unknown): readonly (Uint8Array | null)[] {
  return list(body, "files").map(blobPiece);
}

/** A piece of a file; null: it is not there. */
export function blobPiece(body: unknown): Uint8Array | null {
  return isNothing(body) ? null : binary(body);
}

/** Which of the files that were asked about are there, in that order. */
export function blobsHad(body: unknown): readonly boolean[] {
  return list(body, "files").map((one) => one === true);
}

/** A member has a bundle, all of it, synced. */
export function bundleTaken(body: unknown): { readonly held: true } {
  if (fields(body)["held"] !== true) throw malformed("answer");
  return { held: true };
}

function isNothing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function fields(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== "object" || body === null) throw malformed("answer");
  return body as Readonly<Record<string, unknown>>;
}

function node(value: unknown): NodeId {
  if (!isId(value)) throw malformed("node");
  return nodeId(value);
}

function finite(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw malformed("number");
  return value;
}
