import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { serveHttp } from "../../src/http/serve.ts";
import { Fault } from "../../src/lib/fault.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Outcome } from "../../src/lib/outcome.ts";
import { boot } from "../../src/node/boot.ts";
import type { Booted } from "../../src/node/boot-options.ts";
import { readContext } from "../../src/node/context.ts";
import { newApiToken, parseApiToken } from "../../src/node/credentials.ts";
import { readJoining, writeJoining } from "../../src/node/joining.ts";
import { StoppedNode } from "../../src/node/recover.ts";
import { bootstrap } from "../../src/raft/configuration.ts";
import { readIdentity } from "../../src/storage/identity.ts";
import { SqliteLogStore } from "../../src/storage/log-store.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { findNode, findToken, listNodes, stateClock } from "../../src/state/queries.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { guardCommand } from "../executor/rig.ts";

/** Real nodes in this process, real directories; what a crash leaves behind is made by taking files away. */

let root: string;
const running: Booted[] = [];
const messages: string[] = [];

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "skein-boot-"));
  messages.length = 0;
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((booted) => booted.stop()));
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});

async function up(
  name: string,
  join?: { readonly at: Booted; readonly token: string },
  onServe: () => void = () => {},
  wallClock?: () => number,
): Promise<Outcome<Booted>> {
  const dataDir = path.join(root, name);
  const outcome = await boot({
    dataDir,
    name,
    api: [{ scheme: "http", host: "127.0.0.1", port: 0 }],
    peer: { host: "127.0.0.1", port: 0 },
    advertise: undefined,
    labels: {},
    slots: 1,
    ioTasks: 1,
    join: join === undefined ? [] : [join.at.api],
    joinTimeoutMs: 10_000,
    joinToken: join?.token,
    voters: undefined,
    version: "0",
    wallClock,
    guardCommand: guardCommand(dataDir),
    environment: { XDG_CONFIG_HOME: path.join(root, "config") },
    serve: (node, [at]) => {
      onServe();
      const server = serveHttp({ node, host: at!.host, port: at!.port });
      const apis = [{ scheme: "http", host: server.host, port: server.port }] as const;
      return Promise.resolve({ apis, stop: () => server.stop() });
    },
    log: (_level, message) => messages.push(message),
    onEnd: (code) => messages.push(`end ${code}`),
  });
  if (outcome.ok) running.push(outcome.value);
  return outcome;
}

async function started(
  name: string,
  join?: { readonly at: Booted; readonly token: string },
  onServe?: () => void,
  wallClock?: () => number,
): Promise<Booted> {
  const outcome = await up(name, join, onServe, wallClock);
  if (!outcome.ok) throw new Error(`${name} did not start: ${outcome.why.message}`);
  return outcome.value;
}

async function stop(booted: Booted): Promise<void> {
  running.splice(running.indexOf(booted), 1);
  await booted.stop();
}

async function joinToken(at: Booted): Promise<string> {
  const made = await at.node.createJoinToken({ ttlMs: 60_000, uses: 5 }, at.node.principal);
  if (!made.ok) throw new Error(made.why.message);
  return made.value.token;
}

/** The guard's may still be there: it outlives its node for a moment. */
const noSockets = (name: string): boolean => !name.endsWith(".sock");

function remove(name: string, ...files: string[]): void {
  const directory = path.join(root, name);
  for (const file of readdirSync(directory).filter((each) => files.some((wanted) => each.startsWith(wanted))))
    rmSync(path.join(directory, file));
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

const directoryOf = (name: string): string => path.join(root, name);
const faultOf = (name: string): Promise<unknown> => up(name).catch((error: unknown) => error);

describe("serials of batches", () => {
  test("are of a start that is on disk before the node can propose, and of no earlier one (S3)", async () => {
    const seen: number[] = [];
    const look = (): void => void seen.push(readIdentity(directoryOf("a"))?.starts ?? 0);
    for (let start = 0; start < 3; start++) {
      const booted = await started("a", undefined, look);
      look();
      await stop(booted);
    }
    // At the moment when the API is bound: the first start's identity comes last of all, later ones' first.
    expect(seen).toEqual([0, 1, 2, 2, 3, 3]);
  });
});

describe("a cluster's first node", () => {
  test("killed after its first entry and before its identity: the next start founds a cluster", async () => {
    mkdirSync(directoryOf("a"), { mode: 0o700 });
    const log = new SqliteLogStore({
      path: path.join(directoryOf("a"), "log.db"),
      onDurable: () => {},
      onFault: () => {},
    });
    await log.open();
    log.append(bootstrap(nodeId(1)).append);
    await log.close();
    const booted = await started("a");
    expect(booted.kind).toBe("created");
    expect(booted.node.authenticate(readContext(directoryOf("a"))!.token)?.role).toBe("admin");
  });

  test("killed after its identity and before its context: the next start makes the admin's token", async () => {
    const first = await started("a");
    await stop(first);
    remove("a", "context.json", "state.db", "log.db");
    const log = new SqliteLogStore({
      path: path.join(directoryOf("a"), "log.db"),
      onDurable: () => {},
      onFault: () => {},
    });
    await log.open();
    log.append(bootstrap(nodeId(1)).append);
    await log.close();
    const booted = await started("a");
    expect(booted.node.authenticate(readContext(directoryOf("a"))!.token)?.role).toBe("admin");
  });

  test("whose log begins after what its state holds is told so, and what to do: the state was lost", async () => {
    await stop(await started("a"));
    const stopped = StoppedNode.open(directoryOf("a"));
    stopped.recover([], "a log that begins late");
    stopped.close();
    remove("a", "state.db");
    for (let again = 0; again < 2; again++) {
      const error = await up("a").catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Fault);
      expect(error).toMatchObject({ code: "data", message: expect.stringMatching(/state\.db.*was lost.*nodes rm 1/) });
    }
  });

  test("recovered with the log of another one begins above the term of that log, though that node itself does not go on", async () => {
    await stop(await started("a"));
    const stopped = StoppedNode.open(directoryOf("a"));
    const { dataDir, survivor } = stopped;
    const term = survivor.term + 40;
    stopped.recover([], "a log of a later term", { dataDir, survivor: { ...survivor, term } });
    stopped.close();
    const again = StoppedNode.open(directoryOf("a"));
    try {
      expect(again.survivor).toMatchObject({ epoch: { number: 1 }, term: term + 1, lastTerm: term + 1 });
    } finally {
      again.close();
    }
  });

  test("with its identity and its context gone is not taken for an empty one: its log is not overwritten", async () => {
    const first = await started("a");
    await stop(first);
    remove("a", "identity.json", "context.json");
    const fault = await faultOf("a");
    expect(fault).toBeInstanceOf(Fault);
    expect((fault as Fault).message).toContain("its identity.json is gone");
    // Put back, it goes on: nothing was touched.
    const log = new SqliteLogStore({
      path: path.join(directoryOf("a"), "log.db"),
      onDurable: () => {},
      onFault: () => {},
    });
    expect((await log.open()).lastIndex).toBeGreaterThan(1);
    await log.close();
  });

  test("without its context says so, and writes no token that nobody knows", async () => {
    await stop(await started("a"));
    remove("a", "context.json");
    await started("a");
    expect(messages.filter((message) => message.includes("context.json is gone"))).toHaveLength(1);
    expect(readContext(directoryOf("a"))).toBeUndefined();
  });
});

describe("a node that joins", () => {
  test.each([
    ["b", "under the same name"],
    ["earlier", "under another name"],
  ])(
    "killed after it was let in as %s, before its first file: asks again %s, is the same member, and leaves no ghost",
    async (name) => {
      const first = await started("a");
      const token = await joinToken(first);
      const own = newApiToken();
      const question = { name, incarnation: "0123456789abcdef" };
      // What such a crash leaves: the question on its disk, and a member that nobody has heard of.
      mkdirSync(directoryOf("b"), { mode: 0o700 });
      writeJoining(directoryOf("b"), { ...question, token: own.text });
      const joined = await first.node.propose(
        "node.join",
        {
          ...question,
          api: "",
          peer: "",
          labels: {},
          slots: 1,
          ioTasks: 1,
          level: ownLevel,
          version: "0",
          joinToken: token.split(".")[2]!,
          token: { id: own.id, hash: own.hash, name: "node b" },
        },
        first.node.principal,
      );
      if (!joined.ok) throw new Error(joined.why.message);
      const again = await started("b", { at: first, token });
      expect(again.kind).toBe("joined");
      expect(again.node.id).toBe(joined.value.value.node);
      expect(first.node.status().peers.map(({ node }) => node)).toEqual([again.node.id]);
      const rows = await first.node.read(listNodes, { consistency: "linearizable" });
      expect(rows.ok && rows.value.value.map((row) => row.name)).toEqual(["a", "b"]);
      expect(readContext(directoryOf("b"))!.token).toBe(own.text);
      expect(first.node.authenticate(own.text)?.role).toBe("operator");
      expect(readJoining(directoryOf("b"))).toBeUndefined();
    },
  );

  test("killed between identity and context: the next start has the token that it was let in with", async () => {
    const first = await started("a");
    const token = await joinToken(first);
    const second = await started("b", { at: first, token });
    const { token: own } = readContext(directoryOf("b"))!;
    await stop(second);
    remove("b", "context.json");
    writeJoining(directoryOf("b"), { name: "b", incarnation: "x", token: own });
    const again = await started("b");
    expect(again.kind).toBe("resumed");
    expect(readContext(directoryOf("b"))).toMatchObject({ token: own, addrs: [`http://${again.api}`] });
    const { id } = parseApiToken(own)!;
    expect(first.node.authenticate(own)).toMatchObject({ token: id, role: "operator" });
  });

  test("whose question is out of date (its node was removed) asks a new one", async () => {
    const first = await started("a");
    const token = await joinToken(first);
    const second = await started("b", { at: first, token });
    const { token: own } = readContext(directoryOf("b"))!;
    await stop(second);
    const administrator = first.node.authenticate(readContext(directoryOf("a"))!.token)!;
    const removed = await first.node.propose("node.remove", { node: "b" }, administrator);
    expect(removed.ok).toBe(true);
    rmSync(directoryOf("b"), { recursive: true });
    mkdirSync(directoryOf("b"), { mode: 0o700 });
    writeJoining(directoryOf("b"), { name: "b", incarnation: "0123456789abcdef", token: own });
    const again = await started("b", { at: first, token });
    expect(again.node.id).toBe(nodeId(second.node.id + 1));
    const rows = await first.node.read((tx) => ({ nodes: listNodes(tx), old: findToken(tx, parseApiToken(own)!.id) }), {
      consistency: "linearizable",
    });
    expect(rows.ok && rows.value.value.nodes.map((row) => row.name)).toEqual(["a", "b"]);
    expect(rows.ok && rows.value.value.old?.revoked).toBe(true);
  });

  test("that has lost its log does not go on as the member that it was: its votes are forgotten (D1, D4)", async () => {
    const first = await started("a");
    const second = await started("b", { at: first, token: await joinToken(first) });
    await stop(second);
    remove("b", "log.db", "state.db");
    const fault = await faultOf("b");
    expect(fault).toBeInstanceOf(Fault);
    expect((fault as Fault).message).toContain("its log.db is gone");
  });

  test("whose data was put back from a copy of before its last start is let in by nobody, and ends: what it promised since is forgotten (D1, D4, S3)", async () => {
    const first = await started("a");
    await stop(await started("b", { at: first, token: await joinToken(first) }));
    cpSync(directoryOf("b"), directoryOf("copy"), { recursive: true, filter: noSockets });
    const again = await started("b");
    const { id } = again.node;
    // Its second start is in the log; the copy's next one will be its second as well.
    await until(async () => {
      const row = await first.node.read((tx) => findNode(tx, id), { consistency: "stale" });
      return row.ok && row.value.value?.incarnation.startsWith("2.") === true;
    });
    await stop(again);
    renameSync(directoryOf("b"), directoryOf("newest"));
    renameSync(directoryOf("copy"), directoryOf("b"));
    const copy = await started("b");
    await until(() => messages.includes("end 6"));
    await stop(copy);
    // However often it is started: its number would pass the one that the log has.
    const { starts } = readIdentity(directoryOf("b"))!;
    for (let time = 0; time < 3; time++)
      expect(await up("b")).toMatchObject({
        ok: false,
        why: { code: "conflict", message: expect.stringContaining("put back from a copy") },
      });
    expect(readIdentity(directoryOf("b"))!.starts).toBe(starts);
    const stopped = StoppedNode.open(directoryOf("b"));
    expect(() => stopped.recover([], "quorum lost")).toThrow("put back from a copy");
    stopped.close();
    // The newest data, put over it.
    cpSync(directoryOf("newest"), directoryOf("b"), { recursive: true, filter: noSockets });
    await started("b");
  });

  test("into a directory with another member's log is refused, and touches nothing", async () => {
    const first = await started("a");
    const stranger = await started("s");
    await stop(stranger);
    remove("s", "identity.json", "context.json");
    const token = await joinToken(first);
    const fault = await up("s", { at: first, token }).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(Fault);
    expect((fault as Fault).message).toContain("its identity.json is gone");
    expect(readIdentity(directoryOf("s"))).toBeUndefined();
  });

  test("a context cut short by a crash is as good as none", async () => {
    await stop(await started("a"));
    writeFileSync(path.join(directoryOf("a"), "context.json"), "");
    const booted = await started("a");
    expect(booted.kind).toBe("resumed");
    const self = await booted.node.read((tx) => findNode(tx, "a"), { consistency: "linearizable" });
    expect(self.ok && self.value.value?.state).toBe("up");
  });
});

test("a leader whose clock is off is told so and lets a voter lead whose clock is right (J4)", async () => {
  const first = await started("a", undefined, undefined, () => Date.now() + 30_000);
  const token = await joinToken(first);
  const others = [await started("b", { at: first, token }), await started("c", { at: first, token })];
  const right: readonly number[] = others.map(({ node }) => node.id);
  while (!right.includes(first.node.status().leader ?? 0)) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(messages.find((message) => message.startsWith(`the clock of node ${first.node.id} is`))).toBeDefined();
  const told = (): number => others[0]!.node.status().clocks.get(first.node.id) ?? 0;
  while (told() < 25_000) await new Promise((resolve) => setTimeout(resolve, 20));
}, 30_000);

test("a year that the leader's clock jumps ahead stays out of the log: a join token that is made then lets a node in (J4)", async () => {
  const jumped = new Map<string, number>();
  const clockOf = (name: string) => (): number => Date.now() + (jumped.get(name) ?? 0);
  const first = await started("a", undefined, undefined, clockOf("a"));
  const token = await joinToken(first);
  const mesh = [first];
  for (const name of ["b", "c"]) mesh.push(await started(name, { at: first, token }, undefined, clockOf(name)));
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await until(() => mesh.every(({ node }) => node.status().voters.length === 3));
  const leader = mesh.find(({ node }) => node.isLeading)!;
  jumped.set(leader.node.name, 365 * 86_400_000);
  const fresh = await joinToken(leader);
  // Another one leads, until whose election the wrong clock was the leader's.
  await until(() => mesh.some(({ node }) => node !== leader.node && node.isLeading));
  const right = mesh.find(({ node }) => node !== leader.node)!;
  await started("d", { at: right, token: fresh });
  const state = await right.node.read((tx) => stateClock(tx), { consistency: "linearizable" });
  expect(state.ok && state.value.value).toBeLessThan(Date.now() + limits.clockToleranceMs);
}, 60_000);
