import type { Subprocess } from "bun";
import { accessSync, chmodSync, chownSync, constants, lstatSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { attemptKey } from "../names.ts";
import type { Scratch, ScratchDirectory } from "./scratch.ts";
import type { Cgroup } from "./cgroup.ts";
import { confined } from "./confine.ts";
import type { Start } from "./frames.ts";
import type { Places } from "./places.ts";
import { wrongHere } from "./ssh-words.ts";
import { markerVariable } from "./sweep.ts";
import { findUser, type User } from "./user.ts";

export type Child = Subprocess<"ignore" | "pipe" | Uint8Array, "pipe", "pipe">;

/** Why an attempt could not be started, as its result tells it. 127 and 126 are what a shell says of the same. */
export interface NotSpawned {
  readonly exitCode: 126 | 127 | null;
  readonly reason: string;
}

export type Spawned =
  | { readonly ok: true; readonly child: Child; readonly scratch: ScratchDirectory | undefined }
  | { readonly ok: false; readonly why: NotSpawned; readonly scratch: ScratchDirectory | undefined };

/**
 * Starts the attempt's process as the head of a session of its own, so that one signal reaches everything it starts (J3).
 * The environment is a clean one: what the guard inherited may hold secrets of the person who typed `up`.
 */
export function spawn(
  start: Start,
  places: Places,
  inherited: Readonly<Record<string, string | undefined>>,
  scratches: Scratch,
  cgroup?: Cgroup,
): Spawned {
  const user = start.user === undefined ? undefined : findUser(start.user);
  const isOther = typeof user === "object" && user.isOther;
  let scratch: ScratchDirectory | undefined;
  const failed = (exitCode: NotSpawned["exitCode"], reason: string): Spawned => ({
    ok: false,
    why: { exitCode, reason },
    scratch,
  });
  if (typeof user === "string") return { ok: false, why: { exitCode: null, reason: user }, scratch: undefined };
  const environment: Record<string, string> = {
    ...cleanEnvironment(inherited),
    ...environmentOf(user),
    ...start.env,
    [markerVariable]: `${places.marker}:${attemptKey(start)}`,
  };
  try {
    if (start.dir === undefined)
      scratch = isOther
        ? makeScratchOf(user, places.userScratch, attemptKey(start))
        : scratches.take(attemptKey(start));
  } catch (error) {
    return failed(null, `cannot make the scratch directory: ${messageOf(error)}`);
  }
  const directory = start.dir ?? scratch!.path;
  try {
    for (const { name, text } of [...(start.ssh?.files ?? []), ...(start.ansible?.files ?? [])]) {
      mkdirSync(dirname(join(directory, name)), { recursive: true, mode: 0o700 });
      writeFileSync(join(directory, name), text, { mode: 0o600 });
    }
  } catch (error) {
    return failed(null, `cannot write into the scratch directory: ${messageOf(error)}`);
  }
  const needs = start.ssh?.needs;
  const wrong = wrongDirectory(directory) ?? (needs === undefined ? undefined : wrongHere(needs));
  if (wrong !== undefined) return failed(null, wrong);
  const argv = typeof start.run === "string" ? ["/bin/sh", "-c", start.run] : [...start.run];
  const command = findCommand(argv[0] ?? "", directory, environment["PATH"] ?? "");
  if (!command.ok) return failed(command.why.exitCode, command.why.reason);
  const isConfined = start.limits !== undefined || isOther;
  const words = [command.path, ...argv.slice(1)];
  const confinement = { cgroup, limits: start.limits, user };
  try {
    const child = Bun.spawn(isConfined ? [...confined(words, confinement)] : words, {
      ...(isConfined ? {} : { argv0: argv[0]! }),
      cwd: directory,
      env: environment,
      detached: true,
      stdio: [inputOf(start), "pipe", "pipe", ...(start.ansible === undefined ? [] : ["socket-fd" as const])],
    });
    if (start.ssh?.isHeld === true) hold(child, start.stdin ?? "");
    return { ok: true, child, scratch };
  } catch (error) {
    return failed(...whyNotSpawned(error, argv[0] ?? ""));
  }
}

function inputOf({ stdin, ssh }: Start): "ignore" | "pipe" | Uint8Array {
  if (ssh?.isHeld === true) return "pipe";
  return stdin === undefined || stdin === "" ? "ignore" : Buffer.from(stdin);
}

/** What is written there has no end before the process has. */
function hold({ stdin, exited }: Child, text: string): void {
  if (typeof stdin !== "object") return;
  // It may end without reading: that is its result, and no error here.
  const write = async (): Promise<void> => {
    await stdin.write(text);
    await stdin.flush();
  };
  void write().catch(() => {});
  void exited.then(() => stdin.end()).catch(() => {});
}

/** What the user's own programs look for. */
function environmentOf(user: User | undefined): Record<string, string> {
  if (user === undefined) return {};
  return { HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell };
}

/** Below a directory of the guard's alone, which others may pass through: nobody else can put something in the scratch directory's place. */
function makeScratchOf(user: User, parent: string, name: string): ScratchDirectory {
  const path = join(parent, name);
  mkdirSync(parent, { recursive: true, mode: 0o711 });
  const found = lstatSync(parent);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new Error(`${parent} is somebody else's`);
  chmodSync(parent, 0o711);
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, user.uid, user.gid);
  return { path, stamp: undefined };
}

function wrongDirectory(directory: string): string | undefined {
  if (!isAbsolute(directory)) return `dir must be an absolute path, and "${directory}" is not`;
  try {
    return statSync(directory).isDirectory() ? undefined : `dir "${directory}" is not a directory on this node`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return `dir "${directory}" does not exist on this node`;
    return `dir "${directory}" cannot be used on this node: ${messageOf(error)}`;
  }
}

type Found = { readonly ok: true; readonly path: string } | { readonly ok: false; readonly why: NotSpawned };

/** The file to execute, looked for in the task's own PATH. A file that is there and may not be run is told apart from none. */
function findCommand(name: string, directory: string, path: string): Found {
  const candidates = name.includes("/")
    ? [resolve(directory, name)]
    : path.split(":").map((entry) => resolve(directory, entry, name));
  let refused: string | undefined;
  for (const candidate of name === "" ? [] : candidates) {
    try {
      if (!statSync(candidate).isFile()) continue;
      accessSync(candidate, constants.X_OK);
      return { ok: true, path: candidate };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") refused ??= candidate;
    }
  }
  if (refused !== undefined) return { ok: false, why: { exitCode: 126, reason: `not executable: ${refused}` } };
  return { ok: false, why: { exitCode: 127, reason: `no such command: ${name}` } };
}

function whyNotSpawned(error: unknown, name: string): [NotSpawned["exitCode"], string] {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return [127, `cannot run ${name}: the file or the interpreter that it names does not exist`];
    case "EACCES":
    case "EPERM":
      return [126, `not executable: ${name}`];
    case "ENOEXEC":
      return [126, `not executable: ${name} is neither a program for this machine nor a script with a #! line`];
    case "E2BIG":
      return [126, `cannot run ${name}: arguments and environment are too long for this system`];
    default:
      return [null, `cannot run ${name}: ${messageOf(error)}`];
  }
}

/** What a task gets of the guard's environment: where things are and how to speak, nothing else. */
function cleanEnvironment(inherited: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const clean: Record<string, string> = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
  for (const [name, value] of Object.entries(inherited)) {
    if (value !== undefined && (passed.has(name) || name.startsWith("LC_"))) clean[name] = value;
  }
  return clean;
}

const passed = new Set([
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "LANG",
  "LANGUAGE",
  "TZ",
  "TMPDIR",
  "XDG_RUNTIME_DIR",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
]);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
