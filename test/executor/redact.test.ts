import { describe, expect, test } from "bun:test";
import { Redactor } from "../../src/executor/redact.ts";
import { seededRandom } from "../../src/lib/prng.ts";

const text = (pieces: readonly Uint8Array[]): string => Buffer.concat(pieces).toString();

/** What comes out when `output` comes in pieces that end at these places. */
function redacted(values: readonly string[], output: string, cuts: readonly number[] = []): string {
  const redactor = new Redactor(values);
  const bytes = Buffer.from(output);
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    // As the streams give them: the memory may be used again for the next piece.
    const piece = Buffer.from(bytes.subarray(from, to));
    pieces.push(Buffer.from(redactor.push(piece)));
    piece.fill(0);
    from = to;
  }
  return text([...pieces, redactor.end()]);
}

describe("a value in the output", () => {
  test("is replaced wherever the output is cut", () => {
    const output = "the password is hunter2! and again hunter2!hunter2! end";
    const whole = redacted(["hunter2!"], output);
    expect(whole).toBe("the password is *** and again ****** end");
    for (let cut = 0; cut <= output.length; cut++)
      expect([cut, redacted(["hunter2!"], output, [cut])]).toEqual([cut, whole]);
    const every = Array.from({ length: output.length }, (_, at) => at);
    expect(redacted(["hunter2!"], output, every)).toBe(whole);
  });

  test("is not shown in part when its writer was cut short, and what only looks like its beginning is", () => {
    expect(redacted(["hunter2!"], "password: hunte")).toBe("password: ***");
    expect(redacted(["hunter2!"], "a hunt")).toBe("a ***");
    expect(redacted(["hunter2!"], "password: hu")).toBe("password: hu");
    expect(redacted(["hunter2!"], "hunting and hunters")).toBe("hunting and hunters");
  });

  test("that overlaps another one hides both whole", () => {
    expect(redacted(["abcdef", "defghi"], "xabcdefghix")).toBe("x***x");
    for (let cut = 0; cut <= 11; cut++) expect(redacted(["abcdef", "defghi"], "xabcdefghix", [cut])).toBe("x***x");
    expect(redacted(["aaaa"], "aaaaaaaaab")).toBe("***b");
  });

  test("is known as it is written in JSON, in a URL and in base64, and by its lines", () => {
    expect(redacted(['pass"word'], '{"key": "pass\\"word"}')).toBe('{"key": "***"}');
    expect(redacted(["pass word"], "https://x/?p=pass%20word&q")).toBe("https://x/?p=***&q");
    expect(redacted(["password"], `Basic ${Buffer.from("password").toString("base64")}`)).toBe("Basic ***=");
    expect(redacted(["first line 1\nsecond line 2\nx\n"], "first line 1\r\n  second line 2\nx\n")).toBe(
      "***\r\n  ***\nx\n",
    );
  });

  test("as a naive search of the whole output finds it, for any values and any cuts", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const random = seededRandom(seed);
      const word = (length: number): string => Array.from({ length }, () => "abc"[Math.floor(random() * 3)]!).join("");
      // Letters that are the same in all forms but base64, which has no lower-case word of these three.
      const values = Array.from({ length: 1 + Math.floor(random() * 3) }, () => word(4 + Math.floor(random() * 5)));
      const output = word(Math.floor(random() * 120));
      const cuts = Array.from({ length: Math.floor(random() * 6) }, () => Math.floor(random() * (output.length + 1)));
      const hidden = Array.from({ length: output.length }, () => false);
      for (const value of values)
        for (let at = output.indexOf(value); at >= 0; at = output.indexOf(value, at + 1))
          hidden.fill(true, at, at + value.length);
      // The end, as far as it may be the beginning of a value, is hidden or shown by its length: it is left out of the comparison.
      const model = Array.from(output)
        .map((letter, at) => (hidden[at] ? (hidden[at - 1] ? "" : "***") : letter))
        .join("");
      const real = redacted(
        values,
        `${output}|`,
        cuts.toSorted((a, b) => a - b),
      );
      // Values that touch without overlapping are one `***` in both.
      expect([seed, real.replaceAll(/(\*\*\*)+/g, "***")]).toEqual([seed, `${model}|`.replaceAll(/(\*\*\*)+/g, "***")]);
    }
  });
});
