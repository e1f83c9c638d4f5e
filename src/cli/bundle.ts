import { createHash } from "node:crypto";
import { chmod, mkdir, open, readdir, symlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { abreast } from "../lib/abreast.ts";
import { type BundleFile, type Manifest, readEntries } from "../lib/bundle-manifest.ts";
import { limits } from "../lib/limits.ts";
import { atOnce } from "../lib/turns.ts";
import { formatSize } from "../lib/units.ts";
import type { BundleVersionView, BundleView } from "../state/answers.ts";
import { addBundleGit } from "./bundle-git.ts";
import { addBundleSources } from "./bundle-source.ts";
import { copiesFlag, pushTree, tellPushed } from "./bundle-push.ts";
import { scanDirectory } from "../checkout/scan.ts";
import { withTar } from "./bundle-tar.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import type { Output } from "./output.ts";
import { instantText } from "./views.ts";

/** `skein bundle push|git|ls|show|get|rm|sources|source` */
export function addBundle(program: Command, cli: Cli): void {
  const bundle = program
    .command("bundle")
    .description("trees of files that tasks run in: skein run --bundle NAME -- CMD");
  addPush(bundle, cli);
  addBundleGit(bundle, cli);
  addList(bundle, cli);
  addShow(bundle, cli);
  addGet(bundle, cli);
  addRemove(bundle, cli);
  addBundleSources(bundle, cli);
}

interface PushFlags {
  readonly name?: string;
  readonly copies?: string;
  readonly source?: string;
}

function addPush(parent: Command, cli: Cli): void {
  const command = parent
    .command("push")
    .description(
      "keep a directory, or a tar on standard input, as a new version; only files that the mesh lacks are sent",
    )
    .argument("<dir>", "the directory, or - for a tar (compressed by gzip or not)")
    .option("--name <name>", "what it is called (default: the directory's name)")
    .option("--copies <n>", `members that keep it (1..${limits.bundleCopiesMost}, default ${limits.bundleCopies})`)
    .option("--source <text>", "where it comes from, for people");
  cli.verb<PushFlags, [string]>(command, async (session, { name: given, copies, source }, path) => {
    const name = given ?? (path === "-" ? undefined : basename(resolve(path)));
    if (name === undefined) throw new CliError(exit.usage, "a tar has no name: say it with --name");
    const how = { copies: copiesFlag(copies), source };
    const pushed =
      path === "-"
        ? await withTar(session.io.stdin(), (tree) => pushTree(session, name, tree, how))
        : await pushTree(session, name, await scanDirectory(path), how);
    tellPushed(session, pushed);
    return exit.done;
  });
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list bundles")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<{ readonly limit?: string; readonly next?: string }>(command, async (session, { limit, next }) => {
    const page = await session.client.bundles({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.bundles.map(({ name }) => name),
      table: (out) => printBundles(out, page.bundles),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

const columns = [
  { title: "VERSION", align: "right" },
  { title: "DIGEST" },
  { title: "FILES", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "NODES", shrinks: true },
  { title: "JOBS", align: "right" },
  { title: "SET" },
  { title: "BY", shrinks: true },
  { title: "SOURCE", shrinks: true },
] as const;

function cells({
  version,
  digest,
  files,
  bytes,
  nodes,
  copies,
  jobs,
  set_at: at,
  set_by: by,
  source,
}: BundleVersionView): string[] {
  const short = nodes.length < copies ? ` of ${copies}` : "";
  return [
    String(version),
    digest.slice(0, 12),
    String(files),
    formatSize(bytes),
    `${nodes.join(",")}${short}`,
    String(jobs),
    instantText(at),
    by,
    source ?? "",
  ];
}

function printBundles(out: Output, bundles: readonly BundleView[]): void {
  out.rows(
    [{ title: "NAME", shrinks: true }, ...columns],
    bundles.map((bundle) => [bundle.name, ...cells(bundle)]),
  );
}

function addShow(parent: Command, cli: Cli): void {
  const command = parent.command("show").description("show the versions of a bundle, newest first").argument("<name>");
  cli.verb<object, [string]>(command, async (session, _flags, name) => {
    const bundle = await session.client.bundle(name);
    session.output.result({
      value: bundle,
      ids: bundle.versions.map(({ digest }) => `${bundle.name}@sha256:${digest}`),
      table: (out) => out.rows([...columns], bundle.versions.map(cells)),
    });
    return exit.done;
  });
}

function addGet(parent: Command, cli: Cli): void {
  const command = parent
    .command("get")
    .description("write a bundle into a directory that is empty or not there yet")
    .argument("<name>", "site, site@3 or site@sha256:…")
    .argument("<dir>");
  cli.verb<object, [string, string]>(command, async (session, _flags, name, directory) => {
    const content = await session.client.bundleContent(name);
    const read = atOnce(readEntries(content.entries));
    if (!read.ok)
      throw new CliError(exit.unreachable, `what the node says is in ${name} makes no sense`, read.problems);
    await session.interruptible((signal) =>
      write(session, `${content.name}@sha256:${content.digest}`, read.manifest, directory, signal),
    );
    const { digest, version } = content;
    session.output.result({
      value: {
        name: content.name,
        version,
        digest,
        dir: directory,
        files: read.manifest.files,
        bytes: read.manifest.bytes,
      },
      ids: [directory],
      table: (out) => out.line(`${content.name}@${version} is in ${directory}`),
    });
    return exit.done;
  });
}

const filesAtOnce = 4;

async function write(
  session: Session,
  reference: string,
  { entries }: Manifest,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await mkdir(root, { recursive: true });
    if ((await readdir(root)).length > 0)
      throw new CliError(exit.refused, `${root} is not empty: name another directory`);
    for (const { kind, path } of entries)
      await mkdir(join(root, kind === "directory" ? path : dirname(path)), { recursive: true });
    await abreast(
      entries.filter((entry) => entry.kind === "file"),
      filesAtOnce,
      (file) => writeFile(session, reference, file, join(root, file.path), signal),
    );
    for (const entry of entries) if (entry.kind === "link") await symlink(entry.target, join(root, entry.path));
    for (const entry of entries.toReversed())
      if (entry.kind === "directory") await chmod(join(root, entry.path), entry.mode);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof CliError || typeof code !== "string" || !/^E[A-Z]+$/.test(code)) throw error;
    throw new CliError(exit.host, `${root} cannot be written: ${message}`);
  }
}

async function writeFile(
  session: Session,
  reference: string,
  { sha256, mode }: BundleFile,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash("sha256");
  const file = await open(path, "wx", 0o600);
  try {
    for await (const piece of await session.client.bundleFile(reference, sha256, signal)) {
      hash.update(piece);
      await file.writeFile(piece);
    }
    await file.chmod(mode);
  } finally {
    await file.close();
  }
  if (hash.digest("hex") !== sha256)
    throw new CliError(exit.unreachable, `${path} did not come as it is in the mesh: get it again`);
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("remove bundles, and what pins them by themselves; unfinished jobs keep what they run in")
    .argument("<names...>", "site with all its versions, or site@3 alone");
  cli.verb<object, [string[]]>(command, async (session, _flags, names) => {
    const removed: { readonly name: string; readonly versions: readonly number[] }[] = [];
    for (const text of names) {
      const [, bundle = text, version] = /^([^@]+)@(\d{1,9})$/.exec(text) ?? [];
      removed.push(
        await session.client.call("bundle.rm", {
          bundle,
          ...(version === undefined ? {} : { version: Number(version) }),
        }),
      );
    }
    session.output.result({
      value: removed.length === 1 ? removed[0] : { bundles: removed },
      ids: removed.map(({ name }) => name),
      table: (out) =>
        removed.forEach(({ name, versions }) =>
          out.line(
            versions.length === 0
              ? `nothing pins bundle ${name} by itself any more; there was no version of it`
              : `bundle ${name} is removed (version ${versions.join(", ")})`,
          ),
        ),
    });
    return exit.done;
  });
}
