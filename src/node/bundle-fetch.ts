import type { Blob, BlobStore } from "../executor/blob-store.ts";
import { abreast } from "../lib/abreast.ts";
import { type BundleFile, type Manifest, parseManifest } from "../lib/bundle-manifest.ts";
import { monotonicMs } from "../lib/clock.ts";
import { sha256Of } from "../lib/digest.ts";
import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { bundleHolders, listNodes } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { BundlePins } from "./bundle-pins.ts";
import { noPlaceFree } from "./bundle-serve.ts";
import { canHold } from "./pack-partner.ts";
import { blobAnswers, blobPiece, manifestText } from "./peer-answers.ts";

/** What the fetching of bundles needs of its surroundings. */
export interface BundleFetchPorts {
  readonly self: NodeId;
  readonly pins: Pick<BundlePins, "pin">;
  readonly store: Pick<BlobStore, "manifest" | "lacking" | "add" | "append" | "partOf" | "settle" | "hold">;
  readonly view: <Value>(query: (tx: ReadTx) => Value) => Value;
  /** {@link nobody} when unknown. */
  readonly leader: () => NodeId;
  /** On the bulk channel. Throws Fault. */
  readonly ask: (node: NodeId, method: string, body: unknown) => Promise<unknown>;
  /** This node has it from now on. */
  readonly onHeld: (digest: string) => void;
  readonly random: () => number;
  readonly log: (level: "warn", message: string) => void;
}

/** Intervals, as {@link limits} has them, or as a test wants them. */
export interface FetchTiming {
  readonly busyMs: number;
  readonly failedMs: number;
  readonly leaderAfterMs: number;
  readonly waitMs: number;
}

/** As limits have it. */
export const fetchTiming: FetchTiming = {
  busyMs: limits.bundleBusyMs,
  failedMs: limits.bundleFailedMs,
  leaderAfterMs: limits.bundleLeaderAfterMs,
  waitMs: limits.bundleWaitMs,
};

/** One bundle, or some files, on their way here. */
interface Fetch {
  /** On monotonicMs(). */
  readonly deadline: number;
  /** Members that are not asked before then. */
  readonly notBefore: Map<NodeId, number>;
  /** When something came last, or it began. */
  cameAt: number;
  /** Of those that failed, the last one's words. */
  why: string;
}

/**
 * Brings bundles here from the members that have them: any of them, by chance, the leader last. What is here already is not asked for again, of large files the pieces too, so a
 * node that ended in the middle goes on where it was. Every file is checked; one that is wrong is told to who sent it, and asked of another one.
 */
export class BundleFetcher {
  readonly #ports: BundleFetchPorts;
  readonly #timing: FetchTiming;
  readonly #busy = new Map<string, Promise<Outcome<Manifest>>>();
  /** Of these every file was here. */
  readonly #whole = new Map<string, Manifest>();
  #isClosed = false;
  /** Bytes of files that came from others to this process. */
  received = 0;

  constructor(ports: BundleFetchPorts, timing: FetchTiming = fetchTiming) {
    this.#ports = ports;
    this.#timing = timing;
  }

  close(): void {
    this.#isClosed = true;
  }

  /** Something of it may not be here any more: the next one who wants it has it looked at. */
  forget(digest?: string): void {
    if (digest === undefined) this.#whole.clear();
    else this.#whole.delete(digest);
  }

  /** The bundle is here, all of it, synced, when this gives its manifest. `from`: a member that has it, and of which the state may not say so yet. */
  async ensure(digest: string, from?: NodeId): Promise<Outcome<Manifest>> {
    const whole = this.#whole.get(digest);
    if (whole !== undefined) return accept(whole);
    const before = this.#busy.get(digest);
    if (before !== undefined) return await before;
    const mine = this.#ensure(digest, from);
    this.#busy.set(digest, mine);
    try {
      return await mine;
    } finally {
      this.#busy.delete(digest);
    }
  }

  async #ensure(digest: string, from: NodeId | undefined): Promise<Outcome<Manifest>> {
    const { store, onHeld } = this.#ports;
    try {
      const here = await store.manifest(digest);
      let manifest = here;
      const fetch = this.#begin();
      const others = (): NodeId[] => [
        ...(from === undefined ? [] : [from]),
        ...this.#ports.view((tx) => bundleHolders(tx, digest)),
      ];
      manifest ??= await this.#fromAny(fetch, others, async (source) =>
        parseManifest(manifestText(await this.#ports.ask(source, "bundle.manifest", digest)) ?? "", digest),
      );
      if (manifest === undefined) return this.#nobodyHas(digest, fetch);
      this.#ports.pins.pin(manifest);
      if (!(await this.#fetchFiles(filesOf(manifest), fetch, others))) return this.#nobodyHas(digest, fetch);
      await store.settle();
      if (here === undefined) await store.hold(manifest);
      this.#remember(manifest);
      onHeld(digest);
      return accept(manifest);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return refuse(error.code === "disk-full" ? "no-room" : "unavailable", error.message, { retry: "safe" });
    }
  }

  #remember(manifest: Manifest): void {
    this.#whole.delete(manifest.digest);
    this.#whole.set(manifest.digest, manifest);
    const [oldest] = this.#whole.keys();
    if (this.#whole.size > manifestsKept && oldest !== undefined) this.#whole.delete(oldest);
  }

  /** Brings the files here that these members have, if they give them soon; gives those that did not come. */
  async fetchFrom(files: readonly Blob[], sources: readonly NodeId[]): Promise<Blob[]> {
    const fetch = { ...this.#begin(), deadline: monotonicMs() + limits.bundleSoonMs };
    await this.#fetchFiles(files, fetch, () => sources);
    return await this.#ports.store.lacking(files);
  }

  #begin(): Fetch {
    const now = monotonicMs();
    return { deadline: now + this.#timing.waitMs, notBefore: new Map(), cameAt: now, why: "" };
  }

  /** False: there was not enough time to get all of them. */
  async #fetchFiles(files: readonly Blob[], fetch: Fetch, others: () => readonly NodeId[]): Promise<boolean> {
    const { store } = this.#ports;
    // What is here is looked up once, and again when all should be: whoever waits for a free place asks often, and of ten thousand files.
    let lacking = blobsBySha256(await store.lacking(files));
    if (lacking.size === 0) return true;
    const done = await this.#fromAny(fetch, others, async (source) => {
      const isAll = await this.#fromOne(source, lacking, fetch);
      if (lacking.size === 0) lacking = blobsBySha256(await store.lacking(files));
      if (lacking.size === 0) return true;
      if (isAll) return undefined;
      throw new Fault("data", `node ${source} does not have all of it`, "safe");
    });
    return done === true;
  }

  /** Asks one after the other until one gives what is wanted; undefined: the time was up. */
  async #fromAny<Value>(
    fetch: Fetch,
    others: () => readonly NodeId[],
    get: (source: NodeId) => Promise<Value | undefined>,
  ): Promise<Value | undefined> {
    while (!this.#isClosed && monotonicMs() < fetch.deadline) {
      const source = this.#choose(fetch, others());
      if (source === undefined) {
        await new Promise((resolve) => setTimeout(resolve, this.#timing.busyMs * (0.5 + this.#ports.random() / 2)));
        continue;
      }
      try {
        const value = await get(source);
        if (value !== undefined) return value;
        fetch.notBefore.set(source, monotonicMs() + this.#timing.failedMs);
        fetch.why = `node ${source} does not have it`;
      } catch (error) {
        if (!(error instanceof Fault) || error.code === "disk-full") throw error;
        const isBusy = error.message.includes(noPlaceFree);
        fetch.notBefore.set(source, monotonicMs() + (isBusy ? this.#timing.busyMs : this.#timing.failedMs));
        fetch.why = `node ${source}: ${error.message}`;
      }
    }
    return undefined;
  }

  /** One that has it and may be asked now: by chance, so that all who want it do not ask the same one, and the leader only when the others have given nothing for a while. */
  #choose(fetch: Fetch, holders: readonly NodeId[]): NodeId | undefined {
    const { self, view, leader, random } = this.#ports;
    const there = new Set(view(listNodes).flatMap((node) => (canHold(node) ? [node.id] : [])));
    const others = [...new Set(holders)].filter((node) => node !== self && there.has(node));
    const now = monotonicMs();
    const isFree = (node: NodeId): boolean => (fetch.notBefore.get(node) ?? -Infinity) <= now;
    const leading = leader() === nobody ? undefined : leader();
    const willing = others.filter((node) => node !== leading);
    const free = willing.filter(isFree);
    if (free.length > 0) return free[Math.min(free.length - 1, Math.floor(random() * free.length))];
    const isLeadersTurn = willing.length === 0 || now - fetch.cameAt >= this.#timing.leaderAfterMs;
    return leading !== undefined && isLeadersTurn && others.includes(leading) && isFree(leading) ? leading : undefined;
  }

  /** Takes from the files what comes and is right. True when everything that was asked for was. Throws Fault. */
  async #fromOne(source: NodeId, lacking: Map<string, Blob>, fetch: Fetch): Promise<boolean> {
    let isAll = true;
    const { ask, store } = this.#ports;
    const suspect = (sha256: string): void => {
      isAll = false;
      this.#ports.log(
        "warn",
        `node ${source} gave a file of a bundle that is not the one of SHA-256 ${sha256}: it is asked of another member`,
      );
      ask(source, "bundle.suspect", sha256).catch(() => {}); // it will notice by itself
    };
    await abreast(partsOf([...lacking.values()]), limits.bundleRequests, async (part) => {
      if (!Array.isArray(part)) {
        if (await this.#large(source, part, fetch, suspect)) lacking.delete(part.sha256);
        else isAll = false;
        return;
      }
      const answers = blobAnswers(
        await ask(
          source,
          "bundle.files",
          part.map(({ sha256, size }) => [sha256, size]),
        ),
      );
      fetch.cameAt = monotonicMs();
      await abreast(part.keys(), limits.blobsAbreast, async (at) => {
        const { sha256 } = part[at]!;
        const bytes = answers[at];
        if (bytes === null || bytes === undefined) isAll = false;
        else if (sha256Of(bytes) !== sha256) suspect(sha256);
        else {
          this.received += bytes.length;
          await store.add(sha256, bytes);
          lacking.delete(sha256);
        }
      });
    });
    return isAll;
  }

  /** A file that comes piece by piece; false: not all of it came, or it was wrong. */
  async #large(source: NodeId, file: Blob, fetch: Fetch, suspect: (sha256: string) => void): Promise<boolean> {
    const { ask, store } = this.#ports;
    const { sha256, size } = file;
    let at = await store.partOf(sha256);
    try {
      // All of it was written before, and this node ended before it was looked at.
      if (at >= size) at = await store.append(file, at, new Uint8Array(0));
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "data") throw error;
      at = 0;
    }
    while (at < size) {
      if (this.#isClosed) return false;
      const bytes = blobPiece(await ask(source, "bundle.piece", [sha256, at]));
      if (bytes === null || bytes.length === 0) return false;
      fetch.cameAt = monotonicMs();
      this.received += bytes.length;
      try {
        at = await store.append(file, at, bytes);
      } catch (error) {
        if (!(error instanceof Fault) || error.code !== "data") throw error;
        suspect(sha256);
        return false;
      }
    }
    return true;
  }

  #nobodyHas(digest: string, { why }: Fetch): Outcome<never> {
    const words = why === "" ? "no member that has it can be reached" : why;
    return refuse("unavailable", `the bundle sha256:${digest} could not be had from any member: ${words}`, {
      retryAfterMs: 1000,
      retry: "safe",
    });
  }
}

/** As many as are used at once: of others the files are looked for again. */
const manifestsKept = 16;

function blobsBySha256(files: readonly Blob[]): Map<string, Blob> {
  return new Map(files.map((file) => [file.sha256, file]));
}

function filesOf(manifest: Manifest): BundleFile[] {
  return manifest.entries.filter((entry) => entry.kind === "file");
}

/** What is asked for at once: some small files, or one large one. */
function* partsOf(files: readonly Blob[]): Generator<Blob[] | Blob, void, undefined> {
  let part: Blob[] = [];
  let bytes = 0;
  for (const file of files) {
    if (file.size > limits.blobPieceBytes) {
      yield file;
      continue;
    }
    if (part.length > 0 && (bytes + file.size > limits.blobPieceBytes || part.length === limits.blobsPerRequest)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(file);
    bytes += file.size;
  }
  if (part.length > 0) yield part;
}
