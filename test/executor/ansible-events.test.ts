import { expect, test } from "bun:test";
import { isUnreachable } from "../../src/lib/unreachable.ts";
import { type AnsibleEvent, EventReader, HostBook } from "../../src/executor/guard/ansible-events.ts";

const failed = { event: "failed", host: "a", name: "t", changed: false, ignored: false, rescuable: false } as const;

test("events are read from pieces of any size; what is none, or too long, takes no other with it", () => {
  const lines = [
    '{"event":"open","ansible":"2"}',
    "{no event",
    '"text"',
    `{"event":"play","name":"${"x".repeat(500)}"}`,
  ];
  const bytes = Buffer.from(`${lines.join("\n")}\n{"event":"none"}\n{"event":"pl`);
  for (const size of [1, 7, 64, bytes.length]) {
    const reader = new EventReader(200);
    const events: AnsibleEvent[] = [];
    for (let at = 0; at < bytes.length; at += size) events.push(...reader.push(bytes.subarray(at, at + size)));
    expect(events.map(({ event }) => event)).toEqual(["open", "none"]);
  }
});

test("a failure that may be rescued is none before the recap is there; another one is", () => {
  const rescuable = new HostBook();
  rescuable.note({ ...failed, rescuable: true }, 0);
  expect(rescuable.certain("")).toBeUndefined();
  rescuable.recap({ ok: 1, changed: 0, unreachable: 0, failures: 0, skipped: 0, rescued: 1, ignored: 0 });
  expect(rescuable.recapped("")).toMatchObject({ state: "succeeded" });
  const final = new HostBook();
  final.note({ ...failed, rc: 2, msg: "no\n good" }, 0);
  expect(final.certain("")).toEqual({ state: "failed", exitCode: 2, reason: '"t" failed with code 2: no; good' });
  const ignored = new HostBook();
  ignored.note({ ...failed, ignored: true }, 0);
  expect(ignored.certain("")).toBeUndefined();
});

test("a task that people have called unreachable, and that failed, is no host that could not be reached", () => {
  const named = new HostBook();
  named.note({ ...failed, name: "unreachable: x", msg: "unreachable: no" }, 0);
  expect(isUnreachable(named.certain("")!)).toBe(false);
  const away = new HostBook();
  away.note({ event: "unreachable", host: "a", name: "t", changed: false, msg: "no route" }, 0);
  expect(isUnreachable(away.certain("")!)).toBe(true);
});

test("a host that the recap does not name has no verdict, whatever its events were", () => {
  const book = new HostBook();
  book.note({ event: "ok", host: "a", name: "t", changed: true }, 0);
  book.recap(undefined);
  expect(book.recapped("")).toBeUndefined();
});
