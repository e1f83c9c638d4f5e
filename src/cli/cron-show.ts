import type { Command } from "commander";
import { stringify } from "yaml";
import { limits } from "../lib/limits.ts";
import type { ScheduleDetailView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { printFires, printUpcoming, timingText, whenText } from "./cron-views.ts";
import { exit } from "./exit.ts";
import { limitFlag, noteNext, oneOf } from "./jobs.ts";
import type { Output } from "./output.ts";
import { stateColour } from "./text.ts";
import { instantText, labelsText } from "./views.ts";

const firesShown = 10;

/** `skein cron show` and `skein cron fires` */
export function addCronShow(parent: Command, cli: Cli): void {
  const show = parent
    .command("show")
    .description("show a schedule: what it says, its next instants, and what the last ones came to")
    .argument("<name>")
    .option("--fires <n>", `so many of the last ones (default ${firesShown})`);
  cli.verb<{ readonly fires?: string }, [string]>(show, async (session, flags, name) => {
    const schedule = await session.client.schedule(name);
    const { fires } = await session.client.scheduleFires(name, { limit: limitFlag(flags.fires) ?? firesShown });
    session.output.result({
      value: { ...schedule, fires },
      ids: [schedule.name],
      table: (out) => {
        printSchedule(out, schedule);
        out.line("");
        printUpcoming(out, schedule);
        if (fires.length === 0) return;
        out.line("");
        printFires(out, fires);
      },
    });
    return exit.done;
  });
  addFires(parent, cli);
}

const reasons = ["fired", "missed", "overlap", "paused", "window", "limit", "refused"] as const;

function addFires(parent: Command, cli: Cli): void {
  const command = parent
    .command("fires")
    .description("what the instants of a schedule came to, newest first")
    .argument("<name>")
    .option("--reason <reason>", reasons.join(", "))
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<{ readonly reason?: string; readonly limit?: string; readonly next?: string }, [string]>(
    command,
    async (session, { reason, limit, next }, name) => {
      const page = await session.client.scheduleFires(name, {
        reason: reason === undefined ? undefined : oneOf("--reason", reason, reasons),
        limit: limitFlag(limit),
        next,
      });
      session.output.result({
        value: page,
        ids: page.fires.map(({ at }) => at),
        table: (out) => printFires(out, page.fires),
      });
      noteNext(session, page.next);
      return exit.done;
    },
  );
}

function lastText({ at, job, state }: NonNullable<ScheduleDetailView["last"]>): string {
  const what = job === null ? "no job" : `job ${job}`;
  return `${what} of ${instantText(at)}: ${state ?? "unfinished"}`;
}

function printSchedule(out: Output, one: ScheduleDetailView): void {
  const { last, labels = {}, tags = [], calendars = [] } = one;
  out.fields([
    ["schedule", `${one.name} (${one.id})`, "bold"],
    ["description", one.description],
    ["when", `${whenText(one)}  (${timingText(one)})`],
    ["zone", one.tz],
    ["from", one.start === undefined ? undefined : instantText(one.start)],
    ["until", one.end === undefined ? undefined : instantText(one.end)],
    ["jitter", one.jitter],
    ["calendars", calendars.join(", ") || undefined],
    ["state", one.state, stateColour(one.state)],
    ["mesh", one.mesh_paused ? "all schedules are paused" : undefined, "yellow"],
    [
      "missed",
      `${one.missed}${one.missed_most === undefined ? "" : ` (${one.missed_most} at most)`}, not older than ${one.catch_up}`,
    ],
    ["overlap", one.overlap],
    ["runs", one.limit === undefined ? String(one.runs) : `${one.runs} of ${one.limit}`],
    ["last", last === null ? undefined : lastText(last)],
    ["failing", one.failing === 0 ? undefined : `${one.failing} in a row`, "red"],
    ["worked out by", one.node === null ? undefined : `node ${one.node}`],
    ["labels", labelsText(labels) || undefined],
    ["tags", tags.join(", ") || undefined],
    ["owner", one.owner],
    ["set", `${instantText(one.set_at)} by ${one.set_by}`],
    ["template", one.template],
  ]);
  const body = one.job ?? one.params;
  if (body === undefined) return;
  out.line("");
  for (const line of stringify(body).trimEnd().split("\n")) out.line(line);
}
