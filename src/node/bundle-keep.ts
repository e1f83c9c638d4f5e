import type { BlobStore } from "../executor/blob-store.ts";
import type { BundleTrees } from "../executor/bundle-trees.ts";
import { monotonicMs, wallMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { RollingHash } from "../lib/hash.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import { allBundles, bundleByDigest, bundleHolders, bundlesHeldBy, jobStates, listNodes } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { StoredBundle } from "../state/tables/bundle.ts";
import type { NodeRow } from "../state/types.ts";
import { canHold } from "./pack-partner.ts";
import { bundleTaken } from "./peer-answers.ts";

/** What the keeping of bundles needs of its surroundings. */
export interface BundleKeepPorts {
  readonly self: NodeId;
  readonly store: Pick<BlobStore, "held" | "manifest" | "lacking" | "drop" | "sweep">;
  readonly trees: Pick<BundleTrees, "sweep">;
  readonly view: <Value>(query: (tx: ReadTx) => Value) => Value;
  readonly leader: () => NodeId;
  readonly ask: (node: NodeId, method: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly tell: (held: readonly string[], gone: readonly string[]) => Promise<Outcome<unknown>>;
  /** The state here has everything that was acknowledged before, and is not known to be wrong: what it does not know is gone. */
  readonly isCurrent: () => Promise<boolean>;
  /** Files that are in no bundle yet, and will be. */
  readonly isPinned: (sha256: string) => boolean;
  /** Files of it, or of any, were removed. */
  readonly onDropped: (digest: string) => void;
  readonly log: (level: "warn" | "info", message: string) => void;
}

/** Intervals, as {@link limits} has them, or as a test wants them. */
export interface KeepTiming {
  readonly lookMs: number;
  readonly lostMs: number;
  readonly keptMs: number;
  readonly takeMs: number;
  readonly fetchedBytes: number;
}

/** As limits have it. */
export const keepTiming: KeepTiming = {
  lookMs: limits.bundleLookMs,
  lostMs: limits.bundleLostMs,
  keptMs: limits.blobKeptMs,
  takeMs: limits.bundleTakeMs,
  fetchedBytes: limits.bundleFetchedBytes,
};

/** Between two looks at all files for those that no bundle has. */
const sweepEveryMs = 60_000;

/**
 * A node's duties for bundles, every few seconds: what it has is told to all, by entries in the log; a bundle that is on fewer members than it is to be on, since one of them is lost or
 * was removed, is given to one more, by the first of those that have it; and what the state knows no more goes from the disk: first the bundle, then the files that no other one
 * has, some at a time. The state keeps what a name or an unfinished job has (state/tables/bundle.ts), so nothing goes that a task runs in.
 */
export class BundleKeeper {
  readonly #ports: BundleKeepPorts;
  readonly #timing: KeepTiming;
  readonly #lostSince = new Map<NodeId, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #looking: Promise<void> | undefined;
  #telling: Promise<void> | undefined;
  #isAwaited = false;
  #sweptAt = -Infinity;
  #hasDropped = true;

  constructor(ports: BundleKeepPorts, timing: KeepTiming = keepTiming) {
    this.#ports = ports;
    this.#timing = timing;
  }

  /** Begins; the state is as new as the cluster's. */
  start(): void {
    this.#timer ??= setInterval(() => void this.look(), this.#timing.lookMs);
    void this.look();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What is here has changed: that is told now, whatever a look that is under way waits for. Others find it here as soon as it is. Does nothing before {@link start}. */
  kick(): void {
    if (this.#timer === undefined) return;
    void this.#logged(this.#tellAll());
  }

  /** One round of all duties, or the one that is under way. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  #look(): Promise<void> {
    return this.#logged(
      this.#tellAll()
        .then(() => this.#spread())
        .then(() => this.#trim())
        .then(() => this.#clear()),
    );
  }

  #logged(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error;
      this.#ports.log("warn", error.message);
    });
  }

  /** One after the other, and once more if something has changed meanwhile. */
  #tellAll(): Promise<void> {
    this.#isAwaited = this.#telling !== undefined;
    this.#telling ??= this.#tellUntilTold().finally(() => (this.#telling = undefined));
    return this.#telling;
  }

  async #tellUntilTold(): Promise<void> {
    do {
      this.#isAwaited = false;
      await this.#tell();
    } while (this.#isAwaited);
  }

  /** A file is gone, or was wrong: bundles that have it are here no more. */
  async onDamaged(sha256: string): Promise<void> {
    const { store, onDropped, log } = this.#ports;
    for (const digest of (await store.held()).keys()) {
      const manifest = await store.manifest(digest);
      if (manifest !== undefined) {
        const file = filesOf(manifest.entries).find((one) => one.sha256 === sha256);
        // It may have come again meanwhile.
        if (file === undefined || (await store.lacking([file])).length === 0) continue;
      }
      log(
        "warn",
        `a file of the bundle sha256:${digest} was damaged or removed here: it is fetched again when it is needed`,
      );
      await store.drop(digest);
      onDropped(digest);
    }
    this.kick();
  }

  /** What is here and the state does not say, and what the state says and is not here. */
  async #tell(): Promise<void> {
    const { self, store, view, tell } = this.#ports;
    const here = await store.held();
    const { said, known } = view((tx) => ({
      said: new Set(bundlesHeldBy(tx, self)),
      known: new Set([...here.keys()].filter((digest) => bundleByDigest(tx, digest) !== undefined)),
    }));
    const held = [...known].filter((digest) => !said.has(digest)).slice(0, limits.bundlesPerEntry);
    const gone = [...said].filter((digest) => !here.has(digest)).slice(0, limits.bundlesPerEntry);
    if (held.length + gone.length > 0) await tell(held, gone);
  }

  async #spread(): Promise<void> {
    const { self, view, leader, ask, log } = this.#ports;
    const nodes = view(listNodes);
    const isThere = this.#thoseThere(nodes);
    const short = view((tx) =>
      allBundles(tx).flatMap(({ digest, copies }) => {
        const holders = bundleHolders(tx, digest);
        const there = holders.filter(isThere);
        return there[0] === self && there.length < copies ? [{ digest, holders }] : [];
      }),
    );
    for (const { digest, holders } of short) {
      const others = nodes.filter((node) => isThere(node.id) && canHold(node) && !holders.includes(node.id));
      const [first] = membersFor(digest, others, leader());
      if (first === undefined) continue;
      try {
        bundleTaken(await ask(first, "bundle.take", digest, this.#timing.takeMs));
      } catch (error) {
        // It goes on with it, or the next look asks once more.
        if (!(error instanceof Fault)) throw error;
        log("info", `node ${first} does not have the bundle sha256:${digest} yet: ${error.message}`);
      }
    }
  }

  /** Members that are not lost, or not for long: a restart is no reason to copy all that a node has. */
  #thoseThere(nodes: readonly NodeRow[]): (node: NodeId) => boolean {
    const now = monotonicMs();
    const there = new Set<NodeId>();
    for (const { id, state } of nodes) {
      if (state !== "lost") this.#lostSince.delete(id);
      else if (!this.#lostSince.has(id)) this.#lostSince.set(id, now);
      const since = this.#lostSince.get(id);
      if (since === undefined || now - since < this.#timing.lostMs) there.add(id);
    }
    return (node) => there.has(node);
  }

  /** Copies beyond those that are to be there, which tasks here needed: what was used longest ago goes where they take too much, and nothing that an unfinished job has. */
  async #trim(): Promise<void> {
    const { store, view, onDropped, isCurrent, log } = this.#ports;
    const here = await store.held();
    const fetched = (): StoredBundle[] => view((tx) => this.#fetchedOf(tx, [...here.keys()]));
    const bytesOf = (some: readonly StoredBundle[]): number => some.reduce((sum, { bytes }) => sum + bytes, 0);
    if (bytesOf(fetched()) <= this.#timing.fetchedBytes || !(await isCurrent())) return;
    const now = fetched();
    let bytes = bytesOf(now);
    for (const one of now.toSorted((a, b) => here.get(a.digest)! - here.get(b.digest)!)) {
      if (bytes <= this.#timing.fetchedBytes) break;
      if (one.jobs > 0) continue;
      log("info", `the bundle sha256:${one.digest} was used longest ago, and others keep it: its copy here goes`);
      await store.drop(one.digest);
      onDropped(one.digest);
      this.#hasDropped = true;
      bytes -= one.bytes;
    }
    await this.#tellAll();
  }

  /** Those of which there are enough copies without the one here. Who keeps them all nodes agree on, whoever leads: two never leave it to each other. */
  #fetchedOf(tx: ReadTx, here: readonly string[]): StoredBundle[] {
    const { self } = this.#ports;
    const there = listNodes(tx).filter(({ state }) => state !== "lost");
    return here.flatMap((digest) => {
      const bundle = bundleByDigest(tx, digest);
      if (bundle === undefined) return [];
      const holders = new Set(bundleHolders(tx, digest));
      const keepers = membersFor(
        digest,
        there.filter(({ id }) => holders.has(id)),
        nobody,
      ).slice(0, bundle.copies);
      return keepers.length === bundle.copies && !keepers.includes(self) ? [bundle] : [];
    });
  }

  async #clear(): Promise<void> {
    const { store, trees, view, onDropped, isPinned, isCurrent: isCurrentNow } = this.#ports;
    const before = wallMs() - this.#timing.keptMs;
    const here = await store.held();
    const isKnown = (digest: string): boolean => view((tx) => bundleByDigest(tx, digest)) !== undefined;
    const aged = [...here].filter(([digest, since]) => since < before && !isKnown(digest));
    // A node that was cut off may have a bundle of which its state has not heard yet, and others count on that.
    const isCurrent = aged.length === 0 || (await isCurrentNow());
    for (const [digest] of isCurrent ? aged : []) {
      // The state has heard of it meanwhile, or another member has begun to count on it.
      if (isKnown(digest) || ((await store.held()).get(digest) ?? 0) >= before) continue;
      await store.drop(digest);
      onDropped(digest);
      this.#hasDropped = true;
    }
    const now = monotonicMs();
    if (!this.#hasDropped && now - this.#sweptAt < sweepEveryMs) return;
    this.#sweptAt = now;
    const wanted = new Set<string>();
    for (const digest of (await store.held()).keys())
      for (const file of filesOf((await store.manifest(digest))?.entries ?? [])) wanted.add(file.sha256);
    const isWanted = (sha256: string): boolean => wanted.has(sha256) || isPinned(sha256);
    const removed = await store.sweep(isWanted, before, limits.blobsSwept);
    this.#hasDropped = removed === limits.blobsSwept;
    if (removed > 0) onDropped("");
    // A process of driver ansible, and so its tree, outlives the attempt that it is called after: what unfinished jobs have stays.
    const isHeld = (name: string): boolean => {
      const job = Number(name.split(".")[0]);
      const state = view((tx) => jobStates(tx, [job]).get(job));
      return state === "queued" || state === "running";
    };
    const left = await store.held();
    const isUsed = (digest: string): boolean => {
      const bundle = view((tx) => bundleByDigest(tx, digest));
      return bundle !== undefined && (left.has(digest) || bundle.jobs > 0);
    };
    if (await isCurrentNow()) await trees.sweep(isUsed, isHeld, this.#timing.keptMs);
  }
}

function filesOf<Entry extends { readonly kind: string }>(
  entries: readonly Entry[],
): Extract<Entry, { readonly kind: "file" }>[] {
  return entries.filter((entry): entry is Extract<Entry, { readonly kind: "file" }> => entry.kind === "file");
}

/** Who is to have a bundle, in that order (rendezvous hashing): each bundle somebody else, the leader last. */
export function membersFor(digest: string, nodes: readonly NodeRow[], leader: NodeId): NodeId[] {
  const rank = (node: NodeId): string => new RollingHash("").text(digest).number(node).digest();
  return nodes
    .map(({ id }) => ({ id, isLeading: id === leader, rank: rank(id) }))
    .toSorted((a, b) => Number(a.isLeading) - Number(b.isLeading) || (a.rank < b.rank ? 1 : -1))
    .map(({ id }) => id);
}
