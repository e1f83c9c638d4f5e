import { describe, expect, test } from "bun:test";
import { cli, type Ran, ScratchDir, ServedMesh, TestIo } from "./support.ts";

/** A mesh, and a crontab that is imported into it again and again. */
class Imported implements Disposable {
  readonly #served = new ServedMesh();
  readonly #scratch = new ScratchDir();

  run(lines: readonly string[], ...words: string[]): Promise<Ran> {
    const file = this.#scratch.write("crontab", lines.map((line) => `${line}\n`).join(""));
    return cli(["cron", "import", file, "--replace", ...words], this.#served.env);
  }

  cron(words: readonly string[], stdin = ""): Promise<Ran> {
    return cli(["cron", ...words], this.#served.env, new TestIo({ stdin }));
  }

  /** What runs when, by name. */
  async schedules(): Promise<Readonly<Record<string, string>>> {
    const { out } = await this.cron(["export", "--format", "json"]);
    const { schedules } = JSON.parse(out) as {
      readonly schedules: readonly { readonly name: string; readonly cron: string; readonly job: { run: string } }[];
    };
    return Object.fromEntries(schedules.map(({ name, cron, job }) => [name, `${cron} ${job.run}`]));
  }

  [Symbol.dispose](): void {
    this.#served[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}

const [a, b, c] = ["0 1 * * * echo a", "0 2 * * * echo b", "0 3 * * * echo c"] as const;

describe("names of lines that run the same program", () => {
  test("do not shift when one is removed, and what is in the file no more is told", async () => {
    using mesh = new Imported();
    await mesh.run([a, b, c]);
    const before = await mesh.schedules();
    const nameOf = (line: string): string => Object.keys(before).find((name) => before[name] === line)!;
    expect(Object.keys(before)).toHaveLength(3);
    const again = await mesh.run([b, c]);
    expect(again.out).toBe("0 schedules were set, 2 as before\n");
    expect(again.err).toContain(
      `not in crontab any more, and still set: ${nameOf(a)} (of label imported-from=crontab;`,
    );
    expect(await mesh.schedules()).toEqual(before);
    const json = JSON.parse((await mesh.run([b, c], "-o", "json")).out) as { readonly left: string[] };
    expect(json.left).toEqual([nameOf(a)]);
    await mesh.cron(["rm", nameOf(a)]);
    expect((await mesh.run([b, c])).err).not.toContain("any more");
    // The only one of them has a plain name, but not when it is there under another one.
    const last = await mesh.run([c]);
    expect(last.out).toBe("0 schedules were set, 1 as before\n");
    expect(last.err).toContain(`still set: ${nameOf(b)} (`);
  });

  test("stay when a second one comes: nothing runs beside itself", async () => {
    using mesh = new Imported();
    await mesh.run([b]);
    expect(await mesh.schedules()).toEqual({ echo: b });
    const { out, err } = await mesh.run([a, b]);
    expect([out, err]).toEqual(["1 schedule was set, 1 as before\n", expect.not.stringContaining("any more")]);
    expect(Object.values(await mesh.schedules()).toSorted()).toEqual([a, b]);
    expect((await mesh.schedules())["echo"]).toBe(b);
    // The other way round: the plain name is that of another line, which is gone.
    const other = await mesh.run([a]);
    expect(other.out).toBe("0 schedules were set, 1 as before\n");
    expect(other.err).toContain("still set: echo (");
    expect((await mesh.schedules())["echo"]).toBe(b);
  });

  test("stay when a time changes, and the same command at two times has two", async () => {
    using mesh = new Imported();
    await mesh.run([a, b]);
    const before = await mesh.schedules();
    await mesh.run(["0 9 * * * echo a", b]);
    expect(Object.keys(await mesh.schedules())).toEqual(Object.keys(before));
    const twice = ["0 9 * * * echo a", "0 10 * * * echo a", b];
    const { out, err } = await mesh.run(twice);
    expect([out, err]).toEqual(["1 schedule was set, 2 as before\n", expect.not.stringContaining("any more")]);
    expect(Object.values(await mesh.schedules()).toSorted()).toEqual(twice.toSorted());
    expect((await mesh.run(twice)).out).toBe("0 schedules were set, 3 as before\n");
  });

  test("lines that are the same in everything are counted", async () => {
    using mesh = new Imported();
    await mesh.run([a, a, a]);
    expect(Object.keys(await mesh.schedules())).toHaveLength(3);
    const { out, err } = await mesh.run([a, a]);
    expect([out, err]).toEqual([
      "0 schedules were set, 2 as before\n",
      expect.stringMatching(/still set: echo-\w+-3 /),
    ]);
  });

  test("a file with a prefix, and what has no name, are sources of their own", async () => {
    using mesh = new Imported();
    await mesh.run([a, b]);
    const { err } = await mesh.run([a], "--prefix", "web1-");
    expect(err).not.toContain("any more");
    expect((await mesh.schedules())["web1-echo"]).toBe(a);
    expect((await mesh.run([c], "--prefix", "web1-")).err).not.toContain("any more");
    const piped = await mesh.cron(["import", "-", "--replace"], `${a}\n`);
    expect(piped.out).toBe("1 schedule was set\n");
    expect(piped.err).toContain("stdin: has no name, so that a later import cannot tell what is not in it any more");
    expect((await mesh.cron(["import", "-", "--replace", "--source", "crontab"], `${a}\n`)).err).toContain(
      "not in crontab any more",
    );
  });
});

test("names of two namespaces stay when one comes or goes", async () => {
  using mesh = new Imported();
  const cronJob = (namespace: string): string =>
    JSON.stringify({
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "backup", namespace },
      spec: {
        schedule: "@daily",
        jobTemplate: {
          spec: { template: { spec: { containers: [{ name: "x", image: "x", command: [namespace] }] } } },
        },
      },
    });
  const run = (...namespaces: string[]): Promise<Ran> =>
    mesh.cron(["import", "-", "--replace", "--source", "k8s", "-o", "json"], namespaces.map(cronJob).join("\n---\n"));
  const read = (ran: Ran) => JSON.parse(ran.out) as { readonly schedules: { name: string }[]; readonly left: string[] };
  const names = async (...namespaces: string[]) => read(await run(...namespaces)).schedules.map(({ name }) => name);
  expect(await names("a")).toEqual(["backup"]);
  expect(await names("a", "b")).toEqual(["backup", "backup.b"]);
  const { schedules, left } = read(await run("b"));
  expect([schedules.map(({ name }) => name), left]).toEqual([["backup.b"], ["backup"]]);
});

test("what was exported as a crontab has its names when it is read again", async () => {
  using mesh = new Imported();
  const job = { run: "echo a", dir: "/tmp", env: { HOME: "/tmp" } };
  const usual = { overlap: "allow", missed: "skip", tz: "UTC", job };
  const schedules = [
    { name: "rt-echo", cron: "0 1 * * *", description: "Says a", ...usual },
    { name: "rt-other", cron: "0 2 * * *", ...usual },
  ];
  await mesh.cron(["add", "-f", "-"], JSON.stringify(schedules));
  const before = await mesh.schedules();
  const { out } = await mesh.cron(["export", "--format", "crontab"]);
  const { code, out: set } = await mesh.cron(["import", "-", "--replace"], out);
  expect([code, set]).toEqual([0, "0 schedules were set, 2 as before\n"]);
  expect(await mesh.schedules()).toEqual(before);
});

test("a command behind `cd … || exit` has its own name", async () => {
  using mesh = new Imported();
  await mesh.run(["0 1 * * * cd /tmp || exit; echo a", "0 1 * * * cd /tmp || exit 1; backup"]);
  expect(Object.keys(await mesh.schedules())).toEqual(["backup", "echo"]);
});
