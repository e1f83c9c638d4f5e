/**
 * A tree that is pushed once and laid out everywhere: how long does the push take, until when does a task run in it on every node, and who has sent how much of it? The checksum that each
 * task takes of its whole tree is looked at, so what is timed is what was right.
 *
 * `npm run bench -- bundles [--rounds=3] [--nodes=10] [--files=10000] [--mib=200] [--write]`
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Mesh, type MeshNode } from "../scripts/mesh.ts";
import { allUp, finished, submit, tasksOf } from "../scripts/mesh-jobs.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { conclude } from "./page/conclude.ts";
import { shown, under } from "./page/rows.ts";

const nodes = option("nodes", 10);
const files = option("files", 10_000);
const bytes = option("mib", 200) * 2 ** 20;
let trees = 0;

const conditions = await printMachine();
const scratch = mkdtempSync(path.join(tmpdir(), "skein-bench-bundles-"));
try {
  await using mesh = await Mesh.start({ nodes });
  const [first] = mesh.nodes as [MeshNode];
  await allUp(mesh, first);
  await mesh.leader({ voters: Math.min(5, nodes - ((nodes + 1) % 2)) });
  const what = `${files.toLocaleString("en-US")} files, ${bytes / 2 ** 20} MiB, ${nodes} nodes`;
  const figures = await measureInTurns([{ name: what, measure: () => pushAndLayOut(mesh) }], option("rounds", 3));
  const of = (figure: string): readonly number[] => figures[what]![figure]!;
  conclude("bundles", conditions, {
    rows: [
      shown("pushed to the leader, on two nodes' disks", " ms", of("pushedMs")),
      shown("pushed once more: nothing is sent", " ms", of("againMs")),
      shown(`laid out, and a task run in it, on all ${nodes} nodes`, " ms", of("laidOutMs")),
      shown("the same once more", " ms", of("laidOutAgainMs")),
      under("how often the leader sent it (twice is allowed)", 2.1, "", of("leaderSent")),
      shown("how often the node sent it that sent most", "", of("mostSent")),
    ],
    figures,
  });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Of a tree that nobody has seen before. Throws where anything is not as it was pushed. The leader is asked: nothing worse can be. */
async function pushAndLayOut(mesh: Mesh): Promise<Record<string, number>> {
  const name = `site-${++trees}`;
  const root = path.join(scratch, name);
  makeTree(root);
  const right = run(root);
  const leader = await mesh.leader({});
  const sentBefore = await sentBy(mesh);
  const push = async (): Promise<number> => {
    const began = performance.now();
    const said = await leader.skein(["bundle", "push", root, "-o", "json"]);
    if (said.code !== 0) throw new Error(said.stderr);
    return performance.now() - began;
  };
  const layOut = async (): Promise<number> => {
    const began = performance.now();
    const job = await submit(leader, { run: "sh check", bundle: { name, read_only: true }, each_node: true });
    const { state } = await finished(mesh, job, 900_000);
    const tookMs = performance.now() - began;
    const tasks = await tasksOf(leader, job);
    if (state !== "succeeded" || tasks.length !== nodes || tasks.some(({ tail }) => tail.trim() !== right))
      throw new Error(`job ${job} ${state}: not every node has the tree as it was pushed`);
    return tookMs;
  };
  const times = {
    pushedMs: await push(),
    againMs: await push(),
    laidOutMs: await layOut(),
    laidOutAgainMs: await layOut(),
  };
  const sent = (await sentBy(mesh)).map((now, at) => (now - sentBefore[at]!) / bytes);
  rmSync(root, { recursive: true, force: true });
  console.log(`sent, in bundles, by node: ${sent.map((one) => one.toFixed(2)).join("  ")}`);
  return { ...times, leaderSent: sent[mesh.nodes.indexOf(leader)]!, mostSent: Math.max(...sent) };
}

/** Files of about the same size, all different, and a program that prints the checksum of all of them. */
function makeTree(root: string): void {
  const each = Math.floor(bytes / files);
  for (let at = 0; at < files; at++) {
    const directory = path.join(root, `d${at % 100}`);
    if (at < 100) mkdirSync(directory, { recursive: true });
    writeFileSync(
      path.join(directory, `f${at}`),
      Buffer.alloc(each, `${trees}:${at}:${Math.imul(at + 1, 2_654_435_761)} `),
    );
  }
  writeFileSync(path.join(root, "check"), "find . -type f ! -name check | sort | xargs sha256sum | sha256sum\n");
}

function run(root: string): string {
  return execFileSync("sh", ["check"], { cwd: root, encoding: "utf8" }).trim();
}

/** Bytes of bundles that each node has sent. */
async function sentBy(mesh: Mesh): Promise<number[]> {
  return await Promise.all(
    mesh.nodes.map(async (node) => {
      const page = (await node.api("GET", "/metrics")).body as string;
      return Number(/^skein_bundle_sent_bytes_total (\d+)$/m.exec(page)?.[1] ?? Number.NaN);
    }),
  );
}
