import { mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { syncDirectory, writeSynced } from "../storage/files.ts";

/**
 * context.json: what a local `skein run` needs to find the mesh and be let in (mode 0600). One copy in the data
 * directory, one in the user's configuration directory; the latter keeps its token and gains an address when a second node of
 * the same cluster starts on this host.
 */
export interface Context {
  /** Empty: a node that has not yet listened. */
  readonly addrs: readonly string[];
  readonly token: string;
  /** The cluster that the token is for. */
  readonly cluster: string;
  readonly node: number;
  /** What the API's certificates are judged by, PEM; absent: by what this host believes. */
  readonly ca?: string;
}

/**
 * Writes context.json to the data directory and, merged, to the user's configuration directory: there another node's token of the same
 * cluster stays as long as `isGood` says so, and this node's address comes first, in the place of the one that it had: whoever has that now is not to
 * be shown tokens. Two that write there at once may each leave out the other one's:
 * {@link isTold} finds that, and the one that is missing writes again.
 */
export function writeContexts(
  dataDir: string,
  context: Context,
  environment: Readonly<Record<string, string | undefined>>,
  isGood: (token: string) => boolean,
): void {
  const former = new Set(readContext(dataDir)?.addrs);
  writeContext(dataDir, context);
  const shared = sharedDirectory(environment);
  const present = readContext(shared);
  if (present?.cluster !== context.cluster) return writeContext(shared, context);
  const others = present.addrs.filter((address) => !former.has(address));
  const addrs = [...new Set([...context.addrs, ...others])].slice(0, maxAddresses);
  const { token, node } = present.node !== context.node && isGood(present.token) ? present : context;
  writeContext(shared, { ...context, token, node, addrs });
}

/** The user's configuration directory names this node's address; or it is of another cluster by now, or was taken away, which is the user's business. */
export function isTold(context: Context, environment: Readonly<Record<string, string | undefined>>): boolean {
  const shared = readContext(sharedDirectory(environment));
  if (shared === undefined) return true;
  return shared.cluster !== context.cluster || context.addrs.every((address) => shared.addrs.includes(address));
}

function sharedDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  return join(environment["XDG_CONFIG_HOME"] ?? join(homedir(), ".config"), "skein");
}

/** API addresses of this cluster's nodes that were started on this host, as the user's configuration directory has them. */
export function addressesOnThisHost(
  cluster: string,
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const shared = readContext(sharedDirectory(environment));
  return shared?.cluster === cluster ? shared.addrs : [];
}

const maxAddresses = 16;

/** The context in a directory, or undefined when there is none that can be read. */
export function readContext(directory: string): Context | undefined {
  try {
    const value = JSON.parse(readFileSync(join(directory, "context.json"), "utf8")) as Context;
    return Array.isArray(value.addrs) && typeof value.token === "string" ? value : undefined;
  } catch {
    return undefined; // absent or not ours: it is written anew
  }
}

/** Replaces the context in one directory. */
export function writeContext(directory: string, context: Context): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Synced: the log keeps only a hash of the token, so that one lost by a power cut would be lost for good.
  writeSynced(join(directory, "context.json"), `${JSON.stringify(context)}\n`);
  syncDirectory(directory);
}
