/**
 * A tree that is pushed once and laid out everywhere: how long does the push take, until when does a task run in it on every node, and who has sent how much of it? The checksum that each
 * task takes of its whole tree is looked at, so what is timed is what was right.
 *
 * `npm run bench -- bundles [--nodes=10] [--files=10000] [--mib=200]`
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Mesh, type MeshNode } from "../scripts/mesh.ts";
import { allUp, finished, submit, tasksOf } from "../scripts/mesh-jobs.ts";
import { formatMs } from "../scripts/steps.ts";
import { option, printMachine } from "./harness.ts";

const nodes = option("nodes", 10);
const files = option("files", 10_000);
const bytes = option("mib", 200) * 2 ** 20;

await printMachine();
const scratch = mkdtempSync(path.join(tmpdir(), "skein-bench-bundles-"));
try {
  const root = path.join(scratch, "site");
  makeTree(root);
  const right = run(root);
  await using mesh = await Mesh.start({ nodes });
  const [first] = mesh.nodes as [MeshNode];
  await allUp(mesh, first);
  // The leader is asked: nothing worse can be.
  const leader = await mesh.leader({ voters: Math.min(5, nodes - ((nodes + 1) % 2)) });
  const push = async (): Promise<string> => {
    const began = performance.now();
    const said = await leader.skein(["bundle", "push", root, "-o", "json"]);
    if (said.code !== 0) throw new Error(said.stderr);
    const { sent_files: sent, nodes: on } = JSON.parse(said.stdout) as Record<string, unknown>;
    return `${formatMs(performance.now() - began)}, ${String(sent)} files sent, on nodes ${String(on)}`;
  };
  console.log(`pushed             ${await push()}`);
  console.log(`pushed once more   ${await push()}`);
  for (const what of ["laid out", "laid out again"]) {
    const began = performance.now();
    const job = await submit(leader, {
      run: "sh check",
      bundle: { name: "site", read_only: true },
      each_node: true,
    });
    const { state } = await finished(mesh, job, 900_000);
    const tasks = await tasksOf(leader, job);
    const isRight = state === "succeeded" && tasks.length === nodes && tasks.every(({ tail }) => tail.trim() === right);
    console.log(
      `${what.padEnd(18)} ${formatMs(performance.now() - began)} on ${tasks.length} nodes, every checksum ${isRight ? "right" : "WRONG"}`,
    );
    if (!isRight) process.exitCode = 1;
  }
  const sent = await Promise.all(mesh.nodes.map((node) => times(node, "sent")));
  const received = await Promise.all(mesh.nodes.map((node) => times(node, "received")));
  const byLeader = sent[mesh.nodes.indexOf(leader)]!;
  console.log(
    `sent, in bundles   ${sent.map((one) => one.toFixed(2)).join("  ")}  (leader ${byLeader.toFixed(2)}, at most 2 wanted: ${byLeader <= 2 ? "met" : "MISSED"})`,
  );
  console.log(`got, in bundles    ${received.map((one) => one.toFixed(2)).join("  ")}`);
  if (byLeader > 2) process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Files of about the same size, all different, and a program that prints the checksum of all of them. */
function makeTree(root: string): void {
  const each = Math.floor(bytes / files);
  for (let at = 0; at < files; at++) {
    const directory = path.join(root, `d${at % 100}`);
    if (at < 100) mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, `f${at}`), Buffer.alloc(each, `${at}:${Math.imul(at + 1, 2_654_435_761)} `));
  }
  writeFileSync(path.join(root, "check"), "find . -type f ! -name check | sort | xargs sha256sum | sha256sum\n");
}

function run(root: string): string {
  return execFileSync("sh", ["check"], { cwd: root, encoding: "utf8" }).trim();
}

/** How often the whole bundle went out of that node, or came to it. */
async function times(node: MeshNode, way: "sent" | "received"): Promise<number> {
  const page = (await node.api("GET", "/metrics")).body as string;
  const found = new RegExp(String.raw`^skein_bundle_${way}_bytes_total (\d+)$`, "m").exec(page)?.[1];
  return Number(found ?? Number.NaN) / bytes;
}
