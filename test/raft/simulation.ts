import { join } from "node:path";
import { randomInteger, seededRandom, type Random } from "../../src/lib/prng.ts";
import type { ConfigurationChange, Message } from "../../src/raft/types.ts";
import { decodeConfiguration, isJoint } from "../../src/raft/configuration.ts";
import { Cluster, type Member, type NodeFiles, testOptions } from "./cluster.ts";
import { type Coverage, noCoverage } from "./coverage.ts";
import { Ending } from "./ending.ts";
import { SqliteState } from "./sqlite-state.ts";
import { SqliteStore } from "./sqlite-store.ts";
import { check } from "./violation.ts";

/** How likely each fault is in this run; drawn per seed, so that runs differ in kind. */
interface Faults {
  readonly loss: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly crash: number;
  readonly partition: number;
  readonly slowDisk: number;
  readonly compact: number;
  readonly damage: number;
  readonly stall: number;
  readonly freeze: number;
  /** A node's state falls behind its log. */
  readonly lag: number;
  readonly replay: number;
  readonly reset: number;
  /** A node's state is found to be wrong. */
  readonly distrust: number;
  /** A sync fails, and what it was to sync is lost (real files only). */
  readonly diskError: number;
  /** A leader changes the membership as soon as it leads. */
  readonly hasty: number;
  /** A change of members replaces any number of them. */
  readonly churn: number;
  /** Something breaks right when a leader is found or the members change. */
  readonly timely: number;
  /** Leaders of two terms undo each other's changes: see #duel. Nothing else goes wrong but slow disks and states. */
  readonly isDuel: boolean;
}

const noFaults: Faults = {
  loss: 0,
  duplicate: 0,
  reorder: 0,
  crash: 0,
  partition: 0,
  slowDisk: 0.3,
  compact: 0,
  damage: 0,
  stall: 0,
  freeze: 0,
  lag: 0,
  replay: 0,
  reset: 0,
  distrust: 0,
  diskError: 0,
  hasty: 0,
  churn: 0,
  timely: 0,
  isDuel: false,
};

function drawFaults(random: Random): Faults {
  const draw = (absent: number, most: number): number => (random() < absent ? 0 : random() * most);
  return {
    loss: draw(0.3, 0.3),
    duplicate: draw(0.5, 0.3),
    reorder: draw(0.3, 0.5),
    crash: draw(0.2, 0.004),
    partition: draw(0.2, 0.006),
    slowDisk: random() * 0.8,
    compact: draw(0.3, 0.02),
    damage: random() < 0.5 ? 0 : 0.3,
    stall: draw(0.5, 0.004),
    freeze: draw(0.5, 0.003),
    lag: draw(0.5, 0.004),
    replay: draw(0.5, 0.02),
    reset: draw(0.5, 0.004),
    diskError: draw(0.5, 0.001),
    hasty: draw(0.4, 1),
    churn: random(),
    timely: draw(0.4, 0.5),
    isDuel: false,
    distrust: draw(0.3, 0.008),
  };
}

function drawDuel(random: Random): Faults {
  const churn = random() < 0.5 ? 0 : random();
  const lag = random() < 0.5 ? 0 : 0.01;
  return {
    ...noFaults,
    slowDisk: random() * 0.5,
    hasty: 1,
    churn,
    lag,
    isDuel: true,
  };
}

export interface SimulationOptions {
  /** Nothing goes wrong: what fails then is broken without a fault. */
  readonly calm?: boolean;
  /** Logs and states are real files, below this directory. */
  readonly directory?: string;
  /** Steps of the storm; each is one event at one node. */
  readonly steps: number;
  /** Gets every step of every machine (src/raft/trace.ts). */
  readonly trace?: (line: string) => void;
}

/** A step is a tick of its node with this probability, and some other event otherwise. */
const tickChance = 0.2;

const duelVoters = 4;

/** Messages that were delivered and may come once more, long after. */
const rememberedMessages = 200;

/**
 * One cluster that grows from a single node by membership changes, under loss, duplication, reordering, late repetitions, partitions of
 * every shape, closed sockets, stalled disks, frozen nodes, crashes that lose un-synced writes, hand-overs and reads; the referee looks at
 * every step. What must become of the cluster then is in ending.ts.
 */
export class Simulation {
  readonly coverage: Coverage = noCoverage();
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #options: SimulationOptions;
  /** Reads under way: what must be seen, by node and ticket. */
  readonly #reads = new Map<string, number>();
  /** Nodes that run no code for a while; their sockets stay open. */
  readonly #frozen = new Set<Member>();
  /** Fewer voters are not asked for, or most runs would be of one. */
  readonly #leastVoters: number;
  /** Until the links are mended. */
  #holdSteps = 0;
  #remembered: Message[] = [];
  #duelTurn: "together" | "cut off" | "apart" = "apart";
  #duelSteps = 0;
  /** Who led before it was cut off. */
  #rival: Member | undefined;
  #counter = 0;

  constructor(seed: number, options: SimulationOptions) {
    const random = seededRandom(seed);
    this.#random = random;
    this.#options = options;
    const leastVoters = random() < 0.2 ? 1 : randomInteger(random, 2, 3);
    this.#faults = options.calm === true ? noFaults : random() < 0.3 ? drawDuel(random) : drawFaults(random);
    this.#cluster = Cluster.bootstrapped(
      {
        random,
        inflightAppends: randomInteger(random, 1, 4),
        appendMessageBytes: randomInteger(random, 100, 1000),
        logWindowBytes: randomInteger(random, 200, 2000),
      },
      seed,
      options.trace,
      options.directory === undefined ? undefined : (id) => this.#filesOf(id),
    );
    this.#leastVoters = this.#faults.isDuel ? duelVoters - 1 : leastVoters;
    const isLarge = random() < 0.2 && !this.#faults.isDuel;
    const nodes = isLarge
      ? randomInteger(random, 6, 7)
      : randomInteger(random, this.#faults.isDuel ? 4 : 3, this.#faults.isDuel && random() < 0.5 ? 4 : 5);
    for (let id = 2; id <= nodes; id++) this.#cluster.addBlank(id);
    // The node waits for its first entry before it takes part.
    this.#cluster.sync(this.#cluster.get(1));
  }

  #filesOf(id: number): NodeFiles {
    const directory = join(this.#options.directory!, `node-${id}`);
    return { store: new SqliteStore(directory, this.#random), state: new SqliteState(directory, this.#random) };
  }

  run(): void {
    try {
      this.#run();
    } finally {
      for (const { store, state } of this.#cluster.members) {
        store.close();
        state?.close();
      }
    }
  }

  #run(): void {
    this.#cluster.raft(1).campaign();
    for (let step = 0; step < this.#options.steps; step++) {
      if (--this.#holdSteps === 0) this.#cluster.heal();
      if (this.#faults.isDuel) this.#duel();
      this.#step();
      if (this.#cluster.network.length > 400)
        for (const message of this.#cluster.network.splice(0, 200)) this.#cluster.lose(message);
    }
    this.#frozen.clear();
    for (const member of this.#cluster.members) {
      member.store.failNextSync(false);
      if (member.store.failed) this.#crash(member);
    }
    this.#end();
    this.coverage.committed = this.#cluster.referee.committedLength;
    this.coverage.snapshots = this.#cluster.snapshotsInstalled;
    for (const member of this.#cluster.members) this.coverage.overwrites += member.store.overwrites;
    const changes = this.#cluster.referee.committedEntries.filter((entry) => entry.kind === "configuration");
    const joint = changes.map((entry) => isJoint(decodeConfiguration(entry.data)!));
    this.coverage.joint = joint.filter(Boolean).length;
    for (const [at, is] of joint.entries()) {
      if (joint[at - 1] !== true) continue;
      check("joint-is-left", !is, "a joint configuration is followed by the one that leaves it");
      this.coverage.left++;
    }
  }

  #end(): void {
    const ending = new Ending(this.#cluster, this.#random, this.coverage, (member) => this.#restart(member));
    const isCalm = this.#options.calm === true;
    // What stays broken for good meets the storm's debris, or a cluster in good order.
    if (!isCalm && (this.#chance(0.5) || ending.healed())) ending.core();
    if (ending.healed() && !isCalm) {
      ending.quiet();
      ending.hangingDisk();
    }
    for (const member of this.#cluster.members) this.#checkReads(member);
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }

  #step(): void {
    const member = this.#pick(this.#cluster.members)!;
    this.#disturb(member);
    if (!member.alive) {
      if (this.#chance(0.02)) this.#restart(member);
      return;
    }
    if (this.#frozen.has(member)) return;
    if (this.#chance(tickChance)) member.raft.tick();
    else if (this.#chance(0.15)) this.#feed(this.#chance(0.5) ? member : (this.#cluster.leader() ?? member));
    else this.#deliverOne();
    // One drain is not always followed by the next, and the disk takes its time.
    if (this.#chance(0.9)) this.#drain(member);
    if (!member.diskStalled && !this.#chance(this.#faults.slowDisk))
      this.#cluster.sync(member, randomInteger(this.#random, 1, 3));
    if (member.store.failed) return this.#crash(member);
    if (this.#chance(this.#faults.compact)) this.#compact(member);
    if (member.store.failed) return this.#crash(member);
    if (this.#chance(0.01)) this.#checkpoint(member);
  }

  #checkpoint(member: Member): void {
    member.state?.checkpoint();
    const { applied, appliedDurable } = member;
    member.appliedDurable = member.state === undefined ? randomInteger(this.#random, appliedDurable, applied) : applied;
  }

  #disturb(member: Member): void {
    const { crash, partition, stall, freeze, lag, replay, reset, distrust, diskError } = this.#faults;
    if (this.#chance(crash)) this.#crash(member);
    if (this.#chance(partition)) this.#partition();
    if (this.#chance(member.diskStalled ? 0.01 : stall)) this.#stall(member);
    if (this.#chance(this.#frozen.has(member) ? 0.02 : freeze)) this.#freeze(member);
    if (this.#chance(member.applyStalled ? 0.003 : lag)) this.#lag(member);
    if (this.#options.directory !== undefined && this.#chance(diskError)) this.#failDisk(member);
    if (this.#chance(replay)) this.#replay();
    if (this.#chance(member.isTrusted ? distrust : 0.004)) this.#trust(member);
    if (this.#chance(reset)) this.#reset(member, this.#pick(this.#cluster.members)!);
  }

  /** Of one node at a time: of more than half nobody could say that they are wrong. */
  #trust(member: Member): void {
    const { raft, isTrusted } = member;
    if (isTrusted) {
      if (this.#cluster.members.some((other) => !other.isTrusted)) return;
      this.#cluster.distrust(member);
      this.coverage.distrusts++;
      return;
    }
    const newest = Math.min(raft.commit, raft.durableIndex);
    // A state that is ahead of the log is being installed: consensus decides about it first.
    if (!member.alive || member.installing !== undefined || newest < raft.baseIndex) return;
    this.#cluster.reload(member, randomInteger(this.#random, raft.baseIndex, newest));
    this.coverage.reloads++;
  }

  #stall(member: Member): void {
    member.diskStalled = !member.diskStalled;
    this.coverage.stalls++;
  }

  #freeze(member: Member): void {
    if (!this.#frozen.delete(member)) this.#frozen.add(member);
    else {
      // Clients have waited meanwhile: they are heard before any peer and before its own clock.
      this.#read(member);
      this.#drain(member);
    }
    this.coverage.freezes++;
  }

  #failDisk(member: Member): void {
    member.store.failNextSync(true);
    this.coverage.diskErrors++;
  }

  #lag(member: Member): void {
    member.applyStalled = !member.applyStalled;
    this.coverage.lags++;
    if (!member.applyStalled && member.alive) this.#cluster.apply(member);
  }

  /** Something that was delivered long ago comes once more. */
  #replay(): void {
    const message = this.#pick(this.#remembered);
    if (message === undefined) return;
    this.#cluster.network.push(message);
    this.coverage.replays++;
  }

  /** A socket closes and is there again at once. */
  #reset(a: Member, b: Member): void {
    if (a === b || !a.alive || !b.alive) return;
    this.coverage.resets++;
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      one.raft.disconnected(other.id);
      one.raft.connected(other.id);
    }
  }

  #compact(member: Member): void {
    const base = member.raft.baseIndex;
    if (member.appliedDurable <= base) return;
    this.#cluster.compact(member.id, randomInteger(this.#random, base + 1, member.appliedDurable));
    this.coverage.compactions++;
  }

  #drain(member: Member): void {
    const { role } = member.raft;
    const before = member.leadership?.role;
    const { configuration } = member;
    const installed = this.#cluster.snapshotsInstalled;
    this.#cluster.drain(member);
    this.#cluster.referee.onStep(member, this.#cluster.members);
    const isElected = role === "leader" && before !== "leader";
    if (isElected) {
      this.coverage.elections++;
      if (!member.isTrusted) this.coverage.untrustedElections++;
      if (this.#chance(this.#faults.hasty)) this.#changeAtOnce(member);
      this.#takeSides(member);
    }
    if ((isElected || configuration !== member.configuration) && this.#chance(this.#faults.timely))
      this.#strike(member);
    this.#checkReads(member);
    // Between the new state and the log that begins after it.
    if (installed < this.#cluster.snapshotsInstalled && this.#chance(this.#faults.timely)) this.#crash(member);
  }

  /** At the worst moment. */
  #strike(member: Member): void {
    const draw = this.#random();
    if (draw < 0.5) this.#partition();
    else if (draw < 0.7) this.#suspend(member);
    else if (draw < 0.8) this.#crash(member);
    else if (draw < 0.9) this.#stall(member);
    else this.#freeze(member);
  }

  /**
   * The duel's turns: a leader is cut off with few or none, and changes the members; the others find a leader, which does so at once; each
   * then has some of the others on its side, and both go on for a while.
   */
  #duel(): void {
    if (--this.#duelSteps > 0) return;
    const leader = this.#cluster.leader();
    // Of an even number two halves can be made by taking one away on either side.
    const isReady = leader?.raft.configuration.voters.length === duelVoters && !leader.raft.isChangePending;
    if (this.#duelTurn === "together" && !isReady && this.#chance(0.95)) return;
    this.#cluster.heal();
    const isTime = this.#duelTurn === "together" && leader !== undefined;
    this.#turn(isTime ? "cut off" : "together", isTime ? 8 : 1 + this.#random() * 2);
    if (!isTime) return;
    this.#split([leader], randomInteger(this.#random, 0, Math.floor(this.#cluster.members.length / 2)));
    this.#rival = leader;
    this.#changeAtOnce(leader);
  }

  #turn(turn: "together" | "cut off" | "apart", timeouts: number): void {
    this.#duelTurn = turn;
    this.#duelSteps = Math.ceil(timeouts * this.#stepsPerTimeout);
  }

  /** Another leader, while the one before is cut off. */
  #takeSides(leader: Member): void {
    if (this.#duelTurn !== "cut off" || leader === this.#rival) return;
    this.#cluster.heal();
    this.#turn("apart", 2 + this.#random() * 4);
    const half = Math.ceil((this.#cluster.members.length - 2) / 2);
    this.#split([leader], randomInteger(this.#random, half - 1, half), this.#rival);
  }

  /** These and some of the others against the rest, which `enemy` belongs to. */
  #split(side: readonly Member[], friends: number, enemy?: Member): void {
    const others = this.#cluster.members.filter((member) => !side.includes(member) && member !== enemy);
    const order = others.map((member) => ({ member, draw: this.#random() })).toSorted((a, b) => a.draw - b.draw);
    const ours = [...side, ...order.slice(0, friends).map(({ member }) => member)];
    for (const a of ours) for (const b of this.#cluster.members) if (!ours.includes(b)) this.#cluster.cut(a.id, b.id);
  }

  /** Neither heard nor written: what it has under way will be overwritten while it is. */
  #suspend(member: Member): void {
    this.#cluster.heal();
    this.#cluster.isolate(member.id);
    this.#hold();
    if (!member.diskStalled) this.#stall(member);
  }

  #deliverOne(): void {
    const { network } = this.#cluster;
    if (network.length === 0) return;
    const at = this.#chance(this.#faults.reorder) ? Math.floor(this.#random() * network.length) : 0;
    const [message] = network.splice(at, 1) as [Message];
    if ([...this.#frozen].some(({ id }) => id === message.to)) return void network.push(message);
    this.#remember(message);
    if (this.#chance(this.#faults.duplicate)) network.push(message);
    if (this.#chance(this.#faults.loss)) return this.#cluster.lose(message);
    this.#cluster.deliver(message);
    const target = this.#cluster.get(message.to);
    if (this.#chance(0.9)) this.#drain(target);
  }

  #remember(message: Message): void {
    if (this.#faults.replay === 0) return;
    if (this.#remembered.length < rememberedMessages) this.#remembered.push(message);
    else if (this.#chance(0.1)) this.#remembered[Math.floor(this.#random() * rememberedMessages)] = message;
  }

  /** Something that a user or a duty asks of this node. */
  #feed(member: Member): void {
    const { raft } = member;
    const draw = this.#faults.isDuel ? this.#random() * 2 : this.#random();
    if (draw < 0.6)
      raft.propose(Buffer.from(`${member.id}.${this.#counter++}`.padEnd(randomInteger(this.#random, 1, 60), "x")));
    else if (draw < 0.8) this.#read(member);
    else if (draw < 0.95 || draw > 1) this.#change(member);
    else if (this.#options.calm === true) return;
    else if (draw < 0.98) {
      if (raft.transfer(this.#pick(this.#cluster.members)!.id).ok) this.coverage.transfers++;
    } else raft.resign();
  }

  #read(member: Member): void {
    const ticket = this.#counter++;
    this.#reads.set(`${member.id}/${ticket}`, this.#cluster.referee.committedLength);
    member.raft.readIndex(ticket);
    this.coverage.reads++;
  }

  /** Linearizability: a read sees at least everything that anybody knew as committed when it was asked. */
  #checkReads(member: Member): void {
    for (const { ticket, index: seen } of member.reads.splice(0)) {
      const least = this.#reads.get(`${member.id}/${ticket}`)!;
      check(
        "linearizable-reads",
        seen === undefined || seen >= least,
        `a read saw ${seen}, but ${least} had been committed before it`,
      );
    }
  }

  /** Not every change that comes to mind is one. */
  #changeAtOnce(member: Member): void {
    const before = this.coverage.changes;
    for (let attempt = 0; attempt < 5 && this.coverage.changes === before; attempt++) this.#change(member);
  }

  #change(member: Member): void {
    const { raft } = member;
    if (this.#options.calm === true) return this.#grow(member);
    const { voters, learners } = raft.configuration;
    const { id } = this.#pick(this.#cluster.members)!;
    const up = learners.includes(id) ? "promote" : "add-learner";
    const down = voters.includes(id) && this.#chance(0.5) ? "demote" : "remove";
    const isFew = voters.length <= this.#leastVoters;
    const isEnough = this.#faults.isDuel && voters.length >= duelVoters;
    const shrink = voters.includes(id) ? !isFew && (isEnough || this.#chance(0.3)) : this.#chance(0.1);
    const change: ConfigurationChange = this.#chance(this.#faults.churn)
      ? this.#replacement()
      : { kind: shrink ? down : up, node: id };
    if (change.kind === "replace" && change.voters.length < this.#leastVoters) return;
    if (!raft.proposeConfiguration(change, raft.configuration).ok) return;
    this.coverage.changes++;
    this.#cluster.referee.onStep(member, this.#cluster.members);
  }

  /** A calm cluster takes in everybody, and promotes up to three. */
  #grow(member: Member): void {
    const { raft } = member;
    const { voters, learners } = raft.configuration;
    const newcomer = this.#cluster.members.find(({ id }) => !voters.includes(id) && !learners.includes(id));
    const change: ConfigurationChange | undefined =
      newcomer !== undefined
        ? { kind: "add-learner", node: newcomer.id }
        : voters.length < 3
          ? { kind: "promote", node: learners[0]! }
          : undefined;
    if (change === undefined || !raft.proposeConfiguration(change, raft.configuration).ok) return;
    this.coverage.changes++;
    this.#cluster.referee.onStep(member, this.#cluster.members);
  }

  /** Any members in any roles. */
  #replacement(): ConfigurationChange {
    const roles = this.#cluster.members.map(({ id }) => ({ id, draw: this.#random() }));
    const voters = roles.filter(({ draw }) => draw < 0.7).map(({ id }) => id);
    const learners = roles.filter(({ draw }) => draw >= 0.7 && draw < 0.95).map(({ id }) => id);
    return { kind: "replace", voters, learners };
  }

  /**
   * A bit flips in the log of a node that is down. One node at a time, of at least three voters: what was committed has a good copy
   * among those who can still elect somebody.
   */
  #damage(member: Member): void {
    const { store } = member;
    const first = Math.max(store.base.index, member.applied) + 1;
    const others = this.#cluster.members.filter((other) => other.store.repair !== undefined && other !== member);
    const known = this.#cluster.leader()?.raft.configuration;
    if (known === undefined || known.voters.length < 3 || isJoint(known) || others.length > 0) return;
    if (store.lastIndex < first) return;
    store.damage(randomInteger(this.#random, first, store.lastIndex));
    this.coverage.repairs++;
  }

  #crash(member: Member): void {
    if (!member.alive) return;
    this.coverage.crashes++;
    this.#cluster.crash(member.id, randomInteger(this.#random, 0, member.store.pending.length));
    if (this.#chance(this.#faults.damage)) this.#damage(member);
    if (this.#chance(0.5)) this.#cluster.noticeClosed(member.id);
  }

  #restart(member: Member): void {
    member.store.windowEntries = randomInteger(this.#random, 0, 20);
    this.#cluster.restart(member);
    for (const other of this.#cluster.members) if (other.alive && other !== member) other.raft.connected(member.id);
  }

  #partition(): void {
    const { members } = this.#cluster;
    const kind = randomInteger(this.#random, 0, 8);
    this.#hold();
    // Links one by one are cut and mended in any order; every other shape begins anew.
    if (kind >= 7) return this.#swizzle(kind === 7);
    this.#cluster.heal();
    if (kind === 0) return;
    if (kind === 1) return this.#cluster.isolate(this.#pick(members)!.id);
    if (kind === 2) {
      const leader = this.#cluster.leader() ?? this.#pick(members)!;
      return this.#chance(0.5) ? this.#suspend(leader) : this.#cluster.isolate(leader.id);
    }
    const side = new Map(members.map((member) => [member, this.#random() < 0.5]));
    // Of two halves one node may belong to both: a bridge.
    const bridge = kind === 4 ? this.#pick(members) : undefined;
    for (const a of members) {
      for (const b of members) {
        if (a === b) continue;
        const isApart = side.get(a) !== side.get(b) && a !== bridge && b !== bridge;
        if (kind === 3 || kind === 4) {
          if (isApart) this.#cluster.cutOneWay(a.id, b.id);
        } else if (a.id < b.id && this.#chance(0.4)) {
          if (kind === 5) this.#cluster.cut(a.id, b.id);
          else this.#cluster.cutOneWay(a.id, b.id);
        }
      }
    }
  }

  /** In which every node's clock goes on by T, roughly. */
  get #stepsPerTimeout(): number {
    return (testOptions.electionTicks * this.#cluster.members.length) / tickChance;
  }

  /** A tenth of T to some T. */
  #hold(): void {
    const [least, most] = this.#chance(0.5) ? [0.1, 1] : [1, 7];
    this.#holdSteps = Math.ceil(this.#stepsPerTimeout * (least + this.#random() * (most - least)));
  }

  #swizzle(cut: boolean): void {
    const [a, b] = [this.#pick(this.#cluster.members)!.id, this.#pick(this.#cluster.members)!.id];
    if (cut) this.#cluster.cut(a, b);
    else this.#cluster.mend(a, b);
  }
}
