/** Figures of many rounds. */
export interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Of at least one value, rounded to a tenth. A percentile is a value that was measured: that share of all are not above it. */
export function distribution(values: readonly number[]): Distribution {
  if (values.length === 0) throw new Error("no value was measured");
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!);
  return { count: values.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

const round = (value: number): number => Math.round(value * 10) / 10;
