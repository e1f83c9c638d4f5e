import type { NodeId } from "../../src/lib/ids.ts";
import { randomInteger, type Random } from "../../src/lib/prng.ts";
import { isJoint, isVoter } from "../../src/raft/configuration.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import { type Cluster, type Member, testOptions } from "./cluster.ts";
import type { Coverage } from "./coverage.ts";
import { check } from "./violation.ts";

const T = testOptions.electionTicks;

/** Time that is given to a cluster to get on, generous beside what elections and repetitions take. */
const patienceTicks = 40 * T;

/**
 * What must become of a cluster after a storm, whatever the storm was: a quorum in good order gets on although everything else stays
 * broken for good; healed, everybody catches up; a single write is committed with nothing after it; a leader whose disk hangs is replaced.
 * A cluster that only has to be safe could stand still.
 */
export class Ending {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #coverage: Coverage;
  readonly #restart: (member: Member) => void;
  #writes = 0;

  constructor(cluster: Cluster, random: Random, coverage: Coverage, restart: (member: Member) => void) {
    this.#cluster = cluster;
    this.#random = random;
    this.#coverage = coverage;
    this.#restart = restart;
  }

  /** A quorum of whole nodes can talk to each other; of the others some are down, some hear, speak or reach a little, for ever. */
  core(): void {
    for (const member of this.#cluster.members) this.#bringBack(member);
    const core = this.#chooseCore();
    if (core === undefined) return;
    this.#coverage.cores++;
    this.#cluster.heal();
    const outside = this.#cluster.members.filter((member) => !core.includes(member));
    const isolated = outside.filter((member) => this.#breakForGood(member, core) === "isolated");
    this.#commitOne("a commit by the core, while the others are broken for good", core);
    const known = isolated.map((member) => ({ member, term: member.raft.term }));
    this.#cluster.tick(10 * T);
    this.#commitOne("another commit by the core", core);
    const before = Math.max(...core.map(({ raft }) => raft.term));
    this.#cluster.tick(20 * T);
    const after = Math.max(...core.map(({ raft }) => raft.term));
    check("stable-leader", after - before <= 1, `the core went from term ${before} to ${after} within 20 timeouts`);
    for (const { member, term } of known)
      check("terms-stay", member.raft.term <= term + 1, `node ${member.id} reaches nobody, and raises terms`);
  }

  /** By the configuration that any node may know, the core alone is a quorum. Smaller than everybody, or there is none. */
  #chooseCore(): readonly Member[] | undefined {
    const { members } = this.#cluster;
    const core = new Set<NodeId>(members.map(({ id }) => id));
    const whole = (node: NodeId): number => (core.has(node) && !this.#isDamaged(node) ? 1 : 0);
    const isCore = (): boolean =>
      members.every(({ raft }) => quorumReached(raft.configuration, { reached: whole }) >= 1) &&
      members.some((member) => whole(member.id) === 1 && this.#isElectable(member, whole)) &&
      this.#hasSuccessor(whole);
    if (!isCore()) return undefined;
    const order = members.map(({ id }) => ({ id, draw: this.#random() })).toSorted((a, b) => a.draw - b.draw);
    const leader = this.#cluster.leader();
    // Often it is the leader that the others must do without.
    if (leader !== undefined && this.#random() < 0.5) order.unshift({ id: leader.id, draw: 0 });
    for (const { id } of order) {
      core.delete(id);
      if (!isCore()) core.add(id);
    }
    return core.size < members.length ? members.filter(({ id }) => core.has(id)) : undefined;
  }

  /** A voter by all that anybody knows whose state is right: one with a wrong state leads only to hand over to such a one. */
  #hasSuccessor(whole: (node: NodeId) => number): boolean {
    const { members } = this.#cluster;
    if (members.every(({ isTrusted }) => isTrusted)) return true;
    return members.some(
      ({ id, isTrusted }) =>
        isTrusted && whole(id) === 1 && members.every(({ raft }) => raft.configuration.voters.includes(id)),
    );
  }

  /**
   * A voter that a quorum of these may vote for. The longest log may be with a node that is a learner by all it knows, and its vote needed by one
   * whose uncommitted change makes it a voter: then nobody is, and people must bring the others back.
   */
  #isElectable(member: Member, whole: (node: NodeId) => number): boolean {
    const { raft } = member;
    const own = lastTermOf(member);
    const reached = (node: NodeId): number => {
      const other = this.#cluster.get(node);
      const isAhead = lastTermOf(other) === own ? other.raft.lastIndex > raft.lastIndex : lastTermOf(other) > own;
      return isAhead ? 0 : whole(node);
    };
    return isVoter(raft.configuration, member.id) && quorumReached(raft.configuration, { reached }) >= 1;
  }

  /** Its disk lost what it had promised, whether it runs and knows it or not. */
  #isDamaged(node: NodeId): boolean {
    const { raft, store } = this.#cluster.get(node);
    return store.repair !== undefined || raft.isRepairing;
  }

  #breakForGood(member: Member, core: readonly Member[]): "dead" | "isolated" | "reaches a little" {
    const draw = this.#random();
    if (draw < 0.2) {
      this.#cluster.crash(member.id);
      return "dead";
    }
    if (draw < 0.4) {
      this.#cluster.isolate(member.id);
      return "isolated";
    }
    const friend = core[randomInteger(this.#random, 0, core.length - 1)]!;
    for (const other of core) {
      if (draw < 0.55) this.#cluster.cutOneWay(other.id, member.id);
      else if (draw < 0.7) this.#cluster.cutOneWay(member.id, other.id);
      else if (other !== friend) this.#cluster.cut(other.id, member.id);
    }
    return "reaches a little";
  }

  #bringBack(member: Member): void {
    member.diskStalled = false;
    member.applyStalled = false;
    if (member.alive) this.#cluster.apply(member);
    if (!member.alive) this.#restart(member);
  }

  #reload(member: Member): void {
    const { baseIndex, commit, durableIndex } = member.raft;
    this.#cluster.reload(member, Math.max(baseIndex, Math.min(commit, durableIndex)));
  }

  /** Somebody of these commits what is proposed to it from now on. */
  #commitOne(what: string, among: readonly Member[]): void {
    const proposed = new Map<Member, { readonly index: number; readonly term: number }>();
    this.#cluster.tickUntil(
      what,
      () => {
        for (const member of this.#cluster.members) {
          const { raft } = member;
          if (!member.alive || raft.role !== "leader") continue;
          const own = proposed.get(member);
          if (own?.term !== raft.term) {
            const result = raft.propose(Buffer.from(`ending ${++this.#writes}`));
            if (result.ok) proposed.set(member, result);
          } else if (raft.commit >= own.index && (among.includes(member) || raft.role === "leader")) return true;
        }
        return false;
      },
      patienceTicks,
    );
  }

  /** Nobody can win without the vote of a node that may have lost what nobody else has: then people must decide (D3). */
  #mayLackLeader(): boolean {
    const whole = (node: NodeId): number => (this.#isDamaged(node) ? 0 : 1);
    return this.#cluster.members.every(({ raft }) => quorumReached(raft.configuration, { reached: whole }) === 0);
  }

  /** Everything works again: there is a leader that commits, and every member has it all. False: people must decide. */
  healed(): boolean {
    const cluster = this.#cluster;
    cluster.heal();
    for (const member of cluster.members) this.#bringBack(member);
    if (!this.#hasSuccessor((node) => (this.#isDamaged(node) ? 0 : 1)))
      for (const member of cluster.members) if (!member.isTrusted) this.#reload(member);
    try {
      cluster.tickUntil("a leader after healing", () => cluster.leader() !== undefined, patienceTicks);
    } catch (error) {
      if (!this.#mayLackLeader()) throw error;
      this.#coverage.excused++;
      return false;
    }
    this.#commitOne("a commit after healing", cluster.members);
    cluster.tickUntil(
      "every member up to date",
      () => {
        const leader = cluster.leader();
        if (leader === undefined) return false;
        const { voters, learners } = leader.raft.configuration;
        return [...voters, ...learners].every((node) => cluster.get(node).applied >= leader.raft.lastIndex);
      },
      patienceTicks,
    );
    const leader = this.#leader();
    for (let tick = 0; tick < 4 * T && isJoint(leader.raft.configuration); tick++) cluster.tick();
    check("joint-is-left", !isJoint(leader.raft.configuration), "nobody leads the way out of a joint configuration");
    check(
      "leader-is-voter",
      leader.raft.configuration.voters.includes(leader.id),
      `node ${leader.id} leads, and is no voter of its own configuration`,
    );
    return true;
  }

  #leader(): Member {
    this.#cluster.tickUntil("a leader", () => this.#cluster.leader() !== undefined, patienceTicks);
    return this.#cluster.leader()!;
  }

  /** Two writes, their leader's disk being the slowest, and then silence: they are committed and known all the same. */
  quiet(): void {
    const cluster = this.#cluster;
    cluster.tick(2 * T);
    const leader = this.#leader();
    // Both are under way at once: one report of the disk ends them.
    leader.diskStalled = true;
    leader.raft.propose(Buffer.from("the last but one"));
    cluster.tick(2);
    const proposed = leader.raft.propose(Buffer.from("the last one"));
    cluster.tick(2);
    leader.diskStalled = false;
    if (!proposed.ok) return;
    cluster.tickUntil("a write that nothing follows", () => leader.raft.commit >= proposed.index, T);
    const { voters, learners } = leader.raft.configuration;
    const everywhere = (): boolean =>
      [...voters, ...learners].every((node) => cluster.get(node).applied >= proposed.index);
    cluster.tickUntil("a write that nothing follows, everywhere", everywhere, T);
  }

  /** The leader's disk takes nothing any more, while its sockets are as good as ever. */
  hangingDisk(): void {
    const cluster = this.#cluster;
    const leader = this.#leader();
    const { voters } = leader.raft.configuration;
    if (voters.length < 3 || voters.some((node) => this.#isDamaged(node))) return;
    this.#coverage.hangs++;
    leader.diskStalled = true;
    leader.raft.propose(Buffer.from("never written here"));
    const others = cluster.members.filter((member) => member !== leader);
    cluster.tickUntil("another leader than the one whose disk hangs", () => isLed(others), 10 * T);
    leader.diskStalled = false;
  }
}

/** What is not drained yet is of the present term. */
function lastTermOf(member: Member): number {
  return member.termAt(member.raft.lastIndex) ?? member.raft.term;
}

function isLed(members: readonly Member[]): boolean {
  return members.some(({ raft }) => raft.role === "leader" && raft.lastIndex === raft.commit);
}
