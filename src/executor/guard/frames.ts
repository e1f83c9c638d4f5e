import { decode, encode } from "../../lib/codec.ts";
import { Fault } from "../../lib/fault.ts";
import { limits } from "../../lib/limits.ts";
import type { Report } from "../../state/types.ts";
import type { AttemptName } from "../types.ts";

/**
 * What node and guard say to each other over DIR/guard.sock. A frame is a length (32 bits, big-endian) and that many
 * bytes of MessagePack. The two may be of different releases (the guard outlives an upgrade): fields and kinds are only added,
 * an unknown kind is passed over, anything else raises the protocol number.
 */
export const guardProtocol = 1;

/** An attempt as the guard needs it. Nothing in it is looked up later. */
export interface Start extends AttemptName {
  readonly fence: number;
  /** See identityOf(). Absent: a node of an earlier release. */
  readonly identity?: string;
  readonly run: string | readonly string[];
  /** All but what the guard itself adds: a clean base, the marker. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: a scratch directory of its own. */
  readonly dir?: string;
  /** `dir` was made for this attempt alone, and goes with it. */
  readonly isDirOwn?: boolean;
  readonly stdin?: string;
  /** Absent: none. */
  readonly timeoutMs?: number;
  readonly graceMs: number;
  readonly tailBytes: number;
  readonly keepBytes: number;
  /** Values that its output is not to show. They are in memory alone, of the node and of the guard. */
  readonly redact?: readonly string[];
  /** Absent: whom the guard runs as. */
  readonly user?: string;
  readonly limits?: AttemptLimits;
  /** Where control groups may be made, if the node was told. */
  readonly cgroupRoot?: string;
  /** A request instead of a process. A guard of an earlier release finds no such command as `run` says. */
  readonly http?: HttpRequest;
  /** A command on another host. A guard of an earlier release finds no such command as `run` says. */
  readonly ssh?: SshStart;
  /** A process of ansible for several attempts, of which this is the first. A guard of an earlier release finds no such command as `run` says, and is given one attempt at a time. */
  readonly ansible?: AnsibleStart;
}

/** What a guard says of itself beside the protocol, since its releases: it knows groups of attempts. */
export const groupsKnown = "groups";
/** It can hold the standard input of driver ssh open (SshStart). */
export const heldInputKnown = "held-input";

/** One process for the hosts of several attempts. */
export interface AnsibleStart {
  readonly argv: readonly string[];
  /** Put into the process's directory before. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly members: readonly AnsibleMember[];
  /** A module and no playbook: the end of its only task is a host's. */
  readonly isAdHoc: boolean;
  /** What lines on standard error begin with that tell what became of what earlier attempts left (ssh-marks.ts). */
  readonly word?: string;
  /** A host's own, as ansible keeps it. */
  readonly limitMs?: number;
}

/** An attempt, and the host that it is about. */
export interface AnsibleMember extends AttemptName {
  /** Its name in the inventory. */
  readonly host: string;
  /** How what is left there is ended; absent: it is not reached by ssh. */
  readonly ssh?: SshStart;
}

/** What an {@link SshStart}'s process ends with when the command ended, and something could not be fetched after it. */
export const fetchFailed = 254;

/** What driver ssh starts on this host, and how it ends what is left on the other one. `stdin` begins with the script. */
export interface SshStart {
  readonly argv: readonly string[];
  /** Put into the attempt's scratch directory before. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  /** What the guard's lines on standard error begin with (ssh-marks.ts). */
  readonly word: string;
  /** For words. */
  readonly become?: string;
  /** Files are fetched after the command. */
  readonly isCopying?: boolean;
  /** Its standard input stays open for as long as the process: the target takes the end of it for that of the connection, and ends the command. */
  readonly isHeld?: boolean;
  /** Until the command begins, counted from the start. */
  readonly connectMs: number;
  /** What the target's own limit is, counted from the command's start. */
  readonly limitMs?: number;
  /** Ends what the attempt left there; tells it in a line of the same kind. */
  readonly kill: { readonly argv: readonly string[]; readonly stdin: string };
  /** Absent: a node of an earlier release. */
  readonly needs?: SshNeeds;
}

/** What of this host an attempt of driver ssh relies on, and what it goes by: to tell what is wrong here from what is wrong with its target (ssh-words.ts). */
export interface SshNeeds {
  readonly node: number;
  /** Where its key lies; absent: it has it from a secret, or whatever ssh finds. */
  readonly key?: string;
  /** Where keys of hosts are, if the spec says that. */
  readonly knownHosts?: string;
  readonly put?: readonly string[];
  readonly jump?: string;
}

/** What a process and all that it starts may take; absent: as much as there is. */
export interface AttemptLimits {
  readonly cpuMs?: number;
  readonly memoryBytes?: number;
  /** Open at once, of each process. */
  readonly files?: number;
  readonly processes?: number;
}

/** What driver http asks. */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  /** `isSecret`: not for another host, if the answer leads to one. */
  readonly headers: readonly (readonly [name: string, value: string, isSecret: boolean])[];
  readonly body?: string;
  readonly isSecretBody: boolean;
  /** Statuses that are a success: numbers, or classes like "2xx". */
  readonly expect: readonly (number | string)[];
}

export interface Timeout extends AttemptName {
  readonly timeoutMs: number;
}

export interface Started extends AttemptName {
  /** Wall time, epoch ms. */
  readonly startedAt: number;
}

export type ToGuard =
  | { readonly kind: "hello"; readonly protocol: number; readonly node: number }
  | { readonly kind: "start"; readonly start: Start }
  | { readonly kind: "stop"; readonly names: readonly AttemptName[] }
  /** Their timeouts, counted from their starts, are these now. */
  | { readonly kind: "extend"; readonly timeouts: readonly Timeout[] }
  | { readonly kind: "drop"; readonly names: readonly AttemptName[] }
  /** `endsAt` on the guard's clock. Never moves the deadline back. */
  | { readonly kind: "lease"; readonly endsAt: number }
  /** These results are in the log, or not wanted any more. */
  | { readonly kind: "ack"; readonly names: readonly AttemptName[] }
  /** The state says that these ran here and nobody can tell what became of them: the guard keeps that as their result. */
  | { readonly kind: "lost"; readonly names: readonly AttemptName[] }
  /** These were begun for other tasks than the state's: what runs is killed, and they are told as lost. */
  | { readonly kind: "disown"; readonly names: readonly AttemptName[] }
  | { readonly kind: "goodbye" };

export type FromGuard =
  | {
      readonly kind: "hello";
      readonly protocol: number;
      readonly pid: number;
      /** The guard's clock when it wrote this. */
      readonly clock: number;
    }
  /** Follows the hello and the frames with all unacknowledged results. */
  | {
      readonly kind: "listed";
      readonly running: readonly Started[];
      /** Every attempt that was ever started here is listed, or was acknowledged: one that is unknown has not run. */
      readonly exact: boolean;
      /** Of those that were begun by this guard, by their keys (attemptKey). Absent: a guard of an earlier release. */
      readonly identities?: Readonly<Record<string, string>>;
      /** What it knows beside (groupsKnown). Absent: a guard of an earlier release. */
      readonly knows?: readonly string[];
    }
  | { readonly kind: "finished"; readonly reports: readonly Report[] }
  | { readonly kind: "started"; readonly attempts: readonly Started[] }
  /** Not started, because the lease had ended when the frame came. */
  | { readonly kind: "refused"; readonly names: readonly AttemptName[] }
  /** Answers a lease: a newer reading of the guard's clock. */
  | { readonly kind: "clock"; readonly clock: number };

const lengthBytes = 4;

/** Length and body of one frame, in a buffer that the caller owns. */
export function encodeFrame(value: unknown): Uint8Array {
  const body = encode(value);
  const frame = Buffer.allocUnsafe(lengthBytes + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.set(body, lengthBytes);
  return frame;
}

/** Cuts a stream of bytes into frames. Decoded binary fields are views of memory that belongs to their frame alone. */
export class FrameDecoder {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Bytes that the frame under way needs before it can be read; the length alone first. */
  #wanted = lengthBytes;

  /** The values that are now whole. Throws Fault "protocol" on a length or body that makes no sense. */
  push(bytes: Uint8Array): unknown[] {
    this.#pending.push(Buffer.from(bytes));
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes < this.#wanted) return [];
    const buffer = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    const values: unknown[] = [];
    let at = 0;
    this.#wanted = lengthBytes;
    while (buffer.length - at >= lengthBytes) {
      const length = buffer.readUInt32BE(at);
      if (length > limits.frameBytes) throw new Fault("protocol", `a frame of ${length} bytes is too long`, "never");
      const end = at + lengthBytes + length;
      if (end > buffer.length) {
        this.#wanted = end - at;
        break;
      }
      values.push(decodeBody(buffer.subarray(at + lengthBytes, end)));
      at = end;
    }
    const rest = buffer.subarray(at);
    this.#pending = rest.length === 0 ? [] : [rest];
    this.#pendingBytes = rest.length;
    return values;
  }
}

function decodeBody(body: Buffer): unknown {
  try {
    return decode(Uint8Array.prototype.slice.call(body));
  } catch (error) {
    throw new Fault("protocol", "a frame is not MessagePack", "never", error);
  }
}

/** Cuts reports into frames' worth. */
export function batchReports(reports: readonly Report[]): Report[][] {
  const batches: Report[][] = [];
  let room = 0;
  for (const report of reports) {
    const size = reportBytes(report);
    if (size > room) {
      batches.push([]);
      room = limits.reportBytes;
    }
    batches.at(-1)!.push(report);
    room -= size;
  }
  return batches;
}

/** About what a report takes in an entry, from above: its tail and its fixed fields. */
export function reportBytes(report: Report): number {
  const facts = report.facts === undefined ? 0 : 2 * JSON.stringify(report.facts).length;
  return 320 + report.tail.length + 2 * (report.reason?.length ?? 0) + facts;
}
