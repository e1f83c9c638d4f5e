import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import type { BundleEntry, BundleFile } from "../lib/bundle-manifest.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import { formatSize } from "../lib/units.ts";
import { checked, type LocalTree } from "../checkout/scan.ts";
import { CliError, exit } from "./exit.ts";

/**
 * Reads a tar, compressed by gzip or not, and gives `use` its tree; the files lie in a temporary directory under numbers meanwhile, so nothing that the tar says is ever a path
 * here. Throws CliError with every problem.
 */
export async function withTar<Value>(
  source: AsyncIterable<Uint8Array>,
  use: (tree: LocalTree) => Promise<Value>,
): Promise<Value> {
  const directory = await mkdtemp(join(tmpdir(), "skein-tar-"));
  try {
    return await use(await unpack(source, directory));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function unpack(source: AsyncIterable<Uint8Array>, directory: string): Promise<LocalTree> {
  const entries = new Map<string, BundleEntry>();
  const problems: Problem[] = [];
  const places = new Map<string, string>();
  let bytes = 0;
  const tar = extract();
  const feeding = feed(source, tar);
  feeding.catch((error: unknown) => tar.destroy(error as Error));
  try {
    for await (const entry of tar) {
      const { name, type, linkname, mode, size } = entry.header;
      const path = name.replace(/^(\.\/)+/, "").replace(/\/+$/, "");
      const isRoot = path === "" || path === ".";
      if (type === "file" || type === "contiguous-file") {
        bytes += size;
        if (bytes > limits.bundleBytes)
          throw new CliError(
            exit.usage,
            `the tar holds more than ${formatSize(limits.bundleBytes)}: a bundle holds no more`,
          );
        const file = join(directory, String(places.size));
        const sha256 = await store(entry as AsyncIterable<Uint8Array>, file);
        if (!places.has(sha256)) places.set(sha256, file);
        entries.set(path, { kind: "file", path, mode: mode & 0o7777, size, sha256 });
        continue;
      }
      entry.resume();
      if (type === "directory") {
        if (!isRoot) entries.set(path, { kind: "directory", path, mode: mode & 0o777 });
      } else if (type === "symlink") entries.set(path, { kind: "link", path, target: linkname ?? "" });
      else if (type === "link") {
        const of = entries.get((linkname ?? "").replace(/^(\.\/)+/, ""));
        if (of?.kind === "file") entries.set(path, { ...(of satisfies BundleFile), path });
        else
          problems.push({ path, message: `is a hard link to ${linkname ?? "nothing"}, which does not come before it` });
      } else
        problems.push({
          path,
          message: `is ${type === "fifo" ? "a pipe" : "a device"}: a bundle has files, directories and links`,
        });
      if (entries.size > limits.bundleEntries)
        throw new CliError(exit.usage, `the tar holds more than ${limits.bundleEntries} files: a bundle holds no more`);
    }
    await feeding;
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC") throw new CliError(exit.host, `there is no room for the tar in ${directory}: ${message}`);
    throw new CliError(exit.usage, `standard input is no tar, or it ends too early: ${message}`);
  }
  if (entries.size === 0 && problems.length === 0) throw new CliError(exit.usage, "the tar on standard input is empty");
  return { manifest: checked([...entries.values()], problems, "the tar"), places };
}

/** What begins as a gzip is one. */
async function feed(source: AsyncIterable<Uint8Array>, tar: NodeJS.WritableStream): Promise<void> {
  const plain = new PassThrough();
  const bytes = Readable.from(source);
  const head = await new Promise<Buffer | null>((resolve, reject) => {
    bytes.once("error", reject);
    bytes.once("end", () => resolve(null));
    bytes.once("readable", () => resolve(bytes.read() as Buffer | null));
  });
  if (head === null) {
    tar.end();
    return;
  }
  bytes.unshift(head);
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  await (isGzip ? pipeline(bytes, createGunzip(), plain, tar) : pipeline(bytes, plain, tar));
}

async function store(source: AsyncIterable<Uint8Array>, path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  await pipeline(
    (async function* () {
      for await (const piece of source) {
        hasher.update(piece);
        yield piece;
      }
    })(),
    createWriteStream(path, { mode: 0o600 }),
  );
  return hasher.digest("hex");
}
