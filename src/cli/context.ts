import { readFileSync } from "node:fs";
import { join } from "node:path";
import { withScheme } from "../client/addresses.ts";
import { CliError, exit } from "./exit.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where requests go, and as whom. */
export interface Target {
  /** At least one. */
  readonly addrs: readonly string[];
  readonly token: string | undefined;
  /** Certificates that https addresses are judged by, PEM; undefined: by what this host believes. */
  readonly ca?: string | undefined;
}

/** What `up` leaves for local commands, in its data directory and in the user's configuration. */
interface ContextFile {
  readonly addrs: readonly string[];
  readonly token: string | undefined;
  readonly ca: string | undefined;
}

/** The API of a node that was started without flags. */
const defaultAddr = "http://127.0.0.1:7400";

/** SKEIN_DATA or ~/.skein. */
export function defaultDataDir(env: Environment): string {
  return given(env["SKEIN_DATA"]) ?? join(homeOf(env), ".skein");
}

/** $XDG_CONFIG_HOME/skein, default ~/.config/skein. */
export function configDir(env: Environment): string {
  return join(given(env["XDG_CONFIG_HOME"]) ?? join(homeOf(env), ".config"), "skein");
}

/** "~/x" as a shell would have it: configuration files have no shell. */
export function expandHome(path: string, env: Environment): string {
  return path === "~" || path.startsWith("~/") ? join(homeOf(env), path.slice(1)) : path;
}

/**
 * Flags before environment before context file before the default address. The token of a context goes to that context's
 * own addresses and to loopback only: it must not be shown to a stranger whose address was typed. Throws CliError.
 */
export function findTarget(
  flags: {
    readonly addr?: string | undefined;
    readonly token?: string | undefined;
    readonly data?: string | undefined;
    readonly ca?: string | undefined;
  },
  env: Environment,
): Target {
  const context = findContext(flags.data, env);
  const named = given(flags.addr) ?? given(env["SKEIN_ADDR"]);
  const addrs = named === undefined ? (context?.addrs ?? [defaultAddr]) : parseAddrs(named, context?.addrs);
  const token = given(flags.token) ?? given(env["SKEIN_TOKEN"]);
  const caFile = given(flags.ca) ?? given(env["SKEIN_CA"]);
  const ca = caFile === undefined ? context?.ca : readCa(expandHome(caFile, env));
  if (token !== undefined) return { addrs, token, ca };
  const known = new Set(context?.addrs.map(originOf));
  const trusted = addrs.every((addr) => known.has(originOf(addr)) || isLoopback(new URL(addr).hostname));
  return { addrs, token: trusted ? context?.token : undefined, ca };
}

/** True for the names and addresses of this host that nobody else can reach. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127(\.\d{1,3}){3}$/.test(bare);
}

/** A bare address of the context is spoken to as the context says. */
function parseAddrs(text: string, known: readonly string[] = []): string[] {
  const addrs = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => known.find((one) => !part.includes("://") && new URL(one).host === part) ?? withScheme(part));
  const bad = addrs.find((addr) => !URL.canParse(addr) || !/^https?:$/.test(new URL(addr).protocol));
  if (bad !== undefined || addrs.length === 0) {
    throw new CliError(
      exit.usage,
      `"${bad ?? text}" is no address of a node: write http://HOST:PORT, several with commas`,
    );
  }
  return addrs;
}

function originOf(addr: string): string {
  return new URL(addr).origin;
}

function findContext(data: string | undefined, env: Environment): ContextFile | undefined {
  if (data !== undefined) {
    const context = readContext(join(expandHome(data, env), "context.json"));
    if (context === undefined)
      throw new CliError(exit.usage, `${data} holds no context.json: was a node started there?`);
    return context;
  }
  const places = [given(env["SKEIN_DATA"]), configDir(env), join(homeOf(env), ".skein")];
  for (const place of places) {
    const context = place === undefined ? undefined : readContext(join(place, "context.json"));
    if (context !== undefined) return context;
  }
  return undefined;
}

function readContext(path: string): ContextFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    // Another user's node: go on without its token; the API will say what is missing.
    if (code === "EACCES" || code === "EPERM") return undefined;
    throw new CliError(exit.host, `cannot read ${path}: ${(error as Error).message}`);
  }
  try {
    const { addrs, token, ca } = JSON.parse(text) as { addrs?: unknown; token?: unknown; ca?: unknown };
    if (!Array.isArray(addrs)) throw new TypeError("it names no addresses");
    // Of a node that is about to join for the first time: nothing to talk to yet.
    if (addrs.length === 0) return undefined;
    return { addrs: parseAddrs(addrs.join(",")), token: textOf(token), ca: textOf(ca) };
  } catch (error) {
    throw new CliError(
      exit.host,
      `${path} is damaged (${(error as Error).message}): remove it, or start the node again to have it rewritten`,
    );
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Throws CliError. */
function readCa(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError(exit.usage, `cannot read ${path}: ${(error as Error).message}`);
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----"))
    throw new CliError(exit.usage, `${path} holds no certificate in PEM: \`skein cluster ca\` prints the cluster's`);
  return text;
}

function homeOf(env: Environment): string {
  return given(env["HOME"]) ?? "/";
}

/** An empty variable or flag counts as none. */
function given(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}
