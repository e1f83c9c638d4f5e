import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckoutFailure } from "../checkout/failure.ts";
import { checkOut, keyProblem, withoutPassword } from "../checkout/git.ts";
import { scanDirectory } from "../checkout/scan.ts";
import type { BlobStore } from "../executor/blob-store.ts";
import { abreast } from "../lib/abreast.ts";
import type { BundleFile } from "../lib/bundle-manifest.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { Principal } from "../state/types.ts";
import type { GitBundle, KeptBundle, KeptGitBundle } from "./api.ts";
import type { BundlePush } from "./bundle-push.ts";

/** What git by a node needs of its surroundings. */
export interface BundleGitPorts {
  readonly dataDir: string;
  readonly store: Pick<BlobStore, "lacking" | "add" | "append" | "partOf">;
  readonly push: Pick<BundlePush, "lacking" | "keep">;
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
  #running = 0;
  #isCleared = false;

  constructor(ports: BundleGitPorts) {
    this.#ports = ports;
    this.#parent = join(ports.dataDir, "git");
  }

  async fetch(wish: GitBundle, by: Principal): Promise<Outcome<KeptGitBundle>> {
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
      return await this.#fetchIn(directory, wish, key?.value, by);
    } catch (error) {
      return refusalOf(error);
    } finally {
      this.#running -= 1;
      if (directory !== undefined) await rm(directory, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
    }
  }

  /** What an earlier process left; this one has none under way. */
  async #clear(): Promise<void> {
    if (!this.#isCleared) await rm(this.#parent, { recursive: true, force: true, maxRetries: 3 });
    this.#isCleared = true;
    await mkdir(this.#parent, { recursive: true, mode: 0o700 });
  }

  async #fetchIn(
    directory: string,
    { name, url, ref, subdir, key: keyName, copies, timeoutMs }: GitBundle,
    key: string | undefined,
    by: Principal,
  ): Promise<Outcome<KeptGitBundle>> {
    const keyFile = key === undefined ? undefined : join(directory, "key");
    if (keyFile !== undefined) await writeFile(keyFile, key!.endsWith("\n") ? key! : `${key!}\n`, { mode: 0o600 });
    const wrong = keyFile === undefined ? undefined : await keyProblem(keyFile);
    if (wrong !== undefined) return refuse("invalid", `the secret ${keyName} ${wrong}`);
    const knownHosts = join(this.#ports.dataDir, "known_hosts");
    const checkout = await checkOut({ url, ref, subdir, keyFile, knownHosts, directory, timeoutMs });
    const { manifest, places } = await scanDirectory(checkout.root, (path) => /(^|\/)\.git$/.test(path));
    const lacking = await this.#ports.push.lacking(manifest);
    if (!lacking.ok) return lacking;
    await abreast(lacking.value, limits.blobsAbreast, (file) => this.#take(file, places.get(file.sha256)!));
    const where = `${withoutPassword(url)} ${ref ?? "HEAD"} ${checkout.commit}${subdir === undefined ? "" : ` ${subdir}`}`;
    const kept: Outcome<KeptBundle> = await this.#ports.push.keep(
      { name, manifest, copies, source: where.slice(0, limits.bundleSourceLength) },
      by,
    );
    if (!kept.ok) return kept;
    return accept({ ...kept.value, commit: checkout.commit, files: manifest.files, bytes: manifest.bytes });
  }

  async #take(file: Pick<BundleFile, "sha256" | "size">, path: string): Promise<void> {
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
  if (error instanceof Fault) return refuse("unavailable", error.message, { retryAfterMs: 1000, retry: "safe" });
  throw error;
}
