import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PackShelf } from "../../src/executor/pack-shelf.ts";
import { PackWriter } from "../../src/executor/pack-writer.ts";
import { Fault } from "../../src/lib/fault.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { jobId, type NodeId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept } from "../../src/lib/outcome.ts";
import { type LogPorts, readCopy, readLog } from "../../src/node/logs.ts";
import { PackCopies } from "../../src/node/pack-copies.ts";
import { type PackAppend, PackHolder } from "../../src/node/pack-holder.ts";
import { packPartner } from "../../src/node/pack-partner.ts";
import { listNodes, packCopiesOf } from "../../src/state/queries.ts";
import type { NodeRow } from "../../src/state/types.ts";
import { until } from "../executor/rig.ts";
import { Cluster } from "../state/support.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const unreachable = (): Fault => new Fault("peer-unreachable", "no socket", "safe");
const open: Rig[] = [];
afterEach(() => {
  for (const rig of open.splice(0)) rig.close();
});

/** Nodes with disks, a state, and no network: what node 1 prints is copied to the others. */
class Rig {
  readonly directory = mkdtempSync(join(tmpdir(), "skein-copies-"));
  readonly cluster: Cluster;
  readonly shelves = new Map<number, PackShelf>();
  readonly holders = new Map<number, PackHolder>();
  readonly sent: (PackAppend & { readonly to: number })[] = [];
  readonly down = new Set<number>();
  readonly said: string[] = [];
  entries = 0;
  /** How often node 1 looked what was appended, and read who the members are. */
  looks = 0;
  memberReads = 0;
  copies: PackCopies;
  writer: PackWriter;

  constructor(nodes: number) {
    this.cluster = Cluster.of(nodes);
    this.cluster.level = 3;
    for (let node = 1; node <= nodes; node++) {
      const shelf = new PackShelf(join(this.directory, String(node)), node);
      this.shelves.set(node, shelf);
      this.holders.set(node, new PackHolder(shelf));
    }
    const own = this.shelves.get(1)!;
    const look = own.look.bind(own);
    own.look = (source) => {
      this.looks += 1;
      return look(source);
    };
    this.writer = this.newWriter();
    this.copies = this.newCopies();
    open.push(this);
  }

  newWriter(packBytes = 100_000): PackWriter {
    return new PackWriter(join(this.directory, "1"), "g", { packBytes, ownAfterBytes: 1 << 20, idleMs: 600_000 });
  }

  newCopies(): PackCopies {
    return new PackCopies(
      {
        self: nodeId(1),
        shelf: this.shelves.get(1)!,
        view: (query) => {
          if ((query as unknown) === listNodes) this.memberReads += 1;
          return query(this.cluster.database);
        },
        append: async (holder, piece) => {
          await Promise.resolve();
          if (this.down.has(holder)) throw unreachable();
          this.sent.push({ ...piece, to: holder });
          return await this.holders.get(holder)!.append(nodeId(1), piece);
        },
        placed: (packs) => {
          this.entries += 1;
          this.cluster.must("pack.placed", {
            node: nodeId(1),
            packs: packs.map(([pack, to]): [string, NodeId] => [pack, to]),
          });
          return Promise.resolve(accept(undefined));
        },
        gone: (packs) => {
          this.cluster.must("pack.gone", {
            node: nodeId(1),
            packs: packs.map(([of, pack]): [NodeId, string] => [of, pack]),
          });
          return Promise.resolve(accept(undefined));
        },
        sweep: () => {},
        log: (_level, message) => this.said.push(message),
      },
      { lookMs: 5, failedMs: 200, lostMs: 0, tidyMs: 3_600_000 },
    );
  }

  /** An attempt that prints `text` and ends. */
  print(task: number, text: string): void {
    const log = this.writer.open({ job: jobId(1), task, attempt: 1 }, 1 << 30);
    log.write("stdout", 1, bytes(text));
    log.close();
  }

  /** So many bytes of the output of that task are synced on a second node. */
  isCopied(task: number, bytesOfIt: number, withinMs = 60_000): Promise<boolean> {
    return this.copies.copied({ job: jobId(1), task, attempt: 1 }, bytesOfIt, withinMs);
  }

  packs(): string[] {
    return readdirSync(join(this.directory, "1", "logs", "packs"));
  }

  copy(holder: number, pack: string): Buffer | undefined {
    const path = join(this.directory, String(holder), "logs", "copies", "1", pack);
    return existsSync(path) ? readFileSync(path) : undefined;
  }

  original(pack: string): Buffer {
    return readFileSync(join(this.directory, "1", "logs", "packs", pack));
  }

  /** Waits until every pack is whole at who the state says holds it. */
  async copied(): Promise<number[]> {
    let where: number[] = [];
    await until("copies of all packs", () => {
      const rows = new Map(packCopiesOf(this.cluster.database, 1).map(({ pack, holder }) => [pack, holder]));
      where = this.packs().map((pack) => rows.get(pack) ?? 0);
      return this.packs().every((pack, at) => this.copy(where[at]!, pack)?.equals(this.original(pack)));
    });
    return where;
  }

  close(): void {
    this.copies.stop();
    for (const shelf of this.shelves.values()) shelf.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

describe("the packs of a node", () => {
  test("are copied to one other node while they are written, and one entry tells it for all tasks", async () => {
    const rig = new Rig(4);
    rig.copies.start();
    for (let task = 0; task < 300; task++) {
      rig.print(task, `task ${task}\n`);
      if (task % 50 === 0) await Bun.sleep(10);
    }
    const holders = new Set(await rig.copied());
    expect(holders.size).toBe(1);
    expect(rig.packs()).toHaveLength(1);
    expect(rig.entries).toBe(1);
    const [holder] = [...holders] as [number];
    const page = await rig.shelves
      .get(holder)!
      .read(1, { job: jobId(1), task: 250, attempt: 1, offset: 0, maxBytes: 100 });
    expect(page).toMatchObject({ chunks: [{ bytes: bytes("task 250\n") }], whole: 9 });
  });

  test("have the members read now and then only while every one is where it is to be, and again soon enough to see that its holder is gone", async () => {
    const rig = new Rig(3);
    rig.copies.start();
    rig.print(0, "text\n");
    const [holder] = await rig.copied();
    // The round in which the copy became whole may still be under way.
    const settled = rig.looks + 2;
    await until("two looks more", () => rig.looks >= settled);
    const [reads, looks, beganMs] = [rig.memberReads, rig.looks, monotonicMs()];
    await until("forty looks more", () => rig.looks >= looks + 40);
    const read = rig.memberReads - reads;
    expect(read).toBeLessThanOrEqual(1 + (monotonicMs() - beganMs) / limits.packMembersMs);
    rig.cluster.must("node.lost", { node: nodeId(holder!), incarnation: `i${holder}` });
    await until("the pack at the other node", async () => (await rig.copied())[0] !== holder);
  });

  test("go to another node, from their beginning, when the partner is lost in the middle", async () => {
    const rig = new Rig(3);
    rig.copies.start();
    rig.print(0, "before");
    const [first] = (await rig.copied()) as [number];
    rig.down.add(first);
    rig.print(1, "after");
    await until("another holder", async () => (await rig.copied())[0] !== first);
    const [second] = (await rig.copied()) as [number];
    expect(rig.sent.find(({ to }) => to === second)).toMatchObject({ from: 0 });
    expect(rig.said.join()).toContain(`node ${first} does not take`);
  });

  test("go on where they were after a restart of the node, whatever was lost on either side", async () => {
    const rig = new Rig(2);
    rig.copies.start();
    rig.print(0, "x".repeat(50_000));
    await rig.copied();
    rig.copies.stop();
    const [pack] = rig.packs() as [string];
    truncateSync(join(rig.directory, "2", "logs", "copies", "1", pack), 30_000); // as a crash of the holder's machine may
    rig.print(1, "y".repeat(20_000));
    rig.sent.length = 0;
    rig.copies = rig.newCopies();
    rig.copies.start();
    await rig.copied();
    const size = rig.original(pack).length;
    expect(rig.sent.reduce((sum, piece) => sum + piece.bytes.length, 0)).toBe(size - 30_000);
  });

  test("that are whole stay where they are when their holder is away for a while, and move when it is gone", async () => {
    const rig = new Rig(3);
    rig.writer = rig.newWriter(5_000);
    rig.copies.start();
    for (let task = 0; task < 4; task++) rig.print(task, "x".repeat(4_000));
    const [first] = (await rig.copied()) as [number];
    await until("the last bytes of sealed packs synced", () => rig.sent.filter(({ sync }) => sync).length >= 3);
    rig.down.add(first);
    rig.print(4, "more"); // the open one has to move
    await until("the open pack at another node", async () => new Set(await rig.copied()).size === 2);
    const count = (holder: number): number =>
      packCopiesOf(rig.cluster.database, 1).filter((row) => row.holder === holder).length;
    expect(count(nodeId(first))).toBe(3);
    rig.cluster.must("node.lost", { node: nodeId(first), incarnation: `i${first}` });
    await until("all packs at another node", () => count(nodeId(first)) === 0);
    await rig.copied();
  });

  test("have no copy while there is no second node, and get it when one joins", async () => {
    const rig = new Rig(2);
    rig.down.add(2);
    rig.copies.start();
    rig.print(0, "alone");
    expect(await rig.isCopied(0, 5, 50)).toBe(false);
    rig.down.delete(2);
    expect(await rig.isCopied(0, 5)).toBe(true);
    expect(rig.copy(2, rig.packs()[0]!)?.equals(rig.original(rig.packs()[0]!))).toBe(true);
    expect(rig.sent.some(({ sync }) => sync)).toBe(true);
  });

  test("are said to be copied when the copy is synced, and not before", async () => {
    const rig = new Rig(2);
    rig.copies.start();
    let synced = 0;
    for (let task = 0; task < 20; task++) {
      rig.print(task, `task ${task}`);
      expect(await rig.isCopied(task, `task ${task}`.length)).toBe(true);
      const size = rig.original(rig.packs()[0]!).length;
      synced = Math.max(...rig.sent.filter(({ sync }) => sync).map(({ from, bytes: piece }) => from + piece.length));
      expect(synced).toBe(size);
    }
    expect(await rig.isCopied(3, 6)).toBe(true); // nothing new: nothing to wait for
  });

  test("are said to be copied as far as an attempt's own output is: an older pack whose holder is away keeps nobody waiting", async () => {
    const rig = new Rig(3);
    rig.writer = rig.newWriter(5_000);
    rig.copies.start();
    rig.print(0, "x".repeat(6_000));
    const [first] = (await rig.copied()) as [number];
    rig.copies.stop();
    rig.down.add(first);
    rig.copies = rig.newCopies(); // a restart of the node: what was synced where is to be asked again
    rig.copies.start();
    rig.print(1, "more");
    expect(rig.packs()).toHaveLength(2);
    expect(await rig.isCopied(1, 4)).toBe(true);
    expect(await rig.isCopied(0, 6_000, 50)).toBe(false);
    // Of more output than the packs are known to hold all of them are waited for.
    expect(await rig.isCopied(1, 5, 50)).toBe(false);
    rig.down.delete(first);
    expect(await rig.isCopied(0, 6_000)).toBe(true);
    expect(await rig.isCopied(1, 5)).toBe(true);
  });
});

describe("a copy", () => {
  test("takes what follows, says where to go on, and is not changed by what comes again", async () => {
    const rig = new Rig(2);
    const holder = rig.holders.get(2)!;
    const pack = "g0aaaaaaa-00000001.pack";
    const piece = (from: number, text: string) =>
      holder.append(nodeId(1), { pack, from, bytes: bytes(text), sync: from === 3 });
    expect(await piece(5, "too early")).toEqual({ end: 0 });
    expect(await Promise.all([piece(0, "abc"), piece(3, "def"), piece(0, "abc")])).toEqual([
      { end: 3 },
      { end: 6 },
      { end: 6 },
    ]);
    expect(await piece(4, "efgh")).toEqual({ end: 8 });
    expect(await piece(99, "")).toEqual({ end: 8 });
    expect(rig.copy(2, pack)?.toString()).toBe("abcdefgh");
  });

  test("that the disk does not take is a fault that travels back", async () => {
    const rig = new Rig(2);
    const holder = new PackHolder({ directoryOf: () => "/proc/nowhere" });
    const append = holder.append(nodeId(1), {
      pack: "g0aaaaaaa-00000001.pack",
      from: 0,
      bytes: bytes("x"),
      sync: false,
    });
    expect(await append.catch((error: unknown) => error)).toMatchObject({ code: "data" });
    rig.close();
  });
});

describe("the partner of a node", () => {
  const nodes = (count: number, zone?: (node: number) => string): NodeRow[] =>
    listNodes(Cluster.of(count).database).map((node) => ({
      ...node,
      labels: zone === undefined ? {} : { zone: zone(node.id) },
    }));
  const all = () => true;

  test("is another one, the same until it goes, and members have about as many each", () => {
    const members = nodes(20);
    const partners = members.map(({ id }) => packPartner(id, members, all)!);
    expect(partners.every((partner, at) => partner !== members[at]!.id)).toBe(true);
    expect(new Set(partners).size).toBeGreaterThan(8);
    const [gone] = partners as [NodeId];
    const left = members.filter(({ id }) => id !== gone);
    for (const [at, { id }] of members.entries())
      if (id !== gone) expect(packPartner(id, left, all) === partners[at]).toBe(partners[at] !== gone);
  });

  test("is in another zone when there is one that can, and is not lost, unheard of, or unfit", () => {
    const members = nodes(6, (node) => (node === 5 ? "b" : "a"));
    expect(packPartner(nodeId(1), members, all)).toBe(nodeId(5));
    expect(packPartner(nodeId(1), members, (node) => node !== 5)).not.toBe(nodeId(5));
    const lost = members.map((node) => (node.id === 5 ? { ...node, state: "lost" as const } : node));
    expect(packPartner(nodeId(1), lost, all)).not.toBe(nodeId(5));
    const unheard = members.map((node) => (node.id === 5 ? { ...node, peer: "" } : node));
    expect(packPartner(nodeId(1), unheard, all)).not.toBe(nodeId(5));
    expect(packPartner(nodeId(1), members.slice(0, 1), all)).toBeUndefined();
  });
});

describe("a log whose node is gone", () => {
  /** Node 1 has printed this; readers ask node 3. */
  async function gone(text: string, options: { readonly ends: boolean; readonly bytes?: number }) {
    const rig = new Rig(3);
    rig.copies.start();
    const job = rig.cluster.submit({ on_lost: "fail" });
    rig.cluster.assign(job, 1, [0, 1]);
    rig.print(0, text);
    const [holder] = (await rig.copied()) as [number];
    const log = { bytes: options.bytes ?? text.length, sha256: "x" };
    if (options.ends) rig.cluster.finish(job, 0, 1, 1, "succeeded", { log });
    let asked = 0;
    const ports = (self: number): LogPorts => ({
      self: nodeId(self),
      shelf: rig.shelves.get(self)!,
      away: new Map(),
      view: (query) => query(rig.cluster.database),
      ask: () => {
        asked += 1;
        return Promise.reject(unreachable());
      },
      askCopy: (of, request) => {
        if (rig.down.has(of)) return Promise.reject(unreachable());
        return readCopy(request, ports(of));
      },
    });
    const other = holder === 2 ? 3 : 2;
    const at = ports(other);
    const read = (offset: number, more: object = {}, from = at) =>
      readLog({ job, task: 0, offset, maxBytes: 1000, waitMs: 0, ...more }, from);
    return { rig, job, holder, read, ports, asked: () => asked };
  }

  const textOf = (page: Awaited<ReturnType<typeof readLog>>): string =>
    page.ok ? Buffer.concat(page.value.chunks.map((chunk) => chunk.bytes)).toString() : page.why.message;

  test("is read from its copy by any node, from any offset, to its end", async () => {
    const { read, ports, holder } = await gone("0123456789".repeat(500), { ends: true });
    let all = "";
    for (let offset = 0; ;) {
      const page = await read(offset, { maxBytes: 999 });
      if (!page.ok) throw new Error(page.why.message);
      all += textOf(page);
      offset = page.value.next;
      if (page.value.end) break;
    }
    expect(all).toBe("0123456789".repeat(500));
    expect(textOf(await read(-4, {}, ports(holder)))).toBe("6789");
  });

  test("is asked for where it was once in a while, and at its copy first in between", async () => {
    const { read, asked } = await gone("some words", { ends: true });
    for (let again = 0; again < 5; again++) expect(textOf(await read(5))).toBe("words");
    expect(asked()).toBe(1);
  });

  test("is shown as far as its copy goes, and then said to be incomplete", async () => {
    const { read } = await gone("all that was copied", { ends: true, bytes: 5_000 });
    expect(textOf(await read(4))).toBe("that was copied");
    const rest = await read(19);
    expect(rest.ok ? "" : rest.why.code).toBe("unavailable");
    expect(textOf(rest)).toContain("no other has a copy of all of it");
  });

  test("of an attempt that was lost with it is what there is", async () => {
    const { rig, job, read } = await gone("last words", { ends: false });
    rig.cluster.must("node.lost", { node: nodeId(1), incarnation: "i1" });
    expect(textOf(await read(0, { attempt: 1 }))).toBe("last words");
    expect(await read(10, { attempt: 1 })).toMatchObject({ ok: true, value: { end: true, next: 10, chunks: [] } });
    expect(job).toBeGreaterThan(0);
  });

  test("is followed at its copy while the node is only out of reach: what it prints comes through", async () => {
    const { rig, read } = await gone("first ", { ends: false });
    expect(textOf(await read(0))).toBe("first ");
    const waiting = read(6, { waitMs: 60_000 });
    const writer = rig.writer.open({ job: jobId(1), task: 7, attempt: 1 }, 1 << 20);
    writer.write("stdout", 1, bytes("of another"));
    rig.writer.flush();
    // The attempt of the reader goes on: the same attempt, as its guard writes it.
    const log = rig.writer.open({ job: jobId(1), task: 0, attempt: 1 }, 1 << 20);
    log.next("stdout", 1, 6);
    log.write("stdout", 1, bytes("second"));
    rig.writer.flush();
    expect(textOf(await waiting)).toBe("second");
  });

  test("that has lost its end on its own node is completed from the copy", async () => {
    const { rig, job, ports } = await gone("kept and lost", { ends: true });
    const [pack] = rig.packs() as [string];
    rig.copies.stop();
    truncateSync(join(rig.directory, "1", "logs", "packs", pack), rig.original(pack).length - 3);
    const page = await readLog({ job, task: 0, offset: 0, maxBytes: 1000, waitMs: 0 }, ports(1));
    expect(textOf(page)).toBe("kept and lost");
  });
});
