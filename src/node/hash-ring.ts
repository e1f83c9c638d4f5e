import { assert } from "../lib/assert.ts";
import { digestOf, wordsOf } from "../lib/hash.ts";

/** The rolling hashes after the newest entries that this node applied one after the other: what others' are compared with (S1). */
export class HashRing {
  readonly #words: Uint32Array;
  readonly #size: number;
  #newest = 0;
  #oldest = 1;

  constructor(size: number) {
    this.#size = size;
    this.#words = new Uint32Array(2 * size);
  }

  /** Hashes after the entries that end with `newest`, two words each. A gap begins the ring anew. */
  push(newest: number, words: Uint32Array): void {
    const count = words.length / 2;
    const first = newest - count + 1;
    assert(first > this.#newest, "hashes come in the order of the log");
    if (first !== this.#newest + 1) this.#oldest = first;
    for (let at = 0; at < count; at++) {
      const place = 2 * ((first + at) % this.#size);
      this.#words[place] = words[2 * at]!;
      this.#words[place + 1] = words[2 * at + 1]!;
    }
    this.#newest = newest;
    this.#oldest = Math.max(this.#oldest, newest - this.#size + 1);
  }

  /** After that entry; undefined: it is not known (any more, or yet). */
  at(index: number): string | undefined {
    if (index < this.#oldest || index > this.#newest) return undefined;
    const place = 2 * (index % this.#size);
    return digestOf(this.#words[place]!, this.#words[place + 1]!);
  }

  /** The newest entry whose hash is known; undefined: none is. */
  get newest(): number | undefined {
    return this.#newest < this.#oldest ? undefined : this.#newest;
  }

  /** The state has applied entries up to `applied`, and nothing is known but its hash after that one, where it is given. */
  reset(applied: number, hash = ""): void {
    this.#newest = applied;
    this.#oldest = hash === "" ? applied + 1 : applied;
    if (hash === "") return;
    const place = 2 * (applied % this.#size);
    [this.#words[place], this.#words[place + 1]] = wordsOf(hash);
  }
}
