import { formatInstant, parseInstant } from "./calendar.ts";
import { type Epoch, formatEpoch, parseEpoch, sameEpoch } from "./epoch.ts";
import { isId } from "./ids.ts";

/**
 * What a node has that is left of a cluster whose quorum is lost, and the judgement over all that are left: which one is the most advanced, and
 * what may be lost with the others. Pure: nodes and the command line share it.
 */
export interface Survivor {
  readonly cluster: string;
  readonly epoch: Epoch;
  readonly node: number;
  readonly name: string;
  /** Of the cluster, as this node's state has it. */
  readonly level: number;
  /** The last entry on its disk. */
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The highest term that it has heard of. */
  readonly term: number;
  /** Known here to be committed, and applied to the state here. */
  readonly commit: number;
  readonly applied: number;
  /** Rolling hash of the state at `applied`. */
  readonly hash: string;
  /** Epoch ms: the leader's clock in the last entry; 0: there is none. */
  readonly lastAt: number;
  readonly voters: readonly number[];
  /** The old half of a joint configuration, else empty. */
  readonly outgoing: readonly number[];
  readonly learners: readonly number[];
  /** The entry that this configuration came with, or a later one up to which it is known to be committed. */
  readonly configurationIndex: number;
  /** Entries from here on were on its disk and are damaged; null: none are. */
  readonly damagedFrom: number | null;
  /** Its state was found to differ from a quorum's at this entry, and is wrong from there on (S1), its log is not; null: it is not in quarantine. */
  readonly quarantinedAt: number | null;
  /** A leader that it knows now; null: none, or the node is stopped. */
  readonly leader: number | null;
  /** All members, as its state has them. */
  readonly members: readonly SurvivorMember[];
}

export interface SurvivorMember {
  readonly node: number;
  readonly name: string;
  /** host:port, "" when unknown. */
  readonly api: string;
  readonly peer: string;
}

export interface Judgement {
  /** Whose state the new epoch is made of. */
  readonly best: Survivor;
  /** Whose log follows on that state: the same one, but for the most advanced one whose state is wrong. */
  readonly head: Survivor;
  /** Members of which there is no survivor. */
  readonly gone: readonly SurvivorMember[];
  /** In words, most important first: what the new epoch has, and what may be missing from it. */
  readonly words: readonly string[];
}

/** Why there is nothing to judge. */
export type Unjudged = { readonly problem: string };

/**
 * The most advanced survivor by Raft's own order (term, then index) has every entry that any of them knows to be committed. Where its state is known to
 * be wrong, its log is not: that goes on from the state of another one, whose state is as right as the log was up to there.
 */
export function judgeSurvivors(survivors: readonly Survivor[]): Judgement | Unjudged {
  const problem = problemOf(survivors);
  if (problem !== undefined) return { problem };
  const { head, best } = choose(survivors);
  const ids = new Set(survivors.map(({ node }) => node));
  const gone = membersOf(best, head).filter(({ node }) => !ids.has(node));
  return { best, head, gone, words: wordsOf(best, head, survivors, gone) };
}

/**
 * Whoever joined in entries that the state has not applied yet is a member all the same: the other state may know it, and the configuration of the log
 * names it in any case, though not where it is.
 */
function membersOf(best: Survivor, head: Survivor): readonly SurvivorMember[] {
  const named = new Map<number, SurvivorMember>();
  for (const { voters, outgoing, learners } of [best, head])
    for (const node of [...voters, ...outgoing, ...learners]) named.set(node, { node, name: "?", api: "", peer: "" });
  for (const member of [...head.members, ...best.members]) named.set(member.node, member);
  return [...named.values()].toSorted((a, b) => a.node - b.node);
}

function choose(survivors: readonly Survivor[]): { readonly head: Survivor; readonly best: Survivor } {
  const foremost = (ones: readonly Survivor[]): Survivor => ones.reduce((a, b) => (isAhead(b, a) ? b : a));
  const ahead = foremost(survivors);
  const right = survivors.filter(({ quarantinedAt }) => quarantinedAt === null);
  if (right.length === 0) return { head: ahead, best: ahead };
  const best = foremost(right);
  // Of two whose logs are the same the right one needs nothing of the other.
  const isSame = best.lastTerm === ahead.lastTerm && best.lastIndex === ahead.lastIndex;
  return { head: isSame ? best : ahead, best };
}

/**
 * A recovery that broke off half way: one of them is of a newer epoch already, and the others were named as survivors when it was made. undefined:
 * they are all of the same epoch, or strangers to it.
 */
export function unfinishedRecovery(
  survivors: readonly Survivor[],
): { readonly head: Survivor; readonly behind: readonly Survivor[] } | undefined {
  const [first, ...others] = survivors;
  if (first === undefined) return undefined;
  const head = others.reduce((a, b) => (b.epoch.number > a.epoch.number ? b : a), first);
  const behind = survivors.filter(({ epoch }) => epoch.number < head.epoch.number);
  const areNamed = behind.every(({ cluster, node }) => cluster === head.cluster && head.learners.includes(node));
  const areOthersThere = survivors.every((one) => behind.includes(one) || sameEpoch(one.epoch, head.epoch));
  return behind.length > 0 && areNamed && areOthersThere ? { head, behind } : undefined;
}

/** Later term, or longer in the same one; of equals the voter, then the one that has applied more. */
function isAhead(a: Survivor, b: Survivor): boolean {
  if (a.lastTerm !== b.lastTerm) return a.lastTerm > b.lastTerm;
  if (a.lastIndex !== b.lastIndex) return a.lastIndex > b.lastIndex;
  const votes = Number(isVoter(a)) - Number(isVoter(b));
  return votes !== 0 ? votes > 0 : a.applied > b.applied;
}

function isVoter({ node, voters, outgoing }: Survivor): boolean {
  return voters.includes(node) || outgoing.includes(node);
}

function problemOf(survivors: readonly Survivor[]): string | undefined {
  const [first, ...others] = survivors;
  if (first === undefined) return "no survivor is given";
  for (const other of others) {
    if (other.cluster !== first.cluster)
      return `node ${first.node} is of cluster ${first.cluster}, node ${other.node} of cluster ${other.cluster}`;
    if (!sameEpoch(other.epoch, first.epoch))
      return `node ${first.node} is of epoch ${formatEpoch(first.epoch)}, node ${other.node} of epoch ${formatEpoch(other.epoch)}: leave out the one of the lower epoch, it can only join again as a new node`;
  }
  const ids = survivors.map(({ node }) => node);
  const twice = ids.find((node, at) => ids.indexOf(node) !== at);
  if (twice !== undefined) return `node ${twice} is given twice`;
  const led = survivors.find(({ leader }) => leader !== null);
  if (led !== undefined)
    return `node ${led.node} has a leader (node ${led.leader}): the cluster has its quorum, and there is nothing to recover`;
  const { head, best } = choose(survivors);
  if (!best.members.some(({ node }) => node === best.node))
    return `node ${best.node} does not know of itself as a member yet: it has nothing that a cluster could go on with`;
  const sound = soundOf(survivors);
  if (halvesOf(head).every((half) => half.filter((node) => sound.has(node)).length >= majorityOf(half))) {
    const { voters } = head;
    return `${[...sound].filter((node) => voters.includes(node)).length} of ${voters.length} voters are here, which is a quorum: start them, and nothing is lost${slowWords(survivors)}`;
  }
  return undefined;
}

/** A node in quarantine makes no snapshot: another voter that lacks what its log holds no more gets it from nobody. */
function slowWords(survivors: readonly Survivor[]): string {
  const wrong = survivors.filter(({ quarantinedAt }) => quarantinedAt !== null).map(({ node }) => node);
  if (wrong.length === 0) return "";
  const nodes = `node${wrong.length === 1 ? "" : "s"} ${wrong.join(", ")}`;
  return `. Should they elect nobody for minutes, because only the log of ${nodes}, whose state is wrong, could have fed the others: leave ${nodes} out here, and what is lost by it is said`;
}

function halvesOf({ voters, outgoing }: Survivor): (readonly number[])[] {
  return [voters, outgoing].filter((half) => half.length > 0);
}

function majorityOf(half: readonly number[]): number {
  return Math.floor(half.length / 2) + 1;
}

function wordsOf(
  best: Survivor,
  head: Survivor,
  survivors: readonly Survivor[],
  gone: readonly SurvivorMember[],
): string[] {
  const words: string[] = [];
  const committed = committedOf(survivors);
  const open = head.lastIndex - committed;
  words.push(
    `kept: entries up to ${head.lastIndex}, all that node ${head.node} has. ${committed} are known to be committed` +
      (open === 0 ? "" : `; the ${open} after them may or may not have been acknowledged, and are kept as well`),
  );
  words.push(lossOf(head, survivors, gone));
  words.push(...wrongStates(best, head, survivors));
  for (const other of survivors) {
    // A shorter log that ends in the same term is the beginning of the longer one.
    if (other === head || other.lastTerm === head.lastTerm) continue;
    const tail = other.lastIndex - head.lastIndex;
    const longer =
      tail > 0
        ? `: its last ${tail} are of term ${other.lastTerm}, which no quorum confirmed, and were acknowledged to nobody`
        : "";
    words.push(`discarded: what node ${other.node} has and node ${head.node} has not${longer}`);
  }
  const known = new Set(best.members.map(({ node }) => node));
  for (const { node } of survivors) {
    if (!known.has(node))
      words.push(
        `not kept: node ${node}, of whose joining node ${best.node} knows nothing: it joins again as a new node`,
      );
  }
  for (const { node, damagedFrom, lastIndex } of survivors) {
    if (damagedFrom !== null)
      words.push(
        `damaged: node ${node} had entries after ${lastIndex} that can not be read any more; some of them may have been acknowledged`,
      );
  }
  const states = new Map<number, Survivor>();
  for (const one of survivors.filter(({ quarantinedAt }) => quarantinedAt === null)) {
    const same = states.get(one.applied);
    if (same !== undefined && same.hash !== one.hash)
      words.push(
        `different: nodes ${same.node} and ${one.node} have different states after the same entry ${one.applied}; one of them is wrong, and nobody is left to say which`,
      );
    states.set(one.applied, same ?? one);
  }
  return words;
}

/** Whose state is known to be wrong, and what is made of it. */
function wrongStates(best: Survivor, head: Survivor, survivors: readonly Survivor[]): string[] {
  const wrong = survivors.filter(({ quarantinedAt }) => quarantinedAt !== null);
  return wrong.map(({ node, quarantinedAt }) => {
    const found = `wrong: the state of node ${node} was found to differ from a quorum's at entry ${quarantinedAt}`;
    if (node === best.node)
      return `${found}, and nobody is left whose state is right: the new epoch would begin with it`;
    if (node === head.node)
      return `${found}. Its log is right and the longest: the new epoch has the state of node ${best.node} (entry ${best.applied}) and what the log of node ${node} has after it`;
    return `${found}, and is not used`;
  });
}

/**
 * Entries that only others have cannot be seen from here; whether there can be any is a matter of counting. Those whose log is damaged may have
 * acknowledged what they have no more: they count as missing.
 *
 * Short of a quorum that could elect a leader, one thing alone rules them out: a joint configuration that is known to be committed, and a majority
 * of its new half that is here. What was committed under it, and the entry that leaves it, is on a majority of that half. Anything else may have
 * been gone on from without those who are here: a change of one voter by an entry that only others have makes do with a majority of what it
 * leads to (of two voters, one removes the other), and a joint configuration that was not committed may have been overwritten by its old half.
 */
function lossOf(best: Survivor, survivors: readonly Survivor[], gone: readonly SurvivorMember[]): string {
  const sound = soundOf(survivors);
  const isCommitted = best.configurationIndex <= committedOf(survivors);
  const incoming = countHalf(best.voters, sound);
  const outgoing = countHalf(best.outgoing, sound);
  if (isCommitted && outgoing.all > 0 && incoming.here >= incoming.quorum)
    return `lost: nothing that was acknowledged. An acknowledged entry is on ${incoming.quorum} of ${incoming.all} voters, and ${incoming.here} of them are here, so one that is here has it`;
  const since = best.lastAt === 0 ? "" : `, whose leader's clock showed ${formatInstant(best.lastAt)}`;
  const isOldEnough = !isCommitted && outgoing.all > 0 && outgoing.missing >= outgoing.quorum;
  const half = isOldEnough && incoming.missing < incoming.quorum ? outgoing : incoming;
  const names = gone.map(({ node }) => node).join(", ") || "none";
  const damaged = survivors.filter(({ damagedFrom }) => damagedFrom !== null).map(({ node }) => node);
  const notSound = damaged.length === 0 ? "" : `; damaged: ${damaged.join(", ")}`;
  return (
    `may be lost: what was acknowledged after entry ${best.lastIndex}${since}. An entry is acknowledged when ${half.quorum} of ${half.all} voters have it; ` +
    `${half.missing} are missing (members that are gone: ${names}${notSound}), and ${enoughOf(half, best.node)}. ` +
    (isCommitted ? "" : `${changeOf(best)}. `) +
    `How many cannot be known from here, and that there are none cannot be shown`
  );
}

interface Half {
  readonly all: number;
  readonly here: number;
  /** Not here, or damaged. */
  readonly missing: number;
  readonly quorum: number;
}

function countHalf(half: readonly number[], sound: ReadonlySet<number>): Half {
  const here = half.filter((node) => sound.has(node)).length;
  return { all: half.length, here, missing: half.length - here, quorum: majorityOf(half) };
}

function enoughOf({ missing, quorum }: Half, node: number): string {
  return missing >= quorum
    ? `${quorum} of them are enough to have acknowledged entries that nobody here has`
    : `they are enough once there is a voter more or less, by a change that node ${node} may never have heard of`;
}

function changeOf({ node, configurationIndex, voters, outgoing }: Survivor): string {
  const what =
    outgoing.length > 0
      ? `the change of voters from ${outgoing.join(", ")} to ${voters.join(", ")}`
      : `the change that made ${voters.join(", ")} the voters`;
  return `Entry ${configurationIndex} of node ${node}, ${what}, is not known to be committed: the voters of before may have gone on without it`;
}

/** Nothing of what was on their disks is missing. */
function soundOf(survivors: readonly Survivor[]): ReadonlySet<number> {
  return new Set(survivors.filter(({ damagedFrom }) => damagedFrom === null).map(({ node }) => node));
}

/** The most advanced one has everything up to there. */
function committedOf(survivors: readonly Survivor[]): number {
  return Math.max(...survivors.map(({ commit }) => commit));
}

/** As JSON has it: in the API, and in the file that is carried from host to host. */
export interface SurvivorView {
  readonly cluster: string;
  readonly epoch: string;
  readonly node: number;
  readonly name: string;
  readonly level: number;
  readonly last_index: number;
  readonly last_term: number;
  readonly term: number;
  readonly commit: number;
  readonly applied: number;
  readonly hash: string;
  readonly last_at: string | null;
  readonly voters: readonly number[];
  readonly outgoing: readonly number[];
  readonly learners: readonly number[];
  readonly configuration_index: number;
  readonly damaged_from: number | null;
  readonly quarantined_at: number | null;
  readonly leader: number | null;
  readonly members: readonly SurvivorMember[];
}

/** For people and programs. */
export function viewSurvivor(survivor: Survivor): SurvivorView {
  const { epoch, lastIndex, lastTerm, lastAt, configurationIndex, damagedFrom, quarantinedAt, ...same } = survivor;
  return {
    ...same,
    epoch: formatEpoch(epoch),
    last_index: lastIndex,
    last_term: lastTerm,
    last_at: lastAt === 0 ? null : formatInstant(lastAt),
    configuration_index: configurationIndex,
    damaged_from: damagedFrom,
    quarantined_at: quarantinedAt,
  };
}

/** What a file or another node said of itself; undefined: it is no such thing. */
export function parseSurvivor(value: unknown): Survivor | undefined {
  const view = (value ?? {}) as { readonly [Field in keyof SurvivorView]?: unknown };
  const { cluster, name, node, level, term, commit, applied, hash, voters, outgoing, learners, members } = view;
  const { last_index: lastIndex, last_term: lastTerm, damaged_from: damagedFrom, leader } = view;
  const { configuration_index: configurationIndex, quarantined_at: quarantinedAt } = view;
  const epoch = typeof view.epoch === "string" ? parseEpoch(view.epoch) : undefined;
  const lastAt = view.last_at === null ? 0 : typeof view.last_at === "string" ? parseInstant(view.last_at) : undefined;
  if (typeof cluster !== "string" || typeof name !== "string" || typeof hash !== "string") return undefined;
  if (epoch === undefined || lastAt === undefined || !isId(node) || !areIds(voters) || !areIds(outgoing))
    return undefined;
  if (!isCount(level) || !isCount(term) || !isCount(commit) || !isCount(applied)) return undefined;
  if (!isCount(lastIndex) || !isCount(lastTerm) || !areIds(learners) || !areMembers(members)) return undefined;
  if (!isCount(configurationIndex)) return undefined;
  if (damagedFrom !== null && !isId(damagedFrom)) return undefined;
  if (leader !== null && !isId(leader)) return undefined;
  if (quarantinedAt !== null && !isCount(quarantinedAt)) return undefined;
  const log = { lastIndex, lastTerm, term, commit, applied, hash, lastAt, damagedFrom, quarantinedAt, leader };
  return { cluster, epoch, node, name, level, ...log, voters, outgoing, learners, configurationIndex, members };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function areIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(isId);
}

function areMembers(value: unknown): value is readonly SurvivorMember[] {
  return (
    Array.isArray(value) &&
    value.every((one: { readonly [Field in keyof SurvivorMember]?: unknown } | null) => {
      const { node, name, api, peer } = one ?? {};
      return isId(node) && typeof name === "string" && typeof api === "string" && typeof peer === "string";
    })
  );
}
