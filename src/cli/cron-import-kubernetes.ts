import { asFields, type Fields, type PathInFile, readDocuments } from "./cron-import-documents.ts";
import { timingOfKubernetes } from "./cron-import-expression.ts";
import { labelsOf, noteAnnotations } from "./cron-import-labels.ts";
import { KubernetesNames } from "./cron-import-namespaces.ts";
import { Part } from "./cron-import-part.ts";
import { jobOfPod } from "./cron-import-pod.ts";
import {
  Gathering,
  type ImportedSchedule,
  type ImportOptions,
  type ImportRead,
  type Overlap,
  type WrittenSchedule,
} from "./cron-import-types.ts";

/** Reads CronJobs of Kubernetes: one or many documents of YAML or JSON, lists included. */
export function readKubernetes(text: string, options: ImportOptions): ImportRead {
  const { file, tz, on } = options;
  const found = new Gathering();
  const { documents, problems } = readDocuments(text, file);
  found.problems.push(...problems);
  const names = new KubernetesNames();
  for (const document of documents) {
    for (const { fields, path } of objectsIn(document.value, [])) {
      const part = new Part(fields, document, path, found);
      const kind = part.value("kind");
      if (kind === "CronJob") found.one(() => readCronJob(part, names, options));
      else part.note("", `${describe(fields)} is no CronJob: left out`);
    }
  }
  names.give(found.schedules);
  if (found.schedules.length === 0 && found.problems.length === 0) found.problem(file, "holds no CronJob");
  if (found.problems.length > 0 && /\{\{-?\s*(?:[.$]|(?:include|if|range|with|toYaml|end)\b)/.test(text))
    found.problem(file, "looks like a template of Helm: give what `helm template` makes of it");
  if (found.schedules.length > 0) {
    if (tz === undefined && found.schedules.some(({ spec }) => spec.tz === undefined && spec.cron !== undefined))
      found.note(
        file,
        "schedules without a timeZone are in UTC, and in Kubernetes in the zone of its controller, which mostly is that: --tz names another one",
      );
    if (on === undefined)
      found.note(file, "runs go to any node that has room: --on LABELS keeps them to hosts that have what they need");
  }
  return found;
}

/** CronJobs and whatever else there is, in lists too. */
function* objectsIn(
  value: unknown,
  path: PathInFile,
): Generator<{ readonly fields: Fields; readonly path: PathInFile }> {
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) yield* objectsIn(item, [...path, at]);
    return;
  }
  const fields = asFields(value) ?? {};
  const { kind, items } = fields;
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(items))
    yield* objectsIn(items, [...path, "items"]);
  else yield { fields, path };
}

function describe({ kind, metadata }: Fields): string {
  const name = asFields(metadata)?.["name"];
  return `${typeof kind === "string" ? kind : "what has no kind"}${typeof name === "string" ? ` ${name}` : ""}`;
}

const overlapOf: Readonly<Record<string, Overlap>> = { Allow: "allow", Forbid: "skip", Replace: "replace" };

function readCronJob(part: Part, names: KubernetesNames, options: ImportOptions): ImportedSchedule {
  const version = part.text("apiVersion") ?? "";
  if (!version.startsWith("batch/")) part.problem("apiVersion", `"${version}" is no version of CronJob: batch/v1 is`);
  part.skip("status");
  const { name, namespace, labels } = readMetadata(part);
  const spec: WrittenSchedule = { name: `${options.prefix ?? ""}${name}` };
  if (!names.add(spec, namespace)) part.problem("metadata", `there are two CronJobs with the name "${name}"`);
  const cron = part.part("spec");
  if (cron === undefined) part.problem("spec", "is missing");
  else readSpec(cron, spec, { ...options, namespace });
  if (Object.keys(labels).length > 0) spec.labels = labels;
  part.problemLeft("is no key of a CronJob that is known here");
  return { spec, where: part.where() };
}

function readMetadata(part: Part) {
  const metadata = part.part("metadata");
  const name = metadata?.text("name");
  const namespace = metadata?.text("namespace");
  if (name === undefined) part.problem("metadata", "the name is missing");
  const labels: Record<string, string> = {};
  if (metadata !== undefined) {
    Object.assign(labels, labelsOf(metadata));
    noteAnnotations(metadata);
    metadata.skip(
      "creationTimestamp",
      "uid",
      "resourceVersion",
      "generation",
      "managedFields",
      "selfLink",
      "generateName",
    );
    metadata.noteLeft();
  }
  if (namespace !== undefined) labels["namespace"] ??= namespace;
  return { name: name ?? "", namespace, labels };
}

function readSpec(
  cron: Part,
  spec: WrittenSchedule,
  options: ImportOptions & { readonly namespace: string | undefined },
): void {
  readTiming(cron, spec, options.tz);
  const policy = cron.text("concurrencyPolicy") ?? "Allow";
  if (!Object.hasOwn(overlapOf, policy))
    cron.problem("concurrencyPolicy", `"${policy}" is none of ${Object.keys(overlapOf).join(", ")}`);
  spec.overlap = options.overlap ?? overlapOf[policy] ?? "allow";
  readMissed(cron, spec, options);
  // What is said counts, so that one that was switched on again goes on with the next import.
  const suspend = cron.flag("suspend");
  if (suspend !== undefined) spec.paused = suspend;
  const [good, bad] = [cron.whole("successfulJobsHistoryLimit"), cron.whole("failedJobsHistoryLimit")];
  if (good !== undefined || bad !== undefined) spec.history = Math.min(1000, Math.max(1, (good ?? 3) + (bad ?? 1)));
  const template = cron.part("jobTemplate");
  if (template === undefined) cron.problem("jobTemplate", "is missing");
  else spec.job = jobOfPod(template, options);
  cron.problemLeft("is no key of a CronJob that is known here");
}

function readTiming(cron: Part, spec: WrittenSchedule, tz: string | undefined): void {
  const text = cron.text("schedule");
  const zone = cron.text("timeZone");
  if (text === undefined) {
    if (cron.value("schedule") === undefined) cron.problem("schedule", "is missing");
    return;
  }
  const read = timingOfKubernetes(text);
  if ("problem" in read) return cron.problem("schedule", read.problem);
  for (const note of read.notes) cron.note("schedule", note);
  Object.assign(spec, read.timing);
  if (spec.tz !== undefined && zone !== undefined)
    cron.problem("timeZone", "the schedule names a zone itself: leave one of them out");
  const wanted = spec.tz ?? zone ?? tz;
  if (wanted !== undefined && spec.cron !== undefined) spec.tz = wanted;
}

function readMissed(cron: Part, spec: WrittenSchedule, { missed }: ImportOptions): void {
  const seconds = cron.whole("startingDeadlineSeconds");
  spec.missed = missed ?? (seconds === 0 ? "skip" : "latest");
  if (spec.missed === "skip") return;
  if (seconds !== undefined && seconds > 0) spec.catch_up = `${seconds}s`;
  else if (seconds === undefined)
    cron.note(
      "",
      "no startingDeadlineSeconds: what was missed is made up for within an hour (catch_up), and in Kubernetes at any time",
    );
}
