import { basename, extname } from "node:path";
import { readCrontab } from "./cron-import-crontab.ts";
import { readDkron } from "./cron-import-dkron.ts";
import { readKubernetes } from "./cron-import-kubernetes.ts";
import type { ImportOptions, ImportRead } from "./cron-import-types.ts";

export const importFormats = ["crontab", "kubernetes", "dkron"] as const;
export type ImportFormat = (typeof importFormats)[number];

/** Which of them a text is, by its file's name and by what stands in it. */
export function guessImportFormat(text: string, file: string): ImportFormat {
  const start = text.trimStart();
  const isJson = start.startsWith("{") || start.startsWith("[");
  const ofKubernetes = /^\s*(?:- )?["']?(?:apiVersion|kind)["']?\s*:/m.test(text);
  if (isJson) return ofKubernetes || /"kind"\s*:\s*"(?:CronJob|List|CronJobList)"/.test(text) ? "kubernetes" : "dkron";
  if ([".yaml", ".yml"].includes(extname(basename(file)))) return "kubernetes";
  if (extname(basename(file)) === ".json") return "dkron";
  return ofKubernetes ? "kubernetes" : "crontab";
}

/** Reads a file of another system. */
export function readImport(
  text: string,
  format: ImportFormat,
  options: ImportOptions & { readonly system?: boolean | undefined },
): ImportRead {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const strange = /[\u0000-\u0008\u000e-\u001f]/.exec(text);
  if (strange !== null) {
    const line = text.slice(0, strange.index).split("\n").length;
    return {
      schedules: [],
      notes: [],
      problems: [{ path: `${options.file}:${line}`, message: "holds a control character: this is no text" }],
    };
  }
  switch (format) {
    case "crontab":
      return readCrontab(text, options);
    case "kubernetes":
      return readKubernetes(text, options);
    default:
      return readDkron(text, options);
  }
}
