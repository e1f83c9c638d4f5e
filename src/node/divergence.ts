import type { Configuration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { monotonicMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { isQuorumsHash, judgeHashes } from "../scheduler/odd.ts";
import { hashLevel } from "../state/levels.ts";
import { HashRing } from "./hash-ring.ts";

/**
 * Nodes compare their rolling hashes (S1). Each tells the leader its newest one, a moment after it has applied something and never while nothing
 * is applied. A difference is only a reason to ask: the leader has all voters say their hash after that very entry, and a quorum's hash is
 * the right one. So neither an old report nor one that was late is ever held against a node, and the accused one checks it once more.
 */
export interface DivergencePorts {
  readonly self: NodeId;
  /** Of the cluster. */
  level(): number;
  leader(): NodeId;
  isLeading(): boolean;
  isQuarantined(): boolean;
  configuration(): Configuration;
  /** Tells the leader this node's hash; gives what the leader says of the cluster. Throws Fault. */
  report(leader: NodeId, report: HashReport): Promise<Undecided | undefined>;
  /** Asks for the hash of a node after that entry; undefined: it does not know it. Throws Fault. */
  ask(node: NodeId, index: number): Promise<string | undefined>;
  /** There is a way to it: where a question fails all the same, the next one may not. */
  isConnected(node: NodeId): boolean;
  /** Tells a node that it is odd. Throws Fault. */
  accuse(node: NodeId, finding: Finding): Promise<void>;
  /** This node is odd itself. */
  onOdd(finding: Finding): void;
  /** That node agrees at this entry. */
  onAgreed(node: NodeId, index: number): void;
  readonly log: (level: "info" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** A node's hash after the newest entry that it has applied. */
export interface HashReport {
  readonly index: number;
  readonly hash: string;
}

/** After entry `index` a quorum of the voters has the hash `quorum`. */
export interface Finding {
  readonly index: number;
  readonly quorum: string;
}

/** States differ, and no quorum says which one is right: `groups` are nodes that agree with each other. */
export interface Undecided {
  readonly index: number;
  readonly groups: readonly (readonly NodeId[])[];
}

/** The comparing of hashes on one node, whoever leads. */
export class Divergence {
  readonly #ports: DivergencePorts;
  readonly #ring = new HashRing(limits.hashesKept);
  #reportTimer: ReturnType<typeof setTimeout> | undefined;
  /** Leader: reports of entries that it has not applied itself yet; of each node the newest. */
  readonly #early = new Map<NodeId, HashReport>();
  #asking = false;
  #askedAt = -Infinity;
  /** Leader: differences that could not be judged yet; of each node the newest. */
  readonly #open = new Map<NodeId, HashReport>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #undecided: Undecided | undefined;
  #compared = 0;
  #line = 0;
  #closed = false;

  constructor(ports: DivergencePorts) {
    this.#ports = ports;
  }

  /** What stands undecided, as the leader last said; undefined: nothing. */
  get undecided(): Undecided | undefined {
    if (this.#undecided === undefined) return undefined;
    const { voters, outgoing, learners } = this.#ports.configuration();
    const members = new Set([...voters, ...outgoing, ...learners]);
    const groups = this.#undecided.groups.map((group) => group.filter((node) => members.has(node)));
    const left = groups.filter((group) => group.length > 0);
    return left.length < 2 ? undefined : { ...this.#undecided, groups: left };
  }

  /** The newest entry after which another node was found to have the same hash as this one, which led then; 0: none was. */
  get compared(): number {
    return this.#compared;
  }

  /**
   * Which line of states this node is on: another one from the moment on in which a state took this one's place, or the hashes began anew. Within a line each hash
   * covers all that was before it.
   */
  get line(): number {
    return this.#line;
  }

  /** The state has entries up to `applied`; their hashes, two words each. */
  onApplied(applied: number, hashes: Uint32Array): void {
    this.#ring.push(applied, hashes);
    if (this.#ports.level() < hashLevel) return this.#begin(applied, ""); // hashes of other releases may be others
    this.#scheduleReport();
    if (this.#early.size > 0 && this.#ports.isLeading()) this.#compareEarly();
  }

  /** The state that is there at start, or that took the place of another one, has this hash after entry `applied`. */
  reset(applied: number, hash: string): void {
    if (this.#ports.level() < hashLevel) return this.#begin(applied, "");
    this.#begin(applied, hash);
    this.#scheduleReport();
  }

  #begin(applied: number, hash: string): void {
    this.#line += 1;
    this.#ring.reset(applied, hash);
  }

  /** Somebody else leads: what was found before is found again if it is still so. */
  onLeadership(): void {
    this.#early.clear();
    this.#open.clear();
    this.#undecided = undefined;
    this.#scheduleReport();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#reportTimer);
    clearTimeout(this.#retryTimer);
  }

  /** This node's hash after that entry, when it knows it and its state is not known to be wrong. */
  hashAt(index: number): string | undefined {
    return this.#ports.isQuarantined() ? undefined : this.#ring.at(index);
  }

  /** Whether a state of that line can still be compared with the others'; where releases hash otherwise nothing is compared. */
  isComparable(line: number): boolean {
    return this.#ports.level() < hashLevel || line === this.#line;
  }

  /** Another node tells its newest hash; the answer is what stands undecided. */
  heard(node: NodeId, report: HashReport): Undecided | undefined {
    if (!this.#ports.isLeading() || this.#ports.level() < hashLevel) return undefined;
    this.#compare(node, report);
    return this.undecided;
  }

  /** The leader says that this node is odd: true when its own ring says so too. */
  isOddBy({ index, quorum }: Finding): boolean {
    const own = this.hashAt(index);
    return own !== undefined && own !== quorum;
  }

  /**
   * Whether a copy of this node's state after entry `index`, made on that line, may be given to `receiver`. Who is given a state has it from then on, and counts
   * among those who say which one is right: so none is given while a voter that can be asked has another hash. Where nobody else can say, it is. A copy or its way
   * can take longer than hashes are remembered: then the newest hash of the same line is compared, which covers that entry and all after it. Throws Fault.
   */
  async vouch(
    copy: { readonly index: number; readonly hash: string; readonly line: number },
    receiver: NodeId,
  ): Promise<void> {
    const endsAt = monotonicMs() + limits.hashVouchMs;
    const isKnown = this.#ring.at(copy.index) !== undefined;
    const index = isKnown ? copy.index : (this.#ring.newest ?? copy.index);
    const hash = isKnown ? copy.hash : (this.#ring.at(index) ?? copy.hash);
    for (;;) {
      if (this.#ports.level() < hashLevel || this.#closed) return;
      if (copy.line !== this.#line)
        throw new Fault(
          "data",
          "another state took this one's place since it was copied: a newer copy is made",
          "safe",
        );
      const said = await this.#hearVouchers(index, hash, receiver);
      if (said === "differs") {
        throw new Fault(
          "data",
          "another voter has another state: none is given away before a quorum has said which one is right, or the wrong one is stopped",
          "safe",
        );
      }
      if (said === "agreed" || monotonicMs() >= endsAt) return;
      await new Promise((resolve) => setTimeout(resolve, limits.hashVouchMs / 20));
    }
  }

  /** "later": somebody is there who may know soon. */
  #hearVouchers(index: number, hash: string, receiver: NodeId): Promise<"agreed" | "differs" | "later"> {
    const { self } = this.#ports;
    const { voters, outgoing } = this.#ports.configuration();
    const agreeing = new Map([[self, hash]]);
    const others = [...new Set([...voters, ...outgoing])].filter((node) => node !== self && node !== receiver);
    return new Promise((resolve) => {
      let open = others.length;
      let isLater = false;
      if (open === 0) return resolve("agreed");
      const heard = (node: NodeId, said: string | undefined): void => {
        open -= 1;
        if (said === hash) agreeing.set(node, hash);
        else if (said !== undefined) resolve("differs");
        if (isQuorumsHash({ voters, outgoing, hashes: agreeing }, hash)) resolve("agreed");
        if (open === 0) resolve(isLater ? "later" : "agreed");
      };
      for (const node of others) {
        this.#ports.ask(node, index).then(
          (said) => {
            isLater ||= said === undefined;
            heard(node, said);
          },
          () => {
            // It cannot be asked; one that has just come back can be in a moment.
            isLater ||= this.#ports.isConnected(node);
            heard(node, undefined);
          },
        );
      }
      return undefined;
    });
  }

  #scheduleReport(): void {
    if (this.#closed) return;
    this.#reportTimer ??= setTimeout(() => {
      this.#reportTimer = undefined;
      void this.#report();
    }, limits.hashReportMs);
  }

  async #report(): Promise<void> {
    const leader = this.#ports.leader();
    const index = this.#ring.newest;
    if (leader === nobody || leader === this.#ports.self || index === undefined || this.#closed) return;
    const hash = this.hashAt(index);
    if (hash === undefined) return;
    try {
      const undecided = await this.#ports.report(leader, { index, hash });
      if (this.#ports.leader() === leader) this.#undecided = undecided;
    } catch {
      // Unreachable: what is applied next, or the next leader, brings the next report.
    }
  }

  #compareEarly(): void {
    const newest = this.#ring.newest ?? 0;
    for (const [node, report] of this.#early) {
      if (report.index > newest) continue;
      this.#early.delete(node);
      this.#compare(node, report);
    }
  }

  #compare(node: NodeId, report: HashReport): void {
    const own = this.hashAt(report.index);
    if (own === report.hash) {
      this.#compared = Math.max(this.#compared, report.index);
      // The leader reports to nobody: what it led with may be in its own place since, and nobody else would say that it is right.
      for (const one of [node, this.#ports.self]) this.#ports.onAgreed(one, report.index);
      this.#settle(node, report.index);
    } else if (own !== undefined) void this.#ask(node, report);
    else if (report.index > (this.#ring.newest ?? 0)) this.#early.set(node, report);
  }

  /** Whoever was in another group agrees with this node again: it has been reloaded, or removed and let in anew. */
  #settle(node: NodeId, index: number): void {
    const { self } = this.#ports;
    const undecided = this.#undecided;
    if (undecided === undefined || index <= undecided.index) return;
    const groups = undecided.groups
      .map((group) => (group.includes(self) ? group : group.filter((one) => one !== node)))
      .filter((group) => group.length > 0);
    this.#undecided = groups.length < 2 ? undefined : { ...undecided, groups };
    if (groups.length < 2) this.#ports.log("info", "all states that were compared are the same again");
  }

  async #ask(reporter: NodeId, report: HashReport): Promise<void> {
    const now = monotonicMs();
    if (this.#asking || now - this.#askedAt < limits.hashReportMs) return this.#askLater(reporter, report);
    this.#asking = true;
    this.#askedAt = now;
    const isJudged = await this.#judge(reporter, report);
    this.#asking = false;
    if (!isJudged) this.#askLater(reporter, report);
  }

  /** The node need not report again by itself: nothing may be applied for long. */
  #askLater(reporter: NodeId, report: HashReport): void {
    this.#open.set(reporter, report);
    if (this.#closed) return;
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      const open = [...this.#open];
      this.#open.clear();
      if (this.#ports.isLeading()) for (const [node, one] of open) this.#compare(node, one);
    }, limits.hashReportMs);
  }

  /** False when that could not be done now. */
  async #judge(reporter: NodeId, { index, hash: reported }: HashReport): Promise<boolean> {
    const { self } = this.#ports;
    const asked = this.#ports.configuration();
    const others = new Set([...asked.voters, ...asked.outgoing, reporter]);
    others.delete(self);
    const hashes = new Map<NodeId, string>([[reporter, reported]]);
    await Promise.all(
      [...others].map(async (node) => {
        const hash = await this.#ports.ask(node, index).catch(() => undefined);
        if (hash === undefined) hashes.delete(node);
        else hashes.set(node, hash);
      }),
    );
    const own = this.hashAt(index);
    const now = this.#ports.configuration();
    const isSame = now.voters.join() === asked.voters.join() && now.outgoing.join() === asked.outgoing.join();
    if (own === undefined || !this.#ports.isLeading() || this.#closed) return true; // a later report, or another leader
    if (!isSame) return false;
    hashes.set(self, own);
    const judgement = judgeHashes({ ...now, hashes });
    if (judgement.kind === "undecided") {
      this.#onUndecided({ index, groups: judgement.groups });
      return true; // the voter that is missing will tell of itself
    }
    this.#undecided = undefined;
    if (judgement.kind === "agreed") return true;
    let areTold = true;
    const finding = { index, quorum: judgement.hash };
    for (const node of judgement.nodes) {
      if (node === self) continue;
      this.#ports.log("error", `the state of node ${node} differs from that of a quorum: it is quarantined`, {
        node,
        index,
      });
      await this.#ports.accuse(node, finding).catch(() => (areTold = false));
    }
    if (judgement.nodes.includes(self)) this.#ports.onOdd(finding);
    return areTold;
  }

  #onUndecided(undecided: Undecided): void {
    const before = this.#undecided;
    this.#undecided = undecided;
    if (before !== undefined && JSON.stringify(before.groups) === JSON.stringify(undecided.groups)) return;
    const groups = undecided.groups.map((group) => `[${group.join(", ")}]`).join(" ");
    this.#ports.log(
      "error",
      `the states of nodes differ and no quorum says which one is right: ${groups}. Compare what they show, stop the wrong ones and remove them ('skein nodes rm')`,
      { index: undecided.index },
    );
  }
}
