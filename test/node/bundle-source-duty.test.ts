import { expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import type { Looked } from "../../src/node/bundle-looks.ts";
import { BundleSourceDuty } from "../../src/node/bundle-source-duty.ts";
import type { CommandInput, CommandName, CommandValue } from "../../src/state/commands/index.ts";
import type { SourceLook } from "../../src/state/sourcing.ts";
import { bundleSource } from "../../src/state/tables/bundle-source.ts";
import type { Principal } from "../../src/state/types.ts";
import { admin, Cluster } from "../state/support.ts";

const leader: Principal = { token: "", name: "n1", role: "node" };
const commit = "1".repeat(40);

/** A leader's duty over a real state; what members find is the test's to say. */
class Stage {
  readonly cluster = Cluster.ofNewest(4);
  /** Who was asked, in turn. */
  readonly asked: number[] = [];
  voters = [1, 2, 3];
  away = new Set<number>();
  find: (node: number, look: SourceLook) => Looked | Promise<Looked> = () => ({ kind: "same" });
  readonly #duty: BundleSourceDuty;

  constructor(...names: readonly string[]) {
    for (const name of names)
      this.cluster.must("bundle.source.set", { name, url: "/srv/play.git", every: 60_000 }, admin);
    const { cluster } = this;
    this.#duty = new BundleSourceDuty({
      self: nodeId(1),
      now: () => cluster.now,
      view: (query) => query(cluster.database),
      log: () => {},
      isHere: (node) => !this.away.has(node),
      configuration: () => ({ voters: this.voters.map(nodeId), outgoing: [], learners: [], learnersNext: [] }),
      lookAtSource: async (node, look) => {
        this.asked.push(node);
        return await this.find(node, look);
      },
      propose: <Name extends CommandName>(name: Name, input: CommandInput<Name>) => {
        const outcome = cluster.propose(name, input, leader) as Outcome<CommandValue<Name>>;
        return Promise.resolve(outcome.ok ? accept({ value: outcome.value, index: 1 }) : outcome);
      },
    });
  }

  row(name = "play") {
    return bundleSource(this.cluster.database, name)!;
  }

  /** The leader looks, and what it began is done as far as it can be. */
  async look(): Promise<void> {
    this.#duty.look();
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** As a member that finds a commit pins it. */
  pin(look: SourceLook, letter = "a"): Looked {
    const tree = { digest: letter.repeat(64), bytes: 1, files: 1, copies: 1, holders: [nodeId(2)], source: null };
    const outcome = this.cluster.propose("bundle.source.pin", { ...look, ...tree, commit }, leader);
    return { kind: outcome.ok ? "pinned" : "over" };
  }
}

test("a source that is due is looked at by another member than the leader, and not before it is due again", async () => {
  const stage = new Stage("play");
  stage.find = (_node, look) => stage.pin(look);
  await stage.look();
  await stage.look();
  expect(stage.asked).toEqual([2]);
  expect(stage.row()).toMatchObject({ commit_id: commit, version: 1, failures: 0 });
  stage.cluster.now += 60_000;
  stage.find = (_node, look) => {
    expect(look.base).toBe(commit);
    return { kind: "same" };
  };
  await stage.look();
  expect(stage.asked).toEqual([2, 2]);
  expect(stage.row()).toMatchObject({ version: 1, good_at: stage.cluster.now });
});

test("who cannot look at it is passed over, and who is not here; the leader does it where nobody else can", async () => {
  const stage = new Stage("play");
  stage.away.add(2);
  stage.find = (node) => {
    if (node === 3) throw new Fault("peer-unreachable", "no socket", "safe");
    return node === 1 ? { kind: "same" } : { kind: "unable", why: "there is no git on its host" };
  };
  await stage.look();
  expect(stage.asked).toEqual([3, 4, 1]);
  expect(stage.row()).toMatchObject({ failures: 0, good_at: stage.cluster.now });
  stage.cluster.now += 60_000;
  stage.find = () => ({ kind: "unable", why: "there is no git on its host" });
  await stage.look();
  expect(stage.row().failure).toBe(
    "no member could look at it (node 3: there is no git on its host; node 4: there is no git on its host; node 1: there is no git on its host)",
  );
});

test("while all who could look have too much to do nothing is noted, and they are asked again after a while", async () => {
  const stage = new Stage("play");
  stage.find = (node) =>
    node === 3 ? { kind: "unable", why: "there is no git on its host" } : { kind: "busy", why: "2 checkouts run" };
  await stage.look();
  await stage.look();
  expect(stage.asked).toEqual([2, 3, 4, 1]);
  expect(stage.row()).toMatchObject({ failures: 0, failed_at: null, tried_at: null });
  stage.cluster.now += limits.bundleSourceBusyMs;
  stage.find = () => ({ kind: "same" });
  await stage.look();
  expect(stage.row().good_at).toBe(stage.cluster.now);
});

test("what cannot be had is noted with who says so, and looked at by another member the next time", async () => {
  const stage = new Stage("play");
  stage.find = () => ({ kind: "failed", why: "the host cannot be reached" });
  for (let time = 0; time < 3; time++) {
    await stage.look();
    stage.cluster.now = stage.row().due_at!;
  }
  expect(stage.asked).toEqual([2, 3, 4]);
  expect(stage.row()).toMatchObject({ failures: 3, failure: "by node 4: the host cannot be reached" });
});

test("a key is asked of voters alone", async () => {
  const stage = new Stage();
  const key = "a".repeat(32);
  const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  stage.cluster.must("authority.begin", { fingerprint: key, certificate, crossed: null, reason: "first" });
  stage.cluster.must("secret.set", { name: "deploy", key, sealed: new Uint8Array(40) }, admin);
  stage.cluster.must("bundle.source.set", { name: "play", url: "git@lan:p", key: "deploy", every: 60_000 }, admin);
  stage.voters = [1, 3];
  stage.find = () => ({ kind: "unable", why: "no" });
  await stage.look();
  expect(stage.asked).toEqual([3, 1]);
});

test("one look at a source is under way at a time; a push meanwhile has it looked at once more, at once", async () => {
  const stage = new Stage("play");
  const held = Promise.withResolvers<Looked>();
  stage.find = () => held.promise;
  await stage.look();
  stage.cluster.must("bundle.source.fetch", { bundle: "play" }, { ...leader, name: "webhook:play" });
  await stage.look();
  expect(stage.asked).toHaveLength(1);
  stage.find = () => ({ kind: "same" });
  held.resolve({ kind: "same" });
  await stage.look();
  await stage.look();
  expect(stage.asked).toHaveLength(2);
  expect(stage.row().due_at).toBe(stage.cluster.now + 60_000);
});

test("no more are looked at at once than may be, and one that takes long keeps the others waiting for no more than its place", async () => {
  const names = Array.from({ length: limits.bundleSourcesAtOnce + 2 }, (_, at) => `b${at}`);
  const stage = new Stage(...names);
  const held = Promise.withResolvers<Looked>();
  stage.find = (_node, look) => (look.name === "b0" ? held.promise : { kind: "same" });
  await stage.look();
  expect(stage.asked).toHaveLength(limits.bundleSourcesAtOnce);
  await stage.look();
  expect(names.filter((name) => stage.row(name).good_at !== null)).toEqual(names.slice(1));
  held.resolve({ kind: "same" });
  await stage.look();
  expect(stage.row("b0").good_at).not.toBeNull();
});

test("a source that was taken away while it was looked at is noted nowhere", async () => {
  const stage = new Stage("play");
  stage.find = (_node, look) => {
    stage.cluster.must("bundle.source.rm", { bundle: "play" }, admin);
    return stage.pin(look);
  };
  await stage.look();
  expect(bundleSource(stage.cluster.database, "play")).toBeUndefined();
});
