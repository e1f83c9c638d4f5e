import { limits } from "../lib/limits.ts";
import { isLabel } from "../lib/selector.ts";
import { asFields } from "./cron-import-documents.ts";
import type { Part } from "./cron-import-part.ts";

/** Labels that can be some of ours; the others are told. */
export function labelsOf(part: Part, key = "labels"): Record<string, string> {
  const fine: Record<string, string> = {};
  for (const [label, value] of Object.entries(part.textMap(key) ?? {})) {
    if (isLabel(label, value) && Math.max(label.length, value.length) <= limits.labelLength) fine[label] = value;
    else part.note(key, `${label}: cannot be a label here: left out`);
  }
  return fine;
}

/** What tools write for themselves is nothing that anybody misses. */
export function noteAnnotations(metadata: Part): void {
  const theirs = Object.keys(asFields(metadata.value("annotations")) ?? {}).filter(
    (key) => !/^(kubectl\.kubernetes\.io|meta\.helm\.sh|deployment\.kubernetes\.io)\//.test(key),
  );
  if (theirs.length > 0) metadata.note("annotations", `there are none here: ${theirs.join(", ")} left out`);
}
