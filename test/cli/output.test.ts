import { describe, expect, test } from "bun:test";
import { renderTable } from "../../src/cli/table.ts";
import { cut, printable, widthOf } from "../../src/cli/text.ts";
import { Histogram } from "../../src/cli/histogram.ts";
import { Progress } from "../../src/cli/progress.ts";
import { AnswerReader } from "../../src/cli/http-load.ts";
import { PrefixedLines } from "../../src/cli/lines.ts";
import { TestSink } from "./support.ts";

const columns = [{ title: "ID", align: "right" }, { title: "NAME", shrinks: true }, { title: "STATE" }] as const;

describe("tables", () => {
  test("are aligned", () => {
    expect(
      renderTable(
        columns,
        [
          ["1", "build", "running"],
          ["10", "x", "queued"],
        ],
        0,
        false,
      ),
    ).toEqual(["ID  NAME   STATE", " 1  build  running", "10  x      queued"]);
  });

  test("fit the terminal by cutting what may shrink", () => {
    const lines = renderTable(columns, [["1", "a-very-long-name-of-a-job", "succeeded"]], 30, false);
    expect(lines.map(widthOf).every((width) => width <= 30)).toBe(true);
    expect(lines[1]).toContain("…");
    expect(lines[1]).toContain("succeeded");
  });

  test("give way in the order that their columns say, and leave out what is empty or what would cost the rest", () => {
    const ordered = [
      { title: "NAME", shrinks: "last" },
      { title: "WHEN", shrinks: true },
      { title: "ZONE", shrinks: "first" },
      { title: "LAST", leaves: 2 },
      { title: "JOB", leaves: 1 },
      { title: "FAILING", mayBeEmpty: true },
    ] as const;
    const rows = [
      ["nightly-backup", "30 2 * * MON-FRI", "Europe/Berlin", "3h ago", "12", ""],
      ["nightly-report", "every 2s", "UTC", "1s ago", "13", ""],
    ];
    const first = (width: number): string[] => renderTable(ordered, rows, width, false)[1]!.split(/ {2,}/);
    const header = (width: number): string => renderTable(ordered, rows, width, false)[0]!.replaceAll(/ +/g, " ");
    expect(header(0)).toBe("NAME WHEN ZONE LAST JOB FAILING");
    expect([header(80), first(80)]).toEqual(["NAME WHEN ZONE LAST JOB", rows[0]!.slice(0, 5)]);
    expect(first(55)).toEqual(["nightly-backup", "30 2 * * MON-FRI", "Europe/…", "3h ago", "12"]);
    expect([header(52), first(52)[2]]).toEqual(["NAME WHEN ZONE LAST", "Europe/Be…"]);
    expect([header(47), first(47)]).toEqual([
      "NAME WHEN ZONE",
      ["nightly-backup", "30 2 * * MON-FRI", "Europe/Berlin"],
    ]);
    expect(first(36)).toEqual(["nightly-backup", "30 2 * * MO…", "Europ…"]);
    expect(first(28)).toEqual(["nightly-bac…", "30 2 …", "Europ…"]);
    for (const [width, lines] of [28, 36, 47, 52, 55].map(
      (one) => [one, renderTable(ordered, rows, one, false)] as const,
    ))
      expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(width);
    expect(renderTable(ordered, [], 80, false)).toEqual(["NAME  WHEN  ZONE  LAST  JOB  FAILING"]);
  });

  test("have what does not fit beside its row below it, whole", () => {
    const noted = [{ title: "AT" }, { title: "NOTE", below: true }] as const;
    const rows = [
      ["10:00", "a long note"],
      ["11:00", ""],
    ];
    expect(renderTable(noted, rows, 18, false)).toEqual(["AT     NOTE", "10:00  a long note", "11:00"]);
    expect(renderTable(noted, rows, 17, false)).toEqual(["AT", "10:00", "  a long note", "11:00"]);
    expect(renderTable(noted, rows, 0, false)[1]).toBe("10:00  a long note");
  });

  test("count the cells of wide characters", () => {
    const lines = renderTable(
      columns,
      [
        ["1", "编译", "running"],
        ["2", "abcd", "queued"],
      ],
      0,
      false,
    );
    expect(lines.map((line) => widthOf(line.slice(0, line.search(/STATE|running|queued/))))).toEqual([10, 10, 10]);
    expect(cut("编译文档", 5)).toBe("编译…");
  });

  test("let no control character through", () => {
    expect(printable("a\u001b[31mb\nc\u009bd")).toBe("a [31mb c d");
  });
});

describe("lines of several tasks", () => {
  test("are whole, prefixed, and byte for byte", () => {
    const sink = new TestSink(false, 0);
    const lines = new PrefixedLines(sink, "web1");
    lines.write(Buffer.from("one\ntw"));
    lines.write(Buffer.from([0x6f, 0xff, 0x0a]));
    lines.write(Buffer.from("no newline"));
    lines.end();
    const expected = [
      Buffer.from("web1| one\nweb1| two"),
      Buffer.from([0xff, 0x0a]),
      Buffer.from("web1| no newline\n"),
    ];
    expect(Buffer.concat(sink.bytes)).toEqual(Buffer.concat(expected));
  });

  test("that never end are written in parts", () => {
    const sink = new TestSink(false, 0);
    const lines = new PrefixedLines(sink, "0");
    for (let part = 0; part < 40; part++) lines.write(new Uint8Array(4096).fill(120));
    expect(sink.bytes.length).toBeGreaterThan(1);
  });
});

describe("progress", () => {
  test("without a terminal is a line at every tenth", () => {
    const sink = new TestSink(false, 0);
    const progress = new Progress(sink, "job 1", true);
    for (let done = 0; done <= 100; done++) progress.show({ done, total: 100, failed: 0, running: 0 });
    expect(sink.text.trim().split("\n")).toHaveLength(11);
  });

  test("on a terminal is redrawn and cleared", () => {
    const sink = new TestSink(true, 80);
    const progress = new Progress(sink, "job 1", false);
    progress.show({ done: 5, total: 10, failed: 1, running: 2 });
    progress.hide();
    expect(sink.text).toContain("5/10 done, 1 failed, 2 running");
    expect(sink.text.endsWith("\r\u001b[K")).toBe(true);
  });
});

test("percentiles are within one percent", () => {
  const histogram = new Histogram();
  for (let value = 1; value <= 10_000; value++) histogram.add(value / 100);
  for (const share of [0.5, 0.9, 0.99]) {
    expect(Math.abs(histogram.percentile(share) / (share * 100) - 1)).toBeLessThan(0.011);
  }
  expect([histogram.percentile(1), histogram.maxMs, histogram.count]).toEqual([100, 100, 10_000]);
  expect(new Histogram().percentile(0.5)).toBe(0);
});

describe("answers on a connection", () => {
  const answer = 'HTTP/1.1 201 Created\r\nContent-Length: 8\r\nskein-node: 1\r\n\r\n{"id":1}';
  const chunked = 'HTTP/1.1 429 x\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{"id":1}\r\n0\r\n\r\n';

  test.each([
    [answer, 201],
    [chunked, 429],
    ["HTTP/1.1 204 x\r\n\r\n", 204],
  ])("%p, cut at every place", (text, status) => {
    for (let at = 1; at < text.length; at++) {
      const reader = new AnswerReader();
      expect(reader.feed(Buffer.from(text.slice(0, at)))).toBeUndefined();
      expect(reader.feed(Buffer.from(text.slice(at)))).toBe(status);
      expect(reader.feed(Buffer.from(answer))).toBe(201);
    }
  });
});
