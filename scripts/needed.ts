/** Programs that some tests need and not every machine has: they are installed where that is wanted, and what is skipped for their lack says so. */
import { spawnSync } from "node:child_process";

/**
 * Why a program cannot be had, for people; undefined: it is there. Where tests may install (CI=true or SKEIN_TEST_INSTALL=1) it is installed from
 * the system's packages. Throws when that fails although apt-get and root are there: a machine that could have it must not skip in silence.
 * `services`: what the packages would run from now on, and does not: only the program is wanted.
 */
export function whyMissing(
  program: string,
  packages: readonly string[],
  isThere: () => boolean,
  services: readonly string[] = [],
): string | undefined {
  if (isThere()) return undefined;
  const install = `install ${packages.join(" and ")}`;
  if (process.env["CI"] !== "true" && process.env["SKEIN_TEST_INSTALL"] !== "1") {
    return `${program} is missing: ${install}, or set SKEIN_TEST_INSTALL=1 to have that done`;
  }
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const runs = (...words: string[]): boolean => {
    const [command = "", ...rest] = [...asRoot, ...words];
    return spawnSync(command, rest).status === 0;
  };
  if (!runs("apt-get", "--version")) return `${program} is missing, and there is no apt-get or no root to ${install}`;
  const apt = (...words: string[]): string => {
    const [command = "", ...rest] = [...asRoot, "apt-get", ...words];
    const ended = spawnSync(command, rest, { encoding: "utf8", timeout: 5 * 60_000 });
    return ended.error === undefined ? ended.stdout + ended.stderr : String(ended.error);
  };
  apt("update");
  if (services.length > 0) runs("sh", "-c", startNothing);
  const said = apt("install", "-y", "--no-install-recommends", ...packages);
  if (services.length > 0) runs("sh", "-c", startAgain);
  for (const service of services) runs("deb-systemd-helper", "disable", service);
  if (!isThere()) throw new Error(`${program} is missing and could not be installed:\n${said.slice(-500)}`);
  return undefined;
}

/** Packages ask this file whether they may start what they bring. One that is there already stays. */
const policy = "/usr/sbin/policy-rc.d";
const startNothing = `[ -e ${policy} ] || { printf '#!/bin/sh\\n# skein tests\\nexit 101\\n' > ${policy} && chmod 755 ${policy}; }`;
const startAgain = `! grep -q '^# skein tests$' ${policy} || rm -f ${policy}`;

/** What a test file's output says about what it skipped: lines that begin with "skipped", and where there is none the tests' names. */
export function skipReasons(output: string): string[] {
  const lines = output.split("\n").map((line) => line.trimEnd());
  const reasons = lines.filter((line) => /^skipped\b/.test(line));
  return [...new Set(reasons.length > 0 ? reasons : lines.filter((line) => line.startsWith("(skip) ")))];
}
