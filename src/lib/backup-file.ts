/**
 * A backup is one file: a line that says what it is, a manifest in JSON, and a copy of the state.
 *
 *   skein-backup 1 <bytes of the manifest> <SHA-256 of the manifest>\n
 *   <manifest>\n
 *   <state, as many bytes as the manifest says, with the SHA-256 that it says>
 *
 * So every byte of it is covered, a file that was cut is told from a whole one, and its head alone says what it is of.
 */
export interface BackupManifest {
  readonly format: 1;
  readonly cluster: string;
  readonly epoch: string;
  /** The state has applied everything up to this entry, which is of that term. */
  readonly index: number;
  readonly term: number;
  readonly level: number;
  /** Rolling hash of the state there. */
  readonly hash: string;
  readonly configuration: {
    readonly voters: readonly number[];
    readonly outgoing: readonly number[];
    readonly learners: readonly number[];
  };
  /** RFC 3339, by the clock of the node that made it. */
  readonly made_at: string;
  readonly made_by: { readonly node: number; readonly name: string; readonly version: string };
  /** Of the state. */
  readonly bytes: number;
  readonly sha256: string;
}

/** SHA-256 in hexadecimal digits. */
export type Digest = (bytes: Uint8Array) => string;

const magic = "skein-backup";
const formatVersion = 1;
const lineBytesMax = 128;
/** More is no manifest of ours. */
const manifestBytesMax = 64 * 1024;
/** Whoever has read so much of a file can parse its head, or there is none. */
export const backupHeadBytesMax = lineBytesMax + manifestBytesMax;

/** What stands before the state. */
export function encodeBackupHead(manifest: BackupManifest, digest: Digest): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(manifest));
  const line = `${magic} ${formatVersion} ${body.length} ${digest(body)}\n`;
  const head = new Uint8Array(line.length + body.length + 1);
  head.set(new TextEncoder().encode(line));
  head.set(body, line.length);
  head[head.length - 1] = 0x0a;
  return head;
}

/** A head, and where the state begins; or what is wrong with the file, in words that follow its name. */
export type ParsedHead =
  | { readonly manifest: BackupManifest; readonly stateFrom: number }
  | { readonly problem: string };

/** Reads the head from the beginning of a file: all of it, or at least {@link backupHeadBytesMax} bytes. */
export function parseBackupHead(start: Uint8Array, digest: Digest): ParsedHead {
  const end = start.subarray(0, lineBytesMax).indexOf(0x0a);
  const line = new TextDecoder().decode(start.subarray(0, end < 0 ? 0 : end));
  const match = /^skein-backup (\d{1,9}) (\d{1,9}) ([0-9a-f]{64})$/.exec(line);
  if (match === null) {
    const isOurs = new TextDecoder().decode(start.subarray(0, magic.length)) === magic;
    return { problem: isOurs ? "is damaged or cut short: its first line is not whole" : "is no backup of skein" };
  }
  const [version, bytes] = [Number(match[1]), Number(match[2])];
  if (version !== formatVersion)
    return {
      problem: `is a backup of format ${version}, and this version of skein reads ${formatVersion}: use a newer one`,
    };
  const body = start.subarray(end + 1, end + 1 + bytes);
  if (bytes > manifestBytesMax) return { problem: "is damaged: its manifest cannot be so long" };
  if (start.length < end + 1 + bytes + 1) return { problem: "is cut short: its manifest is not whole" };
  if (digest(body) !== match[3] || start[end + 1 + bytes] !== 0x0a)
    return { problem: "is damaged: its manifest is not what was written" };
  const manifest = manifestOf(new TextDecoder().decode(body));
  if (manifest === undefined) return { problem: "is of another version of skein: its manifest lacks what is needed" };
  return { manifest, stateFrom: end + 1 + bytes + 1 };
}

function manifestOf(text: string): BackupManifest | undefined {
  try {
    const value = JSON.parse(text) as { readonly [Field in keyof BackupManifest]?: unknown };
    const { cluster, epoch, index, term, level, hash, bytes, sha256, made_at: madeAt } = value;
    const numbers = [index, term, level, bytes].every((one) => Number.isSafeInteger(one) && (one as number) > 0);
    const texts = [cluster, epoch, hash, sha256, madeAt].every((one) => typeof one === "string");
    return numbers && texts ? (value as BackupManifest) : undefined;
  } catch {
    return undefined;
  }
}
