import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Presence, StoppedNode } from "../../src/cli/cli.ts";
import { runCli } from "../../src/cli/program.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { type Epoch, firstEpoch } from "../../src/lib/epoch.ts";
import { type Survivor, viewSurvivor } from "../../src/lib/survivors.ts";
import { adminToken, Mesh } from "../http/fake-node.ts";
import { ScratchDir, TestIo } from "./support.ts";

const members = [1, 2, 3].map((node) => ({ node, name: `n${node}`, api: "", peer: `127.0.0.1:${node}` }));

function survivor(node: number, more: Partial<Survivor> = {}): Survivor {
  const log = { lastIndex: 100, lastTerm: 3, term: 4, commit: 100, applied: 100, hash: "aa", lastAt: 0 };
  const who = {
    cluster: "c1",
    epoch: { number: 0, id: "" },
    node,
    name: `n${node}`,
    level: 3,
    damagedFrom: null,
    quarantinedAt: null,
  };
  const configuration = { voters: [1, 2, 3], outgoing: [], learners: [], configurationIndex: 1 };
  return { ...who, leader: null, ...log, ...configuration, members, ...more };
}

/** Data directories of stopped nodes, and what is done to them. */
class Stopped {
  readonly done: string[] = [];
  /** Those whose data is an older copy. */
  readonly unfit = new Set<string>();
  /** What each was told, by its directory, and who is where, by the node that is asked for. */
  readonly fences = new Map<string, Epoch>();
  readonly presences = new Map<number, Presence>();
  /** Where members were, beside what states say. */
  readonly addresses = new Map<number, string>();
  readonly #nodes: ReadonlyMap<string, Survivor>;
  open = 0;

  constructor(nodes: Readonly<Record<string, Survivor>>) {
    this.#nodes = new Map(Object.entries(nodes));
  }

  node(dataDir: string): StoppedNode {
    const one = this.#nodes.get(dataDir);
    if (one === undefined) throw new Error(`${dataDir} is not there`);
    this.open += 1;
    return {
      dataDir,
      survivor: one,
      peer: `127.0.0.1:${one.node}`,
      hasGoneOn: false,
      unfit: this.unfit.has(dataDir) ? `${dataDir} is a copy` : undefined,
      fence: this.#fenceOf(dataDir),
      knownPeer: (node) => this.addresses.get(node),
      ask: ({ node }) => Promise.resolve(this.presences.get(node) ?? { kind: "silent" }),
      recover: (_others, _what, head) => {
        this.done.push(`recover ${dataDir}${head.dataDir === dataDir ? "" : ` with the log of ${head.dataDir}`}`);
        return { number: 1, id: "0a0b0c0d" };
      },
      rejoin: () => this.done.push(`rejoin ${dataDir}`),
      close: () => (this.open -= 1),
    };
  }

  #fenceOf(dataDir: string): StoppedNode["fence"] {
    const epoch = this.fences.get(dataDir);
    return epoch && { epoch, words: `${dataDir} is fenced: --rejoin` };
  }

  async run(words: readonly string[], io = new TestIo()): Promise<{ code: number; out: string; err: string }> {
    const unused = (): never => expect.unreachable();
    const code = await runCli(["cluster", "recover", ...words], { HOME: "/nonexistent" }, io, {
      version: "0",
      up: unused,
      askForToken: unused,
      restore: unused,
      openStopped: (dataDir) => this.node(dataDir),
    });
    expect(this.open).toBe(0);
    return { code, out: io.stdout.text, err: io.stderr.text };
  }
}

test("a person is shown what there is, and only yes is a yes", async () => {
  for (const answer of ["", "y", "no", "yes please"]) {
    const stopped = new Stopped({ "/a": survivor(1) });
    const { code, out, err } = await stopped.run(["--data", "/a"], new TestIo({ tty: true, columns: 200, answer }));
    expect([answer, code, stopped.done]).toEqual([answer, 6, []]);
    expect(out).toContain("most advanced");
    expect(err).toContain("2 of 3 voters have it; 2 are missing");
    expect(err).toContain("nothing was changed");
  }
});

test("a state that was found wrong is used only when told so, and another one's with its log where both are here", async () => {
  using scratch = new ScratchDir();
  const wrong = survivor(1, { lastIndex: 120, quarantinedAt: 80 });
  const five = {
    voters: [1, 2, 3, 4, 5],
    members: [1, 2, 3, 4, 5].map((node) => ({ node, name: `n${node}`, api: "", peer: `127.0.0.1:${node}` })),
  };
  const stopped = new Stopped({ "/a": { ...wrong, ...five }, "/b": { ...survivor(2), ...five } });
  const alone = await stopped.run(["--data", "/a", "--yes"]);
  expect([alone.code, alone.err, stopped.done]).toEqual([6, expect.stringContaining("--wrong-state"), []]);
  const report = scratch.write("wrong.json", JSON.stringify(viewSurvivor({ ...wrong, ...five })));
  const apart = await stopped.run(["--data", "/b", "--survivor", report, "--yes"]);
  expect([apart.code, apart.err, stopped.done]).toEqual([
    6,
    expect.stringContaining("the state of node 2 (n2) and the log of node 1 (n1)"),
    [],
  ]);
  expect((await stopped.run(["--data", "/a", "--data", "/b", "--yes"])).code).toBe(0);
  expect((await stopped.run(["--data", "/a", "--yes", "--wrong-state"])).code).toBe(0);
  expect(stopped.done).toEqual(["recover /b with the log of /a", "rejoin /a", "recover /a"]);
});

test("who joined in what only the longer log holds is asked for silence as well, and said to be gone where nobody knows its address", async () => {
  const five = { voters: [1, 2, 3, 4, 5], members: [1, 2, 3, 4, 5].map((node) => ({ ...members[0]!, node })) };
  const wrong = survivor(1, { lastIndex: 120, quarantinedAt: 80, ...five, learners: [6] });
  const stopped = new Stopped({ "/a": wrong, "/b": survivor(2, five) });
  const words = ["--data", "/a", "--data", "/b", "--yes"];
  const unknown = await stopped.run(words);
  expect([unknown.code, unknown.err, stopped.done]).toEqual([6, expect.stringContaining("--gone 6"), []]);
  expect(unknown.err).toContain("node 6 joined in what no state here has applied yet");
  stopped.addresses.set(6, "127.0.0.1:6");
  stopped.presences.set(6, { kind: "member", node: 6, epoch: firstEpoch });
  const alive = await stopped.run(words);
  expect([alive.code, alive.err, stopped.done]).toEqual([6, expect.stringContaining("127.0.0.1:6 answers"), []]);
  stopped.presences.delete(6);
  expect((await stopped.run(words)).code).toBe(0);
  expect(stopped.done).toEqual(["recover /b with the log of /a", "rejoin /a"]);
});

test("where nobody can be asked, nothing is done without --yes", async () => {
  const stopped = new Stopped({ "/a": survivor(1) });
  const { code, err } = await stopped.run(["--data", "/a"]);
  expect([code, stopped.done]).toEqual([2, []]);
  expect(err).toContain("add --yes");
});

test("a quorum, an unreadable report and a wrong rejoin are refused with words", async () => {
  using scratch = new ScratchDir();
  const stopped = new Stopped({ "/a": survivor(1), "/b": survivor(2, { cluster: "c2" }) });
  const report = scratch.write("two.json", JSON.stringify(viewSurvivor(survivor(2))));
  const quorum = await stopped.run(["--data", "/a", "--survivor", report, "--yes"]);
  expect([quorum.code, quorum.err]).toEqual([6, expect.stringContaining("which is a quorum")]);
  const bad = await stopped.run(["--data", "/a", "--survivor", scratch.write("bad.json", "{}"), "--yes"]);
  expect([bad.code, bad.err]).toEqual([2, expect.stringContaining("--report")]);
  const none = await stopped.run(["--data", "/a", "--survivor", join(scratch.path, "none"), "--yes"]);
  expect([none.code, none.err]).toEqual([2, expect.stringContaining("cannot be read")]);
  for (const [text, code, words] of [
    ["nonsense", 2, "is not what"],
    ["c1/1.0a0b0c0d@1@127.0.0.1:1", 6, "start it"],
    ["c9/1.0a0b0c0d@2@127.0.0.1:1", 6, "is of cluster c1"],
  ] as const) {
    const said = await stopped.run(["--data", "/a", "--rejoin", text]);
    expect([text, said.code, said.err]).toEqual([text, code, expect.stringContaining(words)]);
  }
  const two = await stopped.run(["--data", "/a", "--data", "/b", "--yes"]);
  expect([two.code, two.err]).toEqual([6, expect.stringContaining("cluster c2")]);
  expect(stopped.done).toEqual([]);
});

test("a report is one JSON value, and a rejoin is done once, for an epoch that the one who is named is in", async () => {
  const epoch = { number: 1, id: "0a0b0c0d" };
  const stopped = new Stopped({ "/a": survivor(1), "/b": survivor(2) });
  const { out } = await stopped.run(["--report", "--data", "/a", "-o", "json"]);
  expect(JSON.parse(out)).toMatchObject({ node: 1, last_index: 100, epoch: "0" });
  const words = ["--data", "/b", "--rejoin", "c1/1.0a0b0c0d@1@127.0.0.1:1"];
  // Nothing is put aside for an epoch that the one who is named is not in.
  for (const [presence, code, text] of [
    [{ kind: "silent" }, 5, "start it first"],
    [{ kind: "member", node: 1, epoch: firstEpoch }, 6, "is of epoch 0"],
    [{ kind: "member", node: 1, epoch: { number: 1, id: "ffffffff" } }, 6, "is of epoch 1.ffffffff"],
    [{ kind: "unproven", what: "a printer" }, 6, "a printer"],
  ] as const) {
    stopped.presences.set(1, presence);
    const said = await stopped.run(words);
    expect([said.code, said.err, stopped.done]).toEqual([code, expect.stringContaining(text), []]);
  }
  stopped.presences.set(1, { kind: "member", node: 1, epoch });
  const { code } = await stopped.run(words);
  expect([code, stopped.done]).toEqual([0, ["rejoin /b"]]);
});

test("one that broke off is gone on with: those who were named rejoin, nothing is decided again", async () => {
  const epoch = { number: 1, id: "0a0b0c0d" };
  const stopped = new Stopped({ "/a": survivor(1, { epoch, voters: [1], learners: [2] }), "/b": survivor(2) });
  const { code, out, err } = await stopped.run(["--data", "/a", "--data", "/b", "--yes"]);
  expect([code, stopped.done]).toEqual([0, ["rejoin /b"]]);
  expect(err).toContain("had been decided already");
  expect(out).toContain("skein up --data /a");
});

test("members that answer are not gone: with a leader this node is only to be started, without one they are to be named", async () => {
  using scratch = new ScratchDir();
  const nodes = [2, 3].map((id) => new Mesh(3).node(id));
  const servers = nodes.map((node) => serveHttp({ node, host: "127.0.0.1", port: 0 }));
  try {
    const context = { addrs: ["http://127.0.0.1:1"], token: adminToken, cluster: "c", node: 1 };
    writeFileSync(join(scratch.path, "context.json"), JSON.stringify(context));
    const members = [1, 2, 3].map((node) => ({
      node,
      name: `n${node}`,
      api: node === 1 ? "" : new URL(servers[node - 2]!.url).host,
      peer: "",
    }));
    const stopped = new Stopped({ [scratch.path]: survivor(1, { cluster: "c", epoch: firstEpoch, members }) });
    const words = ["--data", scratch.path, "--yes"];
    const led = await stopped.run(words);
    expect([led.code, led.err]).toEqual([6, expect.stringContaining("answer, and the cluster has a leader (node 1)")]);
    expect(led.err).toContain(`skein up --data ${scratch.path}`);
    for (const node of nodes) node.ready = false;
    const both = await stopped.run(words);
    expect([both.code, both.err]).toEqual([6, expect.stringContaining("answer, so they are not gone: name each")]);
    await servers[1]!.stop();
    const one = await stopped.run(words);
    expect([one.code, one.err]).toEqual([6, expect.stringContaining("answers, so it is not gone: name it")]);
    expect(stopped.done).toEqual([]);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
});

test("of data that is an older copy nothing is made, and it does not count; it may go on with another node's", async () => {
  const stopped = new Stopped({ "/a": survivor(1), "/b": survivor(2) });
  stopped.unfit.add("/b");
  for (const words of [["--yes"], ["--report"]]) {
    const { code, err } = await stopped.run(["--data", "/a", "--data", "/b", ...words]);
    expect([code, err]).toEqual([6, expect.stringContaining("/b is a copy")]);
  }
  expect(stopped.done).toEqual([]);
});

test("without a token members are found out by their certificates: who answers is not gone, whatever it says", async () => {
  const stopped = new Stopped({ "/a": survivor(1, { epoch: { number: 1, id: "0a0b0c0d" } }) });
  const { epoch } = stopped.node("/a").survivor;
  stopped.open = 0;
  const words = ["--data", "/a", "--yes", "--gone", "2"];
  for (const [presence, text] of [
    [{ kind: "member", node: 2, epoch }, "node 2 (n2) at 127.0.0.1:2 answers, so it is not gone"],
    [{ kind: "member", node: 2, epoch: { number: 1, id: "ffffffff" } }, "is of epoch 1.ffffffff: the cluster was"],
    [{ kind: "member", node: 3, epoch: { number: 2, id: "ffffffff" } }, "node 3 at 127.0.0.1:2 answers and is of"],
  ] as const) {
    stopped.presences.set(2, presence);
    const { code, err } = await stopped.run(words);
    expect([code, err, stopped.done]).toEqual([6, expect.stringContaining(text), []]);
  }
  // Nobody knows who it is: a person may.
  stopped.presences.set(2, { kind: "unproven", what: "a printer" });
  const unsaid = await stopped.run(words.slice(0, -2));
  expect([unsaid.code, unsaid.err]).toEqual([6, expect.stringMatching(/node 2 \(n2\) was.*a printer.*--gone 2/)]);
  expect((await stopped.run([...words.slice(0, -1), "n2"])).code).toBe(2);
  expect((await stopped.run([...words.slice(0, -1), "3"])).code).toBe(6);
  expect(stopped.done).toEqual([]);
});

test("who was told of a newer epoch makes none of its own, unless that one is here and was to have it", async () => {
  const epoch = { number: 1, id: "0a0b0c0d" };
  const stopped = new Stopped({ "/a": survivor(1, { epoch, voters: [1], learners: [2] }), "/b": survivor(2) });
  stopped.fences.set("/b", epoch);
  const alone = await stopped.run(["--data", "/b", "--yes"]);
  expect([alone.code, alone.err, stopped.done]).toEqual([6, expect.stringContaining("is fenced: --rejoin"), []]);
  expect((await stopped.run(["--data", "/a", "--data", "/b", "--yes"])).code).toBe(0);
  expect(stopped.done).toEqual(["rejoin /b"]);
});
