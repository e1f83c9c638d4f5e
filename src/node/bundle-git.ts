import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckoutFailure } from "../checkout/failure.ts";
import { type CheckoutRequest, checkOut, keyProblem, remoteCommit, withoutPassword } from "../checkout/git.ts";
import { scanDirectory } from "../checkout/scan.ts";
import type { BlobStore } from "../executor/blob-store.ts";
import { abreast } from "../lib/abreast.ts";
import type { BundleFile } from "../lib/bundle-manifest.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { Principal } from "../state/types.ts";
import type { GitBundle, KeepBundle, KeptBundle, KeptGitBundle } from "./api.ts";
import type { BundlePush, ProposeTree } from "./bundle-push.ts";

/** What git by a node needs of its surroundings. */
export interface BundleGitPorts {
  readonly dataDir: string;
  readonly store: Pick<BlobStore, "lacking" | "add" | "append" | "partOf">;
  readonly push: Pick<BundlePush, "lacking" | "keep" | "keepAs">;
  /** The value of a secret, where this node may read it (K1). */
  secret(name: string): Promise<Outcome<string>>;
}

/**
 * A commit of a repository as a bundle, by this node's own git: so that keys can be secrets of the mesh, which leave its voters for nobody, and so that whoever asks needs no git. Checkout
 * and key lie in a directory of the node's alone for as long as that takes; what a crash left of them goes at the next one.
 */
export class BundleGit {
  readonly #ports: BundleGitPorts;
  readonly #parent: string;
  readonly #stopping = new AbortController();
  #running = 0;
  #clearing: Promise<void> | undefined;

  constructor(ports: BundleGitPorts) {
    this.#ports = ports;
    this.#parent = join(ports.dataDir, "git");
  }

  /** What runs is ended: nobody is left to take it. */
  stop(): void {
    this.#stopping.abort();
  }

  fetch(wish: GitBundle, by: Principal): Promise<Outcome<KeptGitBundle>> {
    return this.#withKey(wish, async (place) => {
      const tree = await this.#take(place, wish);
      if (!tree.ok) return tree;
      const { commit, bundle } = tree.value;
      const kept = await this.#ports.push.keep(bundle, by);
      if (!kept.ok) return kept;
      const { files, bytes } = bundle.manifest;
      return accept({ ...kept.value, commit, files, bytes });
    });
  }

  /** The same where its ref stands for another commit than `known`, logged as `pin` says; null: it does not, which most often the remote says without giving anything. */
  look(
    wish: GitBundle,
    known: string | null,
    pin: (commit: string) => ProposeTree,
  ): Promise<Outcome<KeptBundle | null>> {
    return this.#withKey(wish, async (place) => {
      if (known !== null && (await remoteCommit({ ...wish, ...place })) === known) return accept(null);
      const tree = await this.#take(place, wish);
      if (!tree.ok) return tree;
      const { commit, bundle } = tree.value;
      return commit === known ? accept(null) : this.#ports.push.keepAs(bundle, pin(commit));
    });
  }

  async #withKey<Value>(wish: GitBundle, body: (place: Place) => Promise<Outcome<Value>>): Promise<Outcome<Value>> {
    if (this.#running >= limits.bundleCheckouts)
      return refuse("busy", `${limits.bundleCheckouts} checkouts run on this node at once: repeat`, {
        retryAfterMs: 2000,
        limit: "room",
      });
    this.#running += 1;
    let directory: string | undefined;
    try {
      const key = wish.key === undefined ? undefined : await this.#ports.secret(wish.key);
      if (key?.ok === false) return key;
      await this.#clear();
      directory = await mkdtemp(join(this.#parent, "checkout-"));
      const keyFile = key === undefined ? undefined : join(directory, "key");
      if (keyFile !== undefined)
        await writeFile(keyFile, key!.value.endsWith("\n") ? key!.value : `${key!.value}\n`, { mode: 0o600 });
      const wrong = keyFile === undefined ? undefined : await keyProblem(keyFile);
      if (wrong !== undefined) return refuse("invalid", `the secret ${wish.key} ${wrong}`);
      const knownHosts = join(this.#ports.dataDir, "known_hosts");
      return await body({ directory, keyFile, knownHosts, signal: this.#stopping.signal });
    } catch (error) {
      if (this.#stopping.signal.aborted) return refuse("unavailable", "this node is stopping");
      return refusalOf(error);
    } finally {
      this.#running -= 1;
      if (directory !== undefined) await rm(directory, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
    }
  }

  /** What an earlier process left goes before this one's first checkout is made, and not while another one is. */
  async #clear(): Promise<void> {
    await (this.#clearing ??= rm(this.#parent, { recursive: true, force: true, maxRetries: 3 }).catch(
      (error: unknown) => {
        this.#clearing = undefined;
        throw error;
      },
    ));
    await mkdir(this.#parent, { recursive: true, mode: 0o700 });
  }

  /** The tree, all of whose files are on this node's disk then. */
  async #take(
    place: Place,
    { name, url, ref, subdir, copies, timeoutMs }: GitBundle,
  ): Promise<Outcome<{ readonly commit: string; readonly bundle: KeepBundle }>> {
    const { root, commit } = await checkOut({ url, ref, subdir, timeoutMs, ...place });
    const { manifest, places } = await scanDirectory(root, (path) => /(^|\/)\.git$/.test(path));
    const lacking = await this.#ports.push.lacking(manifest);
    if (!lacking.ok) return lacking;
    await abreast(lacking.value, limits.blobsAbreast, (file) => this.#add(file, places.get(file.sha256)!));
    const where = `${withoutPassword(url)} ${ref ?? "HEAD"} ${commit}${subdir === undefined ? "" : ` ${subdir}`}`;
    return accept({
      commit,
      bundle: { name, manifest, copies, source: where.slice(0, limits.bundleSourceLength) },
    });
  }

  async #add(file: Pick<BundleFile, "sha256" | "size">, path: string): Promise<void> {
    const { store } = this.#ports;
    const source = await open(path, "r");
    try {
      const read = async (from: number): Promise<Uint8Array> => {
        const bytes = new Uint8Array(Math.min(limits.blobPieceBytes, file.size - from));
        const { bytesRead } = await source.read(bytes, 0, bytes.length, from);
        return bytes.subarray(0, bytesRead);
      };
      if (file.size <= limits.blobPieceBytes) return await store.add(file.sha256, await read(0));
      for (let at = await store.partOf(file.sha256); at < file.size;) at = await store.append(file, at, await read(at));
    } finally {
      await source.close();
    }
  }
}

/** Where a checkout is made, and with which key. */
type Place = Pick<CheckoutRequest, "directory" | "keyFile" | "knownHosts" | "signal">;

/** As whoever asked is told. What the remote says, or a time that is over, may be otherwise at the next try. */
function refusalOf(error: unknown): ReturnType<typeof refuse> {
  if (error instanceof CheckoutFailure) {
    const isTheirs = error.kind === "invalid";
    if (isTheirs) return refuse("invalid", error.message, { details: error.problems });
    return refuse("conflict", `on the node that was asked: ${error.message}`);
  }
  if (error instanceof Fault && error.code === "disk-full")
    return refuse("no-room", error.message, { retryAfterMs: 10_000, retry: "safe" });
  if (error instanceof Error && "code" in error && error.code === "ENOSPC")
    return refuse("no-room", `there is no room for the checkout: ${error.message}`);
  if (error instanceof Error && "code" in error && /^E[A-Z]+$/.test(String(error.code)))
    return refuse("unavailable", `the checkout cannot be made on this node: ${error.message}`);
  if (error instanceof Fault) return refuse("unavailable", error.message, { retryAfterMs: 1000, retry: "safe" });
  throw error;
}
