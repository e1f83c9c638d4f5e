import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { parseDuration } from "../lib/units.ts";
import { copiesFlag, pushTree, tellPushed } from "./bundle-push.ts";
import { scanDirectory } from "./bundle-scan.ts";
import type { Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { checkOut } from "./git-checkout.ts";

interface GitFlags {
  readonly ref?: string;
  readonly name?: string;
  readonly subdir?: string;
  readonly keyFile?: string;
  readonly copies?: string;
  readonly timeout: string;
}

/** `skein bundle git URL --ref REF` */
export function addBundleGit(parent: Command, cli: Cli): void {
  const command = parent
    .command("git")
    .description("keep what a git repository has at a branch, tag or commit as a new version, submodules too")
    .argument("<url>", "as git takes it")
    .option("--ref <ref>", "a branch, a tag or a commit (default: the repository's own branch)")
    .option("--name <name>", "what it is called (default: the repository's name)")
    .option("--subdir <dir>", "this directory of it alone")
    .option("--key-file <file>", "the private key for ssh, on this host (default: as ssh is configured here)")
    .option("--copies <n>", `members that keep it (1..${limits.bundleCopiesMost}, default ${limits.bundleCopies})`)
    .option("--timeout <duration>", "for git", "10m");
  cli.verb<GitFlags, [string]>(
    command,
    async (session, { ref, name: given, subdir, keyFile, copies, timeout }, url) => {
      const name =
        given ??
        basename(
          url
            .replace(/[/:]+$/, "")
            .replace(/\.git$/, "")
            .replace(/^.*:/, ""),
        );
      const timeoutMs = parseDuration(timeout);
      if (timeoutMs === undefined || timeoutMs === 0)
        throw new CliError(exit.usage, `--timeout "${timeout}" is not a duration: write 10m`);
      const wanted = copiesFlag(copies);
      const directory = await mkdtemp(join(tmpdir(), "skein-git-"));
      try {
        const checkout = await session.interruptible((signal) =>
          checkOut({ url, ref, subdir, keyFile, directory, timeoutMs, signal }),
        );
        const tree = await scanDirectory(checkout.root, (path) => /(^|\/)\.git$/.test(path));
        const source = `${withoutPassword(url)} ${ref ?? "HEAD"} ${checkout.commit}${subdir === undefined ? "" : ` ${subdir}`}`;
        const pushed = await pushTree(session, name, tree, {
          copies: wanted,
          source: source.slice(0, limits.bundleSourceLength),
        });
        tellPushed(session, pushed);
        return exit.done;
      } finally {
        await rm(directory, { recursive: true, force: true, maxRetries: 3 });
      }
    },
  );
}

/** What is kept where all may read it. */
function withoutPassword(url: string): string {
  return url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, "$1");
}
