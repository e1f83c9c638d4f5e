import { expect, test } from "bun:test";
import { HashRing } from "../../src/node/hash-ring.ts";

/** The hash after entry n is made of n. */
function words(first: number, last: number): Uint32Array {
  return Uint32Array.from({ length: 2 * (last - first + 1) }, (_, at) => (at % 2 === 0 ? 7 : first + at / 2 - 0.5));
}
const hash = (index: number): string => `00000007${index.toString(16).padStart(8, "0")}`;

test("the newest hashes are known, and no others", () => {
  const ring = new HashRing(8);
  expect([ring.newest, ring.at(0), ring.at(1)]).toEqual([undefined, undefined, undefined]);
  ring.push(3, words(1, 3));
  expect([ring.newest, ring.at(1), ring.at(3), ring.at(4)]).toEqual([3, hash(1), hash(3), undefined]);
  ring.push(10, words(4, 10));
  expect([ring.at(2), ring.at(3), ring.at(10)]).toEqual([undefined, hash(3), hash(10)]);
  ring.push(40, words(11, 40));
  expect([ring.at(32), ring.at(33), ring.at(40)]).toEqual([undefined, hash(33), hash(40)]);
});

test("after a gap, and after another state took the place of this one, nothing earlier is known", () => {
  const ring = new HashRing(8);
  ring.push(3, words(1, 3));
  ring.push(7, words(6, 7));
  expect([ring.at(3), ring.at(5), ring.at(6)]).toEqual([undefined, undefined, hash(6)]);
  ring.reset(5);
  expect([ring.newest, ring.at(5), ring.at(6)]).toEqual([undefined, undefined, undefined]);
  ring.push(6, words(6, 6));
  expect([ring.at(6), ring.at(7)]).toEqual([hash(6), undefined]);
  ring.reset(9, hash(9));
  expect([ring.newest, ring.at(9), ring.at(6)]).toEqual([9, hash(9), undefined]);
  ring.push(10, words(10, 10));
  expect([ring.at(9), ring.at(10)]).toEqual([hash(9), hash(10)]);
});
