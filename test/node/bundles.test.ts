import { afterEach, expect, spyOn, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobStore } from "../../src/executor/blob-store.ts";
import { type BundleEntry, type Manifest, manifestOf } from "../../src/lib/bundle-manifest.ts";
import { uploadHead } from "../../src/lib/bundle-upload.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { decode, encode } from "../../src/lib/codec.ts";
import { sha256Of } from "../../src/lib/digest.ts";
import { Fault } from "../../src/lib/fault.ts";
import { jobId, nobody, type NodeId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { membersFor } from "../../src/node/bundle-keep.ts";
import { noPlaceFree } from "../../src/node/bundle-serve.ts";
import { Bundles } from "../../src/node/bundles.ts";
import { parsePeerRequest } from "../../src/node/peer-requests.ts";
import { resolveBundles } from "../../src/state/bundles.ts";
import { waitingFacts } from "../../src/state/explaining.ts";
import { bundleByDigest, bundleHolders, findNode, listNodes } from "../../src/state/queries.ts";
import { admin, Cluster, system } from "../state/support.ts";

const open: Rig[] = [];
afterEach(() => {
  for (const rig of open.splice(0)) rig.close();
});

interface Asked {
  readonly from: number;
  readonly to: number;
  readonly method: string;
}

/** Nodes with disks and one state, of which the first leads, and a network that tells who asked whom what. */
class Rig {
  readonly directory = mkdtempSync(join(tmpdir(), "skein-bundles-"));
  readonly cluster: Cluster;
  readonly nodes = new Map<number, Bundles>();
  readonly down = new Set<number>();
  readonly asked: Asked[] = [];
  readonly said: string[] = [];
  /** Waited for before each answer. */
  holdBack: (asked: Asked) => Promise<void> = () => Promise.resolve();
  /** Called before each question. */
  onAsk: (asked: Asked) => void = () => {};
  leader = 1;
  /** No node knows how new its state is. */
  isCutOff = false;
  leaderAfterMs = 60_000;
  /** How long files of no bundle stay. */
  keptMs = 3_600_000;
  /** How much stays of what a node fetched. */
  fetchedBytes = 1_000_000_000;
  #chance = 1;

  constructor(nodes: number) {
    this.cluster = Cluster.ofNewest(nodes);
    for (let node = 1; node <= nodes; node++) this.restart(node);
    open.push(this);
  }

  dataOf(node: number): string {
    return join(this.directory, String(node));
  }

  /** Another process of that node. */
  restart(node: number): Bundles {
    this.nodes.get(node)?.stop();
    const self = nodeId(node);
    const bundles = new Bundles(
      {
        self,
        dataDir: this.dataOf(node),
        level: () => 3,
        leader: () => nodeId(this.leader),
        isLeading: () => this.leader === node,
        view: (query) => query(this.cluster.database),
        transport: { request: (to, method, body) => this.#ask(node, to, method, body) },
        propose: async (name, input, by) => {
          await Bun.sleep(1);
          const outcome = this.cluster.propose(name, input, by);
          return outcome.ok ? accept({ value: outcome.value, index: 0 }) : outcome;
        },
        principal: system,
        secret: () => Promise.resolve(refuse("not-found", "there are no secrets here")),
        readsSecrets: () => true,
        voters: () => [],
        catchUp: () => Promise.resolve(this.isCutOff ? refuse("unavailable", "no leader") : accept(undefined)),
        random: () => (this.#chance = (this.#chance * 16_807) % 2_147_483_647) / 2_147_483_647,
        log: (_level, message) => this.said.push(message),
      },
      {
        busyMs: 5,
        failedMs: 50,
        leaderAfterMs: this.leaderAfterMs,
        waitMs: 60_000,
        lookMs: 3_600_000,
        lostMs: 0,
        keptMs: this.keptMs,
        fetchedBytes: this.fetchedBytes,
      },
    );
    bundles.start();
    this.nodes.set(node, bundles);
    return bundles;
  }

  async #ask(from: number, to: NodeId, method: string, body: unknown): Promise<unknown> {
    const asked = { from, to, method };
    this.asked.push(asked);
    this.onAsk(asked);
    await this.holdBack(asked);
    await Bun.sleep(1);
    if (this.down.has(to) || this.down.has(from)) throw new Fault("peer-unreachable", "no socket", "safe");
    try {
      return decode(encode(await this.#answer(from, to, method, decode(encode(body)))));
    } catch (error) {
      throw error instanceof Fault ? new Fault("peer-refused", error.message, error.retry) : error;
    }
  }

  #answer(from: number, to: NodeId, method: string, body: unknown): Promise<unknown> {
    const node = this.nodes.get(to)!;
    const request = parsePeerRequest(method, body);
    const peer = nodeId(from);
    switch (request.method) {
      case "bundle.manifest":
        return node.server.manifest(request.body);
      case "bundle.have":
        return node.server.have(request.body);
      case "bundle.files":
        return node.server.files(peer, request.body);
      case "bundle.piece":
        return node.server.piece(peer, request.body.sha256, request.body.offset);
      case "bundle.suspect":
        return node.server.suspect(request.body);
      case "bundle.take":
        return node.take(peer, request.body);
      default:
        throw new Error(`nobody asks ${method} here`);
    }
  }

  /** As the command line does it, at one node. Gives what was sent. */
  async push(at: number, name: string, tree: Tree, copies = 2): Promise<{ sent: number; holders: readonly number[] }> {
    const node = this.nodes.get(at)!;
    const lacking = await node.lacking(tree.manifest);
    if (!lacking.ok) throw new Error(lacking.why.message);
    for (const { sha256, size } of lacking.value) {
      for (let offset = 0; offset < Math.max(size, 1); offset += limits.blobPieceBytes) {
        const bytes = tree.contents.get(sha256)!.subarray(offset, offset + limits.blobPieceBytes);
        const sent = await node.receive(Buffer.concat([uploadHead({ sha256, size, offset, bytes }), bytes]));
        if (!sent.ok) throw new Error(sent.why.message);
      }
    }
    const kept = await node.keep({ name, manifest: tree.manifest, copies, source: null }, admin);
    if (!kept.ok) throw new Error(kept.why.message);
    return { sent: lacking.value.length, holders: kept.value.holders };
  }

  /** Lays it out on that node; gives the path. */
  async layOut(node: number, tree: Tree, readOnly = true): Promise<string> {
    const bundle = { name: "site", digest: tree.manifest.digest, ...(readOnly ? { readOnly: true as const } : {}) };
    const laid = await this.nodes.get(node)!.tree({ job: jobId(1), task: node, attempt: 1 }, { bundle });
    if (!laid.ok) throw new Error(laid.why.message);
    return laid.value.path;
  }

  holders(tree: Tree): number[] {
    return bundleHolders(this.cluster.database, tree.manifest.digest);
  }

  blobOf(node: number, sha256: string): string {
    return join(this.dataOf(node), "blobs", sha256.slice(0, 2), sha256.slice(2));
  }

  async everyoneLooks(): Promise<void> {
    for (const node of this.nodes.values()) await node.look();
  }

  close(): void {
    for (const node of this.nodes.values()) node.stop();
    Bun.spawnSync(["chmod", "-R", "u+w", this.directory]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

interface Tree {
  readonly manifest: Manifest;
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

/** Files of that many bytes under "d/", each with other bytes. */
function treeOf(files: Readonly<Record<string, Uint8Array | string>>): Tree {
  const contents = new Map<string, Uint8Array>();
  const entries = Object.entries(files).map(([path, content]): BundleEntry => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    contents.set(sha256Of(bytes), bytes);
    return { kind: "file", path, mode: 0o644, size: bytes.length, sha256: sha256Of(bytes) };
  });
  const read = manifestOf(entries);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return { manifest: read.manifest, contents };
}

function filled(length: number, seed: number): Uint8Array {
  return Buffer.alloc(length, `${seed} ${Math.imul(seed + 1, 2_654_435_761)} `);
}

/** As many small files, and a large one. */
function someTree(files = 50): Tree {
  const small = Array.from({ length: files }, (_, at): [string, Uint8Array] => [
    `d${at % 5}/f${at}`,
    filled(4_000, at),
  ]);
  return treeOf({ ...Object.fromEntries(small), large: filled(2.2 * limits.blobPieceBytes, 99) });
}

function expectLaidOut(path: string, tree: Tree): void {
  for (const entry of tree.manifest.entries)
    if (entry.kind === "file") expect(sha256Of(readFileSync(join(path, entry.path)))).toBe(entry.sha256);
}

test("a bundle that is pushed to the leader comes to ten nodes at once, and the leader sends it at most twice", async () => {
  const rig = new Rig(10);
  const tree = someTree();
  const { sent, holders } = await rig.push(1, "site", tree);
  expect([sent, holders.length]).toEqual([51, 2]);
  const paths = await Promise.all(Array.from(rig.nodes.keys(), (node) => rig.layOut(node, tree)));
  for (const path of paths) expectLaidOut(path, tree);
  const { bytes } = tree.manifest;
  expect(rig.nodes.get(1)!.traffic.sent).toBeLessThanOrEqual(2 * bytes);
  // All together sent it to each once.
  const all = [...rig.nodes.values()].map((node) => node.traffic);
  expect(all.reduce((sum, one) => sum + one.received, 0)).toBe(9 * bytes);
  await rig.everyoneLooks();
  expect(rig.holders(tree)).toHaveLength(10);
});

test("who finds no place free at the others waits for one, and does not turn to the leader for it", async () => {
  const rig = new Rig(3);
  const tree = someTree();
  const { holders } = await rig.push(1, "site", tree);
  const [second] = holders.filter((node) => node !== 1);
  const third = second === 2 ? 3 : 2;
  rig.leaderAfterMs = 20;
  rig.restart(third);
  let refused = 0;
  rig.onAsk = ({ from, to, method }) => {
    if (from !== third || to !== second || method === "bundle.manifest" || refused >= 50) return;
    refused += 1;
    throw new Fault("peer-refused", noPlaceFree, "safe");
  };
  expectLaidOut(await rig.layOut(third, tree), tree);
  const ofLeader = rig.asked.filter(
    ({ from, to, method }) => from === third && to === 1 && method !== "bundle.manifest",
  );
  expect([refused, ofLeader]).toEqual([50, []]);
});

test("a push is acknowledged only when enough members have it on their disks, and waits while they cannot", async () => {
  const rig = new Rig(3);
  const tree = someTree(5);
  for (const node of [2, 3]) rig.down.add(node);
  const pushed = rig.push(1, "site", tree, 3);
  await Bun.sleep(100);
  expect(bundleByDigest(rig.cluster.database, tree.manifest.digest)).toBeUndefined();
  rig.down.clear();
  expect((await pushed).holders.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
  for (const node of rig.nodes.keys())
    expect(readdirSync(join(rig.dataOf(node), "blobs", "bundles"))).toEqual([tree.manifest.digest]);
});

test("only files that no member has are sent, and a name cannot stand for what is not all there", async () => {
  const rig = new Rig(3);
  await rig.push(1, "site", treeOf({ a: "one", b: "two" }), 1);
  const tree = treeOf({ a: "one", c: "three" });
  const kept = await rig.nodes.get(3)!.keep({ name: "site", manifest: tree.manifest, copies: 1, source: null }, admin);
  expect(kept).toMatchObject({ ok: false, why: { code: "conflict" } });
  expect((await rig.push(3, "site", tree, 1)).sent).toBe(1);
  expect((await rig.push(2, "site", tree, 1)).sent).toBe(0);
});

test("what is not the file that it is called is refused where it is sent to", async () => {
  const rig = new Rig(1);
  const head = uploadHead({ sha256: sha256Of("one"), size: 3, offset: 0, bytes: Buffer.from("two") });
  expect(await rig.nodes.get(1)!.receive(Buffer.concat([head, Buffer.from("two")]))).toMatchObject({
    ok: false,
    why: { code: "invalid" },
  });
});

test("a copy that was damaged is refused and had from another member, and the one whose it is has it again", async () => {
  const rig = new Rig(4);
  const tree = someTree(10);
  await rig.push(2, "site", tree, 3);
  await rig.everyoneLooks();
  const [other] = rig.holders(tree).filter((node) => node !== 2);
  const fourth = [1, 2, 3, 4].find((node) => !rig.holders(tree).includes(node))!;
  // A small file, which its sender checks, and a large one, which its receiver does.
  for (const path of ["d1/f1", "large"]) {
    const entry = tree.manifest.entries.find((one) => one.path === path);
    if (entry?.kind !== "file") throw new Error("it is a file");
    const blob = rig.blobOf(other!, entry.sha256);
    writeFileSync(
      blob,
      readFileSync(blob).map((byte, at) => (at === entry.size - 1 ? byte ^ 1 : byte)),
    );
  }
  // It alone is asked at first.
  rig.onAsk = ({ from, to, method }) => {
    const isEarly = !rig.asked.some((asked) => asked.method === "bundle.suspect");
    if (from === fourth && to !== other && method !== "bundle.manifest" && isEarly)
      throw new Fault("peer-unreachable", "no socket", "safe");
  };
  expectLaidOut(await rig.layOut(fourth, tree), tree);
  expect(rig.said.some((words) => words.includes("is not the one of SHA-256"))).toBe(true);
  rig.onAsk = () => {};
  await rig.everyoneLooks();
  expectLaidOut(await rig.layOut(other!, tree), tree);
  await rig.everyoneLooks();
  expect(rig.holders(tree)).toContain(other!);
});

test("a node that ends while it fetches goes on where it was, in the middle of a large file too", async () => {
  const rig = new Rig(3);
  const tree = someTree(20);
  await rig.push(2, "site", tree, 1);
  let pieces = 0;
  const cut = Promise.withResolvers<void>();
  rig.onAsk = ({ from, method }) => {
    if (from !== 3 || method !== "bundle.piece") return;
    pieces += 1;
    if (pieces === 2) {
      rig.down.add(3);
      cut.resolve();
    }
  };
  void rig.layOut(3, tree).catch(() => {});
  await cut.promise;
  await Bun.sleep(20);
  const after = rig.restart(3);
  rig.onAsk = () => {};
  rig.down.clear();
  expectLaidOut(await rig.layOut(3, tree), tree);
  expect(after.traffic.received).toBeLessThanOrEqual(tree.manifest.bytes - limits.blobPieceBytes);
});

/** What a task of that limit is told on that node. */
async function refusalOf(rig: Rig, node: number, tree: Tree, timeoutMs: number): Promise<string> {
  const bundle = { name: "site", digest: tree.manifest.digest };
  const laid = await rig.nodes.get(node)!.tree({ job: jobId(1), task: node, attempt: 1 }, { bundle, timeoutMs });
  return laid.ok ? "it has it" : laid.why.message;
}

test("a task whose bundle no member has whole fails when its limit is over, names the file, and the log and the leader know of it before", async () => {
  const rig = new Rig(4);
  const tree = treeOf({ a: "one", b: "two", c: "three" });
  const { holders } = await rig.push(1, "site", tree, 3);
  await rig.everyoneLooks();
  const { jobs } = resolveBundles(rig.cluster.database, [{ run: "x", bundle: { name: "site", digest: "" } }]);
  const job = rig.cluster.must("job.submit", { jobs: [...jobs] }, admin).first;
  expect(waitingFacts(rig.cluster.database, job)?.lostBundle).toBeUndefined();
  // Damaged in one copy, gone from the others.
  const blobs = holders.map((node) => rig.blobOf(node, sha256Of("two")));
  for (const blob of blobs.slice(1)) rmSync(blob);
  writeFileSync(blobs[0]!, "owt");
  const other = [1, 2, 3, 4].find((node) => !holders.includes(node))!;
  const words = "waits for bundle site: no member has it (file b)";
  // One that never had it, and one that is taken to have it.
  expect(await Promise.all([other, holders[1]!].map((node) => refusalOf(rig, node, tree, 3_000)))).toEqual([
    words,
    words,
  ]);
  expect(rig.said).toContain(`what needs it here ${words}`);
  while (rig.holders(tree).length > 0) await rig.everyoneLooks();
  expect(waitingFacts(rig.cluster.database, job)?.lostBundle).toBe("site");
  // Pushed again, while they wait.
  const waiting = refusalOf(rig, other, tree, 60_000);
  await rig.push(1, "site", tree, 1);
  expect(await waiting).toBe("it has it");
});

test("a task whose bundle is held by a member that is away is told so, and one waits on while members have no place free", async () => {
  const rig = new Rig(2);
  const tree = treeOf({ a: "one" });
  await rig.push(1, "site", tree, 1);
  // For longer than the task has.
  const until = monotonicMs() + 3_000;
  rig.onAsk = ({ method }) => {
    if (method !== "bundle.manifest" && monotonicMs() < until) throw new Fault("peer-refused", noPlaceFree, "safe");
  };
  expect(await refusalOf(rig, 2, tree, 1_500)).toBe("it has it");
  const other = treeOf({ a: "two" });
  await rig.push(1, "other", other, 1);
  const { incarnation } = findNode(rig.cluster.database, 1)!;
  rig.cluster.must("node.lost", { node: nodeId(1), incarnation });
  expect(await refusalOf(rig, 2, other, 1)).toBe("waits for bundle site: no member that is up has it");
});

test("a bundle whose holder is lost comes to another member, and a node that is new to it tells that it has it", async () => {
  const rig = new Rig(4);
  const tree = someTree(5);
  await rig.push(1, "site", tree);
  await rig.everyoneLooks();
  const [, second] = rig.holders(tree);
  const { incarnation } = findNode(rig.cluster.database, second!)!;
  rig.cluster.must("node.lost", { node: nodeId(second!), incarnation });
  rig.down.add(second!);
  await rig.everyoneLooks();
  await rig.everyoneLooks();
  const left = rig.holders(tree).filter((node) => node !== second);
  expect(left).toHaveLength(2);
  for (const node of left) expectLaidOut(await rig.layOut(node, tree), tree);
});

test("a member tells what it has while it waits for another one that is to have it too", async () => {
  const rig = new Rig(4);
  const tree = someTree(5);
  const { holders } = await rig.push(1, "site", tree, 3);
  // One copy less is known of than is wanted, and the member that is asked for it does not answer yet.
  const gone = holders.find((node) => node !== 1)!;
  rig.cluster.must("bundle.held", { node: nodeId(gone), held: [], gone: [tree.manifest.digest] }, system);
  const taking = Promise.withResolvers<void>();
  const answers = Promise.withResolvers<void>();
  rig.holdBack = async ({ method }) => {
    if (method !== "bundle.take") return;
    taking.resolve();
    await answers.promise;
  };
  const looking = rig.nodes.get(1)!.look();
  await taking.promise;
  const other = treeOf({ a: "another" });
  await rig.push(1, "other", other, 1);
  rig.cluster.must("bundle.held", { node: nodeId(1), held: [], gone: [other.manifest.digest] }, system);
  rig.nodes.get(1)!.kick();
  while (!rig.holders(other).includes(1)) await Bun.sleep(1);
  answers.resolve();
  await looking;
  await rig.everyoneLooks();
  expect(rig.holders(tree).length).toBeGreaterThanOrEqual(3);
});

test("who finds no place free looks at its disk no more for each time that it asks", async () => {
  const rig = new Rig(3);
  const tree = someTree(40);
  await rig.push(2, "site", tree, 1);
  let refused = 0;
  rig.onAsk = ({ from, method }) => {
    if (from !== 3 || method === "bundle.manifest" || refused >= 200) return;
    refused += 1;
    throw new Fault("peer-refused", noPlaceFree, "safe");
  };
  const lacking = spyOn(BlobStore.prototype, "lacking");
  try {
    expectLaidOut(await rig.layOut(3, tree), tree);
    expect(refused).toBe(200);
    expect(lacking.mock.calls.length).toBeLessThan(10);
  } finally {
    lacking.mockRestore();
  }
});

test("what the state has not heard of yet stays, however old the copy is that another member counts on", async () => {
  const rig = new Rig(2);
  const tree = treeOf({ a: "one" });
  const { digest } = tree.manifest;
  await rig.push(1, "site", tree);
  rig.cluster.must("bundle.rm", { bundle: "site" }, admin);
  rig.cluster.must("bundle.sweep", { bundles: 10 });
  for (const node of [1, 2]) utimesSync(join(rig.dataOf(node), "blobs", "bundles", digest), 0, 0);
  const second = rig.nodes.get(2)!;
  await second.take(nodeId(1), digest);
  await second.look();
  await rig.nodes.get(1)!.look();
  const has = (node: number): boolean => existsSync(join(rig.dataOf(node), "blobs", "bundles", digest));
  expect([has(1), has(2)]).toEqual([false, true]);
});

test("copies that were fetched go where they take too much, the one used longest ago first, and none that a job has or that nobody else keeps", async () => {
  const rig = new Rig(3);
  const trees = Array.from({ length: 12 }, (_, at) => treeOf({ file: String.fromCodePoint(97 + at).repeat(60) }));
  for (const [at, tree] of trees.entries()) await rig.push(1, `site-${at}`, tree, 1);
  for (const tree of trees) await rig.layOut(3, tree);
  await rig.everyoneLooks();
  const at3 = (tree: Tree): string => join(rig.dataOf(3), "blobs", "bundles", tree.manifest.digest);
  for (const [at, tree] of trees.entries()) utimesSync(at3(tree), 1000 + at, 1000 + at);
  const rows = listNodes(rig.cluster.database).filter(({ id }) => id !== 2);
  const [of3, of1] = [3, 1].map((node) =>
    trees.filter((tree) => membersFor(tree.manifest.digest, rows, nobody)[0] === nodeId(node)),
  ) as [Tree[], Tree[]];
  expect(of1.length).toBeGreaterThan(2);
  const name = `site-${trees.indexOf(of1[0]!)}`;
  const { jobs } = resolveBundles(rig.cluster.database, [{ run: "x", bundle: { name, digest: "" } }]);
  rig.cluster.must("job.submit", { jobs: [...jobs] }, admin);
  rig.fetchedBytes = 130;
  await rig.restart(3).look();
  // The one that a job has, and the one used last.
  const left = of1.filter((tree) => existsSync(at3(tree)));
  expect(left).toEqual([of1[0]!, of1.at(-1)!]);
  expect(of3.filter((tree) => !existsSync(at3(tree)))).toEqual([]);
  for (const tree of trees) expect(rig.holders(tree).length).toBeGreaterThan(0);
  for (const tree of trees) expectLaidOut(await rig.layOut(3, tree), tree);
});

test("what no name and no unfinished job has goes from all disks, and nothing that another bundle has or a job runs in", async () => {
  const rig = new Rig(2);
  const [first, second] = [treeOf({ a: "one", b: "both" }), treeOf({ b: "both", c: "three" })];
  await rig.push(1, "site", first);
  await rig.push(1, "other", second);
  const { jobs } = resolveBundles(rig.cluster.database, [{ run: "x", bundle: { name: "site", digest: "" } }]);
  const job = rig.cluster.must("job.submit", { jobs: [...jobs] }, admin).first;
  rig.cluster.must("bundle.rm", { bundle: "site" }, admin);
  const path = await rig.layOut(1, first);
  const age = (): void => {
    for (const node of [1, 2])
      for (const text of ["one", "both", "three"]) utimesSync(rig.blobOf(node, sha256Of(text)), 0, 0);
  };
  rig.keptMs = -1_000;
  const sweep = async (): Promise<void> => {
    rig.cluster.must("bundle.sweep", { bundles: 10 });
    // Files of a push are kept for a while: by another process they are not.
    for (const node of [1, 2]) await rig.restart(node).look();
    await rig.everyoneLooks();
  };
  const there = (node: number): boolean[] =>
    ["one", "both", "three"].map((text) => existsSync(rig.blobOf(node, sha256Of(text))));
  age();
  await sweep();
  expect([there(1), there(2)]).toEqual([
    [true, true, true],
    [true, true, true],
  ]);
  expectLaidOut(path, first);
  rig.cluster.must("job.cancel", { id: jobId(job) }, admin);
  // Who cannot know whether its state is new removes nothing.
  rig.isCutOff = true;
  await sweep();
  expect(there(1)).toEqual([true, true, true]);
  rig.isCutOff = false;
  await sweep();
  expect([there(1), there(2)]).toEqual([
    [false, true, true],
    [false, true, true],
  ]);
  expect(existsSync(path)).toBe(false);
});
