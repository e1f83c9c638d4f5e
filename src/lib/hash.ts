/**
 * The rolling hash of the state (S1, D2): two 32-bit lanes mixed as in MurmurHash3's finaliser, so that every byte
 * of history changes all later values. It finds accidents (divergence, flipped bits), not attackers.
 */
export class RollingHash {
  #low: number;
  #high: number;

  /** Starts from an earlier value: 16 hexadecimal digits, or "" for the beginning of history. */
  constructor(start: string) {
    this.#low = start === "" ? 0x243f6a88 : Number.parseInt(start.slice(8), 16) | 0;
    this.#high = start === "" ? 0x85a308d3 | 0 : Number.parseInt(start.slice(0, 8), 16) | 0;
  }

  #mix(word: number): void {
    let low = Math.imul(this.#low ^ word, 0xcc9e2d51);
    low = (low << 15) | (low >>> 17);
    this.#low = (Math.imul(low, 0x1b873593) + this.#high) | 0;
    let high = Math.imul(this.#high ^ low, 0x85ebca6b);
    high ^= high >>> 13;
    this.#high = (Math.imul(high, 0xc2b2ae35) + word) | 0;
  }

  bytes(bytes: Uint8Array): this {
    const length = bytes.length;
    this.#mix(length);
    let at = 0;
    for (; at + 4 <= length; at += 4) {
      this.#mix(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    }
    let rest = 0;
    for (let shift = 0; at < length; at++, shift += 8) rest |= bytes[at]! << shift;
    this.#mix(rest);
    return this;
  }

  text(text: string): this {
    const length = text.length;
    this.#mix(length ^ 0x5bd1e995);
    let at = 0;
    for (; at + 2 <= length; at += 2) this.#mix(text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16));
    if (at < length) this.#mix(text.charCodeAt(at));
    return this;
  }

  /** Any finite number; integers and fractions differ in every bit that matters. */
  number(value: number): this {
    if ((value | 0) === value) {
      this.#mix(value);
      return this;
    }
    float[0] = value;
    this.#mix(words[0]! | 0);
    this.#mix(words[1]! | 0);
    return this;
  }

  /** A value of a row. `null` differs from 0 and from "". */
  value(value: null | number | string | Uint8Array): this {
    if (value === null) this.#mix(0x6e756c6c);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "string") this.text(value);
    else this.bytes(value);
    return this;
  }

  digest(): string {
    return hex(this.#high) + hex(this.#low);
  }

  /** The value as two words: for keeping many of them. */
  copyTo(words: Uint32Array, at: number): void {
    words[at] = this.#high;
    words[at + 1] = this.#low;
  }
}

/** The digest that these two words stand for. */
export function digestOf(high: number, low: number): string {
  return hex(high) + hex(low);
}

/** The two words of a digest. */
export function wordsOf(digest: string): [high: number, low: number] {
  return [Number.parseInt(digest.slice(0, 8), 16), Number.parseInt(digest.slice(8), 16)];
}

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
