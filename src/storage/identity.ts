import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../lib/fault.ts";
import { isEpoch } from "../lib/epoch.ts";
import { isId } from "../lib/ids.ts";
import { syncDirectory } from "../lib/files.ts";
import { errorCode, fileFault, writeSynced } from "./files.ts";
import type { Identity } from "./types.ts";

const fileName = "identity.json";

/** Who this data directory is, or undefined when it has not become a member yet. Throws Fault "data" for a damaged or newer file. */
export function readIdentity(directory: string): Identity | undefined {
  const path = join(directory, fileName);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw fileFault(error, path);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(path, "it is not JSON", error);
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (version === 1) {
    throw new Fault(
      "data",
      `${path} is of a skein before certificates, whose clusters cannot be gone on with: start new ones, in empty data directories`,
      "never",
    );
  }
  if (typeof version === "number" && version > 2) {
    throw new Fault("data", `${path} was written by a newer skein (version ${version}): run that one`, "never");
  }
  if (!isIdentity(value)) throw damaged(path, "a field is missing or has the wrong type");
  return value;
}

/**
 * Replaces the file so that a crash at any moment leaves the old or the new one: temporary file, sync, rename, sync of the
 * directory.
 */
export function writeIdentity(directory: string, identity: Identity): void {
  const path = join(directory, fileName);
  try {
    writeSynced(path, `${JSON.stringify(identity, undefined, 2)}\n`);
    syncDirectory(directory);
  } catch (error) {
    throw fileFault(error, path);
  }
}

function isIdentity(value: unknown): value is Identity {
  if (typeof value !== "object" || value === null) return false;
  const identity = value as { readonly [Field in keyof Identity]?: unknown };
  return (
    identity.version === 2 &&
    isText(identity.cluster) &&
    (identity.epoch === undefined || isEpoch(identity.epoch)) &&
    isId(identity.node) &&
    typeof identity.name === "string" &&
    Number.isSafeInteger(identity.starts) &&
    typeof identity.api === "string" &&
    typeof identity.peer === "string" &&
    (identity.listen === undefined || isListen(identity.listen)) &&
    Array.isArray(identity.peers) &&
    identity.peers.every(
      (peer: { node?: unknown; address?: unknown } | null) => isId(peer?.node) && isText(peer?.address),
    )
  );
}

function isListen(value: unknown): boolean {
  const { apis, peer, advertise } = (value ?? {}) as {
    readonly apis?: unknown;
    readonly peer?: unknown;
    readonly advertise?: unknown;
  };
  return Array.isArray(apis) && apis.every(isText) && isText(peer) && (advertise === undefined || isText(advertise));
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function damaged(path: string, why: string, cause?: unknown): Fault {
  return new Fault(
    "data",
    `${path} is damaged (${why}): restore it from a backup, or remove the whole data directory and join again as a new node`,
    "never",
    cause,
  );
}
