/** Wall time as people and files write it. The one place where Date is allowed in shared code: epoch milliseconds in and out. */

/** RFC 3339 in UTC with milliseconds: 2026-11-23T01:48:31.000Z. */
export function formatInstant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

const rfc3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/**
 * Epoch milliseconds of an RFC 3339 instant (zone required), or undefined when it is not one. A day that its month does not have is none either: the engine
 * would take the 30th of February for the 2nd of March.
 */
export function parseInstant(text: string): number | undefined {
  const parts = rfc3339.exec(text);
  if (parts === null) return undefined;
  const [, day, time] = parts;
  const clock = Date.parse(`${day}T${time}Z`);
  if (Number.isNaN(clock) || !formatInstant(clock).startsWith(`${day}T${time}`)) return undefined;
  const epochMs = Date.parse(text.replace(" ", "T"));
  return Number.isNaN(epochMs) ? undefined : epochMs;
}
