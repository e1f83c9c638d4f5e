/** Durations ("90s", "1h30m", "250ms", "7d") and sizes ("64MiB", "10KB", "512") as people write them. */

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds, or undefined when the text is not a duration. Negative ones are not durations. "0" and "0s" are 0. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const part = /(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/gy;
  let total = 0;
  let at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const match = part.exec(text);
    if (match === null) return undefined;
    total += Number(match[1]) * durationUnits[match[2]!]!;
    at = part.lastIndex;
  }
  return at === 0 || !Number.isSafeInteger(Math.round(total)) ? undefined : Math.round(total);
}

/** The shortest exact text: 5400000 -> "1h30m". */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return "0s";
  let rest = Math.round(durationMs);
  let text = "";
  for (const unit of ["d", "h", "m", "s", "ms"]) {
    const size = durationUnits[unit]!;
    const whole = Math.floor(rest / size);
    if (whole > 0) text += `${whole}${unit}`;
    rest -= whole * size;
  }
  return text;
}

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  TB: 1_000_000_000_000,
  KiB: 1024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
  TiB: 1_099_511_627_776,
};

/** Bytes, or undefined when the text is not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([KMGT]i?B|B|)$/.exec(text);
  if (match === null) return undefined;
  const bytes = Math.round(Number(match[1]) * sizeUnits[match[2]!]!);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** For people, three digits at most: 1536 -> "1.5KiB". */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)}${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)}TiB`;
}
