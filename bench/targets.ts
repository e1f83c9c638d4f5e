/**
 * How soon is a job of ten thousand targets accepted, how soon are all results there, and how soon is one found? The worst node is asked: one that does not lead.
 *
 * `npm run bench -- targets [--rounds=5] [--targets=10000] [--bytes=1024] [--lookups=300] [--write]`
 */
import { Mesh, type MeshNode } from "../scripts/mesh.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { conclude } from "./page/conclude.ts";
import { shown, under } from "./page/rows.ts";

const count = option("targets", 10_000);
const bytes = option("bytes", 1024);
const lookups = option("lookups", 300);
let fleets = 0;

const conditions = await printMachine();
await using mesh = await Mesh.start({ nodes: 3 });
await mesh.leader({ voters: 3 });
const fresh = "a fleet that nobody has named before";
const known = "the same fleet once more";
const figures = await measureInTurns(
  [
    {
      name: fresh,
      measure: async () => {
        fleets++;
        return await fanOut();
      },
    },
    { name: known, measure: async () => ({ ...(await fanOut()), ...(await lookUp()) }) },
  ],
  option("rounds", 5),
);
const of = (name: string, figure: string): readonly number[] => figures[name]![figure]!;
const many = count.toLocaleString("en-US");
conclude("targets", conditions, {
  rows: [
    under(`${many} targets accepted: ${fresh}`, 200, " ms", of(fresh, "acceptedMs")),
    under(`${many} targets accepted: ${known}`, 200, " ms", of(known, "acceptedMs")),
    under(`all results on every node: ${fresh}`, 3000, " ms", of(fresh, "storedMs")),
    under(`all results on every node: ${known}`, 3000, " ms", of(known, "storedMs")),
    shown("all of them read, by pages of 1,000", " ms", of(fresh, "readMs")),
    under("results of one target, p50", 5, " ms", of(known, "lookupP50Ms")),
    under("results of one target, p99", 5, " ms", of(known, "lookupP99Ms")),
  ],
  figures,
});

/** Submits, waits and reads. Throws where a result is missing or its output is not as long as it was asked for. */
async function fanOut(): Promise<Record<string, number>> {
  const leader = await mesh.leader({ voters: 3 });
  const other = mesh.nodes.find((node) => node !== leader)!;
  const targets = [`f${fleets}r[1-${count / 100}]n[1-100]`];
  const began = performance.now();
  const answer = await other.api("POST", "/v1/jobs", { driver: "noop", targets, noop: { output: `${bytes}B` } });
  const acceptedMs = performance.now() - began;
  if (answer.status !== 201) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  const { id } = answer.body as { id: number };
  await Promise.all(mesh.nodes.map((node) => ended(node, id)));
  const storedMs = performance.now() - began;
  const reading = performance.now();
  const names = new Set<string>();
  for (let next = ""; ;) {
    const page = await results(other, `job=${id}&limit=1000${next === "" ? "" : `&next=${next}`}`);
    for (const { target, state, log } of page.results) {
      if (state !== "succeeded" || log?.bytes !== bytes) throw new Error(`${target}: ${state}, ${log?.bytes} bytes`);
      names.add(target);
    }
    if (page.next === undefined || page.next === null) break;
    next = page.next;
  }
  if (names.size !== count) throw new Error(`${names.size} of ${count} targets have a result`);
  return { acceptedMs, storedMs, readMs: performance.now() - reading };
}

/** One target after the other, through the whole fleet. */
async function lookUp(): Promise<Record<string, number>> {
  const node = mesh.nodes.find((each) => each.running)!;
  const tookMs: number[] = [];
  for (let at = 0; at < lookups; at++) {
    const place = Math.floor((at / lookups) * count);
    const target = `f${fleets}r${Math.floor(place / 100) + 1}n${(place % 100) + 1}`;
    const began = performance.now();
    const { results: found } = await results(node, `target=${target}&limit=10`);
    tookMs.push(performance.now() - began);
    if (found.length < 2 || found.some((one) => one.target !== target))
      throw new Error(`${target}: ${found.length} results`);
  }
  tookMs.sort((a, b) => a - b);
  return { lookupP50Ms: tookMs[lookups >> 1]!, lookupP99Ms: tookMs[Math.floor(lookups * 0.99)]! };
}

interface Page {
  readonly results: readonly { target: string; state: string; log: { bytes: number } | null }[];
  readonly next?: string | null;
}

async function results(node: MeshNode, query: string): Promise<Page> {
  const answer = await node.api("GET", `/v1/results?${query}`);
  if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body as Page;
}

async function ended(node: MeshNode, job: number): Promise<void> {
  for (;;) {
    const { status, body } = await node.api("GET", `/v1/jobs/${job}?wait=60s`);
    // A node that is behind does not know it yet.
    if (status === 404) continue;
    const { state } = body as { state: string };
    if (state === "succeeded") return;
    if (state !== "queued" && state !== "running") throw new Error(`job ${job}: ${JSON.stringify(body)}`);
  }
}
