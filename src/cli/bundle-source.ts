import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { BundleSourceInput, BundleSourceView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { exit } from "./exit.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import { instantText } from "./views.ts";

/** `skein bundle sources`, `skein bundle source rm|fetch` */
export function addBundleSources(parent: Command, cli: Cli): void {
  addList(parent, cli);
  const source = parent
    .command("source")
    .description("repositories that bundles are pinned from by themselves: skein bundle git URL --every 10m");
  addRemove(source, cli);
  addFetch(source, cli);
}

/** `skein bundle git URL --every|--webhook` */
export async function setSource(session: Session, source: BundleSourceInput): Promise<void> {
  const { name, every, webhook } = source;
  await session.client.setBundleSource(source);
  session.output.result({
    value: { name },
    ids: [name],
    table: (out) => {
      out.line(
        `bundle ${name} is pinned from there${every === undefined ? " when a push is told of" : ` every ${every}`}; 'skein bundle sources' says how that goes`,
      );
      if (webhook !== undefined)
        out.line(
          `pushes are told to POST /v1/bundles/${name}/webhook of any node, with the value of secret ${webhook}`,
        );
    },
  });
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("sources")
    .description("list the repositories that bundles are pinned from by themselves")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<{ readonly limit?: string; readonly next?: string }>(command, async (session, { limit, next }) => {
    const page = await session.client.bundleSources({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.sources.map(({ name }) => name),
      table: (out) =>
        out.rows(
          [
            { title: "NAME" },
            { title: "URL", shrinks: true },
            { title: "REF" },
            { title: "WHEN" },
            { title: "COMMIT" },
            { title: "VERSION", align: "right" },
            { title: "BY" },
            { title: "HOW IT GOES", shrinks: true },
          ],
          page.sources.map(cells),
        ),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function cells(source: BundleSourceView): string[] {
  const { name, url, ref, subdir, every, webhook, commit, version, set_by: by } = source;
  const when = [...(every === null ? [] : [`every ${every}`]), ...(webhook === null ? [] : ["on push"])];
  return [
    name,
    subdir === null ? url : `${url} ${subdir}`,
    ref ?? "",
    when.join(", "),
    commit?.slice(0, 12) ?? "-",
    version === null ? "-" : String(version),
    by,
    standing(source),
  ];
}

function standing({ failing, good_at: good, last_by: by }: BundleSourceView): string {
  if (failing !== undefined)
    return `failing since ${instantText(failing.since)} (${failing.times}): ${failing.reason.split("\n", 1)[0]}`;
  return good === null ? "not looked at yet" : `good ${instantText(good)}${by === null ? "" : ` (${by})`}`;
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("have bundles pinned by themselves no more; their versions stay")
    .argument("<names...>");
  cli.verb<object, [string[]]>(command, async (session, _flags, names) => {
    for (const name of names) await session.client.removeBundleSource(name);
    session.output.result({
      value: { names },
      ids: names,
      table: (out) => names.forEach((name) => out.line(`nothing pins bundle ${name} by itself any more`)),
    });
    return exit.done;
  });
}

function addFetch(parent: Command, cli: Cli): void {
  const command = parent
    .command("fetch")
    .description("have the repository of a bundle looked at now")
    .argument("<name>");
  cli.verb<object, [string]>(command, async (session, _flags, name) => {
    await session.client.fetchBundleSource(name);
    session.output.result({
      value: { name },
      ids: [name],
      table: (out) => out.line(`the repository of bundle ${name} is looked at`),
    });
    return exit.done;
  });
}
