import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { Running, temporaryDirectory } from "./harness.ts";

/** Output is read on nodes that did not write it: jobs run on b, readers ask a and c. */
let mesh: Mesh;
let a: MeshNode;
let b: MeshNode;
let c: MeshNode;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 3 });
  [a, b, c] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

/** A selector has labels only: the other two take no work while jobs are submitted. */
async function submitToB(spec: object): Promise<number> {
  for (const other of [a, c]) await a.api("POST", `/v1/nodes/${other.ready.node}/drain`);
  const id = await submit(a, spec);
  await finished(mesh, id);
  for (const other of [a, c]) await a.api("POST", `/v1/nodes/${other.ready.node}/undrain`);
  return id;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function bytesOf(node: MeshNode, route: string): Promise<Buffer> {
  const response = await fetch(node.ready.api + route, { headers: { authorization: `Bearer ${node.token}` } });
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

describe("output of another node", () => {
  test("10 MiB without a newline: every byte, over the API and on the command line", async () => {
    const id = await submitToB({ run: "head -c 10485760 /dev/zero | tr '\\0' x" });
    const [task] = await tasksOf(a, id);
    expect(task).toMatchObject({ state: "succeeded", node: b.ready.node, tail: "x".repeat(2048) });
    const expected = sha256(Buffer.alloc(10 * 1024 * 1024, "x"));
    expect(task!.log).toMatchObject({ bytes: 10_485_760, sha256: expected });
    expect(sha256(await bytesOf(c, `/v1/jobs/${id}/logs`))).toBe(expected);
    await using reader = new Running(c, ["logs", String(id)]);
    const { code, stdout, stderr } = await reader.ended();
    expect({ code, stderr, bytes: stdout.length, sha256: sha256(stdout) }).toEqual({
      code: 0,
      stderr: "",
      bytes: 10_485_760,
      sha256: expected,
    });
  });

  test("bytes that are not UTF-8 pass as they are; the tail of the result shows them as U+FFFD", async () => {
    const bytes = Buffer.from([0x61, 0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28, 0x1b, 0x0a]);
    const run = `printf '${[...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")}'`;
    const id = await submitToB({ run });
    expect(await bytesOf(c, `/v1/jobs/${id}/logs`)).toEqual(bytes);
    await using reader = new Running(c, ["logs", String(id)]);
    expect((await reader.ended()).stdout).toEqual(bytes);
    const [task] = await tasksOf(a, id);
    expect(task!.tail).toBe(bytes.toString("utf8"));
    expect((await c.skein(["jobs", "tasks", String(id)])).code).toBe(0);
  });

  test("stdout and stderr are told apart, and read together in the order of arrival", async () => {
    // Each line is written once the one before has arrived.
    const log = `${b.data}/logs/packs/*.pack`;
    const arrived = (words: string): string => `until grep -aq '${words}' ${log}; do sleep 0.02; done`;
    const lines = [1, 2, 3].flatMap((i) => [
      `echo out ${i}; ${arrived(`out ${i}`)}`,
      `echo err ${i} >&2; ${arrived(`err ${i}`)}`,
    ]);
    const id = await submitToB({ run: lines.join("; ") });
    const streams = await Promise.all(
      ["", "?stream=stdout", "?stream=stderr"].map((query) => bytesOf(c, `/v1/jobs/${id}/logs${query}`)),
    );
    const [both, out, err] = streams.map(String);
    expect(out).toBe("out 1\nout 2\nout 3\n");
    expect(err).toBe("err 1\nerr 2\nerr 3\n");
    expect(both).toBe("out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    const shown = await c.skein(["logs", String(id)]);
    expect(shown).toEqual({ code: 0, stdout: out!, stderr: err! });
    expect((await c.skein(["logs", `${id}/0`, "--stream", "stderr"])).stderr).toBe(err!);
    expect((await c.skein(["logs", String(id), "--tail", "2"])).stdout).toBe("out 3\n");
  });

  test("more than output.keep is cut, and the result says so", async () => {
    const id = await submitToB({ run: "head -c 5000 /dev/zero | tr '\\0' y", output: { keep: "1KiB", tail: "10B" } });
    const [task] = await tasksOf(a, id);
    expect(task).toMatchObject({ state: "succeeded", tail: "y".repeat(10) });
    expect(task!.reason).toContain("the log is truncated, 3976 bytes of output were not kept (output.keep is 1KiB)");
    expect((await bytesOf(c, `/v1/jobs/${id}/logs`)).toString()).toBe("y".repeat(1024));
  });
});

describe("output while a task runs", () => {
  test("logs -f on every node shows each line when it is written, and ends with the task", async () => {
    const gate = path.join(scratch.path, "gate");
    const id = await submit(a, { run: `echo one; until [ -e ${gate} ]; do sleep 0.02; done; echo two` });
    const readers = [a, b, c, a, c].map((node) => new Running(node, ["logs", String(id), "-f"]));
    try {
      await Promise.all(readers.map((reader) => reader.said("one\n")));
      writeFileSync(gate, "");
      for (const reader of readers) {
        const { code, stdout } = await reader.ended();
        expect([code, stdout.toString()]).toEqual([0, "one\ntwo\n"]);
      }
    } finally {
      await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
    }
  });

  test("of a job that waits, logs -f begins when it begins; of several tasks, whole lines with the task's number", async () => {
    for (const node of [a, b, c]) await a.api("POST", `/v1/nodes/${node.ready.node}/drain`);
    const id = await submit(a, { run: "printf 'a %s' $SKEIN_INDEX; sleep 0.05; echo ' z'", count: 3 });
    await using reader = new Running(c, ["logs", String(id), "-f"]);
    for (const node of [a, b, c]) await a.api("POST", `/v1/nodes/${node.ready.node}/undrain`);
    const { code, stdout } = await reader.ended();
    expect(code).toBe(0);
    expect(stdout.toString().trimEnd().split("\n").toSorted()).toEqual(["0| a 0 z", "1| a 1 z", "2| a 2 z"]);
  });

  test("Ctrl-C ends the reader with 130 and leaves the job; `run` says how to come back to it", async () => {
    const gate = path.join(scratch.path, "second-gate");
    await using runner = new Running(c, ["run", `echo up; until [ -e ${gate} ]; do sleep 0.02; done; echo down`]);
    await runner.said("up\n");
    await using reader = new Running(b, ["logs", "last", "-f"]);
    await reader.said("up\n");
    for (const one of [runner, reader]) one.child.kill("SIGINT");
    expect((await reader.ended()).code).toBe(130);
    const { code, stderr } = await runner.ended();
    expect(code).toBe(130);
    const id = Number(/job (\d+) goes on/.exec(stderr)?.[1]);
    writeFileSync(gate, "");
    expect((await finished(mesh, id)).state).toBe("succeeded");
    expect((await c.skein(["logs", String(id)])).stdout).toBe("up\ndown\n");
  });

  test("run --cancel-on-interrupt: Ctrl-C cancels the job and waits for its end", async () => {
    await using runner = new Running(c, [
      "run",
      "--cancel-on-interrupt",
      "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.02; done",
    ]);
    await runner.said("up\n");
    runner.child.kill("SIGINT");
    const { code, stdout, stderr } = await runner.ended();
    expect(code).toBe(1);
    expect(stdout.toString()).toEndWith("bye\n");
    expect(stderr).toContain("was cancelled");
  });
});

test("output whose node is down is read from its copy on another one, by any node", async () => {
  const id = await submitToB({ run: "yes on b | head -c 5000", output: { copies: 2, sync: true } });
  await b.kill();
  for (const node of [a, c]) {
    const { code, stdout } = await node.skein(["logs", String(id)]);
    expect([code, stdout]).toEqual([0, "on b\n".repeat(1000)]);
  }
});
