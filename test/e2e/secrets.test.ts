/** Secrets on the real binary: used by tasks on voters and a learner, and their values in no file of any node, whatever happens to the voters. */
import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { allUp, finished, submit, type TaskAnswer } from "../../scripts/mesh-jobs.ts";
import { temporaryDirectory } from "./harness.ts";

const value = `Tr0ub4dor&3 ${"horse".repeat(3)}`;
const changed = `another ${"battery".repeat(3)}`;

/** The forms in which text can stand in a file: as it is, as UTF-16, hex, and base64 that begins at any of three places. */
function formsOf(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  const phases = [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]);
    const [from, to] = [Math.ceil((before * 4) / 3), Math.floor((whole.length * 4) / 3)];
    return Buffer.from(whole.toString("base64").slice(from, to));
  });
  return [bytes, Buffer.from(text, "utf16le"), Buffer.from(bytes.toString("hex")), ...phases];
}

function filesOf(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** Files that hold one of the texts. */
function holding(files: readonly string[], texts: readonly string[]): string[] {
  const forms = texts.flatMap(formsOf);
  return files.filter((file) => {
    const bytes = readFileSync(file);
    return forms.some((form) => bytes.includes(form));
  });
}

async function taskOf(mesh: Mesh, node: MeshNode, spec: object): Promise<TaskAnswer> {
  const job = await submit(node, spec);
  await finished(mesh, job);
  return (await node.api("GET", `/v1/jobs/${job}/tasks/0`)).body as TaskAnswer;
}

/** The authority whose key the secret is encrypted with, as the node's own state has it. */
function keyIn(node: MeshNode, name: string): string | undefined {
  const database = new Database(path.join(node.data, "state.db"), { readonly: true });
  try {
    return database.query<{ key: string }, [string]>("select key from secret where name = ?").get(name)?.key;
  } finally {
    database.close();
  }
}

test(
  "a secret reaches the tasks that use it, on voters and a learner, and stands in no file; it is encrypted anew when a voter is removed",
  async () => {
    using scratch = temporaryDirectory();
    await using mesh = await Mesh.start({ nodes: 3 });
    const learner = await mesh.add(["--learner"]);
    const leader = await mesh.leader({ voters: 3 });
    await allUp(mesh, leader);

    const admin = { SKEIN_TOKEN: mesh.nodes[0]!.token };
    const bearer = { authorization: `Bearer ${admin.SKEIN_TOKEN}` };
    // Set by the command line, of standard input and through the learner.
    const set = await learner.skein(["secret", "set", "door", "-o", "json"], { stdin: `${value}\n`, env: admin });
    expect([set.code, set.stderr, set.stdout]).toEqual([0, "", '{"name":"door","revision":1}\n']);
    const short = await leader.skein(["secret", "set", "short"], { stdin: "abc\n", env: admin });
    expect([short.code, short.stderr]).toEqual([2, expect.stringContaining("at least 4 characters")]);
    const listed = await leader.skein(["secret", "ls", "-o", "json"]);
    expect(listed.stdout).not.toContain("Tr0ub4dor");
    expect(JSON.parse(listed.stdout)).toMatchObject({ secrets: [{ name: "door", revision: 1, state: "usable" }] });

    // Every node's task gets it, and its output does not show it.
    for (const node of mesh.nodes) {
      // The spec would show the value: the task compares a digest instead.
      const digest = new Bun.CryptoHasher("sha256").update(value).digest("hex");
      const run = `test "$(printf %s "$PASSWORD" | sha256sum | cut -c1-64)" = ${digest} || exit 9; printf '%s' "$PASSWORD" | cut -c1-14 | tr -d '\\n'; sleep 0.2; printf '%s' "$PASSWORD" | cut -c15-; printf '%s\\n' "$PASSWORD" >&2`;
      const name = `n${node.ready.node}`;
      const spec = { run, env: { PASSWORD: { secret: "door" } }, each_node: true, name };
      const job = await submit(node, spec);
      expect((await finished(mesh, job)).state).toBe("succeeded");
      const logs = (await node.api("GET", `/v1/jobs/${job}/logs?task=0`)).body as string;
      expect(logs.split("***").length - 1).toBe(2);
      expect(logs).not.toContain("horse");
    }
    const task = await taskOf(mesh, learner, { run: "echo $PASSWORD", env: { PASSWORD: { secret: "door" } } });
    expect([task.state, task.tail]).toEqual(["succeeded", "***\n"]);

    // One that is not there is refused; one that goes away ends the task that would use it.
    const refused = await learner.api("POST", "/v1/jobs", { run: "true", env: { A: { secret: "gate" } } });
    expect([refused.status, (refused.body as { error: { details: unknown } }).error.details]).toEqual([
      422,
      [{ path: "env.A", message: "there is no secret gate" }],
    ]);
    await leader.api("POST", "/v1/secrets", { name: "gate", value: changed }, bearer);
    const waiting = await submit(leader, { run: "true", env: { A: { secret: "gate" } }, on: "zone=nowhere" });
    const inUse = await learner.skein(["secret", "rm", "gate"], { env: admin });
    expect([inUse.code, inUse.stderr]).toEqual([6, expect.stringContaining(`used by unfinished jobs: ${waiting};`)]);
    expect((await leader.skein(["secret", "rm", "gate", "--force"], { env: admin })).code).toBe(0);
    const label = await leader.skein(["nodes", "label", String(leader.ready.node), "zone=nowhere"], { env: admin });
    expect([label.code, label.stderr]).toEqual([0, ""]);
    await finished(mesh, waiting);
    const failed = (await leader.api("GET", `/v1/jobs/${waiting}/tasks/0`)).body as TaskAnswer;
    expect([failed.state, failed.reason]).toEqual(["failed", "secret gate does not exist any more"]);

    // A voter is removed: whoever has its disk has the former key, and finds nothing under it any more.
    const former = keyIn(leader, "door")!;
    const gone = mesh.nodes.find((node) => node !== leader && node !== learner)!;
    await gone.kill();
    const removed = await leader.skein(["nodes", "rm", String(gone.ready.node)], { env: admin });
    expect([removed.code, removed.stderr]).toEqual([0, expect.anything()]);
    for (const node of mesh.nodes.filter((one) => one.running)) {
      await until(
        () => Promise.resolve((keyIn(node, "door") ?? former) === former ? undefined : true),
        2 * patienceMs,
        () => `node ${node.ready.node} still has the secret under ${former}:\n${leader.log}`,
      );
    }
    const after = await taskOf(mesh, learner, { run: "echo $PASSWORD", env: { PASSWORD: { secret: "door" } } });
    expect([after.state, after.tail]).toEqual(["succeeded", "***\n"]);

    const backup = path.join(scratch.path, "backup");
    expect((await leader.skein(["backup", backup], { env: admin })).code).toBe(0);
    const files = [...mesh.nodes.flatMap((node) => filesOf(node.data)), backup];
    for (const wanted of ["log.db", "state.db", "guard.outbox", "authority.json", "backup"])
      expect(files.some((file) => path.basename(file) === wanted)).toBe(true);
    expect(holding(files, [value, changed])).toEqual([]);
    expect(mesh.nodes.filter((node) => node.log.includes("Tr0ub4dor") || node.log.includes(changed))).toEqual([]);
    // The search finds what is there.
    const planted = path.join(scratch.path, "planted");
    for (const form of formsOf(value)) {
      writeFileSync(planted, Buffer.concat([Buffer.from("x"), form, Buffer.from("x")]));
      expect(holding([planted], [value])).toEqual([planted]);
    }
  },
  8 * patienceMs,
);
