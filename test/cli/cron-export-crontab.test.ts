import { describe, expect, test } from "bun:test";
import { toCrontab, type Written } from "../../src/cli/cron-export-crontab.ts";
import { readCrontab } from "../../src/cli/cron-import-crontab.ts";

const cron = { name: "one", cron: "0 3 * * *", overlap: "allow", missed: "skip" };

function line(schedule: Written, system = false): string {
  const { text, problems } = toCrontab([{ ...cron, job: { run: "x" }, ...schedule }], { system });
  expect(problems).toEqual([]);
  return text.split("\n").at(-2)!;
}

function wrong(...schedules: Written[]): string[] {
  return toCrontab(
    schedules.map((schedule) => ({ ...cron, job: { run: "x" }, ...schedule })),
    { system: false },
  ).problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
}

test.each([
  ["0 3 * * MON-fri", "0 3 * * MON-fri"],
  ["@daily", "@daily"],
  ["0 0 3 * * *", "0 3 * * *"],
  ["0 0 3 * * * *", "0 3 * * *"],
  ["5/15 * * * *", "5-59/15 * * * *"],
  ["0 0 */2 * +1", "0 0 */2 * 1"],
  ["0 0 */2 * 1", "0 0 1-31/2 * 1"],
  ["0 0 1 * */2", "0 0 1 * 0-6/2"],
])("%s is %s for cron", (written, time) => {
  expect(line({ cron: written })).toBe(`${time} x`);
});

test("H is the value that it has", () => {
  expect(line({ cron: "H H(2-4) * * *" })).toMatch(/^[0-5]?\d [234] \* \* \* x$/);
});

test.each([
  ["1m", "* * * * *"],
  ["5m", "*/5 * * * *"],
  ["60m", "0 * * * *"],
  ["6h", "0 */6 * * *"],
  ["1d", "0 0 * * *"],
])("every %s is %s", (every, time) => {
  const { text } = toCrontab([{ ...cron, cron: undefined, every, tz: "Asia/Tokyo", job: { run: "x" } }], {
    system: false,
  });
  expect(text).toBe(`CRON_TZ=UTC\n# skein schedule one\n${time} x\n`);
});

describe("a command", () => {
  test.each([
    [{ run: "date +%F" }, "date +\\%F"],
    [{ run: "echo '\\\\%'" }, "echo '\\\\\\%'"],
    [{ run: ["/bin/echo", "it's", "", "a b", "50%"] }, "/bin/echo 'it'\\''s' '' 'a b' '50\\%'"],
    [{ run: "x", dir: "/srv/my app" }, "cd '/srv/my app' || exit; x"],
    [{ run: "cat", stdin: "a%b\n\nc\n" }, "cat%a\\%b%%c"],
    [{ run: "cat", stdin: "no end" }, "cat%no end"],
  ])("of %j", (job, text) => {
    expect(line({ job })).toBe(`0 3 * * * ${text}`);
  });

  test("what cron makes of it is what it was", () => {
    const jobs = [
      { run: "date +%F%T" },
      { run: "printf 'a\\\\%' | cat", stdin: "100%\nof it\n" },
      { run: ["/bin/bash", "-c", "echo $BASH_VERSION"], env: { SHELL: "/bin/bash" } },
    ];
    for (const job of jobs) {
      const spec = { ...cron, name: "x", tz: "Europe/Berlin", job };
      const { text } = toCrontab([spec], { system: false });
      const [again] = readCrontab(text, { file: "crontab", system: false }).schedules;
      expect(again!.spec).toMatchObject({
        cron: "0 3 * * *",
        tz: "Europe/Berlin",
        overlap: "allow",
        missed: "skip",
        job,
      });
    }
  });

  test("variables that all have are set once, others with their command", () => {
    const jobs: Written[] = [
      { name: "a", tz: "Asia/Tokyo", description: "first\nof all", job: { run: "a", env: { PATH: "/bin", A: "1 2" } } },
      { name: "b", tz: "Asia/Tokyo", job: { run: ["/bin/bash", "-c", "b"], env: { PATH: "/bin" } } },
      { name: "c", paused: true, job: { run: "c", env: { PATH: "/bin", QUOTED: '"' } } },
    ];
    expect(
      toCrontab(
        jobs.map((job) => ({ ...cron, ...job })),
        { system: false },
      ).text,
    ).toBe(
      `PATH="/bin"

CRON_TZ=Asia/Tokyo
# skein schedule a
# first of all
0 3 * * * export A='1 2'; a

SHELL=/bin/bash
# skein schedule b
0 3 * * * b

CRON_TZ=UTC
SHELL=/bin/sh
# skein schedule c
# paused: 0 3 * * * export QUOTED='"'; c
`,
    );
  });

  test("has its user where the form has one", () => {
    expect(line({ job: { run: "x", user: "www" } }, true)).toBe("0 3 * * * www x");
    expect(toCrontab([{ ...cron, job: { run: "x" } }], { system: true }).problems[0]!.message).toContain(
      "names no user",
    );
    expect(
      toCrontab([{ ...cron, job: { run: "x", user: "www" } }], { system: false }).notes.map(({ message }) => message),
    ).toContain("goes into the crontab of user www");
    expect(wrong({ job: { run: "x", user: "a" } }, { job: { run: "x", user: "b" } })).toEqual([
      "the schedules run as different users: --system writes a field for the user",
    ]);
  });
});

test("what has no crontab form is refused by its name, all at once", () => {
  expect(
    wrong(
      { name: "a", cron: undefined, at: "2030-01-01T00:00:00Z" },
      { name: "b", cron: undefined, every: "7m" },
      { name: "c", cron: "*/10 * * * * *" },
      { name: "d", cron: "0 0 L * *" },
      { name: "e", cron: "0 0 * * MON#1" },
      { name: "f", cron: "0 0 1-7 * +MON" },
      { name: "g", job: { driver: "http", http: { url: "http://a" } } },
      { name: "h", job: undefined, template: "deploy" },
      { name: "i", job: { run: "a\nb", count: 3, env: { KEY: { secret: "k" }, TWO: "a\nb" } } },
      { name: "j", limit: 3, calendars: ["holidays"] },
      { name: "k", job: { run: "echo '\\%'", stdin: "a\\\nb" } },
    ),
  ).toEqual([
    "a: is due once (at), which has no crontab form",
    "b: every 7m divides neither an hour nor a day into minutes, so it has no crontab form",
    'c: "*/10 * * * * *" has seconds or years, which a crontab has not',
    'd: "L" of "0 0 L * *" has no crontab form',
    'e: "MON#1" of "0 0 * * MON#1" has no crontab form',
    'f: "0 0 1-7 * +MON": that day and weekday must both hold has no crontab form',
    "g: driver http has no crontab form",
    "h: runs template deploy, which has no crontab form",
    "i: job.count has no crontab form",
    "i: job.env.KEY is a secret, which a crontab would show",
    "i: job.env.TWO has several lines",
    "i: the command has several lines: put them into a script",
    "j: calendars has no crontab form",
    "j: limit has no crontab form",
    "k: standard input with a backslash before % or the end of a line cannot stand in a crontab",
    "k: a % behind a backslash cannot stand in a crontab: put the command into a script",
  ]);
});

test("what is otherwise in cron is told", () => {
  const { notes } = toCrontab(
    [
      {
        name: "a",
        cron: "@daily",
        paused: true,
        jitter: "5m",
        job: { run: "x".repeat(1000), retries: { max: 1 }, timeout: "5m", labels: { a: "b" } },
      },
    ],
    { system: false },
  );
  expect(notes.filter(({ path }) => path === "a").map(({ message }) => message)).toEqual([
    "overlap: skip is not carried over: in cron runs may overlap",
    "missed: latest is not carried over: cron makes up for nothing",
    "jitter is not carried over",
    "is paused: its line is a comment",
    "of the job retries, timeout are not carried over",
    "has 1000 characters: Debian's cron takes 999",
  ]);
});
