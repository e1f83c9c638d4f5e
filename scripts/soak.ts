/**
 * `npm run soak -- [--minutes=M] [--seed=N] [--nodes=3]`: the real binary under load while nodes are killed, frozen and restarted, chosen from the
 * seed. Checks that the calls of all clients are linearizable, that nothing acknowledged is lost, that every job succeeds once and that the states
 * are equal. Exit code 1, with the story and the nodes' last words, when one of these does not hold.
 */
import { seededRandom } from "../src/lib/prng.ts";
import { buildIfChanged } from "./build.ts";
import { Mesh } from "./mesh.ts";
import { type Operation, refuted } from "./soak-history.ts";
import { Load } from "./soak-load.ts";
import { disturb } from "./soak-nemesis.ts";
import { lostOf, notSucceeded, statesOf } from "./soak-verdict.ts";
import { numberOption, onInterrupt } from "./steps.ts";

export interface SoakResult {
  readonly troubles: Readonly<Record<string, number>>;
  readonly submits: number;
  readonly reads: number;
  readonly problems: readonly string[];
  readonly story: readonly string[];
}

/** One run. Throws only when the mesh itself cannot be started or healed. */
export async function soak(
  mesh: Mesh,
  options: { readonly forMs: number; readonly seed: number },
): Promise<SoakResult> {
  const began = performance.now();
  const story: string[] = [];
  const voters = Math.min(5, mesh.nodes.length);
  await mesh.leader({ voters });
  const load = new Load(mesh, { writers: 6, readers: 3, pauseMs: 5, attemptMs: 4000 });
  const isOver = (): boolean => performance.now() - began > options.forMs;
  const say = (what: string): void => void story.push(`${Math.round(performance.now() - began)} ms: ${what}`);
  const troubles = await disturb(mesh, seededRandom(options.seed), isOver, say).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${story.join("\n")}`);
  });
  await mesh.leader({ voters, timeoutMs: 60_000 });
  await load.stop();
  const { acknowledged } = load;
  const lost = await lostOf(mesh, acknowledged);
  const states = (await notSucceeded(mesh, acknowledged)).slice(0, 10);
  const different = await statesOf(mesh);
  const problems = [
    ...refuted(load.history),
    ...lost.slice(0, 10).map((id) => `job ${id} was acknowledged and is lost (${lost.length} in all)`),
    ...states,
    ...(different.length > 1 ? [`the states differ: ${JSON.stringify(different)}`] : []),
    ...(acknowledged.length === 0 ? ["nothing was acknowledged"] : []),
  ];
  const count = (kind: Operation["kind"]): number =>
    load.history.filter((one) => one.kind === kind && one.value !== undefined).length;
  return { troubles, submits: count("submit"), reads: count("read"), problems, story };
}

if (process.argv[1] === import.meta.filename) {
  onInterrupt(() => Mesh.stopAll());
  const forMs = numberOption("minutes", 1) * 60_000;
  const seed = numberOption("seed", 1 + Math.floor(Math.random() * 2 ** 31));
  const nodes = numberOption("nodes", 3);
  await buildIfChanged();
  console.log(`soak of ${nodes} nodes for ${forMs / 60_000} min, --seed=${seed}`);
  const mesh = await Mesh.start({ nodes });
  try {
    const { story, problems, ...figures } = await soak(mesh, { forMs, seed });
    console.log(JSON.stringify(figures));
    if (problems.length > 0) {
      console.error([...problems, ...story, ...mesh.nodes.flatMap((node) => ["---", node.log])].join("\n"));
      process.exitCode = 1;
    } else console.log("linearizable; acknowledged and lost: 0; one end per job; states equal");
  } finally {
    await mesh.stop();
  }
  process.exit();
}
