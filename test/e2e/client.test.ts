import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { buildClientIfChanged, clientPackage } from "../../scripts/build-client.ts";
import { Mesh } from "../../scripts/mesh.ts";
import { root } from "../../scripts/steps.ts";
import { untilTrue } from "./harness.ts";

/** The package and its examples under Node, as users have them, against a real mesh whose nodes die. */

let mesh: Mesh;
let directory: string;

beforeAll(async () => {
  await buildClientIfChanged();
  directory = mkdtempSync(path.join(tmpdir(), "skein-client-"));
  mkdirSync(path.join(directory, "node_modules"));
  cpSync(clientPackage, path.join(directory, "node_modules", "skein-client"), { recursive: true });
  cpSync(path.join(root, "examples"), directory, { recursive: true });
  writeFileSync(path.join(directory, "package.json"), '{"type":"module"}');
  mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  rmSync(directory, { recursive: true });
}, 600_000);

/** An example under Node with tsx. */
class Example {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  said = "";
  readonly #read: Promise<void>;

  constructor(file: string, words: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
    const tsx = new URL("../../node_modules/tsx/dist/loader.mjs", import.meta.url).href;
    this.child = Bun.spawn(["node", "--import", tsx, path.join(directory, file), ...words], {
      cwd: directory,
      env: {
        ...process.env,
        SKEIN_ADDR: mesh.nodes.map((node) => node.ready.api).join(","),
        SKEIN_TOKEN: mesh.nodes[0]!.token,
        ...env,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const read = async (stream: ReadableStream<Uint8Array>, keep: (text: string) => void): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) keep(decoder.decode(chunk, { stream: true }));
    };
    this.#read = Promise.all([
      read(this.child.stdout, (text) => (this.said += text)),
      read(this.child.stderr, (text) => (this.noted += text)),
    ]).then(() => {});
  }
  noted = "";

  async ended(): Promise<string> {
    const code = await this.child.exited;
    await this.#read;
    if (code !== 0) throw new Error(`it ended with code ${code}:\n${this.said}${this.noted}`);
    return this.said;
  }
}

test("a job is submitted, waited for and looked at", async () => {
  const said = await new Example("submit-and-wait.ts").ended();
  expect(said.trim().split("\n")).toEqual([0, 1, 2, 3].map((task) => `succeeded: hello from task ${task}`));
}, 300_000);

test("output is followed, and events are watched from before the submit on", async () => {
  const [logs, events] = [new Example("follow-logs.ts"), new Example("watch-events.ts")];
  expect(await logs.ended()).toBe("line 1\nline 2\nline 3\n");
  expect((await events.ended()).trim().split("\n").toSorted()).toEqual(["job 1 succeeded", "job 2 failed"]);
}, 300_000);

test("many jobs are submitted while the leader is killed, and again under the same key: each is there once", async () => {
  const count = 20_000;
  const jobs = async (): Promise<number> => {
    const page = (await mesh.nodes.find((node) => node.running)!.api("GET", "/metrics")).body as string;
    return Number(/^skein_jobs_submitted_total (\d+)$/m.exec(page)?.[1]);
  };
  const before = await jobs();
  const env = { SKEIN_KEY: "import" };
  const first = new Example("submit-many.ts", [String(count)], env);
  let submitted = 0;
  const looking = setInterval(() => {
    void jobs().then(
      (now) => (submitted = now - before),
      () => {}, // it was killed in the meantime
    );
  }, 20);
  await untilTrue(
    () => submitted > 1000 || first.child.exitCode !== null,
    () => `only ${submitted} jobs were submitted:\n${first.noted}`,
  );
  clearInterval(looking);
  const leader = await mesh.leader();
  await leader.kill();
  expect(await first.ended()).toBe(`${count} of ${count} jobs succeeded\n`);
  expect((await jobs()) - before).toBe(count);
  await leader.start();
  expect(await new Example("submit-many.ts", [String(count)], env).ended()).toBe(
    `${count} of ${count} jobs succeeded\n`,
  );
  expect((await jobs()) - before).toBe(count);
}, 600_000);
