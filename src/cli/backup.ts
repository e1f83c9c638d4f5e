import { createHash } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { backupHeadBytesMax, type BackupManifest, parseBackupHead } from "../lib/backup-file.ts";
import { syncDirectory } from "../lib/files.ts";
import { formatSize } from "../lib/units.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { ByteProgress } from "./byte-progress.ts";

interface BackupFlags {
  readonly overwrite?: boolean;
  readonly stale?: boolean;
}

/** `skein backup FILE` */
export function addBackup(program: Command, cli: Cli): void {
  const command = program
    .command("backup")
    .description("write a consistent copy of the whole state into one file, from any node, while the mesh runs")
    .argument("<file>", "where to; it is there whole or not at all")
    .option("--overwrite", "replace a file of that name")
    .option("--stale", "take what one node has, although it may lack the newest or have no leader");
  cli.verb<BackupFlags, [string]>(command, async (session, { overwrite, stale }, file) => {
    if (overwrite !== true && existsSync(file))
      throw new CliError(exit.refused, `${file} is there already: choose another name, or add --overwrite`);
    const manifest = await session.interruptible((signal) => fetchBackup(session, file, stale, signal));
    const { cluster, epoch, index, term, level, made_at, bytes, sha256 } = manifest;
    session.output.result({
      value: { file, cluster, epoch, index, term, level, made_at, bytes, sha256 },
      ids: [file],
      table: (out) => {
        out.line(`${file}: cluster ${cluster} at entry ${index}, ${formatSize(bytes)}`);
        session.output.note("keep it as you keep a data directory: it holds all jobs with their env and stdin", "dim");
      },
    });
    return exit.done;
  });
}

/** Into a file beside it, which gets the name when it is whole and on disk. */
async function fetchBackup(
  session: Session,
  file: string,
  stale: boolean | undefined,
  signal: AbortSignal,
): Promise<BackupManifest> {
  const partial = `${file}.${process.pid}.part`;
  const progress = new ByteProgress(session.io.stderr, "backup", session.output.errorColours);
  let handle: number | undefined;
  try {
    handle = open(partial);
    const stream = await session.client.backup({ stale, signal });
    const manifest = await receive(stream, handle, signal, (done, total) => progress.show(done, total));
    fsyncSync(handle);
    closeSync(handle);
    handle = undefined;
    renameSync(partial, file);
    syncDirectory(dirname(file));
    return manifest;
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (error instanceof CliError || typeof code !== "string" || !/^E[A-Z]+$/.test(code)) throw error;
    throw new CliError(exit.host, `${file} cannot be written: ${(error as Error).message}`);
  } finally {
    progress.hide();
    if (handle !== undefined) closeSync(handle);
    rmSync(partial, { force: true });
  }
}

function open(path: string): number {
  return openSync(path, "wx", 0o600);
}

/** Writes what comes, and believes it only when it is what its own head says. */
async function receive(
  stream: ReadableStream<Uint8Array>,
  handle: number,
  signal: AbortSignal,
  progress: (done: number, total: number) => void,
): Promise<BackupManifest> {
  const reader = stream.getReader();
  const hasher = createHash("sha256");
  let start = new Uint8Array(0);
  let manifest: BackupManifest | undefined;
  let state = 0;
  const take = (bytes: Uint8Array): void => {
    hasher.update(bytes);
    state += bytes.length;
  };
  const begin = (isEnd: boolean): void => {
    const head = parseBackupHead(start, digest);
    if (!("problem" in head)) {
      manifest = head.manifest;
      take(start.subarray(head.stateFrom));
    } else if (isEnd || start.length >= backupHeadBytesMax) throw broken(`what came ${head.problem}`);
  };
  const onAbort = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        signal.throwIfAborted();
        throw broken(`the connection broke: ${(error as Error).message}`);
      });
      signal.throwIfAborted();
      if (done) break;
      for (let at = 0; at < value.length;) at += writeSync(handle, value, at, value.length - at);
      if (manifest !== undefined) take(value);
      else {
        start = Buffer.concat([start, value]);
        begin(false);
      }
      if (manifest !== undefined) progress(state, manifest.bytes);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  if (manifest === undefined) begin(true);
  if (manifest === undefined || state !== manifest.bytes)
    throw broken(`${state} of ${manifest?.bytes ?? "?"} bytes came`);
  if (hasher.digest("hex") !== manifest.sha256) throw broken("what came is not what was sent");
  return manifest;
}

function broken(why: string): CliError {
  return new CliError(exit.unreachable, `the backup did not arrive whole, and was not kept (${why}): repeat it`);
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
