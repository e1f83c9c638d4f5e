import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import path from "node:path";
import { writeFileSync } from "node:fs";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { whyMissing } from "../../scripts/needed.ts";
import { skein, temporaryDirectory } from "./harness.ts";

const missing = whyMissing("ansible", ["ansible-core"], () => Bun.which("ansible-playbook") !== null);
if (missing !== undefined) console.log(`skipped: driver ansible on a mesh: ${missing}`);

describe.skipIf(missing !== undefined)("ansible on a mesh of which one node has none", () => {
  let mesh: Mesh;
  let nodes: readonly MeshNode[];

  beforeAll(async () => {
    const place = (number: number, directory: string): { env: Record<string, string> } => ({
      env: number === 3 ? { PATH: path.join(directory, "no-programs") } : {},
    });
    // One after the other, so that each has the number that it was made with.
    mesh = await Mesh.start({ nodes: 1, place });
    for (let more = 0; more < 2; more++) await mesh.add();
    nodes = mesh.nodes;
  }, 600_000);

  afterAll(async () => {
    await mesh.stop();
  }, 600_000);

  test("units go to the others, and every host has its own end", async () => {
    const args = 'echo "on {{ inventory_hostname }}"; [ {{ inventory_hostname }} != h7 ]';
    const ansible = { module: "shell", args, connection: "local" };
    const id = await submit(nodes[2]!, { driver: "ansible", ansible, targets: "h[1-12]" });
    expect(await finished(mesh, id)).toMatchObject({ state: "failed", counts: { succeeded: 11, failed: 1 } });
    const tasks = await tasksOf(nodes[2]!, id);
    expect(tasks.map(({ tail }) => tail)).toEqual(Array.from({ length: 12 }, (_, at) => `on h${at + 1}\n`));
    expect(tasks.find(({ state }) => state === "failed")).toMatchObject({ target: "h7", exit_code: 1 });
    expect(tasks.every(({ node }) => node === 1 || node === 2)).toBe(true);
  }, 600_000);

  test("why the node without one gets nothing is told", async () => {
    await nodes[0]!.api("PATCH", "/v1/nodes/3/labels", { labels: { only: "this" } });
    const ansible = { module: "ping" };
    const id = await submit(nodes[0]!, { driver: "ansible", ansible, targets: "h1", on: "only" });
    const { body } = await nodes[1]!.api("GET", `/v1/jobs/${id}/explain`);
    expect(JSON.stringify(body)).toContain("has no ansible, which driver ansible needs");
    await nodes[0]!.api("POST", `/v1/jobs/${id}/cancel`);
  }, 600_000);

  test("a playbook goes with the job that a person runs, whose words are the arguments of a module", async () => {
    using scratch = temporaryDirectory();
    const playbook = path.join(scratch.path, "site.yml");
    writeFileSync(playbook, "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: 'said {{ word }}'}\n");
    const words = ["run", "--driver", "ansible", "--target", "h[1-2]", "--ansible", "connection=local"];
    const at = ["--data", nodes[1]!.data];
    const played = await skein(scratch.path, [...words, "--playbook", playbook, "--extra-var", "word=this", ...at]);
    expect(played).toMatchObject({ code: 0 });
    expect(played.stdout).toContain("said this");
    expect(played.stderr).toContain("hosts: 2 ok, 0 failed, 0 unreachable; tasks: 100%, 2 of 2 ok, 0 failed");
    const run = await skein(scratch.path, [...words, ...at, "--", "echo", "by", "words"]);
    expect(run).toMatchObject({ code: 0 });
    expect(run.stdout).toMatch(/by words/);
  }, 600_000);
});
