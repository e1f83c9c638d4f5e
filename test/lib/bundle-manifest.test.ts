import { describe, expect, test } from "bun:test";
import {
  type BundleEntry,
  manifestOf,
  parseManifest,
  readEntries,
  writtenEntries,
} from "../../src/lib/bundle-manifest.ts";
import { uploadHead, uploadPieces } from "../../src/lib/bundle-upload.ts";
import { sha256Of } from "../../src/lib/digest.ts";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";

const file = (path: string, text = path, mode = 0o644): BundleEntry => ({
  kind: "file",
  path,
  mode,
  size: text.length,
  sha256: sha256Of(text),
});
const link = (path: string, target: string): BundleEntry => ({ kind: "link", path, target });

/** What is wrong with a tree of these entries, by path. */
function problems(...entries: BundleEntry[]): Record<string, string> {
  const read = manifestOf(entries);
  return Object.fromEntries(read.ok ? [] : read.problems.map(({ path, message }) => [path, message]));
}

describe("a manifest", () => {
  test("is the same text, and has the same digest, in whatever order its tree was read", () => {
    const entries = [file("b/x"), file("a"), link("l", "b/x"), { kind: "directory", path: "e", mode: 0o700 } as const];
    const [one, other] = [manifestOf(entries), manifestOf(entries.toReversed())];
    expect(one.ok && other.ok && one.manifest.digest === other.manifest.digest).toBe(true);
    if (!one.ok) throw new Error("it is a bundle");
    const { manifest } = one;
    expect([manifest.files, manifest.bytes]).toEqual([2, 4]);
    expect(parseManifest(manifest.text, manifest.digest)?.entries).toEqual(manifest.entries);
    expect(parseManifest(manifest.text.replace("644", "755"), manifest.digest)).toBeUndefined();
    // Any difference of what a task would see is another bundle.
    const run = manifestOf([...entries.slice(1), file("b/x", "b/x", 0o755)]);
    expect(run.ok && run.manifest.digest !== manifest.digest).toBe(true);
  });

  test("has every problem told at once, each at its path", () => {
    expect(
      problems(
        file("../etc/passwd"),
        file("/etc/shadow"),
        file("a//b"),
        file("a/./b"),
        file("nul\0"),
        file("s/uid", "x", 0o4755),
        file("l/under"),
        link("l", "there"),
        link("absolute", "/etc"),
        link("nothing", ""),
        file("twice"),
        file("twice"),
      ),
    ).toEqual({
      "../etc/passwd": "leads out of the bundle (..)",
      "/etc/shadow": "is an absolute path: paths are relative to the bundle",
      "a//b": "has an empty part",
      "a/./b": "has an empty part",
      "nul\0": "has a name that is not text in UTF-8",
      "s/uid": "has permissions beyond reading, writing and executing (setuid, setgid, sticky), or none at all",
      "l/under": "lies below l, which is a link",
      absolute: "is a link to /etc: an absolute path is not in the bundle",
      nothing: "is a link to nothing",
      twice: "is there twice",
    });
  });

  test("holds links that stay inside, and none that leads out, by whatever way", () => {
    expect(problems(file("a/b/f"), link("a/up", "../x/f"), link("x", "a/b"), link("deep", "a/b/../b/f"))).toEqual({});
    expect(problems(link("dangling", "not/there"), link("same", "."))).toEqual({});
    const out = (target: string): string => `is a link to ${target}, which leads out of the bundle`;
    expect(problems(link("a", ".."), link("d/b", "../../x"))).toEqual({ a: out(".."), "d/b": out("../../x") });
    // The text stays inside, and what it leads to by another link does not.
    expect(problems(file("p/q/f"), link("p/q/s", "../.."), link("t", "p/q/s/.."))).toEqual({ t: out("p/q/s/..") });
    const round = (target: string): string => `is a link to ${target}, which leads round in a circle`;
    expect(problems(link("a", "b"), link("b", "a"))).toEqual({ a: round("b"), b: round("a") });
  });

  test("is bounded", () => {
    expect(problems({ ...file("big"), size: limits.bundleFileBytes + 1 } as BundleEntry)).toEqual({
      big: "is larger than 2GiB: it has 2.0GiB",
    });
    const many = [1, 2, 3].map((number) => ({ ...file(`f${number}`), size: limits.bundleFileBytes }) as BundleEntry);
    expect(problems(...many)).toEqual({ entries: "files of 6GiB together: at most 4GiB" });
    expect(problems(file("x".repeat(256)))).toEqual({ ["x".repeat(256)]: "has a part of more than 255 bytes" });
    const read = atOnce(readEntries(Array.from({ length: limits.bundleEntries + 1 }, (_, at) => [`d${at}`, "755"])));
    expect(read.ok ? [] : read.problems[0]?.message).toContain(`at most ${limits.bundleEntries}`);
  });

  test.each([
    [undefined],
    ["x"],
    [[1]],
    [[["a"]]],
    [[["a", "8"]]],
    [[["a", "644", -1, "x"]]],
    [[["a", "644", 1, "x"]]],
  ])("%j is none", (written) => {
    expect(atOnce(readEntries(written)).ok).toBe(false);
  });

  test("is written as it is read", () => {
    const entries = [file("a"), link("b", "a"), { kind: "directory", path: "c", mode: 0o755 } as const];
    expect(writtenEntries(entries)).toEqual([
      ["a", "644", 1, sha256Of("a")],
      ["b", 0, "a"],
      ["c", "755"],
    ]);
  });
});

describe("files on their way", () => {
  const piece = (text: string) => ({ sha256: sha256Of(text), size: text.length, offset: 0, bytes: Buffer.from(text) });
  const sent = (...pieces: ReturnType<typeof piece>[]): Uint8Array =>
    Buffer.concat(pieces.flatMap((one) => [uploadHead(one), one.bytes]));

  test("arrive as they were sent", () => {
    const pieces = [piece("one"), piece(""), piece("three")];
    const read = uploadPieces(sent(...pieces)).map(({ bytes, ...rest }) => ({ ...rest, bytes: Buffer.from(bytes) }));
    expect(read).toEqual(pieces);
  });

  test("that are cut short, or say of themselves what cannot be, are none", () => {
    const whole = sent(piece("one"), piece("two"));
    for (const length of [10, whole.length - 1])
      expect(() => uploadPieces(whole.subarray(0, length))).toThrow("it ends within");
    expect(() => uploadPieces(sent({ ...piece("one"), size: 10 }))).toThrow("a small file is not all there");
    expect(() => uploadPieces(sent({ ...piece("one"), offset: 5 }))).toThrow("makes no sense");
  });
});
