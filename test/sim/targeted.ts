import { digestOfText } from "../../src/lib/digest.ts";
import type { Random } from "../../src/lib/prng.ts";
import { tasksIn } from "../../src/state/shape.ts";
import { jobsOfTargets, placesOfTarget, targetCount, targetsIn } from "../../src/state/tables/target.ts";
import type { ReadTx } from "../../src/state/tx.ts";
import type { Spec } from "../../src/state/types.ts";
import type { Cluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { stream } from "./plan.ts";

/**
 * Jobs about targets, in the simulator: arrays that become fleets, of which several jobs have the same list of names. As over HTTP, names are sent only where the asked node does not
 * have the list, and always when a request is repeated. Drawn from a stream of their own, so that what the rest of a run draws is what it was without them.
 *
 *   targets   a job that was acknowledged is about the targets it was asked for, in their order, and is found by each of them, on every node
 */
type Draft = { -readonly [Key in keyof Spec]: Spec[Key] };

const fleets = 3;

export class Targeted {
  readonly #cluster: Cluster;
  readonly #random: Random;
  /** Names joined by newlines, by list. */
  readonly #names = new Map<string, string>();
  drawn = 0;
  /** Requests that sent no names, because the node that was asked had them. */
  unsent = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#random = stream(cluster.plan.seed, "targets");
  }

  /** Some arrays are fleets. */
  draw(spec: Draft): void {
    const random = this.#random;
    const [isOne, fleet] = [random() < 0.4, Math.floor(random() * fleets)];
    if (spec.count === undefined || !isOne) return;
    // Where some host is old all of it is refused until that one is replaced.
    if (this.#cluster.plan.oldHosts > 0 && random() < 0.9) return;
    const names = Array.from({ length: tasksIn(spec) }, (_, at) => `f${fleet}h${at + 1}`);
    const joined = names.join("\n");
    const list = digestOfText(joined);
    this.#names.set(list, joined);
    delete spec.count;
    spec.targets = { list, count: names.length };
    this.drawn += 1;
  }

  /** What goes with a request for that job, asked of that host. */
  listsFor({ targets }: Spec, host: Host, isRepeated: boolean): { lists?: [string, string][] } {
    if (targets === undefined) return {};
    const { list } = targets;
    if (!isRepeated && host.state.view((tx) => targetCount(tx, list)) !== undefined) {
      this.unsent += 1;
      return {};
    }
    return { lists: [[list, this.#names.get(list)!]] };
  }

  /** Of a job that is there. */
  judge(tx: ReadTx, { targets }: Spec, job: number): void {
    if (targets === undefined) return;
    const wanted = this.#names.get(targets.list)!;
    const names = targetsIn(tx, targets.list);
    if (names?.join("\n") !== wanted)
      this.#cluster.fail(`targets: job ${job} is about ${names?.join(", ")}, and was to be about ${wanted}`);
    for (const [position, name] of wanted.split("\n").entries()) {
      const isFound = placesOfTarget(tx, name).some(
        (place) => place.list === targets.list && place.position === position,
      );
      if (!isFound) this.#cluster.fail(`targets: ${name} is not found as number ${position} of job ${job}`);
    }
    if (!jobsOfTargets(tx, targets.list, job + 1, 1).includes(job))
      this.#cluster.fail(`targets: job ${job} is not among the jobs of its targets`);
  }
}
