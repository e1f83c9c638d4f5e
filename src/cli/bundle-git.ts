import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Command } from "commander";
import { checkOut, withoutPassword } from "../checkout/git.ts";
import { scanDirectory } from "../checkout/scan.ts";
import { limits } from "../lib/limits.ts";
import type { GitBundleInput } from "../state/answers.ts";
import { formatSize, parseDuration } from "../lib/units.ts";
import { copiesFlag, pushTree, tellPushed } from "./bundle-push.ts";
import type { Cli, Session } from "./cli.ts";
import { setSource } from "./bundle-source.ts";
import { CliError, exit } from "./exit.ts";

interface GitFlags {
  readonly ref?: string;
  readonly name?: string;
  readonly subdir?: string;
  readonly keyFile?: string;
  readonly key?: string;
  readonly there?: boolean;
  readonly copies?: string;
  readonly timeout: string;
  readonly every?: string;
  readonly webhook?: string;
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
    .option(
      "--key <secret>",
      "the private key for ssh, a secret of the mesh: the node that is asked, a voter, runs git",
    )
    .option("--there", "the node that is asked runs git, and not this host")
    .option("--copies <n>", `members that keep it (1..${limits.bundleCopiesMost}, default ${limits.bundleCopies})`)
    .option("--timeout <duration>", "for git", "10m")
    .option("--every <duration>", "look at it every so often from now on, and pin what is new there")
    .option(
      "--webhook <secret>",
      "pin what is new whenever GitHub or GitLab tells of a push, signed with this secret of the mesh",
    );
  cli.verb<GitFlags, [string]>(
    command,
    async (session, { ref, name: given, subdir, keyFile, key, there, copies, timeout, every, webhook }, url) => {
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
      if (every !== undefined || webhook !== undefined) {
        if (keyFile !== undefined)
          throw new CliError(exit.usage, "--key-file is on this host, and nodes look at it: name a secret by --key");
        await setSource(session, { name, url, ref, subdir, key, copies: wanted, timeout, every, webhook });
        return exit.done;
      }
      if (key !== undefined || there === true) {
        if (keyFile !== undefined)
          throw new CliError(
            exit.usage,
            "--key-file is on this host, and the node that is asked runs git: name a secret by --key",
          );
        await fetchThere(session, { name, url, ref, subdir, key, copies: wanted, timeout });
        return exit.done;
      }
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

/** By the git of the node that is asked. */
async function fetchThere(session: Session, bundle: GitBundleInput): Promise<void> {
  const kept = await session.interruptible((signal) => session.client.gitBundle(bundle, signal));
  const { name, version, digest, nodes, is_new: isNew, commit, files, bytes } = kept;
  session.output.result({
    value: kept,
    ids: [`${name}@sha256:${digest}`],
    table: (out) => {
      out.line(`${name}@${version} sha256:${digest}${isNew ? "" : " (as before)"}`);
      out.line(`${files} files, ${formatSize(bytes)} of ${commit.slice(0, 12)}; on nodes ${nodes.join(", ")}`);
    },
  });
}
