import { describe, expect, test } from "bun:test";
import { checkImport } from "../../src/cli/cron-import-check.ts";
import { readDkron } from "../../src/cli/cron-import-dkron.ts";
import type { ImportOptions, ImportRead, WrittenSchedule } from "../../src/cli/cron-import-types.ts";

/** Reads a file that has no problems. */
function read(value: unknown, options: Partial<ImportOptions> = {}): ImportRead {
  const found = readDkron(JSON.stringify(value), { file: "jobs.json", ...options });
  expect([...found.problems, ...checkImport(found.schedules)]).toEqual([]);
  return found;
}

const plain = {
  name: "one",
  schedule: "0 0 3 * * *",
  tags: { site: "a:1" },
  executor: "shell",
  executor_config: { command: "true" },
} as const;

function one(more: object, options: Partial<ImportOptions> = {}): WrittenSchedule {
  return read({ ...plain, ...more }, options).schedules[0]!.spec;
}

function said({ notes }: ImportRead): string {
  return notes.map(({ path, message }) => `${path}: ${message}`).join("\n");
}

function wrong(value: unknown): string[] {
  const found = readDkron(typeof value === "string" ? value : JSON.stringify(value), { file: "jobs.json" });
  return [...found.problems, ...checkImport(found.schedules)].map(({ path, message }) => `${path}: ${message}`);
}

describe("a job", () => {
  test("as Dkron's API gives it", () => {
    const found = read([
      {
        id: "nightly_dump",
        name: "nightly_dump",
        displayname: "Nightly dump",
        timezone: "Europe/Berlin",
        schedule: "0 ~ 2-4 * * MON-FRI",
        owner: "Data",
        owner_email: "data@example.com",
        success_count: 320,
        error_count: 2,
        last_success: "2026-01-07T02:30:01Z",
        last_error: null,
        disabled: true,
        tags: { role: "web:2", dc: "north" },
        metadata: { team: "data", "not a label": "x" },
        retries: 5,
        dependent_jobs: ["later"],
        parent_job: "",
        processors: { files: { log_dir: "/var/log", forward: "true" } },
        concurrency: "forbid",
        executor: "shell",
        executor_config: {
          command: "pg_dump -U postgres shop | gzip > /backups/$(date +%F).gz # $ENV_JOB_NAME",
          shell: "true",
          env: "PGPASSWORD=a=b,LEVEL=info",
          cwd: "/opt/backups",
          timeout: "1h30m",
          mem_limit: "512MB",
          su: "postgres:dba",
          payload: Buffer.from("hello\n").toString("base64"),
        },
        status: "success",
        next: "2026-01-08T02:17:00Z",
        ephemeral: false,
        starts_at: "2026-01-01T00:00:00Z",
        expires_at: "2027-01-01T00:00:00Z",
      },
    ]);
    expect(found.schedules).toEqual([
      {
        where: "jobs.json: [0]",
        spec: {
          name: "nightly_dump",
          description: "Nightly dump",
          cron: "0 H 2-4 * * MON-FRI",
          tz: "Europe/Berlin",
          overlap: "skip",
          missed: "skip",
          paused: true,
          owner: "Data <data@example.com>",
          labels: { team: "data" },
          start: "2026-01-01T00:00:00Z",
          end: "2027-01-01T00:00:00Z",
          job: {
            run: "pg_dump -U postgres shop | gzip > /backups/$(date +%F).gz # $ENV_JOB_NAME",
            env: { PGPASSWORD: "a=b", LEVEL: "info", ENV_JOB_NAME: "nightly_dump" },
            dir: "/opt/backups",
            timeout: "1h30m",
            limits: { memory: "512MiB" },
            user: "postgres",
            stdin: "hello\n",
            on: "role=web,dc=north",
            count: 2,
            retries: { max: 5 },
          },
        },
      },
    ]);
    for (const line of [
      "[0].metadata: not a label: cannot be a label here: left out",
      "[0].processors: files: what a run prints is kept by the mesh",
      "[0].executor_config.su: group dba",
      "[0].tags: 2 tasks, of which a node may get several: Dkron takes 2 nodes",
      "[0].tags: nodes are to have the label role=web",
      "[0].schedule: ~ becomes H",
      "jobs.json: as Dkron does it, what was missed is not made up for",
    ])
      expect(said(found)).toContain(line);
  });

  test.each([
    [{ schedule: "@every 10s" }, { every: "10s" }],
    [{ schedule: "@at 2030-12-31T23:59:00Z" }, { at: "2030-12-31T23:59:00Z" }],
    [{ schedule: "@minutely" }, { cron: "* * * * *" }],
    [{ schedule: "@daily" }, { cron: "@daily" }],
    [{ schedule: "TZ=Asia/Tokyo 0 30 * * * ?" }, { cron: "0 30 * * * *", tz: "Asia/Tokyo" }],
    [{ schedule: "0 ~/15 ~ * * *" }, { cron: "0 H/15 H * * *" }],
    [{ timezone: "" }, { cron: "0 0 3 * * *" }],
    [{ concurrency: "allow" }, { overlap: "allow" }],
    [{ ephemeral: true }, { limit: 1 }],
    [{ owner: "x" }, { owner: "x" }],
    [{ starts_at: "0001-01-01T00:00:00Z" }, {}],
  ])("with %j", (more, made) => {
    const { job: _job, ...spec } = one(more);
    const usual = {
      name: "one",
      overlap: "allow",
      missed: "skip",
      ...("every" in made || "at" in made ? {} : { cron: "0 0 3 * * *" }),
    };
    expect(spec as unknown).toEqual({ ...usual, ...made });
  });

  test("takes the zone that is said where it names none", () => {
    expect(one({}, { tz: "Asia/Tokyo", missed: "latest", overlap: "queue", prefix: "d-" })).toMatchObject({
      name: "d-one",
      tz: "Asia/Tokyo",
      missed: "latest",
      overlap: "queue",
    });
  });

  test.each([
    [undefined, { each_node: true }],
    [{}, { each_node: true }],
    [{ my_role: "web" }, { on: "my_role=web", each_node: true }],
    [{ my_role: "web:1", role: "dkron:2" }, { on: "my_role=web" }],
    [{ my_role: "web:3" }, { on: "my_role=web", count: 3 }],
  ])("with tags %j runs on as many nodes", (tags, made) => {
    expect(one({ tags }).job).toEqual({ run: ["true"], ...made });
  });

  test("words of a command without a shell", () => {
    const job = one({ executor_config: { command: `/bin/echo "a \\"b\\" c" 'd e'f \\  ""` } }).job!;
    expect(job["run"]).toEqual(["/bin/echo", 'a "b" c', "d ef", " ", ""]);
  });

  test("a request", () => {
    const executor_config = {
      method: "POST",
      url: "https://example.com/hook",
      headers: '["Content-Type: application/json", "X-Time: 10:30"]',
      body: '{"a": 1}',
      timeout: "5",
      expectCode: "200,206",
      expectBody: "ok",
      debug: "true",
    };
    const found = read({ ...plain, executor: "http", executor_config });
    expect(found.schedules[0]!.spec.job).toEqual({
      driver: "http",
      http: {
        method: "POST",
        url: "https://example.com/hook",
        headers: { "Content-Type": "application/json", "X-Time": "10:30" },
        body: '{"a": 1}',
        expect: [200, 206],
      },
      timeout: "5s",
      on: "site=a",
    });
    expect(said(found)).toContain("executor_config.expectBody: is not looked for");
    const usual = one({
      executor: "http",
      executor_config: { method: "GET", url: "http://example.com", headers: "[]", body: "" },
    });
    expect(usual.job).toEqual({
      driver: "http",
      http: { method: "GET", url: "http://example.com" },
      timeout: "30s",
      on: "site=a",
    });
  });
});

describe("what is wrong", () => {
  test("is told all at once, each with its path", () => {
    const problems = wrong([
      { ...plain, name: "a", schedule: "@manually" },
      { ...plain, name: "b", schedule: "0 3 * * *" },
      { ...plain, name: "c", parent_job: "a", schedule: "" },
      { ...plain, name: "d", executor: "kafka", executor_config: { topic: "x" } },
      { ...plain, name: "d", concurrency: "never", retries: -1 },
      {
        ...plain,
        name: "e",
        executor_config: { command: "echo 'x", env: "A", cwd: "rel", timeout: "soon", mem_limit: "much", payload: "%" },
      },
      { ...plain, name: "f", tags: { role: "web:all", "a b": "x" } },
      {
        ...plain,
        name: "g",
        executor: "http",
        executor_config: { headers: "{}", expectCode: "ok", tlsNoVerifyPeer: "true", tlsRootCAsFile: "/x" },
      },
      { ...plain, name: undefined, schedule: undefined, executor: undefined },
      { ...plain, name: "h", schedule: "@at tomorrow", expires_at: "never" },
      "job",
    ]);
    expect(problems.map((problem) => problem.slice("jobs.json: ".length, 108))).toEqual([
      "[0].schedule: @manually never comes by itself: keep the job as a template instead (`skein jobs te",
      '[1].schedule: "0 3 * * *" has 5 fields: 6 are needed (second, minute, hour, day, month, weekday)',
      "[2].parent_job: runs after job a, and a schedule runs at its own times: let the parent's command ",
      '[3].executor: there is no driver "kafka" here: write a command (executor shell) that does the sam',
      '[4].name: there are two jobs with the name "d"',
      '[4].concurrency: "never" is neither allow nor forbid',
      "[4].retries: must be a whole number from 0 on",
      "[5].executor_config.command: the quote ' has no end",
      '[5].executor_config.env: "A" is not of the form NAME=value; a value that holds a comma cannot be ',
      '[5].executor_config.cwd: "rel" is not an absolute path',
      '[5].executor_config.timeout: "soon" is not a duration: write 1h30m',
      '[5].executor_config.mem_limit: "much" is not a size: write 512MB',
      "[5].executor_config.payload: is not text in base64",
      '[6].tags: role: "web:all" does not end with a number of nodes',
      '[6].tags: a b: "x" cannot be a label of a node',
      "[7].executor_config.url: is missing",
      '[7].executor_config.headers: is not a list in JSON, like ["Content-Type: application/json"]',
      '[7].executor_config.expectCode: "ok" is not a list of statuses like 200,206',
      "[7].executor_config.tlsRootCAsFile: requests are judged by the authorities of the node's system, ",
      "[7].executor_config.tlsNoVerifyPeer: certificates are always looked at: add the authority to the ",
      "[8].name: is missing",
      "[8].schedule: is missing",
      "[8].executor: is missing: shell and http can be carried over",
      '[9].schedule: "tomorrow" is not an instant: write it as in "2026-12-01T02:00:00Z"',
      '[9].expires_at: "never" is not an instant: write it as in "2026-12-01T02:00:00Z"',
      "[10]: is no job of Dkron: a map with name, schedule and executor is",
    ]);
  });

  test("an empty file, an empty list, broken JSON", () => {
    expect(wrong(" \n")).toEqual(["jobs.json: is empty"]);
    expect(wrong([])).toEqual(["jobs.json: holds no job"]);
    expect(wrong('[{"name": "a",')[0]).toStartWith("jobs.json:1");
    expect(wrong('{"name": "a", "name": "b"}')).toEqual(['jobs.json:1: the key "name" is there twice']);
  });
});

test("5 MB of jobs are read in a few seconds", () => {
  const jobs = Array.from({ length: 25_000 }, (_, at) => ({
    ...plain,
    name: `job-${at}`,
    metadata: { note: "x".repeat(60) },
  }));
  expect(JSON.stringify(jobs).length).toBeGreaterThan(5_000_000);
  expect(readDkron(JSON.stringify(jobs), { file: "jobs.json" }).schedules).toHaveLength(25_000);
}, 20_000);
