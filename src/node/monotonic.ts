/** Milliseconds since some fixed moment of this process, never going back (J4): durations and leases are counted on it. */
export function monotonicMs(): number {
  return performance.now();
}
