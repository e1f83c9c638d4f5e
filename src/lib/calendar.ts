/** Wall time as people and files write it. The one place where Date is allowed in shared code: epoch milliseconds in and out. */

/** RFC 3339 in UTC with milliseconds: 2026-11-23T01:48:31.000Z. */
export function formatInstant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** Epoch milliseconds of an RFC 3339 instant (zone required), or undefined when it is not one. */
export function parseInstant(text: string): number | undefined {
  if (!rfc3339.test(text)) return undefined;
  const epochMs = Date.parse(text.replace(" ", "T"));
  return Number.isNaN(epochMs) ? undefined : epochMs;
}
