/**
 * `node scripts/setup.mjs complete-lock`, after any change of dependencies.
 *
 * npm leaves a platform's optional package out of the lockfile when the registry it asked does not carry it (mirrors often lack those of
 * other platforms), and `npm ci` then refuses the whole lockfile, on every platform. This adds what is missing from what the parents
 * themselves declare: name and exact version, and the platform that the name tells. Such an entry has no integrity hash, because
 * nobody here has seen the package; npm skips it on other platforms. It also takes out the address of a registry if one got in.
 */
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  version?: string;
  resolved?: string;
  dev?: true;
  optional?: true;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const file = "package-lock.json";
const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: Record<string, LockEntry> };
const added: string[] = [];

for (const entry of Object.values(lock.packages)) {
  delete entry.resolved;
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const place = `node_modules/${name}`;
    if (lock.packages[place] !== undefined || !/^\d+\.\d+\.\d+$/.test(version)) continue;
    lock.packages[place] = {
      version,
      ...platformOf(name),
      ...(entry.dev === true ? { dev: true as const } : {}),
      optional: true,
    };
    added.push(`${name}@${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? `${file} is complete` : `${file}: added ${added.length}\n  ${added.join("\n  ")}`);

/** "@oxlint/binding-linux-arm64-musl" -> linux, arm64, musl. Throws when the name tells no platform: then a person must look. */
function platformOf(name: string): Pick<LockEntry, "os" | "cpu" | "libc"> {
  const match = /(darwin|linux|win32|android|freebsd|openharmony)-([a-z0-9]+)(?:-([a-z]+))?$/.exec(name);
  if (match === null)
    throw new Error(`${name} is an optional dependency that is not in ${file}, and its name tells no platform`);
  const [, os, cpu, abi] = match;
  const libc = abi?.startsWith("musl") === true ? ["musl"] : abi?.startsWith("gnu") === true ? ["glibc"] : undefined;
  return { os: [os!], cpu: [cpu!], ...(libc === undefined ? {} : { libc }) };
}
