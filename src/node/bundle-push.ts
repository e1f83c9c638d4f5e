import type { Blob, BlobStore } from "../executor/blob-store.ts";
import { abreast } from "../lib/abreast.ts";
import type { BundleFile, Manifest } from "../lib/bundle-manifest.ts";
import { uploadPieces } from "../lib/bundle-upload.ts";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { CommandInput, CommandValue } from "../state/commands/index.ts";
import { allBundles, bundleByDigest, bundleHolders, listNodes } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal } from "../state/types.ts";
import type { KeepBundle, KeptBundle, UploadedFiles } from "./api.ts";
import type { BundleFetcher } from "./bundle-fetch.ts";
import { membersFor } from "./bundle-keep.ts";
import type { BundlePins } from "./bundle-pins.ts";
import { canHold } from "./pack-partner.ts";
import { blobsHad, bundleTaken } from "./peer-answers.ts";

/** What taking bundles from people needs of its surroundings. */
export interface BundlePushPorts {
  readonly self: NodeId;
  readonly store: Pick<BlobStore, "lacking" | "add" | "append" | "settle" | "hold">;
  readonly fetcher: Pick<BundleFetcher, "fetchFrom">;
  readonly pins: BundlePins;
  readonly view: <Value>(query: (tx: ReadTx) => Value) => Value;
  readonly leader: () => NodeId;
  readonly ask: (node: NodeId, method: string, body: unknown, timeoutMs?: number) => Promise<unknown>;
  readonly propose: (
    input: CommandInput<"bundle.set">,
    by: Principal,
  ) => Promise<Outcome<{ readonly value: CommandValue<"bundle.set">; readonly index: number }>>;
}

/** Logs that a name stands for a tree. */
export type ProposeTree = (
  input: CommandInput<"bundle.set">,
) => Promise<Outcome<{ readonly value: CommandValue<"bundle.set">; readonly index: number }>>;

/** Members that are asked for files that this node lacks. */
const membersAsked = 8;
const askMs = 3_000;
/** Between two rounds over the members that are to have a bundle. */
const againMs = 500;

/**
 * A push, as the node that somebody asks does it: it says which files the mesh lacks (what other members have it fetches from them), takes those, and once it has all of them has
 * enough other members fetch the whole. Only when they have it on their disks the log is told, and then who pushes. A push that breaks off has done nothing but leave files, which the next one
 * needs not send.
 */
export class BundlePush {
  readonly #ports: BundlePushPorts;
  #uploads = 0;

  constructor(ports: BundlePushPorts) {
    this.#ports = ports;
  }

  /** The files of it that are to be sent, each once. */
  lacking(manifest: Manifest): Promise<Outcome<readonly Blob[]>> {
    return onDisk(async () => {
      const { store, fetcher, pins } = this.#ports;
      pins.pin(manifest);
      let lacking = await store.lacking(filesOf(manifest));
      if (lacking.length > 0) {
        for (const [member, files] of await this.#hadElsewhere(lacking)) await fetcher.fetchFrom(files, [member]);
        lacking = await store.lacking(lacking);
      }
      return accept(lacking);
    });
  }

  /** Which members have some of them, each file of one member. */
  async #hadElsewhere(files: readonly Blob[]): Promise<Map<NodeId, Blob[]>> {
    const { self, view, ask, leader } = this.#ports;
    const holders = view((tx) => new Set(allBundles(tx).flatMap(({ digest }) => bundleHolders(tx, digest))));
    const members = view(listNodes).filter((node) => canHold(node) && node.id !== self && holders.has(node.id));
    const had = new Map<NodeId, Blob[]>();
    const left = new Map(files.map((file) => [file.sha256, file]));
    const few = membersFor(files[0]!.sha256, members, leader()).slice(0, membersAsked);
    await Promise.all(
      few.map(async (member) => {
        for (let at = 0; at < files.length; at += limits.blobsAskedFor) {
          const some = files.slice(at, at + limits.blobsAskedFor);
          try {
            const answer = await ask(
              member,
              "bundle.have",
              some.map(({ sha256, size }) => [sha256, size]),
              askMs,
            );
            for (const [position, has] of blobsHad(answer).entries()) {
              const file = some[position];
              if (has && file !== undefined && left.delete(file.sha256))
                had.set(member, [...(had.get(member) ?? []), file]);
            }
          } catch (error) {
            if (!(error instanceof Fault)) throw error;
            return; // whoever does not answer has nothing that could be fetched
          }
        }
      }),
    );
    return had;
  }

  /** Keeps the files of one request (lib/bundle-upload.ts). */
  async receive(body: Uint8Array): Promise<Outcome<UploadedFiles>> {
    if (this.#uploads >= limits.bundleUploads)
      return refuse("busy", `${limits.bundleUploads} requests with files are taken at once: repeat`, {
        retryAfterMs: 200,
        limit: "room",
      });
    this.#uploads += 1;
    try {
      return await onDisk(async () => {
        const { store } = this.#ports;
        const parts: Record<string, number> = {};
        let files = 0;
        await abreast(uploadPieces(body), limits.blobsAbreast, async ({ sha256, size, offset, bytes }) => {
          if (size > limits.blobPieceBytes) parts[sha256] = await this.#append({ sha256, size }, offset, bytes);
          else await store.add(sha256, bytes);
          if (size <= limits.blobPieceBytes || parts[sha256] === size) files += 1;
        });
        return accept({ files, parts });
      });
    } finally {
      this.#uploads -= 1;
    }
  }

  /** How much there is of it then. What an earlier push left of it may be no good, as after a power cut: it begins anew. */
  async #append(file: Blob, offset: number, bytes: Uint8Array): Promise<number> {
    try {
      return await this.#ports.store.append(file, offset, bytes);
    } catch (error) {
      if (error instanceof Fault && error.code === "data" && offset > 0) return 0;
      throw error;
    }
  }

  /** The name stands for it once enough members have it. Refused as "conflict" while files of it are lacking here. */
  keep(bundle: KeepBundle, by: Principal): Promise<Outcome<KeptBundle>> {
    return this.keepAs(bundle, (input) => this.#ports.propose(input, by));
  }

  /** The same, logged otherwise. */
  keepAs({ name, manifest, copies, source }: KeepBundle, propose: ProposeTree): Promise<Outcome<KeptBundle>> {
    return onDisk(async () => {
      const { self, store, pins } = this.#ports;
      const { digest, bytes, files } = manifest;
      pins.pin(manifest);
      const lacking = await store.lacking(filesOf(manifest));
      if (lacking.length > 0)
        return refuse(
          "conflict",
          `${lacking.length} files of the bundle are not here: ask which, and send them to this node`,
        );
      await store.settle();
      await store.hold(manifest);
      const holders = await this.#spread(digest, copies);
      if (!holders.ok) return holders;
      const input = { name, digest, bytes, files, copies, holders: [self, ...holders.value], source };
      const outcome = await propose(input);
      if (!outcome.ok) return outcome;
      const { value, index } = outcome.value;
      return accept({ name, version: value.version, isNew: value.isNew, digest, holders: input.holders, index });
    });
  }

  /** Others that have it, so that there are enough; waits for them. */
  async #spread(digest: string, copies: number): Promise<Outcome<NodeId[]>> {
    const { self, view, leader } = this.#ports;
    const deadline = monotonicMs() + limits.bundleWaitMs;
    const having = new Set<NodeId>();
    const unable = new Set<NodeId>();
    let why = "";
    while (true) {
      const nodes = view(listNodes);
      const members = nodes.filter((node) => node.id !== self && canHold(node));
      const known = view((tx) => (bundleByDigest(tx, digest) === undefined ? [] : bundleHolders(tx, digest)));
      for (const { id } of members) if (known.includes(id)) having.add(id);
      // What is asked for where a mesh is smaller is met as soon as it grows (bundle-keep.ts).
      const wanted = Math.min(copies, nodes.filter(({ state }) => state !== "lost").length) - 1;
      const others = membersFor(
        digest,
        members.filter(({ id }) => !having.has(id)),
        leader(),
      );
      const short = wanted - having.size;
      if (short <= 0) return accept([...having]);
      // Others, where the first ones cannot; one that is still at it is waited for.
      const willing = [...others.filter((id) => !unable.has(id)), ...others.filter((id) => unable.has(id))];
      await Promise.all(
        willing.slice(0, short).map(async (id) => {
          const failure = await this.#give(digest, id);
          if (failure === undefined) having.add(id);
          else why = `node ${id}: ${failure.message}`;
          if (failure !== undefined && failure.code !== "peer-timeout") unable.add(id);
        }),
      );
      if (having.size >= wanted) return accept([...having]);
      if (monotonicMs() >= deadline)
        return refuse("unavailable", `only ${having.size + 1} of ${copies} members could be given the bundle: ${why}`, {
          retryAfterMs: 1000,
          retry: "safe",
        });
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }

  /** Why it does not have it yet; undefined: it has. */
  async #give(digest: string, member: NodeId): Promise<Fault | undefined> {
    try {
      bundleTaken(await this.#ports.ask(member, "bundle.take", digest, limits.bundleTakeMs));
      return undefined;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return error;
    }
  }
}

function filesOf(manifest: Manifest): BundleFile[] {
  return manifest.entries.filter((entry) => entry.kind === "file");
}

/** What the disk or another member said, as who asked over HTTP is told. */
async function onDisk<Value>(body: () => Promise<Outcome<Value>>): Promise<Outcome<Value>> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.code === "disk-full") return refuse("no-room", error.message, { retryAfterMs: 10_000, retry: "safe" });
    if (error.code === "protocol" || error.code === "data") return refuse("invalid", error.message);
    return refuse("unavailable", error.message, { retryAfterMs: 1000, retry: "safe" });
  }
}
