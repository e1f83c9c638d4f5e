import { parseInstant } from "../lib/calendar.ts";
import { readDocuments } from "./cron-import-documents.ts";
import { jobOfDkron } from "./cron-import-dkron-job.ts";
import { timingOfDkron } from "./cron-import-expression.ts";
import { labelsOf } from "./cron-import-labels.ts";
import { Part } from "./cron-import-part.ts";
import {
  Gathering,
  type ImportedSchedule,
  type ImportOptions,
  type ImportRead,
  type Overlap,
  type WrittenSchedule,
} from "./cron-import-types.ts";

/** Reads jobs of Dkron: one, or a list, as its API gives them and takes them. */
export function readDkron(text: string, options: ImportOptions): ImportRead {
  const { file, tz, missed } = options;
  const found = new Gathering();
  const { documents, problems } = readDocuments(text, file);
  found.problems.push(...problems);
  const names = new Set<string>();
  for (const document of documents) {
    const list: readonly unknown[] = Array.isArray(document.value) ? document.value : [document.value];
    for (const [at, item] of list.entries()) {
      const path = Array.isArray(document.value) ? [at] : [];
      if (typeof item !== "object" || item === null || Array.isArray(item))
        found.problem(document.where(path), "is no job of Dkron: a map with name, schedule and executor is");
      else found.one(() => readJob(new Part(item as Record<string, unknown>, document, path, found), names, options));
    }
  }
  if (found.schedules.length === 0 && found.problems.length === 0) found.problem(file, "holds no job");
  if (found.schedules.length > 0) {
    if (tz === undefined && found.schedules.some(({ spec }) => spec.tz === undefined && spec.cron !== undefined))
      found.note(
        file,
        "schedules without a timezone are in UTC, and in Dkron in the zone of its servers: --tz names another one",
      );
    if (missed === undefined)
      found.note(
        file,
        "as Dkron does it, what was missed is not made up for (missed: skip): --missed latest says otherwise",
      );
  }
  return found;
}

/** What Dkron tells of a job, and nobody says of one. */
const told = ["id", "success_count", "error_count", "last_success", "last_error", "status", "next", "dependent_jobs"];

/** `names`: those that were read. */
function readJob(part: Part, names: Set<string>, options: ImportOptions): ImportedSchedule {
  part.skip(...told);
  const name = part.text("name");
  const spec: WrittenSchedule = { name: `${options.prefix ?? ""}${name ?? ""}` };
  if (name === undefined) part.problem("name", "is missing");
  else if (names.has(spec.name)) part.problem("name", `there are two jobs with the name "${name}"`);
  names.add(spec.name);
  const description = part.text("displayname");
  if (description !== undefined && description !== "") spec.description = description;
  const parent = part.text("parent_job");
  if (parent !== undefined && parent !== "") {
    part.problem(
      "parent_job",
      `runs after job ${parent}, and a schedule runs at its own times: let the parent's command do both, or submit both as jobs of which one is \`after\` the other`,
    );
    part.skip("schedule", "timezone");
  } else readTiming(part, spec, options);
  spec.overlap = options.overlap ?? overlapOf(part);
  spec.missed = options.missed ?? "skip";
  // What is said counts, so that one that was switched on again goes on with the next import.
  const disabled = part.flag("disabled");
  if (disabled !== undefined) spec.paused = disabled;
  const [owner, mail] = [part.text("owner") ?? "", part.text("owner_email") ?? ""];
  if (owner !== "" || mail !== "") spec.owner = owner === "" ? mail : mail === "" ? owner : `${owner} <${mail}>`;
  const labels = labelsOf(part, "metadata");
  if (Object.keys(labels).length > 0) spec.labels = labels;
  readEnds(part, spec);
  spec.job = jobOfDkron(part, name ?? "", options.on);
  for (const processor of Object.keys(part.part("processors")?.fields ?? {}))
    part.note(
      "processors",
      `${processor}: what a run prints is kept by the mesh (\`skein logs\`), and given to nothing else`,
    );
  part.noteLeft();
  return { spec, where: part.where() };
}

function readTiming(part: Part, spec: WrittenSchedule, { tz }: ImportOptions): void {
  const text = part.text("schedule");
  const zone = part.text("timezone");
  if (text === undefined || text.trim() === "") {
    if (typeof (part.value("schedule") ?? "") === "string") part.problem("schedule", "is missing");
    return;
  }
  const read = timingOfDkron(text.trim());
  if ("problem" in read) return part.problem("schedule", read.problem);
  for (const note of read.notes) part.note("schedule", note);
  Object.assign(spec, read.timing);
  if (spec.at !== undefined && parseInstant(spec.at) === undefined)
    part.problem("schedule", `"${spec.at}" is not an instant: write it as in "2026-12-01T02:00:00Z"`);
  const wanted = spec.tz ?? (zone === undefined || zone === "" ? tz : zone);
  if (wanted !== undefined && spec.cron !== undefined) spec.tz = wanted;
}

function overlapOf(part: Part): Overlap {
  const policy = part.text("concurrency") ?? "";
  if (policy === "forbid") return "skip";
  if (policy === "replace") return "replace";
  if (policy !== "" && policy !== "allow") part.problem("concurrency", `"${policy}" is neither allow nor forbid`);
  return "allow";
}

/** When it begins and ends to be due, and whether it ends by itself. */
function readEnds(part: Part, spec: WrittenSchedule): void {
  for (const [key, ours] of [
    ["starts_at", "start"],
    ["expires_at", "end"],
  ] as const) {
    const text = part.text(key);
    // The first is what Go has for none.
    if (text === undefined || text === "" || text.startsWith("0001-01-01")) continue;
    if (parseInstant(text) === undefined)
      part.problem(key, `"${text}" is not an instant: write it as in "2026-12-01T02:00:00Z"`);
    else spec[ours] = text;
  }
  if (part.flag("ephemeral") !== true) return;
  if (spec.at === undefined) spec.limit = 1;
  part.note("ephemeral", "ends after one run (limit: 1), whether that has succeeded or not");
}
