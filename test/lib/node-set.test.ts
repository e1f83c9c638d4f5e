import { describe, expect, test } from "bun:test";
import { assert as hold, property, stringMatching, uniqueArray } from "fast-check";
import { foldNames } from "../../src/lib/node-set-fold.ts";
import { expandNodeSet, lastingMistake, type NodeSetSources, underline } from "../../src/lib/node-set.ts";

const groups: Readonly<Record<string, readonly string[]>> = {
  db: ["db1", "db2"],
  "": ["web1", "web2", "db1"],
  "*": ["web1", "db1", "db2"],
  empty: [],
};
const sources: NodeSetSources = {
  most: 100_000,
  group: (name) => groups[name],
  matching: (term) => (term === "os=debian" ? ["web1", "db2"] : term === "os!=debian" ? ["db1"] : []),
};

function read(text: string): readonly string[] {
  const set = expandNodeSet(text, sources);
  if (!set.ok) throw new Error(`${text}: ${set.mistake.message}`);
  return set.names;
}

describe("names that a set stands for", () => {
  // The first ones are what nodeset 1.9.1 makes of them.
  test.each([
    ["web[01-03]", "web01 web02 web03"],
    ["web[1-3,7]", "web1 web2 web3 web7"],
    ["web[08-11]", "web08 web09 web10 web11"],
    ["web[1-10/3]", "web1 web4 web7 web10"],
    ["r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"],
    ["10.0.[0-1].[1-2]", "10.0.0.1 10.0.0.2 10.0.1.1 10.0.1.2"],
    [
      "web[1-3]-ib[0-1].x.com",
      "web1-ib0.x.com web1-ib1.x.com web2-ib0.x.com web2-ib1.x.com web3-ib0.x.com web3-ib1.x.com",
    ],
    ["web[1-5]!web3", "web1 web2 web4 web5"],
    ["web[1-5]&web[4-9]", "web4 web5"],
    ["web[1-5]^web[4-9]", "web1 web2 web3 web6 web7 web8 web9"],
    ["web[1-5]!web[2-3]&web[1-3],x", "web1 x"],
    // As Ansible writes ranges.
    ["web[01:03]", "web01 web02 web03"],
    ["web[1:9:4]", "web1 web5 web9"],
    ["rack-[a:c]", "rack-a rack-b rack-c"],
    // Addresses.
    ["10.0.0.9-11", "10.0.0.9 10.0.0.10 10.0.0.11"],
    ["10.0.0.254-1.1", "10.0.0.254 10.0.0.255 10.0.1.0 10.0.1.1"],
    ["10.0.0.255-10.0.1.0", "10.0.0.255 10.0.1.0"],
    ["10.0.0.8/30", "10.0.0.9 10.0.0.10"],
    ["10.0.0.8/31", "10.0.0.8 10.0.0.9"],
    ["10.0.0.8/32", "10.0.0.8"],
    ["fe80::1", "fe80::1"],
    ["2001:db8::[1-2]", "2001:db8::1 2001:db8::2"],
    ["255.0.10.199 300.1.1 a..b", "255.0.10.199 300.1.1 a..b"],
    // Groups, labels, everybody.
    ["@db", "db1 db2"],
    ["@*!db2", "web1 db1"],
    ["*", "web1 web2 db1"],
    ["*&os=debian", "web1"],
    ["*!os=debian", "web2 db1"],
    ["os!=debian", "db1"],
    // Each once, in the order in which they came.
    ["b,a,b,c", "b a c"],
    ["b a\n\tc,", "b a c"],
    [",a,,b", "a b"],
  ])("%s", (text, names) => {
    expect(read(text)).toEqual(names.split(" "));
  });
});

describe("what is no set says what is wrong, and where", () => {
  test.each([
    ["web[3-1]", "bad range", "3-1"],
    ["web[1-3", "missing bracket", "[1-3"],
    ["web1]", '"]" without', "]"],
    ["web[[1]]", "within a bracket", "["],
    ["web[a-c]", '"a" is no number', "a-c"],
    ["web[]", "empty range", "[]"],
    ["web[1,,2]", "empty range", ","],
    ["web[001-9999]", "padding length mismatch", "001-9999"],
    ["web[1-9/0]", "never moves on", "1-9/0"],
    ["web[1-2-3]", "is no range", "1-2-3"],
    ["web[c:a]", "ends before it begins", "c:a"],
    ["a,h$x", '"$" is in no name', "$"],
    ["a,@nosuch", 'no group or inventory "nosuch"', "@nosuch"],
    ["@empty", "matches nobody", "@empty"],
    ["os=plan9", "matches nobody", "os=plan9"],
    ["a!a", "nothing is left", "a!a"],
    ["a&b", "nothing is left", "a&b"],
    ["", "no name", ""],
    ["!a", "missing before", "!"],
    ["a&&b", "missing before", "&"],
    ["a&", "missing after", ""],
    ["10.0.0.3/29", "write 10.0.0.0/29", "10.0.0.3/29"],
    ["10.0.0.0/33", "is no network", "10.0.0.0/33"],
    ["10.0.0.300/32", "is no address", "10.0.0.300/32"],
    ["10.0.0.1-256", "is no range of addresses", "10.0.0.1-256"],
    ["10.0.0.9-3", "ends before it begins", "10.0.0.9-3"],
    ["web[1-100001]", "stands for 100,001 names, and at most 100,000", "web[1-100001]"],
    ["10.0.0.0/8", "stands for 16,777,214 names", "10.0.0.0/8"],
    ["r[1-99999]n[1-99999]s[1-99999]", "names, and at most", "r[1-99999]n[1-99999]s[1-99999]"],
    [
      "[1-999999999999999][1-999999999999999][1-999999999999999]",
      "stands for more than 9 quadrillion names, and",
      "[1-999999999999999][1-999999999999999][1-999999999999999]",
    ],
    ["web1,-v", 'no name begins with "-"', "-"],
    ["-oProxyCommand", "leave it out", "-"],
    ["a,.", "write localhost", "."],
    ["..", "is no name of a host", ".."],
    ["300.1.1.1", '"300.1.1.1" is no address', "300.1.1.1"],
    ["a 10.0.0.256", "is no address: each of its numbers is 0 to 255", "10.0.0.256"],
    ["10.0.0.[250-260]", '"10.0.0.256" is no address', "10.0.0.[250-260]"],
    ["2001:db8::/120", "networks of IPv6 are not taken", "2001:db8::/120"],
    ["a[1-60000],b[1-60000]", "stands for 120,000 names", "a[1-60000],b[1-60000]"],
    ["a[1-99999]!a[1-99999],b[1-99999]!b[1-99999],c[1-9]", "more than 400,000 names on its way", "c[1-9]"],
  ])("%s: %s", (text, message, place) => {
    const set = expandNodeSet(text, sources);
    if (set.ok) throw new Error(`read as ${set.names.slice(0, 5).join(" ")}`);
    expect(set.mistake.message).toContain(message);
    expect(text.slice(set.mistake.at, set.mistake.at + set.mistake.length)).toBe(place);
  });

  test("* where nobody is known, labels where there are none", () => {
    expect(expandNodeSet("*", { most: 10 })).toMatchObject({ ok: false });
    expect(expandNodeSet("os=debian", { most: 10 })).toMatchObject({ ok: false });
  });

  test("carets stand under it", () => {
    const set = expandNodeSet("web1,db[3-1]", sources);
    expect(set.ok ? "" : underline("web1,db[3-1]", set.mistake)).toBe("web1,db[3-1]\n        ^^^");
  });
});

describe("names folded", () => {
  test.each([
    ["web01 web02 web03 db1", "db1,web[01-03]"],
    ["web1 web02 web3", "web[1,3,02]"],
    ["web01 web02 web04 web10 web11", "web[01-02,04,10-11]"],
    ["web08 web09 web10 web11", "web[08-11]"],
    ["a b a", "a,b"],
    ["r1n1 r1n2 r2n1 r2n2", "r[1-2]n[1-2]"],
    ["r1n1 r1n2 r2n1", "r1n[1-2],r2n1"],
    ["10.0.0.1 10.0.0.2 10.0.1.1 10.0.1.2", "10.0.[0-1].[1-2]"],
    ["web1 web2 web3x", "web[1-2],web3x"],
    ["x99999999999999999998 x99999999999999999999", "x99999999999999999998,x99999999999999999999"],
    ["", ""],
  ])("%s -> %s", (names, folded) => {
    expect(foldNames(names.split(" ").filter((name) => name !== ""))).toBe(folded);
  });

  test("whatever is folded reads as the same names again", () => {
    const name = stringMatching(/^[ab](0?\d{1,2}|-\d{1,2}\.)([xy]\d{0,2})?$/);
    hold(
      property(uniqueArray(name, { minLength: 1, maxLength: 60 }), (names) => {
        expect(read(foldNames(names)).toSorted()).toEqual(names.toSorted());
      }),
      { numRuns: 500 },
    );
  });

  test("one hundred thousand names of two numbers are one block", () => {
    expect(foldNames(read("r[1-1000]n[1-100]"))).toBe("r[1-1000]n[1-100]");
  });
});

describe("what nothing that groups and labels stand for would mend", () => {
  test.each(["web[01-", "@later,web[3-1]", "@later!", "os=debian,web[1-1000000]", "10.0.0.256,@later", "a!a"])(
    "%s is told of",
    (text) => expect(lastingMistake(text, 100_000)).toBeDefined(),
  );
  test.each(["web1", "@later", "@later&@other", "*!os=debian", "web[1-3]!@later", "a!os!=debian"])(
    "%s may stand for somebody",
    (text) => expect(lastingMistake(text, 100_000)).toBeUndefined(),
  );
});
