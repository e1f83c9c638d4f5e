import type { Blob } from "../executor/blob-store.ts";
import type { AttemptName, UnitPart } from "../executor/types.ts";
import { toConfiguration } from "../lib/configuration.ts";
import { sha256Form } from "../lib/digest.ts";
import { Fault } from "../lib/fault.ts";
import { index, isId, jobId, nobody, type NodeId, nodeId, term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { SourceLook } from "../state/sourcing.ts";
import { proofLength } from "./bundle-webhook.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { binary, list, malformed, text, whole } from "../transport/frames.ts";
import { commandByName } from "../state/commands/index.ts";
import { specsOf } from "../state/rehearsal.ts";
import { parseAddresses } from "./address-book.ts";
import { packName } from "../executor/pack-record.ts";
import type { LogRequest, PushTold } from "./api.ts";
import type { PlanRequest } from "./questions.ts";
import type { Finding, HashReport } from "./divergence.ts";
import type { CopyRequest } from "./logs.ts";
import type { PackAppend } from "./pack-holder.ts";
import { parsePull, parseReport } from "./relay-frames.ts";
import { parseRequest } from "./requests.ts";
import type { SnapshotOffer } from "./snapshot-send.ts";

/**
 * What members ask each other, and the shape of each question: here, at the border, and nowhere else. A member may be of another release, have a
 * bug, or mean ill: whatever it sends, it gets an answer, and this node goes on. Fields that are not known here are left alone, since a later
 * release may send them. (Raft's own messages, the other thing that peers send, are checked in transport/frames.ts and raft/message.ts.)
 */
const shapes = {
  propose: (body: unknown): Uint8Array => within(binary(body), limits.entryBytes),
  removed: nothing,
  leader: nothing,
  silent: nothing,
  addresses: (body: unknown) => parseAddresses(body) ?? wrong("addresses"),
  /** {@link nobody}: whoever is the closest. */
  transfer: (body: unknown): NodeId => (body === nobody ? nobody : node(body)),
  "read-index": nothing,
  /** What the asker's clock shows. */
  lease: (body: unknown): number => (Number.isFinite(body) ? (body as number) : wrong("time")),
  /** Of the asked one's lease: what it names as well (coverage.ts). */
  "lease.cover": whole,
  /** Of the asked one's units: so many tasks that have not begun are wanted elsewhere. */
  "unit.relieve": (body: unknown): UnitPart[] => {
    if (!Array.isArray(body) || body.length > limits.assignmentsPerEntry) return wrong("units");
    return body.map((part) => {
      const { job, first, most } = fields(part);
      return isId(job) ? { job: jobId(job), first: whole(first), most: whole(most) } : wrong("job");
    });
  },
  "relay.pull": parsePull,
  "relay.report": parseReport,
  "hash.report": (body: unknown): HashReport => {
    const { index: at, hash: value } = fields(body);
    return { index: whole(at), hash: hash(value) };
  },
  "hash.at": whole,
  "hash.odd": finding,
  "snapshot.want": (body: unknown): Finding & { readonly from: number } => ({
    ...finding(body),
    from: whole(fields(body)["from"]),
  }),
  "snapshot.offer": snapshotOffer,
  "snapshot.chunk": (body: unknown): { readonly id: string; readonly number: number } => {
    const { id, number } = fields(body);
    return { id: name(id), number: whole(number) };
  },
  "snapshot.done": (body: unknown): { readonly id: string; readonly ok: boolean } => {
    const { id, ok } = fields(body);
    return { id: name(id), ok: ok === true };
  },
  "log.read": logRequest,
  "job.explain": (body: unknown): number => (isId(body) ? body : wrong("job")),
  "job.plan": planRequest,
  "pack.append": (body: unknown): PackAppend => {
    const { pack, from, bytes, sync } = fields(body);
    if (!packName.test(text(pack))) return wrong("name of a pack");
    const piece = within(binary(bytes), limits.packCopyChunkBytes);
    return { pack: text(pack), from: whole(from), bytes: piece, sync: sync === true };
  },
  "pack.read": (body: unknown): CopyRequest => ({ ...logRequest(body), source: node(fields(body)["source"]) }),
  "bundle.manifest": digest,
  "bundle.have": (body: unknown): readonly Blob[] => blobs(body, limits.blobsAskedFor),
  "bundle.files": (body: unknown): readonly Blob[] => {
    const asked = blobs(body, limits.blobsPerRequest);
    const bytes = asked.reduce((sum, { size }) => sum + size, 0);
    return bytes <= limits.blobPieceBytes ? asked : wrong("size of files together");
  },
  "bundle.piece": (body: unknown): { readonly sha256: string; readonly offset: number } => {
    const [sha256, offset] = list(body, "piece");
    return { sha256: digest(sha256), offset: whole(offset) };
  },
  "bundle.suspect": digest,
  "bundle.take": digest,
  "bundle.look": (body: unknown): SourceLook => {
    const { name: of, revision, asked, base } = fields(body);
    const known = base === null ? null : commitForm.test(text(base)) ? text(base) : wrong("commit");
    return { name: bounded(of, limits.secretNameLength), revision: whole(revision), asked: whole(asked), base: known };
  },
  "bundle.told": (body: unknown): PushTold => {
    const { name: of, service, proof, message } = fields(body);
    if (service !== "github" && service !== "gitlab") return wrong("service");
    const told = within(binary(message), limits.webhookBytes);
    return { name: bounded(of, limits.secretNameLength), service, proof: bounded(proof, proofLength), message: told };
  },
  "authority.keys": nothing,
  "authority.held": nothing,
  "secret.seal": (body: unknown): { readonly name: string; readonly value: string } => {
    const { name: of, value } = fields(body);
    const given = text(value);
    if (Buffer.byteLength(given) > limits.secretBytes) return wrong("length of a value");
    return { name: bounded(of, limits.secretNameLength), value: given };
  },
  "secret.values": (body: unknown): AttemptName => {
    const { job, task, attempt } = fields(body);
    return isId(job) && isId(attempt) ? { job: jobId(job), task: whole(task), attempt } : wrong("attempt");
  },
  "certificate.issue": (body: unknown) => parseRequest(body) ?? wrong("request for a certificate"),
  // In somebody else's name: read, judged and refused for that one, by what the question itself proves.
  "authority.rotate": passedOn,
  "certificate.reissue": passedOn,
  "token.recover": passedOn,
  join: passedOn,
} as const satisfies Readonly<Record<string, (body: unknown) => unknown>>;

type Method = keyof typeof shapes;

/** A question of another member, in the shape that it must have. */
export type PeerRequest = {
  readonly [Name in Method]: { readonly method: Name; readonly body: ReturnType<(typeof shapes)[Name]> };
}[Method];

/** The names of all questions. */
export const peerMethods = Object.keys(shapes) as readonly Method[];

/** Throws Fault "protocol" with what is wrong, for the one who asked. */
export function parsePeerRequest(method: string, body: unknown): PeerRequest {
  if (!Object.hasOwn(shapes, method))
    throw new Fault("protocol", `this version does not know the request "${method}"`, "never");
  try {
    return { method, body: shapes[method as Method](body) } as PeerRequest;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const message = `the request "${method}" has a wrong shape (${error.message}): nothing was done`;
    throw new Fault("protocol", message, "never", error);
  }
}

/** Tells of each peer's malformed requests once per method, however many there are. */
export class PeerRequests {
  readonly #told = new Set<string>();
  readonly #log: (message: string) => void;

  constructor(log: (message: string) => void) {
    this.#log = log;
  }

  /** As {@link parsePeerRequest}. */
  parse(peer: NodeId, method: string, body: unknown): PeerRequest {
    try {
      return parsePeerRequest(method, body);
    } catch (error) {
      const what = `${peer} ${Object.hasOwn(shapes, method) ? method : ""}`;
      if (error instanceof Fault && !this.#told.has(what)) {
        this.#told.add(what);
        this.#log(`node ${peer} asked what makes no sense: ${error.message.slice(0, saidLength)}`);
      }
      throw error;
    }
  }
}

/** Of words that hold what a peer sent. */
const saidLength = 300;

/** Names that this node gives out itself, like those of snapshots. */
const nameLength = 100;

function nothing(_body: unknown): undefined {
  return undefined;
}

function wrong(what: string): never {
  throw malformed(what);
}

function node(value: unknown): NodeId {
  return isId(value) ? nodeId(value) : wrong("node");
}

function within(bytes: Uint8Array, maxBytes: number): Uint8Array {
  return bytes.length <= maxBytes ? bytes : wrong(`number of bytes: ${bytes.length}, at most ${maxBytes}`);
}

function fields(body: unknown): Readonly<Record<string, unknown>> {
  const isRecord = typeof body === "object" && body !== null && !Array.isArray(body) && !(body instanceof Uint8Array);
  return isRecord ? (body as Readonly<Record<string, unknown>>) : wrong("body");
}

function name(value: unknown): string {
  return bounded(value, nameLength);
}

function bounded(value: unknown, length: number): string {
  const given = text(value);
  return given !== "" && given.length <= length ? given : wrong("name");
}

/** A rolling hash (lib/hash.ts); "": of no entry, or not known. */
function hash(value: unknown): string {
  const given = text(value);
  return /^([0-9a-f]{16})?$/.test(given) ? given : wrong("hash");
}

const commitForm = /^[0-9a-f]{40}([0-9a-f]{24})?$/;

/** A SHA-256: part of a file's path, so nothing else comes through. */
function digest(value: unknown): string {
  const given = text(value);
  return sha256Form.test(given) ? given : wrong("digest");
}

function blobs(body: unknown, most: number): readonly Blob[] {
  const asked = list(body, "files");
  if (asked.length > most) return wrong("number of files");
  return asked.map((one) => {
    const [sha256, size] = list(one, "file");
    return { sha256: digest(sha256), size: whole(size) };
  });
}

function finding(body: unknown): Finding {
  const { index: at, quorum } = fields(body);
  return { index: whole(at), quorum: hash(quorum) };
}

function snapshotOffer(body: unknown): SnapshotOffer {
  const { id, cluster, snapshot, bytes, chunkBytes, sha256, hash: state } = fields(body);
  // Two chunks at least fit a frame, and no file is asked for in crumbs.
  const size = whole(chunkBytes);
  if (size < 1024 || size > limits.frameBytes / 2) return wrong("size of chunks");
  return {
    id: name(id),
    cluster: name(cluster),
    snapshot: snapshotMeta(snapshot),
    bytes: isId(bytes) ? bytes : wrong("size"),
    chunkBytes: size,
    sha256: digest(sha256),
    hash: state === undefined || state === null ? undefined : hash(state),
  };
}

function snapshotMeta(body: unknown): SnapshotMeta {
  const { index: at, term: inTerm, configuration } = fields(body);
  return {
    index: index(whole(at)),
    term: term(whole(inTerm)),
    configuration: toConfiguration(configuration) ?? wrong("configuration"),
  };
}

/** Of an attempt's log: the three numbers are part of a file's path, so nothing but whole numbers may come through. */
function logRequest(body: unknown): LogRequest & { readonly attempt: number } {
  const { job, task, attempt, stream, offset, maxBytes, waitMs } = fields(body);
  if (!isId(job) || !isId(attempt)) return wrong("attempt");
  if (stream !== undefined && stream !== null && stream !== "stdout" && stream !== "stderr") return wrong("stream");
  if (!Number.isSafeInteger(offset)) return wrong("offset");
  const wait = Number.isFinite(waitMs) && (waitMs as number) >= 0 ? (waitMs as number) : wrong("time to wait");
  return {
    job,
    task: whole(task),
    attempt,
    stream: stream ?? undefined,
    offset: offset as number,
    maxBytes: whole(maxBytes),
    waitMs: Math.min(wait, limits.waitMs),
  };
}

/** Specs in the shape of the log, and in whose name. */
function planRequest(body: unknown): PlanRequest {
  const { jobs, lists, by } = fields(body);
  const { token, name: called, role } = fields(by);
  if (role !== "viewer" && role !== "operator" && role !== "admin") return wrong("role");
  const payload = commandByName("job.submit").payload.safeParse({
    jobs,
    ...(lists === undefined ? {} : { lists }),
    key: null,
    digest: "",
  });
  if (!payload.success) return wrong("specs");
  return { ...specsOf(payload.data), by: { token: text(token), name: text(called), role } };
}

function passedOn(body: unknown): Readonly<Record<string, unknown>> {
  const record = fields(body);
  for (const value of Object.values(record)) {
    if (typeof value === "string" && value.length > limits.joinBodyBytes) return wrong("length of a text");
  }
  return record;
}
