import { assert } from "../../src/lib/assert.ts";
import { index, nodeId, type NodeId } from "../../src/lib/ids.ts";
import { randomInteger, seededRandom, type Random } from "../../src/lib/prng.ts";
import type { ConfigurationChange, Message } from "../../src/raft/types.ts";
import { decodeConfiguration, isJoint } from "../../src/raft/configuration.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import { Cluster, type Member } from "./cluster.ts";

/** What one run met, so that a test can tell that the rare paths were really walked. */
export interface Coverage {
  elections: number;
  crashes: number;
  changes: number;
  reads: number;
  transfers: number;
  committed: number;
  overwrites: number;
  compactions: number;
  snapshots: number;
  joint: number;
  left: number;
  repairs: number;
  /** Runs that could not go on without a person, since a quorum needed a damaged node. */
  excused: number;
}

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
}

/**
 * One cluster that grows from a single node by membership changes, under loss, duplication, reordering, partitions, crashes that
 * lose un-synced writes, hand-overs and reads; the referee looks at every step. Then everything is healed, and the
 * cluster must elect, commit and bring every member up to date.
 */
export class Simulation {
  readonly coverage: Coverage = {
    elections: 0,
    crashes: 0,
    changes: 0,
    reads: 0,
    transfers: 0,
    committed: 0,
    overwrites: 0,
    compactions: 0,
    snapshots: 0,
    joint: 0,
    left: 0,
    repairs: 0,
    excused: 0,
  };
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #faults: Faults;
  /** Reads under way: what must be seen, by node and ticket. */
  readonly #reads = new Map<string, number>();
  #counter = 0;

  constructor(seed: number) {
    const random = seededRandom(seed);
    this.#random = random;
    this.#faults = {
      loss: random() < 0.3 ? 0 : random() * 0.3,
      duplicate: random() < 0.5 ? 0 : random() * 0.3,
      reorder: random() < 0.3 ? 0 : random() * 0.5,
      crash: random() < 0.2 ? 0 : random() * 0.004,
      partition: random() < 0.3 ? 0 : random() * 0.004,
      slowDisk: random() * 0.8,
      compact: random() < 0.3 ? 0 : random() * 0.02,
      damage: random() < 0.5 ? 0 : 0.3,
    };
    this.#cluster = Cluster.bootstrapped(
      {
        random,
        inflightAppends: randomInteger(random, 1, 4),
        appendMessageBytes: randomInteger(random, 100, 1000),
        logWindowBytes: randomInteger(random, 200, 2000),
      },
      seed,
    );
    const nodes = randomInteger(random, 3, 5);
    for (let id = 2; id <= nodes; id++) this.#cluster.addBlank(id);
    // The node waits for its first entry before it takes part.
    this.#cluster.sync(this.#cluster.get(1));
  }

  run(steps: number): void {
    this.#cluster.raft(1).campaign();
    for (let step = 0; step < steps; step++) {
      this.#step();
      if (this.#cluster.network.length > 400)
        for (const message of this.#cluster.network.splice(0, 200)) this.#cluster.lose(message);
    }
    this.#heal();
    this.coverage.committed = this.#cluster.referee.committedLength;
    this.coverage.snapshots = this.#cluster.snapshotsInstalled;
    for (const member of this.#cluster.members) this.coverage.overwrites += member.store.overwrites;
    const changes = this.#cluster.referee.committedEntries.filter((entry) => entry.kind === "configuration");
    const joint = changes.map((entry) => isJoint(decodeConfiguration(entry.data)!));
    this.coverage.joint = joint.filter(Boolean).length;
    for (const [at, is] of joint.entries()) {
      if (joint[at - 1] !== true) continue;
      assert(!is, "a joint configuration is followed by the one that leaves it");
      this.coverage.left++;
    }
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }

  #step(): void {
    const { crash, partition, slowDisk } = this.#faults;
    const member = this.#pick(this.#cluster.members)!;
    if (this.#chance(crash)) this.#crash(member);
    if (this.#chance(partition)) this.#partition();
    if (!member.alive) {
      if (this.#chance(0.02)) this.#restart(member);
      return;
    }
    if (this.#chance(0.2)) member.raft.tick();
    else if (this.#chance(0.15)) this.#feed(this.#chance(0.5) ? member : (this.#cluster.leader() ?? member));
    else this.#deliverOne();
    // One drain is not always followed by the next, and the disk takes its time.
    if (this.#chance(0.9)) this.#drain(member);
    if (!this.#chance(slowDisk)) this.#cluster.sync(member, randomInteger(this.#random, 1, 3));
    if (this.#chance(this.#faults.compact)) this.#compact(member);
    if (this.#chance(0.01)) member.appliedDurable = randomInteger(this.#random, member.appliedDurable, member.applied);
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
    this.#cluster.drain(member);
    this.#cluster.referee.onStep(member, this.#cluster.members);
    if (role === "leader" && before !== "leader") this.coverage.elections++;
    this.#checkReads(member);
  }

  #deliverOne(): void {
    const { network } = this.#cluster;
    if (network.length === 0) return;
    const at = this.#chance(this.#faults.reorder) ? Math.floor(this.#random() * network.length) : 0;
    const [message] = network.splice(at, 1) as [Message];
    if (this.#chance(this.#faults.duplicate)) network.push(message);
    if (this.#chance(this.#faults.loss)) return this.#cluster.lose(message);
    this.#cluster.deliver(message);
    const target = this.#cluster.get(message.to);
    if (this.#chance(0.9)) this.#drain(target);
  }

  /** Something that a user or a duty asks of this node. */
  #feed(member: Member): void {
    const { raft } = member;
    const draw = this.#random();
    if (draw < 0.6)
      raft.propose(Buffer.from(`${member.id}.${this.#counter++}`.padEnd(randomInteger(this.#random, 1, 60), "x")));
    else if (draw < 0.8) this.#read(member);
    else if (draw < 0.95) this.#change(member);
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
      assert(seen === undefined || seen >= least, `a read saw ${seen}, but ${least} had been committed before it`);
    }
  }

  #change(member: Member): void {
    const { raft } = member;
    const { voters, learners } = raft.configuration;
    const { id } = this.#pick(this.#cluster.members)!;
    const up = learners.includes(id) ? "promote" : "add-learner";
    const down = voters.includes(id) && this.#chance(0.5) ? "demote" : "remove";
    const shrink = voters.includes(id) ? this.#chance(0.3) : this.#chance(0.1);
    const change: ConfigurationChange = this.#chance(0.3)
      ? this.#replacement()
      : { kind: shrink ? down : up, node: id };
    if (raft.proposeConfiguration(change, raft.configuration).ok) this.coverage.changes++;
  }

  /** Any members in any roles. */
  #replacement(): ConfigurationChange {
    const roles = this.#cluster.members.map(({ id }) => ({ id, draw: this.#random() }));
    const voters = roles.filter(({ draw }) => draw < 0.6).map(({ id }) => id);
    const learners = roles.filter(({ draw }) => draw >= 0.6 && draw < 0.9).map(({ id }) => id);
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
    this.#cluster.heal();
    const { members } = this.#cluster;
    const kind = randomInteger(this.#random, 0, 3);
    if (kind === 0) return;
    if (kind === 1) return this.#cluster.isolate(this.#pick(members)!.id);
    for (const a of members) {
      for (const b of members) {
        if (a.id >= b.id || !this.#chance(0.4)) continue;
        if (kind === 2) this.#cluster.cut(a.id, b.id);
        else this.#cluster.cutOneWay(a.id, b.id);
      }
    }
  }

  /** Nobody can win without the vote of a node that may have lost what nobody else has: then people must decide (D3). */
  #mayLackLeader(): boolean {
    const whole = (node: NodeId): number => (this.#cluster.get(node).raft.isRepairing ? 0 : 1);
    return this.#cluster.members.every(({ raft }) => quorumReached(raft.configuration, { reached: whole }) === 0);
  }

  /** Everything works again: within a few timeouts there is a leader that commits, and every member has it all. */
  #heal(): void {
    const cluster = this.#cluster;
    cluster.heal();
    for (const member of cluster.members) if (!member.alive) this.#restart(member);
    try {
      cluster.tickUntil("a leader after healing", () => cluster.leader() !== undefined, 400);
    } catch (error) {
      if (this.#mayLackLeader()) return void this.coverage.excused++;
      throw error;
    }
    let done = 0;
    cluster.tickUntil(
      "a commit after healing",
      () => {
        const leader = cluster.leader();
        if (leader === undefined) return false;
        if (done > 0 && leader.raft.commit >= done && leader.entryAt(done).term === leader.raft.term) return true;
        const proposed = leader.raft.propose(Buffer.from("the last one"));
        if (proposed.ok) done = proposed.index;
        return false;
      },
      400,
    );
    const leader = cluster.leader()!;
    const { voters, learners } = leader.raft.configuration;
    cluster.tickUntil(
      "every member up to date",
      () => [...voters, ...learners].every((node) => cluster.get(node).applied >= done),
      400,
    );
    for (const member of cluster.members) this.#checkReads(member);
    assert(leader.raft.commit >= index(done) && voters.includes(nodeId(leader.id)), "the leader is a voter");
  }
}
