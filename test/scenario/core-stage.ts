import { assert } from "../../src/lib/assert.ts";
import { index, nodeId, type NodeId } from "../../src/lib/ids.ts";
import type { ConfigurationChange, Message, Proposed } from "../../src/raft/types.ts";
import { testOptions } from "../raft/cluster.ts";
import type { Command, Stage } from "./script.ts";
import { sayConfiguration, sayEntry, sayMessage } from "./words.ts";
import { type Host, World } from "./world.ts";

type Verb = (command: Command) => void;

/** What a cluster of machines can be told: one method for each verb (test/scenario/README.md lists them). */
export class CoreStage implements Stage {
  #lines: string[] = [];
  #isQuiet = false;
  readonly #world = new World((line) => {
    if (!this.#isQuiet) this.#lines.push(line);
  });
  /** Nodes whose disk or state does not go on by itself while everything settles. */
  readonly #stalled = new Set<number>();
  readonly #busy = new Set<number>();

  perform(command: Command): readonly string[] {
    const verb = this.#verbs[command.verb];
    assert(verb !== undefined, `there is no verb ${command.verb}`);
    this.#lines = [];
    verb(command);
    // A turn that had nothing to say (a leader looked whether there is something to send) is not shown.
    return this.#lines.filter(
      (line, at) => !line.endsWith(" is ready") || this.#lines[at + 1]?.startsWith("  ") === true,
    );
  }

  #say(line: string): void {
    this.#lines.push(line);
  }

  #host({ words }: Command): Host {
    return this.#world.host(Number(words[0]));
  }

  #hosts({ words }: Command): readonly Host[] {
    return words.length === 0 ? this.#world.hosts : words.map((word) => this.#world.host(Number(word)));
  }

  readonly #verbs: Readonly<Record<string, Verb>> = {
    // What the nodes are.
    options: ({ options }) => {
      const numbers = Object.fromEntries([...options].map(([name, value]) => [nameOf(name), Number(value)]));
      for (const name of Object.keys(numbers)) assert(name in testOptions, `there is no option ${name}`);
      Object.assign(this.#world.options, numbers);
    },
    "add-nodes": (command) => this.#addNodes(command),
    "add-blank": ({ words }) => words.forEach((word) => this.#world.addBlank(Number(word))),
    bootstrap: () => this.#world.bootstrap(),
    crash: (command) => this.#world.crash(this.#host(command), Number(command.options.get("survived") ?? 0)),
    restart: (command) => this.#hosts(command).forEach((host) => this.#world.restart(host)),
    wipe: (command) => this.#world.wipe(this.#host(command)),
    damage: (command) => this.#host(command).store.damage(numberOf(command, "at")),

    // What is asked of them.
    campaign: (command) => this.#host(command).raft.campaign(),
    propose: (command) => this.#propose(command),
    "propose-conf-change": (command) => this.#change(command),
    read: (command) => this.#host(command).raft.readIndex(Number(command.words[1])),
    transfer: (command) => {
      const begun = this.#host(command).raft.transfer(nodeId(Number(command.words[1])));
      this.#say(begun.ok ? "begun" : `refused: ${begun.why}`);
    },
    resign: (command) => this.#host(command).raft.resign(),
    "forget-leader": (command) => {
      const { raft } = this.#host(command);
      raft.disconnected(raft.leader);
    },
    "report-disconnected": (command) => this.#host(command).raft.disconnected(nodeId(Number(command.words[1]))),
    "report-connected": (command) => this.#host(command).raft.connected(nodeId(Number(command.words[1]))),
    compact: (command) => this.#compact(command),
    "lose-snapshot-reports": () => void (this.#world.areSnapshotsReported = false),
    "send-snapshot": (command) => {
      const at = command.options.get("at");
      const to = nodeId(Number(command.words[1]));
      this.#world.sendSnapshot(this.#host(command), to, at === undefined ? undefined : Number(at));
    },

    // Time.
    tick: (command) => this.#tick(command, Number(command.options.get("count") ?? 1)),
    "tick-heartbeat": (command) => this.#tick(command, testOptions.heartbeatTicks),
    "tick-election": (command) => this.#tick(command, testOptions.electionTicks),
    /** The timeouts that this node draws from now on, of (T, 2T]. */
    "set-election-timeout": (command) => {
      const ticks = Number(command.words[1]);
      const { electionTicks } = testOptions;
      assert(ticks > electionTicks && ticks <= 2 * electionTicks, "a timeout lies in (T, 2T]");
      this.#host(command).draw = (ticks - electionTicks - 0.5) / electionTicks;
    },

    // The steps of a driver, one by one.
    "process-ready": (command) => {
      for (const host of this.#hosts(command)) if (!this.#world.ready(host)) this.#say(`${host.id} has nothing ready`);
    },
    "process-append": (command) => {
      const count = command.options.get("count");
      const done = this.#world.disk(this.#host(command), count === undefined ? undefined : Number(count));
      if (!done) this.#say("no write is waiting");
    },
    "process-apply": (command) => {
      if (!this.#world.apply(this.#host(command))) this.#say("nothing is waiting");
    },
    stall: ({ words }) => words.forEach((word) => this.#stalled.add(Number(word))),
    unstall: ({ words }) => words.forEach((word) => this.#stalled.delete(Number(word))),
    "hold-apply": ({ words }) => words.forEach((word) => this.#busy.add(Number(word))),
    "go-on-applying": ({ words }) => words.forEach((word) => this.#busy.delete(Number(word))),

    // The network.
    cut: ({ words }) => words.forEach((word) => this.#cut(word)),
    isolate: ({ words }) => {
      for (const word of words)
        for (const { id } of this.#world.hosts) if (id !== Number(word)) this.#cut(`${word}-${id}`);
    },
    /** Such messages are lost from now on: `to=`, `from=`, `kind=`. */
    block: ({ options }) => this.#world.blocked.push((message) => isMeant(message, options)),
    heal: () => this.#world.heal(),
    "deliver-msgs": (command) => this.#take(command).forEach((message) => this.#world.deliver(message)),
    "drop-msgs": (command) => this.#take(command).forEach((message) => this.#world.lose(message)),
    "delay-msgs": (command) => {
      const name = command.options.get("as") ?? "delayed";
      const taken = this.#take(command);
      for (const message of taken) this.#say(`delayed: ${sayMessage(message)}`);
      this.#world.delayed.set(name, [...(this.#world.delayed.get(name) ?? []), ...taken]);
    },
    /** They are on their way again; `again`: and once more later. */
    "release-msgs": ({ words, options }) => {
      const name = options.get("as") ?? "delayed";
      this.#world.network.push(...(this.#world.delayed.get(name) ?? []));
      if (!words.includes("again")) this.#world.delayed.delete(name);
    },
    network: () => {
      for (const message of this.#world.network) this.#say(sayMessage(message));
      if (this.#world.network.length === 0) this.#say("nothing is on its way");
    },
    stabilize: (command) => this.#stabilize(this.#hosts(command)),

    // What can be seen.
    quiet: () => void (this.#isQuiet = true),
    loud: () => void (this.#isQuiet = false),
    "raft-state": (command) => this.#hosts(command).forEach((host) => this.#say(stateOf(host))),
    "raft-log": (command) => this.#hosts(command).forEach((host) => this.#sayLog(host)),
    configuration: (command) =>
      this.#hosts(command).forEach((host) => this.#say(`${host.id}: ${sayConfiguration(host.raft.configuration)}`)),
    applied: (command) =>
      this.#hosts(command).forEach((host) => this.#say(`${host.id}: ${host.commands().join(" ") || "nothing"}`)),
    status: (command) => this.#status(this.#host(command)),
  };

  #addNodes({ words, options }: Command): void {
    const { hosts } = this.#world;
    const ids = Array.from({ length: Number(words[0]) }, (_, at) => nodeId(hosts.length + at + 1));
    const learners = nodesOf(options.get("learners"));
    const voters = nodesOf(options.get("voters"));
    const terms = (options.get("terms") ?? "").split(",").filter(Boolean).map(Number);
    const configuration = {
      voters: voters.length > 0 ? voters : ids.filter((id) => !learners.includes(id)),
      outgoing: [],
      learners,
      learnersNext: [],
    };
    const hardTerm = Number(options.get("term") ?? Math.max(1, ...terms));
    for (const id of ids) this.#world.add(id, configuration, terms, hardTerm);
  }

  #propose(command: Command): void {
    const { raft } = this.#host(command);
    for (const text of command.words.slice(1)) {
      const bytes = Number(command.options.get("bytes") ?? text.length);
      this.#sayProposed(raft.propose(Buffer.from(text.padEnd(bytes, "."))));
    }
  }

  /** `replace voters=... learners=...`, or `add-learner|promote|demote|remove NODE`; `based-on-voters=...`: decided on another configuration. */
  #change(command: Command): void {
    const { raft } = this.#host(command);
    const [, kind, node] = command.words;
    const change: ConfigurationChange =
      kind === "replace"
        ? {
            kind: "replace",
            voters: nodesOf(command.options.get("voters")),
            learners: nodesOf(command.options.get("learners")),
          }
        : ({ kind, node: nodeId(Number(node)) } as Exclude<ConfigurationChange, { kind: "replace" }>);
    const base = command.options.get("based-on-voters");
    const basedOn = base === undefined ? raft.configuration : { ...raft.configuration, voters: nodesOf(base) };
    this.#sayProposed(raft.proposeConfiguration(change, basedOn));
  }

  #sayProposed(proposed: Proposed): void {
    this.#say(proposed.ok ? `takes ${proposed.index}/${proposed.term}` : `refused: ${proposed.why}`);
  }

  #compact(command: Command): void {
    const host = this.#host(command);
    const meta = host.raft.compact(index(Number(command.words[1] ?? host.appliedDurable)));
    this.#say(meta === undefined ? "there is nothing to forget" : `log begins after ${meta.index}/${meta.term}`);
    if (meta !== undefined) host.store.compact(meta);
  }

  #tick(command: Command, count: number): void {
    for (const host of this.#hosts(command)) {
      if (!host.alive) continue;
      for (let at = 0; at < count; at++) host.raft.tick();
      this.#world.watch(host.id);
    }
  }

  /** `2>3` one way, `2-3` both. */
  #cut(word: string): void {
    const [, from, how, to] = /^(\d+)([->])(\d+)$/.exec(word)!;
    this.#world.cut(Number(from), Number(to));
    if (how === "-") this.#world.cut(Number(to), Number(from));
  }

  /** Takes messages off the network: `to=`, `from=`, `kind=` say which, `count=` how many at most. */
  #take({ options }: Command): readonly Message[] {
    let left = Number(options.get("count") ?? Infinity);
    const taken: Message[] = [];
    this.#world.network = this.#world.network.filter((message) => {
      const wanted = left > 0 && isMeant(message, options);
      if (wanted) left -= taken.push(message) > 0 ? 1 : 0;
      return !wanted;
    });
    if (taken.length === 0) this.#say("no such message is on its way");
    return taken;
  }

  /** Until nothing is left that these nodes could do without time passing. */
  #stabilize(hosts: readonly Host[]): void {
    const world = this.#world;
    for (let turn = 0; turn < 1000; turn++) {
      let isBusy = false;
      for (const host of hosts) {
        while (world.ready(host)) isBusy = true;
        if (!this.#stalled.has(host.id) && world.disk(host)) isBusy = true;
        if (!this.#busy.has(host.id) && world.apply(host)) isBusy = true;
      }
      const mine = new Set(hosts.map(({ id }) => id));
      const arriving = world.network.filter((message) => mine.has(message.to));
      world.network = world.network.filter((message) => !mine.has(message.to));
      for (const message of arriving) world.deliver(message, false);
      if (!isBusy && arriving.length === 0) return;
    }
    throw new Error("the nodes do not come to rest");
  }

  #sayLog(host: Host): void {
    const { baseIndex, lastIndex, durableIndex } = host.raft;
    const entries = Array.from({ length: lastIndex - baseIndex }, (_, at) => host.entryAt(baseIndex + 1 + at));
    const begin = baseIndex === 0 ? "" : ` begins after ${baseIndex},`;
    this.#say(`${host.id}:${begin} durable to ${durableIndex} [${entries.map(sayEntry).join(", ")}]`);
  }

  #status(host: Host): void {
    const { voters, outgoing, learners } = host.raft.configuration;
    const others = [...new Set([...voters, ...outgoing, ...learners])]
      .filter((node) => node !== host.id)
      .sort((a, b) => a - b);
    if (host.raft.role !== "leader") return this.#say(`${host.id} does not lead`);
    for (const node of others) {
      const { mode, match, lag, slowDisk } = host.raft.progress(node)!;
      this.#say(`${node}: ${mode} match ${match} lag ${lag}${slowDisk ? " (slow disk)" : ""}`);
    }
  }
}

function stateOf(host: Host): string {
  if (!host.alive) return `${host.id}: down`;
  const { role, term, leader, commit, lastIndex, isRepairing } = host.raft;
  const of = role === "follower" ? ` of ${leader === 0 ? "nobody" : leader}` : "";
  return `${host.id}: ${role}${of} term ${term} commit ${commit} applied ${host.applied} last ${lastIndex}${isRepairing ? " (repairing)" : ""}`;
}

function isMeant(message: Message, options: ReadonlyMap<string, string>): boolean {
  const is = (name: string, value: string | number): boolean =>
    options.get(name)?.split(",").includes(String(value)) ?? true;
  return is("to", message.to) && is("from", message.from) && is("kind", message.kind);
}

function nodesOf(text: string | undefined): NodeId[] {
  return (text ?? "").split(",").filter(Boolean).map(Number).map(nodeId);
}

function numberOf({ verb, options }: Command, name: string): number {
  const value = options.get(name);
  assert(value !== undefined, `${verb} needs ${name}=`);
  return Number(value);
}

/** `inflight-appends` -> `inflightAppends`. */
function nameOf(option: string): string {
  return option.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
