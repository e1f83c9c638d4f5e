import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { AddressBook, type KnownAddress, parseAddresses } from "../../src/node/address-book.ts";

const at = (node: number, address: string, starts = 1): KnownAddress => ({ node: nodeId(node), address, starts });

function bookOf(...members: readonly KnownAddress[]): AddressBook {
  const book = new AddressBook();
  book.setMembers(members, 9);
  return book;
}

describe("where members are", () => {
  test("a later start's word counts, an earlier one's does not, whoever tells it", () => {
    const book = bookOf(at(1, "a:1", 2));
    expect(book.learn([at(1, "old:1", 1), at(1, "same:1", 2)])).toBe(false);
    expect(book.learn([at(1, "new:1", 3)])).toBe(true);
    book.setMembers([at(1, "a:1", 2)], 9);
    expect(book.addresses().get(nodeId(1))).toBe("new:1");
  });

  test("only members are known, and removed ones are forgotten", () => {
    const book = bookOf(at(1, "a:1"), at(2, ""));
    expect(book.learn([at(3, "c:1")])).toBe(false);
    expect([...book.addresses()]).toEqual([
      [nodeId(1), "a:1"],
      [nodeId(2), ""],
    ]);
    book.setMembers([at(2, "")], 9);
    expect(book.list()).toEqual([]);
  });

  test("who was admitted after all that this node knows is one to be met, until the log says what it is", () => {
    const book = bookOf(at(1, "a:1"), at(9, "i:1"));
    expect(book.isNewcomer(nodeId(9))).toBe(false);
    expect(book.isNewcomer(nodeId(10))).toBe(true);
    expect(book.learn([at(4, "d:1"), at(10, "j:1"), at(11, "k:1")])).toBe(true);
    expect([...book.addresses().keys()]).toEqual([1, 9, 10, 11].map(nodeId));
    // 10 was removed again before this node heard of it, 11 is a member, of 12 it has not heard yet.
    book.learn([at(12, "l:1")]);
    book.setMembers([at(9, "i:1"), at(11, "k:1")], 11);
    expect([...book.addresses().keys()]).toEqual([9, 11, 12].map(nodeId));
  });

  test("whatever others say, no more newcomers are remembered than a cluster may have members", () => {
    const book = bookOf(at(1, "a:1"));
    book.learn(Array.from({ length: 2 * limits.nodes }, (_, place) => at(10 + place, "x:1")));
    expect(book.list()).toHaveLength(limits.nodes);
    expect(book.learn([at(1, "b:1", 2)])).toBe(true);
  });

  test("what somebody tells who has not heard of the last move takes nothing back", () => {
    const book = bookOf(at(1, "", 0));
    expect(book.learn([at(1, "a:1", 4)])).toBe(true);
    expect(book.learn([at(1, "b:1", 5)])).toBe(true);
    expect(book.learn([at(1, "a:1", 4)])).toBe(false);
    expect(book.learn([at(1, "a:1", 0)])).toBe(false);
    expect(book.list()).toEqual([at(1, "b:1", 5)]);
  });

  test("what a peer sends is a book or nothing", () => {
    expect(parseAddresses([at(1, "a:1")])).toEqual([at(1, "a:1")]);
    for (const wrong of [undefined, {}, [null], [{ node: 1 }], [{ node: "1", address: "a", starts: 1 }]]) {
      expect(parseAddresses(wrong)).toBeUndefined();
    }
  });
});
