import { expect, test } from "bun:test";
import { isUnreachable } from "../../src/lib/unreachable.ts";
import { type AnsibleEvent, EventReader, HostBook } from "../../src/executor/guard/ansible-events.ts";
import { unreachedByAnsible } from "../../src/executor/guard/ssh-words.ts";

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

test("of a host that could not be reached the reason is what a warning of ssh comes to, and what to do: the warning alone is longer", async () => {
  const reasonOf = (msg: string): string | undefined => {
    const book = new HostBook();
    book.note({ event: "unreachable", host: "a", name: "t", changed: false, msg }, 0);
    return book.certain("")?.reason;
  };
  const line = "@".repeat(59);
  const changed = [
    `Failed to connect to the host via ssh: ${line}`,
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
    line,
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!",
    "Someone could be eavesdropping on you right now (man-in-the-middle attack)!",
    "It is also possible that a host key has just been changed.",
    "The fingerprint for the ED25519 key sent by the remote host is",
    "SHA256:8q0VbSo9bQk4Pz7Sk8VnXn0mO2r6fF3dJr4B3n9oJ2E.",
    "Please contact your system administrator.",
    "Add correct host key in /root/.ssh/known_hosts to get rid of this message.",
    "Offending ED25519 key in /root/.ssh/known_hosts:7",
    "Host key for web1 has changed and you have requested strict checking.",
    "Host key verification failed.",
  ].join("\r\n");
  const reason = reasonOf(changed)!;
  expect(reason).toBe(
    "unreachable: Failed to connect to the host via ssh: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; " +
      "Offending ED25519 key in /root/.ssh/known_hosts:7; " +
      "Host key for web1 has changed and you have requested strict checking.; Host key verification failed.",
  );
  const ssh = { argv: [], files: [], word: "w", connectMs: 1, kill: { argv: [], stdin: "" } };
  expect(await unreachedByAnsible(reason, ssh)).toBe(
    "unreachable: Host key verification failed. " +
      "(its key is another one than the one that was known: if that is right, take the old one out of known_hosts)",
  );
});
