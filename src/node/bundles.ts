import { BlobStore } from "../executor/blob-store.ts";
import { type BundleTree, BundleTrees } from "../executor/bundle-trees.ts";
import type { AttemptName } from "../executor/types.ts";
import type { BundleFile, Manifest } from "../lib/bundle-manifest.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { CommandInput, CommandName, CommandValue } from "../state/commands/index.ts";
import { bundleLevel } from "../state/levels.ts";
import type { SourceLook } from "../state/sourcing.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal, Spec } from "../state/types.ts";
import type { Transport } from "../transport/types.ts";
import type { BundleApi, GitBundle, KeepBundle, KeptBundle, KeptGitBundle, PushTold, UploadedFiles } from "./api.ts";
import { BundleGit } from "./bundle-git.ts";
import { type Looked, lookAtSource } from "./bundle-looks.ts";
import { BundleFetcher, type FetchTiming, fetchTiming } from "./bundle-fetch.ts";
import { BundleKeeper, type KeepTiming, keepTiming } from "./bundle-keep.ts";
import { BundlePins } from "./bundle-pins.ts";
import { BundlePush } from "./bundle-push.ts";
import { BundleServer } from "./bundle-serve.ts";
import { BundleWebhook } from "./bundle-webhook.ts";

/** What bundles need of their surroundings. */
export interface BundlesPorts {
  readonly self: NodeId;
  readonly dataDir: string;
  /** The cluster's. */
  level(): number;
  leader(): NodeId;
  isLeading(): boolean;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  readonly transport: Pick<Transport, "request">;
  /** Resolves when the state here has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>>;
  /** The value of a secret, where this node may read it (K1). */
  secret(name: string): Promise<Outcome<string>>;
  /** It may read secrets at all. */
  readsSecrets(): boolean;
  /** Those that can be asked, without this node. */
  voters(): readonly NodeId[];
  /** This node itself, as the one who asks. */
  readonly principal: Principal;
  random(): number;
  readonly log: (level: "warn" | "info", message: string) => void;
}

/** So often a tree is begun again of which files turn out to be damaged. */
const treesTried = 5;

/**
 * Bundles on this node: trees of files, called by their digest, which people push (bundle-push.ts), members keep for each other (bundle-keep.ts, bundle-serve.ts) and bring where they are
 * needed (bundle-fetch.ts), and in which tasks run (executor/bundle-trees.ts).
 */
export class Bundles implements BundleApi {
  readonly #ports: BundlesPorts;
  readonly #store: BlobStore;
  readonly #trees: BundleTrees;
  readonly #fetcher: BundleFetcher;
  readonly #keeper: BundleKeeper;
  readonly #push: BundlePush;
  readonly #git: BundleGit;
  readonly server: BundleServer;
  readonly webhook: BundleWebhook;

  constructor(ports: BundlesPorts, timing: Partial<FetchTiming & KeepTiming> = {}) {
    this.#ports = ports;
    const { self, dataDir, transport } = ports;
    const store = new BlobStore(dataDir);
    const pins = new BundlePins();
    const ask = (
      node: NodeId,
      method: string,
      body: unknown,
      timeoutMs: number = limits.bundleAskMs,
    ): Promise<unknown> => transport.request(node, method, body, { channel: "bulk", timeoutMs });
    const common = {
      self,
      store,
      pins,
      ask,
      view: <Value>(query: (tx: ReadTx) => Value): Value => ports.view(query),
      leader: () => ports.leader(),
      log: ports.log,
    };
    this.#store = store;
    this.#trees = new BundleTrees(dataDir, store);
    this.server = new BundleServer({
      store,
      isLeading: () => ports.isLeading(),
      onDamaged: (sha256) => this.#onDamaged(sha256),
    });
    this.#fetcher = new BundleFetcher(
      {
        ...common,
        random: () => ports.random(),
        onHeld: () => this.#keeper.kick(),
        onLost: (sha256) => this.#keeper.onDamaged(sha256),
      },
      { ...fetchTiming, ...timing },
    );
    this.#keeper = new BundleKeeper(
      {
        ...common,
        trees: this.#trees,
        isCurrent: async () => (await ports.catchUp()).ok,
        isPinned: (sha256) => pins.has(sha256),
        onDropped: (digest) => this.#fetcher.forget(digest === "" ? undefined : digest),
        tell: async (held, gone) =>
          ports.level() < bundleLevel
            ? accept(undefined)
            : await ports.propose("bundle.held", { node: self, held: [...held], gone: [...gone] }, ports.principal),
      },
      { ...keepTiming, ...timing },
    );
    this.#push = new BundlePush({
      ...common,
      fetcher: this.#fetcher,
      propose: (input, by) => ports.propose("bundle.set", input, by),
    });
    this.#git = new BundleGit({ dataDir, store, push: this.#push, secret: (name) => ports.secret(name) });
    this.webhook = new BundleWebhook({
      view: common.view,
      ask: (voter, push) => ask(voter, "bundle.told", push),
      catchUp: () => ports.catchUp(),
      secret: (name) => ports.secret(name),
      readsSecrets: () => ports.readsSecrets(),
      voters: () => ports.voters(),
      fetch: (name, by) => ports.propose("bundle.source.fetch", { bundle: name }, by),
      log: ports.log,
    });
  }

  /** Begins its duties; the state is as new as the cluster's. */
  start(): void {
    this.#keeper.start();
  }

  stop(): void {
    this.#keeper.stop();
    this.#fetcher.close();
    this.#git.stop();
  }

  #onDamaged(sha256: string): void {
    this.#fetcher.forget();
    this.#keeper.onDamaged(sha256).catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error;
      this.#ports.log("warn", error.message);
    });
  }

  /** Something here has changed. */
  kick(): void {
    this.#keeper.kick();
  }

  /** One round of its duties. */
  look(): Promise<void> {
    return this.#keeper.look();
  }

  /** Another member, which has it, wants this node to have it too: answers when it has. Throws Fault. */
  async take(peer: NodeId, digest: string): Promise<{ readonly held: true }> {
    const outcome = await this.#fetcher.ensure(digest, peer);
    if (!outcome.ok) throw new Fault("peer-refused", outcome.why.message, "safe");
    await this.#store.touch(digest);
    return { held: true };
  }

  /** The tree that an attempt is to run in. Where nothing comes for as long as the task may run it is refused. */
  async tree(attempt: AttemptName, { bundle, user, driver, timeoutMs }: Spec): Promise<Outcome<BundleTree>> {
    if (bundle === undefined) return refuse("invalid", "the attempt has no bundle");
    const kind = driver === "ssh" ? "as-is" : bundle.readOnly === true ? "read-only" : "own";
    const wish = { attempt, kind, user } as const;
    try {
      for (let tried = 0; tried < treesTried; tried++) {
        const manifest = await this.#fetcher.ensureFor(bundle, timeoutMs ?? Infinity);
        if (!manifest.ok) return manifest;
        const laid = await this.#trees.layOut(manifest.value, wish);
        if (laid.kind === "done") {
          await this.#store.touch(bundle.digest);
          return accept(laid.tree);
        }
        if (laid.kind === "impossible") return refuse("invalid", laid.why);
        this.#fetcher.forget(bundle.digest);
      }
      return refuse("unavailable", "files of the bundle were damaged again and again: is the disk of this node well?");
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return refuse("no-room", `the bundle cannot be laid out on this node: ${message}`);
    }
  }

  /** For the leader: at the repository that a bundle is pinned from. */
  async lookAtSource(look: SourceLook): Promise<Looked> {
    const { principal } = this.#ports;
    const looked = await lookAtSource(look, {
      git: this.#git,
      view: (query) => this.#ports.view(query),
      catchUp: () => this.#ports.catchUp(),
      pin: (input) => this.#ports.propose("bundle.source.pin", input, principal),
    });
    if (looked.kind === "pinned") this.#keeper.kick();
    return looked;
  }

  // ------------------------------------------------------------------------------------------ for the API

  told(push: PushTold) {
    return this.webhook.told(push);
  }

  fetchSoon(name: string): Promise<Outcome<unknown>> {
    return this.webhook.fetchSoon(name);
  }

  lacking(manifest: Manifest) {
    return this.#push.lacking(manifest);
  }

  receive(body: Uint8Array): Promise<Outcome<UploadedFiles>> {
    return this.#push.receive(body);
  }

  async keep(bundle: KeepBundle, by: Principal): Promise<Outcome<KeptBundle>> {
    const kept = await this.#push.keep(bundle, by);
    if (kept.ok) this.#keeper.kick();
    return kept;
  }

  async git(bundle: GitBundle, by: Principal): Promise<Outcome<KeptGitBundle>> {
    const kept = await this.#git.fetch(bundle, by);
    if (kept.ok) this.#keeper.kick();
    return kept;
  }

  manifest(digest: string): Promise<Outcome<Manifest>> {
    return this.#fetcher.ensure(digest);
  }

  async *file({ sha256, size }: Pick<BundleFile, "sha256" | "size">): AsyncGenerator<Uint8Array, void, undefined> {
    if (size <= limits.blobPieceBytes) {
      const bytes = await this.#store.read({ sha256, size });
      if (bytes === undefined) throw this.#gone(sha256);
      yield bytes;
      return;
    }
    for (let at = 0; at < size;) {
      const bytes = await this.#store.piece(sha256, at);
      if (bytes === undefined || bytes.length === 0) throw this.#gone(sha256);
      yield bytes;
      at += bytes.length;
    }
  }

  #gone(sha256: string): Fault {
    this.#onDamaged(sha256);
    return new Fault("data", "the file was damaged or removed here just now: ask once more", "safe");
  }

  get traffic(): { readonly sent: number; readonly received: number } {
    return { sent: this.server.sent, received: this.#fetcher.received };
  }
}
