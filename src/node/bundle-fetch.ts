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
  /** A file of a bundle that this node has is not here any more. */
  readonly onLost: (sha256: string) => Promise<void>;
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
  /** What people call it. */
  readonly name: string;
  /** On monotonicMs(). */
  readonly deadline: number;
  /** Members that are not asked before then. */
  readonly notBefore: Map<NodeId, number>;
  /** When something came last, or it began. */
  cameAt: number;
  /** When a member that does not lead had no place free. */
  busyAt: number;
  /** Of those that failed, the last one's words. */
  why: string;
  /** Those that said that they do not have it, or not all of it. */
  readonly without: Set<NodeId>;
  /** When something came last, or a member said that it will: undefined while none is asked. */
  quietSince: number | undefined;
  /** When the log is told that nothing comes. */
  tellAt: number;
  /** It was told that nobody has it. */
  isToldNowhere: boolean;
  /** All files of the bundle, and those of them that are not here, by SHA-256. */
  files: readonly BundleFile[];
  lacking: ReadonlyMap<string, Blob>;
}

/** A bundle that comes, and who may have it by the state. */
interface Coming {
  readonly fetch: Fetch;
  readonly others: () => readonly NodeId[];
  readonly done: Promise<Outcome<Manifest>>;
}

/**
 * Brings bundles here from the members that have them: any of them, by chance, the leader last. What is here already is not asked for again, of large files the pieces too, so a
 * node that ended in the middle goes on where it was. Every file is checked; one that is wrong is told to who sent it, and asked of another one.
 */
export class BundleFetcher {
  readonly #ports: BundleFetchPorts;
  readonly #timing: FetchTiming;
  readonly #busy = new Map<string, Coming>();
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
    return await this.#come(digest, `sha256:${digest}`, from).done;
  }

  /**
   * The same for a task, which waits no longer than `ms` while nothing comes, and no less than for one answer of each member: refused as "unavailable" with what is lacking. Others
   * may wait on.
   */
  async ensureFor(
    { name, digest }: { readonly name: string; readonly digest: string },
    ms: number,
  ): Promise<Outcome<Manifest>> {
    const whole = this.#whole.get(digest);
    if (whole !== undefined) return accept(whole);
    const { fetch, others, done } = this.#come(digest, name);
    const patience = Math.max(ms, this.#timing.failedMs);
    const late = (): Outcome<never> =>
      refuse("unavailable", `waits for bundle ${name}: ${this.#whyNot(fetch, others())}`);
    for (;;) {
      const quietMs = fetch.quietSince === undefined ? 0 : monotonicMs() - fetch.quietSince;
      if (quietMs >= patience) return late();
      const pause = Promise.withResolvers<undefined>();
      const timer = setTimeout(() => pause.resolve(undefined), Math.min(patience - quietMs, waitLookMs));
      const came = await Promise.race([done, pause.promise]);
      clearTimeout(timer);
      if (came !== undefined) return !came.ok && monotonicMs() >= fetch.deadline ? late() : came;
    }
  }

  /** It is on its way from now on, if it is not already. */
  #come(digest: string, name: string, from?: NodeId): Coming {
    const before = this.#busy.get(digest);
    if (before !== undefined) return before;
    const others = (): NodeId[] => [
      ...(from === undefined ? [] : [from]),
      ...this.#ports.view((tx) => bundleHolders(tx, digest)),
    ];
    const fetch = this.#begin(name);
    const done = this.#ensure(digest, fetch, others).finally(() => this.#busy.delete(digest));
    const coming = { fetch, others, done };
    this.#busy.set(digest, coming);
    return coming;
  }

  async #ensure(digest: string, fetch: Fetch, others: () => readonly NodeId[]): Promise<Outcome<Manifest>> {
    const { store, onHeld, onLost, ask, pins } = this.#ports;
    try {
      let manifest = await store.manifest(digest);
      let isHeld = manifest !== undefined;
      manifest ??= await this.#fromAny(fetch, others, async (source) =>
        parseManifest(manifestText(await ask(source, "bundle.manifest", digest)) ?? "", digest),
      );
      if (manifest === undefined) return this.#nobodyHas(fetch, others());
      pins.pin(manifest);
      fetch.files = filesOf(manifest);
      const isWhole = await this.#fetchFiles(fetch.files, fetch, others, async (sha256) => {
        // Who counts on this copy is told: another one is made, and none is taken for it.
        if (isHeld) await onLost(sha256);
        isHeld = false;
      });
      if (!isWhole) return this.#nobodyHas(fetch, others());
      await store.settle();
      if (!isHeld) await store.hold(manifest);
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
    const fetch = {
      ...this.#begin(""),
      deadline: monotonicMs() + limits.bundleSoonMs,
      tellAt: Infinity,
      isToldNowhere: true,
    };
    await this.#fetchFiles(files, fetch, () => sources);
    return await this.#ports.store.lacking(files);
  }

  #begin(name: string): Fetch {
    const now = monotonicMs();
    return {
      name,
      deadline: now + this.#timing.waitMs,
      notBefore: new Map(),
      cameAt: now,
      busyAt: now,
      why: "",
      without: new Set(),
      quietSince: undefined,
      tellAt: now,
      isToldNowhere: false,
      files: [],
      lacking: new Map(),
    };
  }

  /** False: there was not enough time to get all of them. */
  async #fetchFiles(
    files: readonly Blob[],
    fetch: Fetch,
    others: () => readonly NodeId[],
    onLacking: (sha256: string) => Promise<void> = () => Promise.resolve(),
  ): Promise<boolean> {
    const { store } = this.#ports;
    // What is here is looked up once, and again when all should be: whoever waits for a free place asks often, and of ten thousand files.
    let lacking = blobsBySha256(await store.lacking(files));
    const [first] = lacking.keys();
    if (first === undefined) return true;
    fetch.lacking = lacking;
    await onLacking(first);
    const done = await this.#fromAny(fetch, others, async (source) => {
      const isAll = await this.#fromOne(source, lacking, fetch);
      if (lacking.size === 0) fetch.lacking = lacking = blobsBySha256(await store.lacking(files));
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
    fetch.quietSince = monotonicMs();
    while (!this.#isClosed && monotonicMs() < fetch.deadline) {
      this.#tell(fetch, others);
      const source = this.#choose(fetch, others());
      if (source === undefined) {
        await new Promise((resolve) => setTimeout(resolve, this.#timing.busyMs * (0.5 + this.#ports.random() / 2)));
        continue;
      }
      try {
        const value = await get(source);
        if (value !== undefined) {
          fetch.quietSince = undefined;
          return value;
        }
        fetch.without.add(source);
        fetch.notBefore.set(source, monotonicMs() + this.#timing.failedMs);
        fetch.why = `node ${source} does not have it`;
      } catch (error) {
        if (!(error instanceof Fault) || error.code === "disk-full") throw error;
        const isBusy = error.message.includes(noPlaceFree);
        fetch.notBefore.set(source, monotonicMs() + (isBusy ? this.#timing.busyMs : this.#timing.failedMs));
        fetch.why = `node ${source}: ${error.message}`;
        if (error.code === "data") fetch.without.add(source);
        else if (isBusy && !fetch.without.has(source)) fetch.quietSince = monotonicMs();
        // Whom it gives to will have it soon, and give it on: that is no reason to ask the leader.
        if (isBusy && source !== this.#ports.leader()) fetch.busyAt = monotonicMs();
      }
    }
    return undefined;
  }

  /** Nothing has come for a while, of a bundle that tasks may wait for: the log says so now and then, not while members only have no place free. */
  #tell(fetch: Fetch, others: () => readonly NodeId[]): void {
    const now = monotonicMs();
    if (now < (fetch.quietSince ?? now) + this.#timing.failedMs) return;
    const isNowhere = this.#isNowhere(fetch, others());
    // That nobody has it is known only when the last one has answered, and is told then.
    if (now < fetch.tellAt && (fetch.isToldNowhere || !isNowhere)) return;
    fetch.tellAt = now + limits.bundleTellMs;
    fetch.isToldNowhere = isNowhere;
    this.#ports.log("warn", `what needs it here waits for bundle ${fetch.name}: ${this.#whyNot(fetch, others())}`);
  }

  /** One that has it and may be asked now: by chance, so that all who want it do not ask the same one, and the leader only when the others have given nothing for a while, nor were busy giving it to somebody. */
  #choose(fetch: Fetch, holders: readonly NodeId[]): NodeId | undefined {
    const { leader, random } = this.#ports;
    const others = this.#thoseThere(holders);
    const now = monotonicMs();
    const isFree = (node: NodeId): boolean => (fetch.notBefore.get(node) ?? -Infinity) <= now;
    const leading = leader() === nobody ? undefined : leader();
    const willing = others.filter((node) => node !== leading);
    const free = willing.filter(isFree);
    if (free.length > 0) return free[Math.min(free.length - 1, Math.floor(random() * free.length))];
    const isLeadersTurn =
      willing.length === 0 || now - Math.max(fetch.cameAt, fetch.busyAt) >= this.#timing.leaderAfterMs;
    return leading !== undefined && isLeadersTurn && others.includes(leading) && isFree(leading) ? leading : undefined;
  }

  #thoseThere(holders: readonly NodeId[]): NodeId[] {
    const { self, view } = this.#ports;
    const there = new Set(view(listNodes).flatMap((node) => (canHold(node) ? [node.id] : [])));
    return [...new Set(holders)].filter((node) => node !== self && there.has(node));
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
      fetch.quietSince = fetch.cameAt = monotonicMs();
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
      fetch.quietSince = fetch.cameAt = monotonicMs();
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

  #nobodyHas(fetch: Fetch, holders: readonly NodeId[]): Outcome<never> {
    return refuse("unavailable", `bundle ${fetch.name} could not be had: ${this.#whyNot(fetch, holders)}`, {
      retryAfterMs: 1000,
      retry: "safe",
    });
  }

  #isNowhere({ without }: Fetch, holders: readonly NodeId[]): boolean {
    return this.#thoseThere(holders).every((node) => without.has(node));
  }

  #whyNot(fetch: Fetch, holders: readonly NodeId[]): string {
    const { why, files, lacking } = fetch;
    const there = this.#thoseThere(holders);
    const isAway = holders.some((node) => node !== this.#ports.self && !there.includes(node));
    const nobody = isAway ? "no member that is up has it" : "no member has it";
    const words = this.#isNowhere(fetch, holders) ? nobody : why === "" ? "no member has given it yet" : why;
    const [first, ...more] = files.filter(({ sha256 }) => lacking.has(sha256));
    if (first === undefined) return words;
    return `${words} (file ${first.path}${more.length === 0 ? "" : ` and ${more.length} more`})`;
  }
}

/** A task that waits looks so often whether it has waited for too long. */
const waitLookMs = 250;

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
