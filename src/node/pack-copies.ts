import type { PackShelf, ShelvedPack } from "../executor/pack-shelf.ts";
import type { AttemptName } from "../executor/types.ts";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import { listNodes, packCopiesHeldBy, packCopiesOf } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { NodeRow } from "../state/types.ts";
import type { PackAppend, PackHeld } from "./pack-holder.ts";
import { canHold, packPartner } from "./pack-partner.ts";

/** What the copying of packs needs of its surroundings. */
export interface PackCopiesPorts {
  readonly self: NodeId;
  readonly shelf: Pick<PackShelf, "look" | "packs" | "packsOf" | "bytes" | "sources" | "discard">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Hands a piece to the member that keeps the copy. Throws Fault. */
  append(holder: NodeId, piece: PackAppend): Promise<PackHeld>;
  placed(packs: readonly (readonly [pack: string, holder: NodeId])[]): Promise<Outcome<unknown>>;
  gone(packs: readonly (readonly [of: NodeId, pack: string])[]): Promise<Outcome<unknown>>;
  /** Now and then: whether jobs went without this node's noticing, and whether there is room. */
  sweep(): void;
  log(level: "warn" | "info", message: string): void;
}

/** Intervals, as {@link limits} has them, or as a test wants them. */
export interface PackCopiesTiming {
  readonly lookMs: number;
  readonly failedMs: number;
  readonly lostMs: number;
  readonly tidyMs: number;
}

const usual: PackCopiesTiming = {
  lookMs: limits.packLookMs,
  failedMs: limits.packHolderFailedMs,
  lostMs: limits.packHolderLostMs,
  tidyMs: 10 * 60_000,
};

/** How far the copy of one pack is. */
interface Copy {
  readonly name: string;
  holder: NodeId;
  /** What the holder has; undefined: it has not been asked since this process began. */
  acked: number | undefined;
  /** What it has synced. */
  synced: number;
  /** Whom the log names as holder. */
  placed: NodeId | undefined;
}

interface Waiter {
  /** What must be synced at a holder, by pack. */
  readonly need: Map<string, number>;
  done(): void;
}

/**
 * Copies this node's packs to a second node while they are written (N1). The node looks at what was appended several times a second, and at once when a task ends,
 * and sends it on over the bulk channel: whole records, one piece of a pack under way at a time, so that a slow partner slows only this and holds
 * nothing in memory. The partner says how long its copy is, and there it goes on: after a lost answer, a restart, or a change of partner, which begins at 0. The
 * leader takes no part. The log is told where a pack's copy is once there is one (pack.placed), many packs in one entry; nothing is told of tasks.
 *
 * A partner that does not answer is left at once for packs that are not whole there; packs that are stay, until it is removed or has been lost for a
 * minute: a restart of one node must not have all logs of another copied anew.
 */
export class PackCopies {
  readonly #ports: PackCopiesPorts;
  readonly #timing: PackCopiesTiming;
  #copies: Map<string, Copy> | undefined;
  readonly #failedUntil = new Map<NodeId, number>();
  readonly #lostSince = new Map<NodeId, number>();
  #waiters: Waiter[] = [];
  #telling = false;
  #tidiedAt = -Infinity;
  #sawMembersAt = -Infinity;
  /** Copies of which the log knew nothing the last time. */
  #strange = new Set<string>();
  #said: string | undefined;
  #isStopped = true;
  #wake: () => void = () => {};
  #isAwaited = false;

  constructor(ports: PackCopiesPorts, timing: PackCopiesTiming = usual) {
    this.#ports = ports;
    this.#timing = timing;
  }

  /** Begins; the state is as new as the cluster's. */
  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    void this.#run();
  }

  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** Something was appended that is worth a look now. */
  kick(): void {
    this.#isAwaited = true;
    this.#wake();
  }

  /**
   * Resolves when the output of that attempt, so many bytes, is synced on a second node (true), or after `withinMs` (false). Only the packs that it is in are waited for: another one
   * may have to wait for a holder that is away.
   */
  async copied(attempt: AttemptName, bytes: number, withinMs: number): Promise<boolean> {
    await this.#ports.shelf.look(this.#ports.self);
    const need = new Map<string, number>();
    for (const { name, end } of this.#ports.shelf.packsOf(this.#ports.self, attempt, bytes)) {
      if ((this.#copies?.get(name)?.synced ?? 0) < end) need.set(name, end);
    }
    if (need.size === 0) return true;
    return await new Promise<boolean>((resolve) => {
      const waiter: Waiter = {
        need,
        done: () => {
          clearTimeout(timer);
          resolve(true);
        },
      };
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        resolve(false);
      }, withinMs);
      this.#waiters.push(waiter);
      this.kick();
    });
  }

  /** These packs of this node, or copies of those of others, are here no more. */
  removed(packs: readonly { readonly source: number; readonly name: string }[]): void {
    for (const { source, name } of packs) if (source === this.#ports.self) this.#copies?.delete(name);
    void this.#tellGone(packs.map(({ source, name }) => [nodeId(source), name] as const));
  }

  // ------------------------------------------------------------------------------------------------ rounds

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      let isMore = false;
      try {
        isMore = await this.#round();
      } catch (error) {
        this.#say(error instanceof Error ? error.message : String(error));
      }
      if (!isMore) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    if (this.#isAwaited || this.#isStopped) {
      this.#isAwaited = false;
      // Not at once, so that the ends of many tasks are one look.
      return new Promise((resolve) => setTimeout(resolve, kickedMs));
    }
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#timing.lookMs);
      this.#wake = () => {
        clearTimeout(timer);
        setTimeout(resolve, kickedMs);
        this.#isAwaited = false;
        this.#wake = () => {};
      };
    });
  }

  /** True when there is more to copy. */
  async #round(): Promise<boolean> {
    const { self, shelf } = this.#ports;
    await shelf.look(self);
    const copies = (this.#copies ??= this.#known());
    const now = monotonicMs();
    if (this.#isAllCopied(copies) && now - this.#sawMembersAt < limits.packMembersMs) {
      await this.#tidy();
      return false;
    }
    this.#sawMembersAt = now;
    const nodes = this.#ports.view(listNodes);
    this.#noteLost(nodes);
    const needed = new Map<string, number>();
    for (const { need } of this.#waiters)
      for (const [name, end] of need) needed.set(name, Math.max(end, needed.get(name) ?? 0));
    let isMore = false;
    // The newest first: of an old one all but what is new was copied long ago, or it can wait.
    for (const pack of shelf.packs(self).toReversed()) {
      if (this.#isStopped) return false;
      const copy = this.#copyOf(pack, nodes, copies);
      if (copy === undefined) continue;
      isMore = (await this.#bring(copy, pack, needed.get(pack.name) ?? 0)) || isMore;
    }
    this.#answer();
    void this.#tellPlaced();
    await this.#tidy();
    return isMore;
  }

  /** Nobody waits, and every pack is where it is to be as far as is known: then the members are read now and then only, since each of many nodes would read many several times a second. */
  #isAllCopied(copies: ReadonlyMap<string, Copy>): boolean {
    if (this.#waiters.length > 0) return false;
    return this.#ports.shelf.packs(this.#ports.self).every(({ name, whole, isOver }) => {
      const copy = copies.get(name);
      if (copy?.acked === undefined || copy.placed !== copy.holder) return false;
      return copy.acked >= whole && (!isOver || copy.synced >= whole);
    });
  }

  /** What the log says, at the start of this process. */
  #known(): Map<string, Copy> {
    const rows = this.#ports.view((tx) => packCopiesOf(tx, this.#ports.self));
    return new Map(
      rows.map(({ pack, holder }) => [pack, { name: pack, holder, acked: undefined, synced: 0, placed: holder }]),
    );
  }

  #noteLost(nodes: readonly NodeRow[]): void {
    for (const { id, state } of nodes) {
      if (state !== "lost") this.#lostSince.delete(id);
      else if (!this.#lostSince.has(id)) this.#lostSince.set(id, monotonicMs());
    }
  }

  /** Where the pack is to be copied; undefined: nowhere now. */
  #copyOf(
    { name, whole, isOver }: ShelvedPack,
    nodes: readonly NodeRow[],
    copies: Map<string, Copy>,
  ): Copy | undefined {
    const known = copies.get(name);
    const now = monotonicMs();
    const isFit = (id: NodeId): boolean => (this.#failedUntil.get(id) ?? -Infinity) <= now;
    if (known !== undefined) {
      const holder = nodes.find(({ id }) => id === known.holder);
      if (holder !== undefined && canHold(holder) && isFit(known.holder)) return known;
      const isWhole = isOver && (known.acked === undefined || known.acked >= whole);
      const isGone =
        holder === undefined || now - (this.#lostSince.get(known.holder) ?? Infinity) >= this.#timing.lostMs;
      if (isWhole && !isGone) return undefined;
    }
    const partner = packPartner(this.#ports.self, nodes, isFit);
    if (partner === undefined) return undefined;
    if (partner === known?.holder) return known;
    const copy: Copy = { name, holder: partner, acked: 0, synced: 0, placed: known?.placed };
    copies.set(name, copy);
    return copy;
  }

  /** Brings the copy up to the pack, or a piece of the way; true when there is more. */
  async #bring(copy: Copy, { name, whole, isOver }: ShelvedPack, needed: number): Promise<boolean> {
    const isLast = isOver && copy.synced < whole;
    const wanted = Math.max(needed, isLast ? whole : 0);
    for (let pieces = 0; pieces < piecesPerRound; pieces++) {
      const from = Math.min(copy.acked ?? whole, whole);
      if (copy.acked !== undefined && from >= whole && copy.synced >= wanted) return false;
      const length = Math.min(limits.packCopyChunkBytes, whole - from);
      const sync = from + length >= whole && wanted > copy.synced;
      const end = await this.#send(copy, { pack: name, from, bytes: await this.#bytes(name, from, length), sync });
      if (end === undefined) return true; // another one is asked in the next round, or nobody can be
      copy.acked = end;
      if (sync && end >= whole) copy.synced = whole;
    }
    return copy.acked !== undefined && copy.acked < whole;
  }

  async #bytes(name: string, from: number, length: number): Promise<Uint8Array> {
    return length <= 0 ? new Uint8Array(0) : await this.#ports.shelf.bytes(this.#ports.self, name, from, length);
  }

  /** How long the copy is now; undefined: the holder did not take it. */
  async #send(copy: Copy, piece: PackAppend): Promise<number | undefined> {
    try {
      const { end } = await this.#ports.append(copy.holder, piece);
      this.#failedUntil.delete(copy.holder);
      this.#said = undefined;
      return end;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#failedUntil.set(copy.holder, monotonicMs() + this.#timing.failedMs);
      this.#say(`node ${copy.holder} does not take the copy of a pack of logs now: ${error.message}`);
      return undefined;
    }
  }

  /** Tells those who wait for what is synced by now. */
  #answer(): void {
    if (this.#waiters.length === 0) return;
    const here = new Set(this.#ports.shelf.packs(this.#ports.self).map(({ name }) => name));
    this.#waiters = this.#waiters.filter((waiter) => {
      for (const [name, end] of waiter.need) {
        const copy = this.#copies?.get(name);
        if (!here.has(name) || (copy !== undefined && copy.synced >= end)) waiter.need.delete(name);
      }
      if (waiter.need.size > 0) return true;
      waiter.done();
      return false;
    });
  }

  // ------------------------------------------------------------------------------------------------- words

  /** Copies that are as long as their packs were, and that the log does not know of yet. */
  async #tellPlaced(): Promise<void> {
    if (this.#telling) return;
    const whole = new Map(this.#ports.shelf.packs(this.#ports.self).map((pack) => [pack.name, pack.whole]));
    const news = [...(this.#copies?.values() ?? [])].filter(
      ({ name, holder, placed, acked }) => placed !== holder && acked !== undefined && acked >= (whole.get(name) ?? 0),
    );
    if (news.length === 0) return;
    this.#telling = true;
    const told = news.slice(0, limits.packsPerEntry).map(({ name, holder }) => [name, holder] as const);
    const outcome = await this.#ports.placed(told);
    if (outcome.ok) {
      for (const [name, holder] of told) {
        const copy = this.#copies?.get(name);
        if (copy?.holder === holder) copy.placed = holder;
      }
    } else await new Promise((resolve) => setTimeout(resolve, retryMs)); // no leader, or a cluster that knows no copies yet
    this.#telling = false;
  }

  /** What is lost of it costs a row: the copy is looked for in vain then. */
  async #tellGone(packs: readonly (readonly [of: NodeId, pack: string])[]): Promise<void> {
    for (let at = 0; at < packs.length; at += limits.packsPerEntry)
      await this.#ports.gone(packs.slice(at, at + limits.packsPerEntry));
  }

  /** Copies of packs that are gone, or are copied elsewhere by now, go; what the state says must have been so for a while. */
  async #tidy(): Promise<void> {
    if (monotonicMs() - this.#tidiedAt < this.#timing.tidyMs) return;
    this.#tidiedAt = monotonicMs();
    const { self, shelf } = this.#ports;
    const held = new Set(
      this.#ports.view((tx) => packCopiesHeldBy(tx, self)).map(({ node, pack }) => `${node} ${pack}`),
    );
    const strange = new Set<string>();
    for (const source of shelf.sources()) {
      if (source === self) continue;
      await shelf.look(source);
      for (const { name, isOver } of shelf.packs(source)) {
        const key = `${source} ${name}`;
        if (!isOver || held.has(key)) continue;
        // Twice in a row: what the log says of a copy comes after the copy.
        if (this.#strange.has(key)) await shelf.discard(source, name);
        else strange.add(key);
      }
    }
    this.#strange = strange;
    this.#ports.sweep();
  }

  /** The same words once, until a copy gets on. */
  #say(message: string): void {
    if (this.#said === message) return;
    this.#said = message;
    this.#ports.log("warn", message);
  }
}

/** After the end of a task: others may end in the same moment. */
const kickedMs = 10;
const retryMs = 2_000;
/** Of one pack, before the others have their turn. */
const piecesPerRound = 8;
