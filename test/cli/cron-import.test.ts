import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parse } from "yaml";
import { checkImport } from "../../src/cli/cron-import-check.ts";
import { guessImportFormat, importFormats, readImport } from "../../src/cli/cron-import-format.ts";
import { scheduleInput } from "../../src/state/commands/schedule-schema.ts";
import { cli, ScratchDir, ServedMesh, TestIo } from "./support.ts";

const nowhere = { SKEIN_ADDR: "http://127.0.0.1:1" };

test.each([
  ["# comment\n*/5 * * * * x\n", "crontab", "crontab"],
  ["MAILTO=root\n@daily x\n", "stdin", "crontab"],
  ["apiVersion: batch/v1\nkind: CronJob\n", "stdin", "kubernetes"],
  ["a: b\n", "jobs.yml", "kubernetes"],
  ['{"kind": "List", "apiVersion": "v1"}', "stdin", "kubernetes"],
  ['[{"name": "a", "schedule": "@daily"}]', "stdin", "dkron"],
  ["nothing", "backup.json", "dkron"],
  ["", "/etc/cron.d/x", "crontab"],
] as const)("%j in %s is read as %s", (text, file, format) => {
  expect(guessImportFormat(text, file)).toBe(format);
});

describe("a dry run", () => {
  test("prints schedules that the API takes, and says what is otherwise on standard error", async () => {
    using scratch = new ScratchDir();
    const file = scratch.write(
      "crontab",
      "MAILTO=root\n# Every night\n0~59 3 * * * /usr/bin/backup --all%yes\n@reboot x\n",
    );
    const refused = await cli(["cron", "import", file, "--dry-run"], nowhere);
    expect(refused).toMatchObject({ code: 2, out: "" });
    expect(refused.err).toContain(`nothing was set: ${file} has a problem (read as crontab)\n  ${file}:4: @reboot`);
    const io = new TestIo({ stdin: "MAILTO=root\n# Every night\n0~59 3 * * * /usr/bin/backup --all%yes\n" });
    const { code, out, err } = await cli(
      ["cron", "import", "-", "--dry-run", "--tz", "Asia/Tokyo", "--prefix", "web-"],
      nowhere,
      io,
    );
    expect(code).toBe(0);
    expect(parse(out)).toEqual({
      schedules: [
        {
          name: "web-backup",
          description: "Every night",
          cron: "H(0-59) 3 * * *",
          tz: "Asia/Tokyo",
          overlap: "allow",
          missed: "skip",
          job: { run: "/usr/bin/backup --all", stdin: "yes\n" },
        },
      ],
    });
    for (const schedule of (parse(out) as { schedules: unknown[] }).schedules)
      expect(scheduleInput.safeParse(schedule).success).toBe(true);
    expect(err).toMatch(
      /^NAME +WHEN +ZONE +RUNS +FROM\nweb-backup +H\(0-59\) 3 \* \* \* +Asia\/Tokyo +\/usr\/bin\/backup --all +stdin:3\n/,
    );
    expect(err).toContain("what is otherwise than it was:\n");
    expect(err).toContain("  stdin:1: MAILTO=root: nobody is mailed");
  });

  test("in JSON has the notes as well; quiet has the names alone", async () => {
    const say = (...words: string[]) =>
      cli(["cron", "import", "-", "--dry-run", ...words], nowhere, new TestIo({ stdin: "@daily a\n@daily a\n" }));
    const json = JSON.parse((await say("-o", "json")).out) as { schedules: { name: string }[]; notes: unknown[] };
    const [first, second] = json.schedules.map(({ name }) => name);
    expect(first).toMatch(/^a-[0-9a-f]{8}$/);
    expect(second).toBe(`${first}-2`);
    expect(json.notes.length).toBeGreaterThan(0);
    expect(await say("-o", "quiet")).toEqual({ code: 0, out: `${first}\n${second}\n`, err: "" });
  });

  test("says the same of many lines once", async () => {
    const io = new TestIo({ stdin: "~ * * * * a\n".repeat(7) });
    const { err } = await cli(["cron", "import", "-", "--dry-run"], nowhere, io);
    expect(err).toContain("  stdin:1, stdin:2, stdin:3 and 4 more: ~ becomes H");
  });
});

describe("an import", () => {
  const twice = "@daily backup\n@hourly report\n";
  const run = (served: ServedMesh, stdin: string, ...words: string[]) =>
    cli(["cron", "import", "-", ...words], served.env, new TestIo({ stdin }));

  test("sets all; what is there already is changed with --replace alone", async () => {
    using served = new ServedMesh();
    expect(await run(served, twice)).toMatchObject({ code: 0, out: "2 schedules were set\n" });
    const again = await run(served, twice);
    expect(again).toMatchObject({ code: 6, out: "" });
    expect(again.err).toContain("nothing was set: ");
    expect(again.err).toContain(
      "  stdin:1: name: there is a schedule backup already\n  stdin:2: name: there is a schedule report already",
    );
    expect((await run(served, twice, "--replace")).out).toBe("0 schedules were set, 2 as before\n");
    const changed = await run(served, "@daily backup\n@hourly report --all\n", "--replace", "-o", "json");
    expect((JSON.parse(changed.out) as { schedules: object[] }).schedules).toMatchObject([
      { name: "backup", changed: false },
      { name: "report", changed: true },
    ]);
    expect((await run(served, "@daily other\n", "-o", "quiet")).out).toBe("other\n");
  });

  test("goes by what the source says of a pause, and tells what stays paused", async () => {
    using served = new ServedMesh();
    const paused = async (name: string): Promise<unknown> =>
      (JSON.parse((await cli(["cron", "show", name, "-o", "json"], served.env)).out) as { paused: boolean }).paused;
    const job = { containers: [{ name: "x", image: "x", command: ["x"] }] };
    const spec = { schedule: "@daily", jobTemplate: { spec: { template: { spec: job } } } };
    const cronJob = (suspend: object): string =>
      JSON.stringify({
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: { name: "k" },
        spec: { ...spec, ...suspend },
      });
    const dkron = (disabled: object): string =>
      JSON.stringify({
        name: "d",
        schedule: "@daily",
        executor: "shell",
        executor_config: { command: "x" },
        ...disabled,
      });
    for (const [name, text, key] of [
      ["k", cronJob, "suspend"],
      ["d", dkron, "disabled"],
    ] as const) {
      expect((await run(served, text({ [key]: true }))).code).toBe(0);
      expect(await paused(name)).toBe(true);
      const silent = await run(served, text({}), "--replace");
      expect(silent.out).toBe("0 schedules were set, 1 as before\n");
      expect(silent.err).toContain(`${name} is paused here, and stays so, since the file says nothing of it`);
      expect(await paused(name)).toBe(true);
      const on = await run(served, text({ [key]: false }), "--replace");
      expect(on.out).toBe("1 schedule was set\n");
      expect(on.err).toContain(`${name} was paused here, and goes on: the file says so`);
      expect(await paused(name)).toBe(false);
      const again = await run(served, text({ [key]: false }), "--replace", "-o", "json");
      expect(again.err).not.toContain("paused");
    }
    await run(served, "@daily c\n");
    await cli(["cron", "pause", "c"], served.env);
    const told = JSON.parse((await run(served, "@daily c\n", "--replace", "-o", "json")).out) as { notes: object[] };
    expect(told.notes).toContainEqual({ path: "stdin:1", message: expect.stringContaining("cron resume c") });
  });

  test("sets nothing where the mesh lacks what one of them needs, and says where that stands", async () => {
    using served = new ServedMesh();
    const env = [{ name: "KEY", valueFrom: { secretKeyRef: { name: "pg", key: "password" } } }];
    const container = { name: "x", image: "x", command: ["x"], env };
    const job = (name: string, more: object) => ({
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name },
      spec: {
        schedule: "@daily",
        jobTemplate: { spec: { template: { spec: { containers: [{ ...container, ...more }] } } } },
      },
    });
    const text = [job("a", { env: [] }), job("b", {})].map((one) => JSON.stringify(one)).join("\n---\n");
    const told = await run(served, text);
    expect(told).toMatchObject({ code: 2, out: "" });
    expect(told.err).toContain("  stdin:3: job.env.KEY: there is no secret pg.password: set it first");
    expect((await run(served, "@daily a\n")).code).toBe(0);
  });

  test("of more than go into one request is made in several", async () => {
    using served = new ServedMesh();
    expect((await run(served, "@daily x\n".repeat(1001))).out).toBe("1001 schedules were set\n");
    const told = await run(served, `${Array.from({ length: 1000 }, (_, at) => `@daily y${at}\n`).join("")}@daily x\n`);
    expect(told.code).toBe(6);
    expect(told.err).toContain("1000 schedules were set before this: ");
    expect(told.err).toContain("  stdin:1001: name: there is a schedule x-");
  });
});

describe("what cannot be imported", () => {
  const refused = async (stdin: string | Uint8Array, ...words: string[]): Promise<string> => {
    const ran = await cli(["cron", "import", "-", "--dry-run", ...words], nowhere, new TestIo({ stdin }));
    expect({ code: ran.code, out: ran.out }).toEqual({ code: 2, out: "" });
    return ran.err;
  };

  test("mistakes of the file and of what it would make are told together", async () => {
    const told = await refused(
      "61 * * * * a\n0 0 30 2 * b\nCRON_TZ=Mars/Olympus\n0 1 * * * c\nCRON_TZ=UTC\n0 1 * * d\n0 1 * * ? e\n2bad=x\n",
    );
    expect(told).toContain("nothing was set: stdin has 6 problems (read as crontab)");
    for (const line of [
      "stdin:1: cron: minute 61 is not from 0 to 59",
      "stdin:2: cron: the 30th of February does not exist",
      "stdin:4: tz: ",
      "stdin:6: the command is missing",
      "stdin:7: cron: weekday ",
      'stdin:8: "2bad" is not a variable',
    ])
      expect(told).toContain(line);
  });

  test("empty and binary files, and too many mistakes to read", async () => {
    expect(await refused("")).toContain("stdin: holds no schedule (read as crontab)");
    expect(await refused("# only a comment\n")).toContain("holds no schedule");
    expect(await refused("", "--format", "dkron")).toContain("stdin: is empty");
    expect(await refused("0 1 * * * a\n\u0000\u0001\n")).toContain("stdin:2: holds a control character");
    expect(await refused(Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, 0xff, 0xfe]))).toContain("stdin is not UTF-8 text");
    const many = await refused("x\n".repeat(500_000));
    expect(many).toContain("and 499900 more");
    expect(many.split("\n").length).toBeLessThan(110);
  });

  test("flags are told all at once, and the file's own mistakes in the order of its lines", async () => {
    const words = ["--overlap", "foo", "--missed", "bar", "--tz", "nope", "--on", "==", "--source", "a b"];
    const told = await refused("0 1 * * d\n61 * * * * a\n0 1 * * ? e\n0 1 * *\n", ...words);
    expect(told.split("\n").map((line) => /^ {2}(--\w+|stdin:\d+):/.exec(line)?.[1])).toEqual([
      undefined,
      "--source",
      "--overlap",
      "--missed",
      "--tz",
      "--on",
      "stdin:1",
      "stdin:2",
      "stdin:3",
      "stdin:4",
      undefined,
    ]);
    expect(told).toStartWith("skein: nothing was set: 5 flags are wrong, and the file as well\n");
    const format = await refused("x\n", "--format", "toml", "--missed", "never");
    expect(format).toContain("2 flags are wrong\n");
  });

  test("flags that do not go together, or are wrong", async () => {
    expect(await refused('[{"name":"a"}]', "--system")).toContain("--system: is of crontabs");
    expect(await refused("@daily x\n", "--on", "a b")).toContain("--on: ");
    expect(await refused("@daily x\n", "--overlap", "never")).toContain("--overlap");
    expect(await refused("@daily x\n", "--missed", "never")).toContain("--missed");
    expect(await refused("@daily x\n", "--format", "toml")).toContain("--format");
    expect(await refused("@daily x\n", "--prefix", "-")).toContain("stdin:1: name: ");
    expect(await refused("@daily x\n", "--tz", "Mars")).toContain("--tz: ");
  });
});

test("whatever a file holds, it is read or refused with places", () => {
  const word = fc.constantFrom(
    ..."* */5 0~9 ~ H 7 @daily @every 5m MON root % \\% \\ \" ' = A= CRON_TZ=Asia/Tokyo SHELL=/bin/bash HOME= RANDOM_DELAY=5 # | && cd sh -c x".split(
      " ",
    ),
    "\n",
    "\n",
    "é",
  );
  const lines = fc.array(word, { maxLength: 60 }).map((words) => words.join(" ").replaceAll(" \n ", "\n"));
  const keys =
    "kind apiVersion metadata name namespace labels spec schedule timeZone jobTemplate template containers env value valueFrom secretKeyRef command args items executor executor_config tags shell headers url backoffLimit completions startingDeadlineSeconds".split(
      " ",
    );
  const leaf = fc.oneof(
    fc.constantFrom("CronJob", "batch/v1", "@daily", "0 0 * * *", "a:1", "shell", "http", "x"),
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: "large" },
      leaf,
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...keys), tie("tree"), { maxKeys: 8 }),
    ),
  }));
  const text = fc.oneof(
    lines,
    fc.string({ unit: "binary" }),
    tree.map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(...importFormats), (given, format) => {
      const { schedules, problems } = readImport(given, format, { file: "f" });
      for (const { path } of [...problems, ...checkImport(schedules)]) expect(path).toStartWith("f");
      expect(schedules.length + problems.length).toBeGreaterThanOrEqual(format === "crontab" ? 0 : 1);
    }),
    { numRuns: 2000 },
  );
}, 60_000);
