/**
 * `npm start [-- --once] [DIR]`: builds the binary if a source changed, starts a three-node mesh on loopback and runs one real job on it: the hash
 * of every file below DIR (default: this project's installed packages), an array of chunks that the leader shards over the nodes. The tasks' results
 * are put together and compared with a run in this process. Then the mesh stays until Ctrl-C; with --once the script ends with the job's exit code.
 *
 * In any case it stops its nodes, waits for their guards and removes their data.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { binary, buildIfChanged } from "./build.ts";
import { Mesh, type MeshNode } from "./mesh.ts";
import { submit, tasksOf, type JobAnswer, type TaskAnswer } from "./mesh-jobs.ts";
import { formatMs, onInterrupt, root } from "./steps.ts";

const nodeCount = 3;
const chunkCount = 24;
const jobTimeoutMs = 10 * 60_000;

/** What one chunk says on its last line: how many files, and one hash over the hashes of their contents. */
interface Chunk {
  readonly files: number;
  readonly digest: string;
}

let interrupted = false;
onInterrupt(async (signal) => {
  interrupted = true;
  console.log(`\n${signal}: stopping the mesh`);
  await Mesh.stopAll();
});
const { once, directory } = readArguments(process.argv.slice(2));
let code: number;
try {
  code = await main();
} catch (error) {
  console.error(`start: ${error instanceof Error ? error.message : String(error)}`);
  code = 1;
}
await Mesh.stopAll();
// An interrupt ends the process itself, with its own code.
if (!interrupted) process.exit(code);

async function main(): Promise<number> {
  const began = performance.now();
  await buildIfChanged();
  console.log(`starting ${nodeCount} nodes of ${path.relative(root, binary)} on loopback`);
  const started = performance.now();
  const mesh = await Mesh.start({ nodes: nodeCount });
  const leader = await mesh.leader({ voters: nodeCount });
  for (const node of mesh.nodes) {
    const { ready } = node;
    console.log(`  node ${ready.node}  ${ready.api}  peers ${ready.peer}${node === leader ? "  leader" : ""}`);
  }
  console.log(
    `cluster ${leader.ready.cluster} with ${nodeCount} voters after ${formatMs(performance.now() - started)}\n`,
  );

  console.log(`hashing every file of ${directory} in ${chunkCount} tasks`);
  const entry = mesh.nodes[0]!;
  const submitted = performance.now();
  const job = await submit(entry, hashJob(directory));
  const answer = await follow(entry, job);
  const jobMs = performance.now() - submitted;
  const tasks = await tasksOf(entry, job);
  console.log(`job ${job} ${answer.state} in ${formatMs(jobMs)}\n`);
  await printShares(mesh, leader, tasks, jobMs);
  if (answer.state !== "succeeded") {
    const wrong = tasks.find((task) => task.state !== "succeeded");
    console.error(`task ${wrong?.task} ${wrong?.state}, exit code ${wrong?.exit_code}:\n${wrong?.tail}`);
    return await stay(mesh, 1);
  }

  const chunks = tasks.toSorted((a, b) => a.task - b.task).map(chunkOf);
  const files = chunks.reduce((sum, chunk) => sum + chunk.files, 0);
  const digest = combine(chunks);
  const local = performance.now();
  const expected = await hashHere(directory);
  console.log(`${files} files, sha256 of all: ${digest}`);
  const same = combine(expected) === digest;
  console.log(
    `the same by one local run: ${same ? "yes" : `NO, ${combine(expected)}`} (${formatMs(performance.now() - local)})`,
  );
  if (!same) {
    const differing = chunks.flatMap((chunk, at) => (chunk.digest === expected[at]?.digest ? [] : [at]));
    console.error(`start: tasks ${differing.join(", ")} differ; did a file of ${directory} change meanwhile?`);
  }
  console.log(`everything took ${formatMs(performance.now() - began)}`);
  return await stay(mesh, same ? 0 : 1);
}

/** With --once gives the code at once; else says what to do next and never returns. */
async function stay(mesh: Mesh, exitCode: number): Promise<number> {
  if (once) return exitCode;
  const node = mesh.nodes[0]!;
  const command = path.relative(process.cwd(), binary);
  console.log(`
The mesh is running: ${node.ready.api}  (Ctrl-C stops it and removes its data)
Try in another terminal:

  export SKEIN_DATA=${node.data}
  ${command} run --count 6 -- sh -c 'echo task $SKEIN_INDEX runs on node $SKEIN_NODE'
  ${command} nodes ls
`);
  await Promise.all(mesh.nodes.map((each) => each.exited));
  if (!interrupted) console.error("start: all nodes have ended");
  return 1;
}

function readArguments(args: readonly string[]): { readonly once: boolean; readonly directory: string } {
  const usage = "usage: npm start [-- [--once] [DIR]]";
  const unknown = args.find((arg) => arg.startsWith("-") && arg !== "--once");
  if (unknown !== undefined) {
    console.error(`start: unknown flag ${unknown}; ${usage}`);
    process.exit(2);
  }
  const places = args.filter((arg) => !arg.startsWith("-"));
  const directory = path.resolve(places[0] ?? path.join(root, "node_modules"));
  if (places.length > 1 || !existsSync(directory) || !statSync(directory).isDirectory()) {
    console.error(
      `start: ${places.length > 1 ? "one directory at most" : `${directory} is not a directory`}; ${usage}`,
    );
    process.exit(2);
  }
  return { once: args.includes("--once"), directory };
}

/**
 * A task takes every chunkCount-th file of the sorted list, so the chunks are alike. Names go through awk line by line: a name with a newline is
 * left out here as in {@link hashHere}. The hashes of the contents, in the order of names, are hashed once more.
 */
function hashJob(tree: string): object {
  const script = `set -eu
scratch=$PWD
cd "$TREE"
hash() { if command -v sha256sum >/dev/null; then echo sha256sum; else echo shasum -a 256; fi; }
newline='
'
find . -type f ! -path "*$newline*" | LC_ALL=C sort |
  awk -v i="$SKEIN_INDEX" -v n="$CHUNKS" '(NR - 1) % n == i' | tr '\\n' '\\000' > "$scratch/names"
: > "$scratch/hashes"
[ ! -s "$scratch/names" ] || xargs -0 $(hash) < "$scratch/names" | sed 's/^\\\\//' | cut -c 1-64 > "$scratch/hashes"
echo "chunk $(wc -l < "$scratch/hashes" | tr -d ' ') $($(hash) < "$scratch/hashes" | cut -c 1-64)"`;
  return {
    name: "hash-tree",
    // The attempt starts in a scratch directory of its own: there the lists lie.
    run: script,
    env: { TREE: tree, CHUNKS: `${chunkCount}` },
    count: chunkCount,
    timeout: "5m",
    retries: { max: 1 },
  };
}

function chunkOf(task: TaskAnswer): Chunk {
  const match = /^chunk (\d+) ([0-9a-f]{64})\s*$/m.exec(task.tail);
  if (match === null) throw new Error(`task ${task.task} did not say its result: ${task.tail}`);
  return { files: Number(match[1]), digest: match[2]! };
}

function combine(chunks: readonly Chunk[]): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(`${chunk.files} ${chunk.digest}\n`);
  return hash.digest("hex");
}

/** The same result without the mesh and without its tools. */
async function hashHere(tree: string): Promise<Chunk[]> {
  const names: Buffer[] = [];
  const visit = (place: Buffer): void => {
    for (const name of readdirSync(place, { withFileTypes: true, encoding: "buffer" })) {
      const inside = Buffer.concat([place, Buffer.from("/"), name.name]);
      if (inside.includes("\n")) continue;
      if (name.isDirectory()) visit(inside);
      else if (name.isFile()) names.push(inside);
    }
  };
  visit(Buffer.from(tree));
  names.sort((a, b) => a.compare(b));
  const parts: { hash: Hash; files: number }[] = Array.from({ length: chunkCount }, () => ({
    hash: createHash("sha256"),
    files: 0,
  }));
  for (const [at, name] of names.entries()) {
    const content = createHash("sha256");
    for await (const bytes of createReadStream(name)) content.update(bytes as Buffer);
    const part = parts[at % chunkCount]!;
    part.hash.update(`${content.digest("hex")}\n`);
    part.files++;
  }
  return parts.map(({ hash, files }) => ({ files, digest: hash.digest("hex") }));
}

/** Shows how far the job is until it is terminal: a bar on a terminal, else a line for every quarter. */
async function follow(node: MeshNode, job: number): Promise<JobAnswer> {
  const until = performance.now() + jobTimeoutMs;
  const terminal = process.stdout.isTTY;
  const width = 40;
  let quarter = 0;
  for (;;) {
    const answer = await node.api("GET", `/v1/jobs/${job}`);
    if (answer.status !== 200) throw new Error(`GET /v1/jobs/${job}: ${answer.status} ${JSON.stringify(answer.body)}`);
    const seen = answer.body as JobAnswer;
    const { queued = 0, running = 0, failed = 0 } = seen.counts;
    const done = chunkCount - queued - running;
    const words = `${done}/${chunkCount} done, ${running} running${failed > 0 ? `, ${failed} failed` : ""}`;
    if (terminal) {
      const full = Math.round((done / chunkCount) * width);
      process.stdout.write(`\r[${"#".repeat(full)}${"-".repeat(width - full)}] ${words}\u001B[K`);
    } else if (Math.floor((done / chunkCount) * 4) > quarter) {
      quarter = Math.floor((done / chunkCount) * 4);
      console.log(`  ${words}`);
    }
    if (seen.state !== "queued" && seen.state !== "running") {
      if (terminal) process.stdout.write("\n");
      return seen;
    }
    if (performance.now() > until) throw new Error(`the job has not ended after ${formatMs(jobTimeoutMs)}: ${words}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function printShares(mesh: Mesh, leader: MeshNode, tasks: readonly TaskAnswer[], jobMs: number): Promise<void> {
  console.log("node  role      tasks  share  busy");
  for (const node of mesh.nodes) {
    const id = node.ready.node;
    const own = tasks.filter((task) => task.node === id);
    const busyMs = own.reduce((sum, task) => sum + spanMs(task), 0);
    const share = tasks.length === 0 ? 0 : (own.length / tasks.length) * 100;
    const role = node === leader ? "leader" : "follower";
    console.log(
      `${String(id).padEnd(4)}  ${role.padEnd(8)}  ${String(own.length).padStart(5)}  ${`${share.toFixed(0)} %`.padStart(5)}  ${formatMs(busyMs)} of task time in ${formatMs(jobMs)}`,
    );
  }
  console.log("");
}

function spanMs(task: TaskAnswer): number {
  if (task.started_at === null || task.finished_at === null) return 0;
  return Date.parse(task.finished_at) - Date.parse(task.started_at);
}
