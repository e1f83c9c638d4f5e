import { sha256Form, sha256Of } from "./digest.ts";
import { limits } from "./limits.ts";
import type { Problem } from "./outcome.ts";
import { atOnce } from "./turns.ts";
import { formatSize } from "./units.ts";

/**
 * A bundle is a tree of directories, files and symbolic links, and this is what says so: for each of them its path, permissions and content, files by the SHA-256 of what is in
 * them. The manifest has one form as text (entries by path), so the digest of that text stands for the whole tree: whoever has the digest can check every byte.
 *
 * Nothing in it leads out of the tree, whoever wrote it: paths are relative and have no "..", nothing lies below a file or a link, and links end inside, also by way of other
 * links. So it can be laid out anywhere, in any order, links last.
 */
export type BundleEntry = BundleFile | BundleDirectory | BundleLink;

export interface BundleFile {
  readonly kind: "file";
  /** Relative, with "/" between its parts. */
  readonly path: string;
  /** The nine bits of permission. */
  readonly mode: number;
  readonly size: number;
  readonly sha256: string;
}

/** One that is to be there although it is empty, or has permissions of its own; others follow from the paths. */
export interface BundleDirectory {
  readonly kind: "directory";
  readonly path: string;
  readonly mode: number;
}

export interface BundleLink {
  readonly kind: "link";
  readonly path: string;
  /** Relative to where the link is. */
  readonly target: string;
}

export interface Manifest {
  /** By path. */
  readonly entries: readonly BundleEntry[];
  readonly files: number;
  /** Of all files, each as often as it is there. */
  readonly bytes: number;
  /** What the digest is of. */
  readonly text: string;
  /** The SHA-256 of the text: the bundle's own. */
  readonly digest: string;
}

export type ReadManifest =
  | { readonly ok: true; readonly manifest: Manifest }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** An entry as it is written: [path, permissions in octal, size, SHA-256] of a file, [path, permissions] of a directory, [path, 0, target] of a link. */
type Written = readonly [string, string, number, string] | readonly [string, string] | readonly [string, 0, string];

/** Entries as the text of a manifest and requests have them. */
export function writtenEntries(entries: readonly BundleEntry[]): readonly Written[] {
  return entries.map((entry): Written => {
    if (entry.kind === "link") return [entry.path, 0, entry.target];
    const mode = entry.mode.toString(8);
    return entry.kind === "file" ? [entry.path, mode, entry.size, entry.sha256] : [entry.path, mode];
  });
}

/** Reads entries as somebody wrote them, whoever that was: every problem of all of them, or the manifest. Rests now and then. */
export function* readEntries(written: unknown): Generator<undefined, ReadManifest, undefined> {
  if (!Array.isArray(written)) return failed([{ path: "entries", message: "must be a list" }]);
  if (written.length > limits.bundleEntries) {
    const message = `has ${written.length} files, directories and links: at most ${limits.bundleEntries}`;
    return failed([{ path: "entries", message }]);
  }
  const problems: Problem[] = [];
  const entries: BundleEntry[] = [];
  for (const [at, one] of written.entries()) {
    if (at % entriesAtOnce === entriesAtOnce - 1) yield;
    const read = readEntry(one);
    if ("kind" in read) entries.push(read);
    else problems.push(read.path === "" ? { ...read, path: `entries[${at}]` } : read);
    if (problems.length >= limits.problemsPerRequest) return failed(problems);
  }
  entries.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  yield;
  yield* checkTogether(entries, problems);
  if (problems.length > 0) return failed(problems);
  yield;
  const text = JSON.stringify({ skein: 1, entries: writtenEntries(entries) });
  const files = entries.filter((entry) => entry.kind === "file");
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return { ok: true, manifest: { entries, files: files.length, bytes, text, digest: sha256Of(text) } };
}

/** The same in one go. */
export function manifestOf(entries: readonly BundleEntry[]): ReadManifest {
  return atOnce(readEntries(writtenEntries(entries)));
}

/** A manifest's text as it lay on a disk or came from a member; undefined: it is not the one of that digest. */
export function parseManifest(text: string, digest: string): Manifest | undefined {
  if (sha256Of(text) !== digest) return undefined;
  try {
    const { skein, entries } = JSON.parse(text) as { readonly skein?: unknown; readonly entries?: unknown };
    const read = skein === 1 ? atOnce(readEntries(entries)) : undefined;
    return read?.ok === true && read.manifest.digest === digest ? read.manifest : undefined;
  } catch {
    return undefined;
  }
}

const entriesAtOnce = 500;

function failed(problems: readonly Problem[]): ReadManifest {
  return { ok: false, problems };
}

function readEntry(written: unknown): BundleEntry | Problem {
  const [path, mode, third, sha256] = Array.isArray(written) ? (written as unknown[]) : [];
  if (typeof path !== "string") return { path: "", message: "must be [path, permissions, size, SHA-256]" };
  const shown = path === "" ? '""' : path;
  const wrong = (message: string): Problem => ({ path: shown, message });
  const bad = pathProblem(path);
  if (bad !== undefined) return wrong(bad);
  if (mode === 0) {
    if (typeof third !== "string" || third === "") return wrong("is a link to nothing");
    return { kind: "link", path, target: third };
  }
  if (typeof mode !== "string" || !/^[0-7]{1,3}$/.test(mode))
    return wrong("has permissions beyond reading, writing and executing (setuid, setgid, sticky), or none at all");
  const bits = Number.parseInt(mode, 8);
  if (third === undefined) return { kind: "directory", path, mode: bits };
  if (typeof third !== "number" || !Number.isSafeInteger(third) || third < 0) return wrong("has a size that is none");
  if (third > limits.bundleFileBytes)
    return wrong(`is larger than ${formatSize(limits.bundleFileBytes)}: it has ${formatSize(third)}`);
  if (typeof sha256 !== "string" || !sha256Form.test(sha256)) return wrong("has a SHA-256 that is none");
  return { kind: "file", path, mode: bits, size: third, sha256 };
}

function pathProblem(path: string): string | undefined {
  if (path === "") return "is no path";
  if (path.startsWith("/")) return "is an absolute path: paths are relative to the bundle";
  if (path.includes("\0") || !path.isWellFormed()) return "has a name that is not text in UTF-8";
  if (utf8.encode(path).length > limits.bundlePathBytes) return `is longer than ${limits.bundlePathBytes} bytes`;
  for (const part of path.split("/")) {
    if (part === "..") return "leads out of the bundle (..)";
    if (part === "" || part === ".") return "has an empty part";
    if (part.length * 3 > namePartBytes && utf8.encode(part).length > namePartBytes)
      return `has a part of more than ${namePartBytes} bytes`;
  }
  return undefined;
}

const utf8 = new TextEncoder();
/** What file systems hold. */
const namePartBytes = 255;

/** What is wrong between entries, in the order of their paths. */
function* checkTogether(entries: readonly BundleEntry[], problems: Problem[]): Generator<undefined, void, undefined> {
  const byPath = new Map<string, BundleEntry>();
  const links = new Map<string, string>();
  let bytes = 0;
  for (const entry of entries) {
    if (byPath.has(entry.path)) problems.push({ path: entry.path, message: "is there twice" });
    byPath.set(entry.path, entry);
    if (entry.kind === "link") links.set(entry.path, entry.target);
    if (entry.kind === "file") bytes += entry.size;
  }
  for (const [at, { path }] of entries.entries()) {
    if (at % entriesAtOnce === entriesAtOnce - 1) yield;
    const above = aboveThat(path, (parent) => {
      const kind = byPath.get(parent)?.kind;
      return kind === "file" || kind === "link";
    });
    if (above !== undefined)
      problems.push({ path, message: `lies below ${above}, which is a ${byPath.get(above)!.kind}` });
    if (problems.length >= limits.problemsPerRequest) return;
  }
  for (const [path, target] of links) {
    const message = linkProblem(path, target, links);
    if (message !== undefined) problems.push({ path, message });
    if (problems.length >= limits.problemsPerRequest) return;
  }
  if (bytes > limits.bundleBytes) {
    const message = `files of ${formatSize(bytes)} together: at most ${formatSize(limits.bundleBytes)}`;
    problems.push({ path: "entries", message });
  }
}

/** The first directory above the path of which that is so. */
function aboveThat(path: string, is: (parent: string) => boolean): string | undefined {
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    const parent = path.slice(0, at);
    if (is(parent)) return parent;
  }
  return undefined;
}

/** As many links as a system follows on the way to a file. */
const linksFollowed = 40;

/** Follows the link as a system would, in the tree alone: where links lead to links, what the text says is not where it ends. */
function linkProblem(path: string, target: string, links: ReadonlyMap<string, string>): string | undefined {
  if (target.startsWith("/")) return `is a link to ${target}: an absolute path is not in the bundle`;
  if (target.includes("\0") || !target.isWellFormed() || utf8.encode(target).length > limits.bundlePathBytes)
    return "is a link to what is no path";
  const here = path.split("/").slice(0, -1);
  const todo = target.split("/").toReversed();
  let followed = 0;
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (here.pop() === undefined) return `is a link to ${target}, which leads out of the bundle`;
      continue;
    }
    here.push(part);
    const next = links.get(here.join("/"));
    if (next === undefined) continue;
    if (next.startsWith("/")) return undefined; // told of that one
    followed += 1;
    if (followed > linksFollowed) return `is a link to ${target}, which leads round in a circle`;
    here.pop();
    todo.push(...next.split("/").toReversed());
  }
  return undefined;
}
