/** Milliseconds since some moment of this process's start, never going back (J4): deadlines, timeouts and leases are counted on it. */
export function monotonicMs(): number {
  return performance.now();
}

/** Wall time, epoch ms: for stamps that people read, never for decisions. */
export function wallMs(): number {
  return Date.now();
}

/** The longest time that setTimeout counts: a longer one fires at once. Wait for more in steps. */
export const timerMsMax = 2 ** 31 - 1;
