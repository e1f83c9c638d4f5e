import type { Random } from "../../src/lib/prng.ts";
import type { Principal, Spec } from "../../src/state/types.ts";
import { type Cluster, operator } from "./cluster.ts";
import { stream } from "./plan.ts";

/**
 * What decides where jobs of the simulator go, and when: some ask for a declared resource, they come from several submitters, and these have weights, which somebody
 * changes now and then. Drawn from a stream of its own. That nobody is given more than there is, is judged by room-judge.ts; that nobody starves, by the end of every job.
 */
type Draft = { -readonly [Key in keyof Spec]: Spec[Key] };

const names = ["admin", "bo", "cy"];
const callTimeout = 4_000_000;

export class Placed {
  readonly #cluster: Cluster;
  readonly #random: Random;
  /** Whose tokens are there. */
  readonly #known = new Set(["admin"]);
  /** Jobs that ask for a resource. */
  asking = 0;
  weights = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#random = stream(cluster.plan.seed, "placing");
  }

  /** Who submits the next job: with a token of their own, which is asked for when it is wanted first. */
  submitter(): Principal {
    const name = names[Math.floor(this.#random() ** 2 * names.length)]!;
    return this.#principal(name);
  }

  /** Who submits many at once; undefined: they have no token yet. */
  hurried(): Principal | undefined {
    const who = this.#principal("dee");
    return who.name === "dee" ? who : undefined;
  }

  #principal(name: string): Principal {
    if (!this.#known.has(name)) this.#askForToken(name);
    const who = this.#known.has(name) ? name : "admin";
    return { token: who, name: who, role: "operator" };
  }

  #askForToken(name: string): void {
    const host = this.#cluster.anyUp("placing");
    if (host === undefined) return;
    const { node } = host.process!;
    const input = {
      id: name,
      hash: `hash of ${name}`,
      name,
      kind: "api",
      role: "operator",
      expiresAt: null,
      uses: null,
    } as const;
    const askedAt = this.#cluster.time.now;
    this.#cluster
      .ask(host, callTimeout, () => node.propose("token.create", input, operator))
      .answered((outcome) => {
        const isThere = outcome !== undefined && (outcome.ok || outcome.why.code === "conflict");
        if (isThere && host.state.wrongUntil < askedAt) this.#known.add(name);
      });
  }

  /** Adds what a task takes of its node. */
  draw(spec: Draft): void {
    const draw = this.#random();
    // Where some host is old all of it is refused until that one is replaced.
    if (draw >= 0.15 || (this.#cluster.plan.oldHosts > 0 && this.#random() < 0.9)) return;
    spec.resources = { license: 1 };
    this.asking += 1;
  }

  /** Now and then somebody gives a submitter another weight, whatever the answer. */
  maybeWeigh(): void {
    if (this.#random() >= 0.02) return;
    const host = this.#cluster.anyUp("placing");
    if (host === undefined) return;
    const { node } = host.process!;
    const input = {
      name: names[Math.floor(this.#random() * names.length)]!,
      weight: 1 + Math.floor(this.#random() * 9),
    };
    this.#cluster
      .ask(host, callTimeout, () => node.propose("submitter.set", input, operator))
      .answered((outcome) => {
        if (outcome?.ok === true) this.weights += 1;
      });
  }
}
