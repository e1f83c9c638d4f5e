import { expect, test } from "bun:test";
import { parse } from "yaml";
import { cli, ServedMesh, TestIo } from "./support.ts";

const crontab = `CRON_TZ=Europe/Berlin
# Every night
0 3 * * * /usr/bin/backup --all > "/var/log/$(date +\\%F)"
*/10 * * * * cat%1%2
`;

async function filled(): Promise<ServedMesh> {
  const served = new ServedMesh();
  const io = new TestIo({ stdin: crontab });
  expect((await cli(["cron", "import", "-"], served.env, io)).code).toBe(0);
  return served;
}

test("what was imported is exported in the form in which it is set, and setting it changes nothing", async () => {
  using served = await filled();
  const { code, out } = await cli(["cron", "export"], served.env);
  expect(code).toBe(0);
  const { schedules } = parse(out) as { schedules: { name: string }[] };
  expect(schedules).toEqual([
    {
      name: "backup",
      description: "Every night",
      cron: "0 3 * * *",
      tz: "Europe/Berlin",
      missed: "skip",
      overlap: "allow",
      job: { run: '/usr/bin/backup --all > "/var/log/$(date +%F)"' },
    },
    {
      name: "cat",
      cron: "*/10 * * * *",
      tz: "Europe/Berlin",
      missed: "skip",
      overlap: "allow",
      job: { run: "cat", stdin: "1\n2\n" },
    },
  ] as object[] as never);
  const json = await cli(["cron", "export", "cat", "--format", "json"], served.env);
  expect(JSON.parse(json.out)).toEqual({ schedules: [schedules[1]] });
  expect((await cli(["cron", "export", "-o", "json"], served.env)).out).toBe(
    `${JSON.stringify({ schedules }, undefined, 2)}\n`,
  );
  expect((await cli(["cron", "export", "-o", "quiet"], served.env)).out).toBe("backup\ncat\n");
});

test("many are read by the page, and declared ones by the hundred", async () => {
  using served = new ServedMesh();
  const names = Array.from({ length: 1_234 }, (_, at) => `s${at}`);
  const schedules = names.map((name) => ({ name, every: "1h", labels: { team: "a" }, job: { run: "x" } }));
  const reads = () => served.node.reads;
  const declared = JSON.stringify(schedules);
  const first = await cli(["cron", "apply", "-", "--yes"], served.env, new TestIo({ stdin: declared }));
  expect(first.out).toEndWith("done: 1234 new\n");
  const before = reads();
  const all = await cli(["cron", "export", "-o", "json"], served.env);
  expect((JSON.parse(all.out) as { schedules: unknown[] }).schedules).toHaveLength(names.length);
  expect(reads() - before).toBe(2);
  const again = await cli(["cron", "apply", "-"], served.env, new TestIo({ stdin: declared }));
  expect(again.out).toBe("= 1234 are as declared\nnothing is to be changed\n");
  expect(reads() - before).toBe(2 + 13);
});

test("what is asked for comes in that order, once, by its name or its id", async () => {
  using served = await filled();
  const { out } = await cli(["cron", "export", "cat", "1", "cat", "-o", "quiet"], served.env);
  expect(out).toBe("cat\nbackup\n");
});

test("as a crontab it is read again as it was", async () => {
  using served = await filled();
  const { out, err } = await cli(["cron", "export", "--format", "crontab"], served.env);
  expect(out).toBe(`CRON_TZ=Europe/Berlin
# skein schedule backup
# Every night
0 3 * * * /usr/bin/backup --all > "/var/log/$(date +\\%F)"

# skein schedule cat
*/10 * * * * cat%1%2
`);
  expect(err).toContain("CRON_TZ names the zone for cronie");
  const io = new TestIo({ stdin: out });
  const again = await cli(["cron", "import", "-", "--replace", "-o", "quiet"], served.env, io);
  expect(again.out).toBe("backup\ncat\n");
});

test("what cannot be is refused by its name, and nothing is printed", async () => {
  using served = await filled();
  const system = await cli(["cron", "export", "--format", "crontab", "--system"], served.env);
  expect(system).toMatchObject({ code: 2, out: "" });
  expect(system.err).toContain("  backup: names no user");
  expect(system.err).toContain("  cat: names no user");
  expect((await cli(["cron", "export", "nobody"], served.env)).code).toBe(3);
  expect((await cli(["cron", "export", "--system"], served.env)).code).toBe(2);
  expect((await cli(["cron", "export", "--format", "toml"], served.env)).code).toBe(2);
});

test("without any schedules it is an empty list", async () => {
  using served = new ServedMesh();
  expect((await cli(["cron", "export"], served.env)).out).toBe("schedules: []\n");
});
