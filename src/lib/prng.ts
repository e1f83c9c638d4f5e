/**
 * A small seeded generator (sfc32 by Chris Doty-Humphrey, public domain). For elections, jitter and tests;
 * never for secrets. The same seed gives the same sequence on every machine.
 */
export type Random = () => number;

/** Returns a function giving numbers in [0, 1). The seed is any unsigned 32-bit integer. */
export function seededRandom(seed: number): Random {
  let a = 0x9e3779b9 | 0;
  let b = seed | 0;
  let c = 0x243f6a88 | 0;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let round = 0; round < 12; round++) next();
  return next;
}

/** A whole number in [low, high], both included. */
export function randomInteger(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}
