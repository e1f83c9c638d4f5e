/** The last `size` bytes of what went through, in a ring: memory does not grow with the output (L1). */
export class Tail {
  readonly #size: number;
  #ring: Uint8Array;
  #end = 0;
  #total = 0;

  constructor(size: number) {
    this.#size = size;
    this.#ring = new Uint8Array(0); // most tasks say little: grown when needed
  }

  push(bytes: Uint8Array): void {
    if (this.#size === 0 || bytes.length === 0) return;
    const kept = bytes.length > this.#size ? bytes.subarray(bytes.length - this.#size) : bytes;
    this.#reserve(Math.min(this.#size, this.#total + kept.length));
    const first = Math.min(kept.length, this.#ring.length - this.#end);
    this.#ring.set(kept.subarray(0, first), this.#end);
    this.#ring.set(kept.subarray(first), 0);
    this.#end = (this.#end + kept.length) % this.#ring.length;
    this.#total += kept.length;
  }

  /** A copy, oldest byte first. */
  bytes(): Uint8Array {
    if (this.#total < this.#ring.length) return this.#ring.slice(0, this.#total);
    const bytes = new Uint8Array(this.#ring.length);
    bytes.set(this.#ring.subarray(this.#end));
    bytes.set(this.#ring.subarray(0, this.#end), this.#ring.length - this.#end);
    return bytes;
  }

  /** Grows to hold `wanted` bytes; a ring shorter than its final size has never wrapped. */
  #reserve(wanted: number): void {
    if (wanted <= this.#ring.length) return;
    const grown = new Uint8Array(Math.min(this.#size, Math.max(wanted, 2 * this.#ring.length, 256)));
    const held = this.bytes();
    grown.set(held);
    this.#ring = grown;
    this.#end = held.length % grown.length;
  }
}
