import { open } from "node:fs/promises";
import { ApiError } from "../client/errors.ts";
import { abreast } from "../lib/abreast.ts";
import { type BundleFile, writtenEntries } from "../lib/bundle-manifest.ts";
import { uploadHead, uploadHeadBytes, type UploadPiece } from "../lib/bundle-upload.ts";
import { limits } from "../lib/limits.ts";
import { formatSize } from "../lib/units.ts";
import type { KeptBundleView } from "../state/answers.ts";
import type { LocalTree } from "../checkout/scan.ts";
import { ByteProgress } from "./byte-progress.ts";
import type { Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";

/** What a push came to. */
interface Pushed extends KeptBundleView {
  readonly files: number;
  readonly bytes: number;
  /** What had to be sent. */
  readonly sent_files: number;
  readonly sent_bytes: number;
}

/** Of one request: some small files, or a piece of a large one. */
const requestBytes = 4 * 1024 * 1024;
const requestsAtOnce = 3;
/** A node that does not have what was sent, since it was sent to another one that is gone, is sent it again. */
const rounds = 5;
/** How often a large file is begun: what an earlier push left of it may be no good. */
const beginnings = 3;

/** Sends what the mesh lacks of the tree, and has the name stand for it. */
export async function pushTree(
  session: Session,
  name: string,
  { manifest, places }: LocalTree,
  { copies, source }: { readonly copies?: number | undefined; readonly source?: string | undefined },
): Promise<Pushed> {
  const entries = writtenEntries(manifest.entries);
  const files = new Map(
    manifest.entries.flatMap((entry) => (entry.kind === "file" ? [[entry.sha256, entry] as const] : [])),
  );
  const progress = new ByteProgress(session.io.stderr, `bundle ${name}`, session.output.errorColours);
  const sent = { files: 0, bytes: 0 };
  return await session.interruptible(async (signal) => {
    for (let round = 1; ; round++) {
      const missing = (await session.client.missingFiles(entries, signal)).flatMap((sha256) => files.get(sha256) ?? []);
      const total = sent.bytes + missing.reduce((sum, { size }) => sum + size, 0);
      try {
        await abreast(requestsOf(missing), requestsAtOnce, async (some) => {
          await send(session, some, places, signal, (bytes) => {
            sent.bytes += bytes;
            progress.show(sent.bytes, total);
          });
          sent.files += some.length;
        });
      } finally {
        progress.hide();
      }
      try {
        const kept = await session.client.keepBundle({ name, entries, copies, source }, signal);
        return {
          ...kept,
          files: manifest.files,
          bytes: manifest.bytes,
          sent_files: sent.files,
          sent_bytes: sent.bytes,
        };
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== "conflict" || round === rounds) throw error;
      }
    }
  });
}

/** Throws CliError. */
export function copiesFlag(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= limits.bundleCopiesMost) return value;
  throw new CliError(exit.usage, `--copies "${text}" is not a whole number from 1 to ${limits.bundleCopiesMost}`);
}

/** What was pushed, and how much of it had to be sent. */
export function tellPushed({ output }: Session, pushed: Pushed): void {
  const {
    name,
    version,
    digest,
    nodes,
    is_new: isNew,
    files,
    bytes,
    sent_files: sentFiles,
    sent_bytes: sentBytes,
  } = pushed;
  output.result({
    value: pushed,
    ids: [`${name}@sha256:${digest}`],
    table: (out) => {
      out.line(`${name}@${version} sha256:${digest}${isNew ? "" : " (as before)"}`);
      out.line(
        `${files} files, ${formatSize(bytes)}; sent ${sentFiles} files, ${formatSize(sentBytes)}; on node${nodes.length === 1 ? "" : "s"} ${nodes.join(", ")}`,
      );
    },
  });
}

function* requestsOf(files: readonly BundleFile[]): Generator<readonly BundleFile[], void, undefined> {
  let some: BundleFile[] = [];
  let bytes = 0;
  for (const file of files) {
    if (file.size > limits.blobPieceBytes) {
      yield [file];
      continue;
    }
    if (some.length > 0 && bytes + file.size + uploadHeadBytes > requestBytes) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(file);
    bytes += file.size + uploadHeadBytes;
  }
  if (some.length > 0) yield some;
}

async function send(
  session: Session,
  files: readonly BundleFile[],
  places: ReadonlyMap<string, string>,
  signal: AbortSignal,
  onSent: (bytes: number) => void,
): Promise<void> {
  const [large] = files;
  if (large !== undefined && large.size > limits.blobPieceBytes)
    return await sendLarge(session, large, places, signal, onSent);
  const pieces: UploadPiece[] = [];
  for (const { sha256, size } of files)
    pieces.push({ sha256, size, offset: 0, bytes: await readPiece(places.get(sha256)!, 0, size) });
  await post(session, pieces, signal);
  onSent(pieces.reduce((sum, { bytes }) => sum + bytes.length, 0));
}

/** From where an earlier push came to. */
async function sendLarge(
  session: Session,
  { sha256, size }: BundleFile,
  places: ReadonlyMap<string, string>,
  signal: AbortSignal,
  onSent: (bytes: number) => void,
): Promise<void> {
  let begun = 0;
  for (let at = 0; at < size;) {
    if (at === 0 && ++begun > beginnings)
      throw new CliError(exit.host, `${places.get(sha256)!} was changed while it was read: push it again`);
    const bytes = await readPiece(places.get(sha256)!, at, Math.min(requestBytes, size - at));
    const parts = await post(session, [{ sha256, size, offset: at, bytes }], signal);
    const next = parts[sha256] ?? size;
    // What is there already, or was lost with another node, moves it as well.
    onSent(next - at);
    at = next;
  }
}

async function post(
  session: Session,
  pieces: readonly UploadPiece[],
  signal: AbortSignal,
): Promise<Readonly<Record<string, number>>> {
  const body = new Uint8Array(pieces.reduce((sum, { bytes }) => sum + uploadHeadBytes + bytes.length, 0));
  let at = 0;
  for (const piece of pieces) {
    body.set(uploadHead(piece), at);
    body.set(piece.bytes, at + uploadHeadBytes);
    at += uploadHeadBytes + piece.bytes.length;
  }
  return (await session.client.sendFiles(body, signal)).parts;
}

async function readPiece(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const bytes = new Uint8Array(length);
    for (let end = 0; end < length;) {
      const { bytesRead } = await file.read(bytes, end, length - end, offset + end);
      if (bytesRead === 0) throw new CliError(exit.host, `${path} became shorter while it was read: push it again`);
      end += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}
