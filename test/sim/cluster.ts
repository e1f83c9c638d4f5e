import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AttemptName } from "../../src/executor/types.ts";
import { Bug } from "../../src/lib/assert.ts";
import { emptyConfiguration } from "../../src/lib/configuration.ts";
import { isId, type NodeId } from "../../src/lib/ids.ts";
import type { Random } from "../../src/lib/prng.ts";
import type { Configuration } from "../../src/raft/types.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import { ownLevel } from "../../src/state/levels.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import type { Node } from "../../src/node/node.ts";
import { findTask } from "../../src/state/queries.ts";
import { driverOf, readSpec } from "../../src/state/spec.ts";
import { jobById } from "../../src/state/tables/job.ts";
import type { Principal, Spec } from "../../src/state/types.ts";
import { ClockJudge } from "./clock-judge.ts";
import { Effects } from "./effects.ts";
import { Host, identityOf } from "./host.ts";
import { Judge } from "./judge.ts";
import { isAnswer } from "./odd-judge.ts";
import { SimNetwork } from "./network.ts";
import { type Plan, roomOf, stream } from "./plan.ts";
import { type Runner, VirtualTime } from "./virtual-time.ts";

/** Who asks for what operators ask for. */
export const operator: Principal = { token: "admin", name: "admin", role: "admin" };

/** A question that was asked of a node. */
interface Asked<Value> {
  /** Once; undefined: there is no answer. */
  answered(run: (value: Value | undefined) => void): void;
}

/** Calls at chosen nodes, beside the usual ones. */
export interface Callers {
  /** Linearizable reads of `host` from now until then (µs), one each `every` µs. */
  readAt(host: Host, until: number, every: number): void;
  /** Writes through any other node, until then. */
  writeBeside(host: Host, until: number, every: number): void;
  /** What a state that was right has applied. */
  applied(host: number, events: readonly AppliedEvent[]): void;
  /** Why nothing of the job is to begin on the host any more; undefined: it may. */
  whyNot(host: number, job: number): string | undefined;
}

/** All hosts of one run, what lies between them, and those who watch. */
export class Cluster {
  readonly plan: Plan;
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  readonly judge: Judge;
  readonly clocks: ClockJudge;
  readonly effects: Effects;
  readonly hosts: Host[] = [];
  readonly byRunner = new Map<Runner, Host>();
  readonly directory: string;
  readonly problems: string[] = [];
  readonly story: string[] = [];
  readonly counters: Record<string, number> = {};
  /** Everything is told, for a replay. */
  readonly tells: boolean;
  /** Crashed processes come back by themselves. */
  restarts = true;
  /** Until then (µs) what operators asked for may change who votes. */
  membershipUntil = 0;
  /** Nodes say that states differ, and cannot say which one is right. */
  onUndecided: () => void = () => {};
  /** Clients that ask more of some nodes while something goes wrong. */
  callers: Callers | undefined;
  readonly #streams = new Map<string, Random>();
  #joins = 0;
  #hasJoinToken = false;

  constructor(plan: Plan, tells: boolean) {
    this.plan = plan;
    this.tells = tells;
    const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    this.directory = mkdtempSync(join(parent, "skein-sim-"));
    this.time = new VirtualTime((error, runner) => this.#onThrown(error, runner));
    this.network = new SimNetwork(this.time, stream(plan.seed, "network"), plan.network);
    this.clocks = new ClockJudge(this);
    this.judge = new Judge((problem) => this.fail(problem));
    const questions = {
      nodeOf: (number: number) => this.hosts.find((host) => host.number === number)?.id,
      guardOf: (node: NodeId) => this.hostOf(node)?.guard,
      wrongUntil: (node: NodeId) => this.hostOf(node)?.state.wrongUntil ?? -Infinity,
      isGuarded: (node: NodeId, job: number) => {
        const spec = this.#specOf(node, job);
        return spec !== undefined && driverOf(spec) !== "noop";
      },
      whyTakenBack: (node: NodeId, { job, task, attempt }: AttemptName) =>
        this.hostOf(node)
          ?.state.view((tx) => findTask(tx, job, task))
          ?.attempts.find((one) => one.attempt === attempt && one.state === "skipped")?.reason,
      whyNot: (host: number, job: number) => this.callers?.whyNot(host, job),
      hasDeadline: (node: NodeId, job: number) => this.#specOf(node, job)?.deadlineMs !== undefined,
      roomOf: (number: number) => roomOf(this.plan, number),
      taskOf: (node: NodeId, job: number) => {
        const spec = this.#specOf(node, job);
        return { slots: spec?.slots ?? 1, licenses: spec?.resources?.["license"] ?? 0 };
      },
      wasWrong: () => this.hosts.some((host) => host.state.wrongUntil > -Infinity),
    };
    this.effects = new Effects(this.time, questions, (problem) => this.fail(problem));
    this.time.onRan = (runner) => this.#onRan(runner);
  }

  /** As that node's state has it: without the words of a view, for what is asked of every attempt. */
  #specOf(node: NodeId, job: number): Spec | undefined {
    const text = this.hostOf(node)?.state.view((tx) => jobById(tx, job)?.spec);
    return text === undefined ? undefined : readSpec(text);
  }

  // ------------------------------------------------------------------------------------------------ telling

  fail(problem: string): void {
    this.note(`PROBLEM ${problem}`);
    this.problems.push(problem);
  }

  /** The first problem ends a run: what comes after it says nothing. */
  get isOver(): boolean {
    return this.problems.length > 0;
  }

  note(what: string): void {
    this.story.push(`${(this.time.now / 1e6).toFixed(3).padStart(9)} s  ${what}`);
    if (!this.tells && this.story.length > 400) this.story.splice(0, 200);
  }

  count(what: string, by = 1): void {
    this.counters[what] = (this.counters[what] ?? 0) + by;
  }

  random(subject: string): Random {
    let random = this.#streams.get(subject);
    if (random === undefined) this.#streams.set(subject, (random = stream(this.plan.seed, `run: ${subject}`)));
    return random;
  }

  chance(subject: string, probability: number): boolean {
    return this.random(subject)() < probability;
  }

  #onThrown(error: unknown, runner: Runner | undefined): void {
    if (runner?.alive === false) return;
    const host = runner === undefined ? undefined : this.byRunner.get(runner);
    if (host !== undefined && error instanceof Bug && host.state.wrongUntil >= this.time.now) {
      // An assertion that stops the node before it spreads what its wrong state led it to.
      this.count("oddStopped");
      this.note(`node ${host.id} ends, by its wrong state: ${error.message}`);
      host.crash("killed");
      this.restartLater(host, "a broken invariant");
      return;
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.fail(
      `${error instanceof Bug ? "a broken invariant" : "an error"} in ${runner?.name ?? "the simulator"}: ${text}`,
    );
  }

  #onRan(runner: Runner): void {
    const host = this.byRunner.get(runner);
    const process = host?.process;
    if (host === undefined || process === undefined || process.runner !== runner) return;
    this.judge.onStep(host.id, process.node.consensus, process.node.applied);
  }

  // -------------------------------------------------------------------------------------------------- hosts

  /** With a process. */
  nodesUp(): Host[] {
    return this.hosts.filter((host) => host.isUp);
  }

  get live(): Host[] {
    return this.hosts.filter((host) => !host.gone);
  }

  hostOf(node: NodeId): Host | undefined {
    return this.hosts.find((host) => host.id === node);
  }

  /** The one that leads in the highest term. */
  leader(): Host | undefined {
    let found: Host | undefined;
    for (const host of this.hosts) {
      const view = host.process?.node.consensus;
      if (view?.role !== "leader") continue;
      if (found === undefined || view.term > found.process!.node.consensus.term) found = host;
    }
    return found;
  }

  /** The configuration of the node that knows most. */
  configuration(): Configuration {
    let best: { readonly term: number; readonly last: number; readonly configuration: Configuration } | undefined;
    for (const { process } of this.hosts) {
      const view = process?.node.consensus;
      if (view === undefined) continue;
      if (best === undefined || view.commit > best.last)
        best = { term: view.term, last: view.commit, configuration: view.configuration };
    }
    return best?.configuration ?? emptyConfiguration;
  }

  found(): void {
    const { plan } = this;
    const level = plan.oldHosts > 0 ? ownLevel - 1 : ownLevel;
    this.#add(0, 1, level, []).start();
  }

  #add(
    number: number,
    node: number,
    level: number,
    peers: { readonly node: NodeId; readonly address: string }[],
  ): Host {
    const host = new Host(this, number, identityOf(number, node, peers), level);
    this.hosts.push(host);
    return host;
  }

  /** A new machine asks to be let in, until it is; under a name that another one had, if given. */
  join(as?: string): void {
    const number = (this.#joins += 1);
    const level = number < this.plan.oldHosts ? ownLevel - 1 : ownLevel;
    this.#tryJoin(number, as ?? `host${number}`, level, 0);
  }

  #tryJoin(number: number, name: string, level: number, tries: number): void {
    const member = this.anyUp("join");
    const again = (): void => {
      if (tries < 300) this.time.after(300_000, undefined, () => this.#tryJoin(number, name, level, tries + 1));
    };
    if (member === undefined) return again();
    const { node } = member.process!;
    const input = {
      name,
      incarnation: `joining-${number}`,
      labels: {},
      slots: 1,
      ioTasks: 1,
      level,
      version: "0.0.0",
      api: "",
      peer: "",
      joinToken: "join",
      token: { id: `host${number}`, hash: "hash", name: `node host${number}` },
    };
    let answered = false;
    this.ask(member, 8_000_000, async () => {
      if (!this.#hasJoinToken) {
        const made = await node.propose(
          "token.create",
          { id: "join", hash: "hash", name: "join", kind: "join", role: "operator", expiresAt: null, uses: null },
          operator,
        );
        if (!made.ok && made.why.code !== "conflict") return made;
        this.#hasJoinToken = true;
      }
      return node.propose("node.join", input, operator);
    }).answered((outcome) => {
      if (answered) return;
      answered = true;
      if (outcome === undefined || !outcome.ok) return again();
      const id = (outcome.value.value as { readonly node?: unknown }).node;
      if (!isId(id)) return again();
      if (this.hosts.some((host) => host.id === id)) this.fail(`node id ${id} was given twice`);
      const peers = this.live.map((host) => ({ node: host.id, address: host.address }));
      this.note(`host ${number} joins as node ${id}`);
      this.count("joins");
      this.#add(number, id, level, peers).start();
    });
  }

  /** Tried until it is taken. */
  setTiming(timing: { readonly heartbeatMs: number; readonly electionTimeoutMs: number }): void {
    const input = { heartbeat_ms: timing.heartbeatMs, election_timeout_ms: timing.electionTimeoutMs };
    this.time.after(500_000, undefined, () => {
      const member = this.anyUp("timing");
      if (member === undefined) return this.setTiming(timing);
      const { node } = member.process!;
      this.ask(member, 3_000_000, () => node.propose("cluster.timing", input, operator)).answered((outcome) => {
        if (outcome?.ok !== true) this.setTiming(timing);
      });
      return undefined;
    });
  }

  anyUp(subject: string): Host | undefined {
    const up = this.hosts.filter((host) => host.isUp && !host.process!.stopping);
    return up[Math.floor(this.random(subject)() * up.length)];
  }

  /**
   * Asks a node's process for something, as an API's client would: there and back takes time, and without an answer in time, or with the process
   * gone, it is undefined: nobody knows. What comes from its state must not be said in quarantine (S1); who leads is no matter of the state.
   */
  ask<Value>(
    host: Host,
    timeout: number,
    call: () => Promise<Value>,
    from: "state" | "consensus" = "state",
  ): Asked<Value> {
    const { process } = host;
    let settled = false;
    let tell: (value: Value | undefined) => void = () => {};
    const settle = (value: Value | undefined): void => {
      if (settled) return;
      settled = true;
      tell(value);
    };
    if (process !== undefined) {
      this.time.after(300, process.runner, () => {
        call().then(
          (value) => {
            if (from === "state" && isAnswer(value) && host.isQuarantined)
              this.fail(`S1: node ${host.id} answers a client, and is in quarantine`);
            // What a process says in the turn in which it ends does not leave it.
            if (process.runner.alive) this.time.after(300, undefined, () => settle(value));
          },
          (error: unknown) => {
            if (!process.runner.alive) return;
            this.#rejected.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
          },
        );
      });
    }
    this.time.after(timeout, undefined, () => settle(undefined));
    return {
      answered: (run) => {
        tell = run;
      },
    };
  }

  readonly #rejected: string[] = [];
  /** What calls threw where an outcome was promised. */
  get rejected(): readonly string[] {
    return this.#rejected;
  }

  restartLater(host: Host, why: string): void {
    if (!this.restarts || host.gone || host.removed || host.deadSince !== undefined) return;
    const random = this.random("restarts");
    const pause = random() < 0.5 ? 20_000 + random() * 500_000 : random() * 12_000_000;
    this.note(`node ${host.id} is down (${why}) for ${Math.round(pause / 1000)} ms`);
    this.time.after(pause, undefined, () => {
      const isWanted = this.restarts && !host.gone && !host.removed && host.deadSince === undefined;
      if (isWanted && !host.isUp) host.start();
    });
  }

  onCrash(host: Host): void {
    this.count("crashes");
    this.note(`node ${host.id} has ended`);
  }

  onRemoved(host: Host): void {
    this.count("removedTold");
    this.note(`node ${host.id} was told that it is no member`);
  }

  /** Without these nodes every configuration in any log still has a quorum. */
  canSpare(without: (node: NodeId) => boolean): boolean {
    const have = (node: NodeId): number => {
      const host = this.hostOf(node);
      if (host === undefined || host.gone || host.deadSince !== undefined || host.isOdd || without(node)) return 0;
      return host.disk.file.repair === undefined ? 1 : 0;
    };
    const configurations = this.judge.configurations().filter(({ voters }) => voters.length > 0);
    return configurations.every((configuration) => quorumReached(configuration, { reached: have }) === 1);
  }

  nodes(): Node[] {
    return this.hosts.flatMap((host) => (host.process === undefined ? [] : [host.process.node]));
  }

  close(): void {
    for (const host of this.hosts) {
      if (host.process !== undefined) host.process.runner.alive = false;
      host.close();
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
