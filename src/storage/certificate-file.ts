import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Fault } from "../lib/fault.ts";
import { syncDirectory } from "../lib/files.ts";
import { damagedFile, fileFault, readJson, writeJson } from "./files.ts";
import type { AuthorityKeys, Certificate } from "./types.ts";

/**
 * The two files with private keys (mode 0600), beside the log and the state and never in them (K1): what a node proves itself with, and
 * on voters the keys of the cluster's authority. Replaced so that a crash leaves the old or the new one.
 */
const certificateName = "certificate.json";
const authorityName = "authority.json";

/** undefined: there is none. Throws Fault "data" for one that cannot be read. */
export function readCertificate(directory: string): Certificate | undefined {
  const value = readVersioned(join(directory, certificateName)) as Certificate | undefined;
  if (value === undefined) return undefined;
  const { key, certificate, trusted } = value as { readonly [Field in keyof Certificate]?: unknown };
  const isWhole = typeof key === "string" && typeof certificate === "string" && Array.isArray(trusted);
  if (!isWhole || !trusted.every((one) => typeof one === "string")) throw damaged(join(directory, certificateName));
  return value;
}

/** On disk when it returns. Throws Fault. */
export function writeCertificate(directory: string, certificate: Certificate): void {
  writeJson(join(directory, certificateName), certificate);
}

/** undefined: this node holds no authority's key. Throws Fault "data" for a file that cannot be read. */
export function readAuthorityKeys(directory: string): AuthorityKeys | undefined {
  const value = readVersioned(join(directory, authorityName)) as AuthorityKeys | undefined;
  if (value !== undefined && (typeof value.keys !== "object" || value.keys === null))
    throw damaged(join(directory, authorityName));
  return value;
}

/** On disk when it returns. Throws Fault. */
export function writeAuthorityKeys(directory: string, keys: AuthorityKeys): void {
  writeJson(join(directory, authorityName), keys);
}

/** This node is to sign no more: others are told so, and then no power cut may bring the file back. Throws Fault. */
export function removeAuthorityKeys(directory: string): void {
  const path = join(directory, authorityName);
  try {
    rmSync(path, { force: true });
    syncDirectory(directory);
  } catch (error) {
    throw fileFault(error, path);
  }
}

function readVersioned(path: string): unknown {
  const value = readJson(path, 1);
  if (value !== undefined && value?.version !== 1) throw damaged(path);
  return value;
}

function damaged(path: string): Fault {
  return damagedFile(path, "a field is missing or has the wrong type");
}
