import { join } from "node:path";
import { Fault } from "../lib/fault.ts";
import { isEpoch } from "../lib/epoch.ts";
import { isId } from "../lib/ids.ts";
import { damagedFile, readJson, writeJson } from "./files.ts";
import type { Identity } from "./types.ts";

const fileName = "identity.json";

/** Who this data directory is, or undefined when it has not become a member yet. Throws Fault "data" for a damaged or newer file. */
export function readIdentity(directory: string): Identity | undefined {
  const path = join(directory, fileName);
  const value = readJson(path, 2);
  if (value === undefined) return undefined;
  if (value?.version === 1) {
    throw new Fault(
      "data",
      `${path} is of a skein before certificates, whose clusters cannot be gone on with: start new ones, in empty data directories`,
      "never",
    );
  }
  if (!isIdentity(value)) throw damagedFile(path, "a field is missing or has the wrong type");
  return value;
}

/**
 * Replaces the file so that a crash at any moment leaves the old or the new one: temporary file, sync, rename, sync of the
 * directory.
 */
export function writeIdentity(directory: string, identity: Identity): void {
  writeJson(join(directory, fileName), identity);
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
    (identity.incarnation === undefined || isText(identity.incarnation)) &&
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
