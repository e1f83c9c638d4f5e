import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { encode } from "../../src/lib/codec.ts";
import { sha256Form } from "../../src/lib/digest.ts";
import { firstEpoch } from "../../src/lib/epoch.ts";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { boot } from "../../src/node/boot.ts";
import type { Booted } from "../../src/node/boot-options.ts";
import { readContext } from "../../src/node/context.ts";
import { parsePeerRequest, peerMethods, PeerRequests } from "../../src/node/peer-requests.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { findNode } from "../../src/state/queries.ts";
import { readCertificate } from "../../src/storage/certificate-file.ts";
import { readIdentity } from "../../src/storage/identity.ts";
import { Peers } from "../../src/transport/peers.ts";
import { guardCommand } from "../executor/rig.ts";

const digest = "0123456789abcdef".repeat(4);
const hash = "0123456789abcdef";
const configuration = { voters: [1], outgoing: [], learners: [2], learnersNext: [] };
const certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

/** One good question of each kind, as it travels. */
const samples: Readonly<Record<(typeof peerMethods)[number], unknown>> = {
  propose: encode([2, 2 ** 32 + 1, 0, [[6, "", "b", "node", { node: 2 }]]]),
  removed: null,
  leader: null,
  silent: null,
  addresses: [{ node: 2, address: "127.0.0.1:1", starts: 1 }],
  transfer: 0,
  "read-index": null,
  lease: 1.5e12,
  "lease.cover": 7,
  "unit.relieve": [{ job: 1, first: 0, most: 5 }],
  "relay.pull": [3, "", false],
  "relay.report": [[2, 3, 4]],
  "hash.report": { index: 3, hash },
  "hash.at": 3,
  "hash.odd": { index: 3, quorum: hash },
  "snapshot.want": { index: 3, quorum: "", from: 0 },
  "snapshot.offer": {
    id: `9-${hash}`,
    cluster: "c",
    snapshot: { index: 9, term: 1, configuration },
    bytes: 4096,
    chunkBytes: 1024 * 1024,
    sha256: digest,
    hash,
  },
  "snapshot.chunk": { id: `9-${hash}`, number: 0 },
  "snapshot.done": { id: `9-${hash}`, ok: true },
  "log.read": { job: 1, task: 0, attempt: 1, offset: 0, maxBytes: 1000, waitMs: 0 },
  "pack.append": { pack: "g0aaaaaaa-00000001.pack", from: 0, bytes: new Uint8Array([1]), sync: true },
  "pack.read": { source: 3, job: 1, task: 0, attempt: 1, offset: -5, maxBytes: 1000, waitMs: 0 },
  "bundle.manifest": digest,
  "bundle.have": [[digest, 3]],
  "bundle.files": [[digest, 3]],
  "bundle.piece": [digest, 1024 * 1024],
  "bundle.suspect": digest,
  "bundle.take": digest,
  "bundle.look": { name: "play", revision: 7, asked: 9, base: "1".repeat(40) },
  "bundle.told": { name: "play", service: "gitlab", proof: "hunter2!", message: new Uint8Array([1]) },
  "authority.keys": null,
  "authority.held": null,
  "job.explain": 7,
  "job.plan": {
    jobs: [["x", 1, '{"run":"x"}', null]],
    by: { token: "t", name: "anna", role: "operator" },
  },
  "secret.seal": { name: "deploy-key", value: "hunter2!" },
  "secret.values": { job: 1, task: 0, attempt: 1 },
  "authority.rotate": { reason: "asked for", by: { token: "t" } },
  "certificate.issue": { csr: "-----BEGIN CERTIFICATE REQUEST-----", hosts: ["localhost"] },
  "certificate.reissue": { request: { csr: "", hosts: [] }, certificate, proof: "" },
  "token.recover": { id: "0123456789ab", hash, name: "x", role: "admin", expiresAt: null, certificate, proof: "" },
  join: { token: "t", fingerprint: "f", nonce: "n", request: "{}", mac: "m" },
};

describe("the shape of a question", () => {
  test.each(Object.entries(samples))("%s: a good one passes", (method, body) => {
    expect(parsePeerRequest(method, body).method as string).toBe(method);
  });

  test.each([
    ["log.read", { ...(samples["log.read"] as object), job: "../../../etc" }],
    ["log.read", { ...(samples["log.read"] as object), task: -1 }],
    ["job.explain", 0],
    ["job.plan", { jobs: [["x", 2, '{"run":"x"}', null]], by: { token: "t", name: "anna", role: "operator" } }],
    ["job.plan", { jobs: [["x", 1, '{"run":"x"}', null]], by: { token: "t", name: "anna", role: "node" } }],
    ["secret.seal", { name: "", value: "hunter2!" }],
    ["secret.seal", { name: "deploy-key", value: "x".repeat(64 * 1024 + 1) }],
    ["secret.values", { job: 1, task: -1, attempt: 1 }],
    ["log.read", { ...(samples["log.read"] as object), attempt: undefined }],
    ["log.read", { ...(samples["log.read"] as object), stream: "both" }],
    ["log.read", { ...(samples["log.read"] as object), offset: Number.NaN }],
    ["log.read", { ...(samples["log.read"] as object), waitMs: -1 }],
    ["log.read", null],
    ["pack.append", { ...(samples["pack.append"] as object), pack: "../../log.db" }],
    ["pack.append", { ...(samples["pack.append"] as object), pack: "g0aaaaaaa-00000001.pack/../x" }],
    ["pack.append", { ...(samples["pack.append"] as object), from: -1 }],
    ["pack.append", { ...(samples["pack.append"] as object), bytes: new Uint8Array(1024 * 1024 + 1) }],
    ["pack.read", { ...(samples["pack.read"] as object), source: "../1" }],
    ["bundle.manifest", "../../identity.json"],
    ["bundle.files", [["../x", 3]]],
    ["bundle.files", [[digest, 2 * 1024 * 1024]]],
    ["bundle.files", Array.from({ length: 1_000 }, () => [digest, 1])],
    ["bundle.piece", [digest, -1]],
    ["bundle.look", { name: "play", revision: 7, asked: 9, base: "main" }],
    ["bundle.look", { name: "", revision: 7, asked: 9, base: null }],
    ["bundle.told", { ...(samples["bundle.told"] as object), service: "forge" }],
    ["bundle.told", { ...(samples["bundle.told"] as object), proof: "x".repeat(8 * 1024 + 1) }],
    ["bundle.told", { ...(samples["bundle.told"] as object), message: new Uint8Array(8 * 1024 * 1024 + 1) }],
    ["propose", "text"],
    ["propose", new Uint8Array(18 * 1024 * 1024)],
    ["transfer", 1.5],
    ["lease", Number.NaN],
    ["lease", null],
    ["unit.relieve", [{ job: 1, first: 0, most: -1 }]],
    ["addresses", [{ node: 2, address: "a b", starts: 1 }]],
    ["addresses", [{ node: 2, address: "127.0.0.1:1/raft?", starts: 1 }]],
    ["addresses", [{ node: 0, address: "", starts: 1 }]],
    ["relay.pull", [3]],
    ["relay.pull", [3, "x".repeat(1000), false]],
    ["relay.report", Array.from({ length: 2000 }, () => [2, 3, 4])],
    ["hash.report", { index: 3, hash: {} }],
    ["hash.at", "3"],
    ["hash.odd", { index: -3, quorum: hash }],
    ["snapshot.want", { index: 3, quorum: "" }],
    ["snapshot.offer", { ...(samples["snapshot.offer"] as object), snapshot: undefined }],
    ["snapshot.offer", { ...(samples["snapshot.offer"] as object), chunkBytes: 0 }],
    ["snapshot.offer", { ...(samples["snapshot.offer"] as object), chunkBytes: 1e12 }],
    ["snapshot.offer", { ...(samples["snapshot.offer"] as object), bytes: 0 }],
    ["snapshot.offer", { ...(samples["snapshot.offer"] as object), sha256: "00" }],
    ["snapshot.chunk", { id: "", number: 0 }],
    ["snapshot.done", { ok: true }],
    ["certificate.issue", { csr: "x", hosts: ["a b"] }],
    ["join", "words"],
    ["join", { request: "x".repeat(1024 * 1024) }],
    ["constructor", null],
    ["nothing", null],
  ])("%s: a wrong one is refused with words, and nothing was done: %#", (method, body) => {
    let fault: unknown;
    try {
      parsePeerRequest(method, body);
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ code: "protocol", retry: "never", message: expect.stringContaining(`"${method}"`) });
  });

  test("what is wrong is told once per peer and method, and of unknown methods once per peer", () => {
    const told: string[] = [];
    const requests = new PeerRequests((message) => told.push(message));
    for (const peer of [2, 3]) {
      for (let times = 0; times < 5; times++)
        for (const method of ["lease", "hash.at", `made up ${times}`])
          expect(() => requests.parse(nodeId(peer), method, "wrong")).toThrow(Fault);
    }
    expect(told.length).toBe(6);
    expect(told[0]).toContain('node 2 asked what makes no sense: the request "lease" has a wrong shape');
  });
});

// ------------------------------------------------------------------------------------------------ a real node

/** Whatever MessagePack can carry. */
const anything = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(null, undefined, true, false, Number.NaN, Infinity, -0, 2 ** 53, -1, 0, 1, 2),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double(),
    fc.string({ maxLength: 40 }),
    fc.constantFrom("", "../../../etc/passwd", "__proto__", hash, digest, "127.0.0.1:9"),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie("value"), { maxLength: 6 }),
    fc.dictionary(fc.string({ maxLength: 10 }), tie("value"), { maxKeys: 6 }),
  ),
})).value;

/** A good question with a part of it replaced, in depth. */
function nearMiss(sample: unknown): fc.Arbitrary<unknown> {
  if (Array.isArray(sample) && sample.length > 0) {
    return fc
      .nat({ max: sample.length - 1 })
      .chain((at) => nearMiss(sample[at]).map((part) => sample.map((one, place) => (place === at ? part : one))));
  }
  if (
    typeof sample === "object" &&
    sample !== null &&
    Object.keys(sample).length > 0 &&
    !(sample instanceof Uint8Array)
  ) {
    return fc
      .constantFrom(...Object.keys(sample))
      .chain((key) => nearMiss((sample as Record<string, unknown>)[key]).map((part) => ({ ...sample, [key]: part })));
  }
  return anything;
}

/** Batches: any bytes, any value in bytes, and almost right ones. */
const batches = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  anything.map(encode),
  nearMiss([2, 2 ** 32 + 1, 0, [[6, "", "b", "node", { node: 2 }]]]).map(encode),
);

async function started(root: string, name: string, messages: string[], join?: Booted): Promise<Booted> {
  const dataDir = path.join(root, name);
  const token = await join?.node.createJoinToken({ ttlMs: 60_000, uses: 5 }, join.node.principal);
  const outcome = await boot({
    dataDir,
    name,
    api: [{ scheme: "http", host: "127.0.0.1", port: 0 }],
    peer: { host: "127.0.0.1", port: 0 },
    advertise: undefined,
    labels: {},
    slots: 1,
    ioTasks: 1,
    join: join === undefined ? [] : [join.api],
    joinTimeoutMs: 30_000,
    joinToken: token?.ok === true ? token.value.token : undefined,
    voters: undefined,
    version: "0",
    guardCommand: guardCommand(dataDir),
    environment: { XDG_CONFIG_HOME: path.join(root, "config") },
    serve: (node, [at]) => {
      const server = serveHttp({ node, host: at!.host, port: at!.port });
      const apis = [{ scheme: "http", host: server.host, port: server.port }] as const;
      return Promise.resolve({ apis, stop: () => server.stop() });
    },
    log: (level, message) => messages.push(`${level}: ${message}`),
    onEnd: (code) => messages.push(`error: end ${code}`),
  });
  if (!outcome.ok) throw new Error(`${name} did not start: ${outcome.why.message}`);
  return outcome.value;
}

/** A member that has its certificate, its place and no sense: it asks whatever it is told to, and answers whatever comes. */
function senselessMember(directory: string, of: Booted, answer: () => unknown): Peers {
  const identity = readIdentity(directory)!;
  const shown = readCertificate(directory)!;
  const peers = new Peers({
    identity: {
      cluster: identity.cluster,
      epoch: identity.epoch ?? firstEpoch,
      node: identity.node,
      incarnation: `${identity.starts + 1}.0123456789ab`,
      level: ownLevel,
      credentials: () => ({ key: shown.key, certificate: shown.certificate, trusted: shown.trusted }),
    },
    onMessage: () => {},
    onDisconnected: () => {},
    onConnected: () => {},
    onRequest: () => Promise.resolve(answer()),
    onRefused: (_peer, { reason }) => {
      throw new Error(`not let in: ${reason}`);
    },
    wasRemoved: () => false,
    hasReachedEpoch: () => true,
    mayBeNewer: () => false,
    isOldCopy: () => false,
    log: () => {},
  });
  peers.setPeers([{ node: of.node.id, address: of.peer }]);
  return peers;
}

test("a real node answers whatever a member asks, refuses what makes no sense, and goes on", async () => {
  const root = mkdtempSync(path.join(tmpdir(), "skein-senseless-"));
  const messages: string[] = [];
  const node = await started(root, "a", messages);
  const other = await started(root, "b", [], node);
  const place = other.peer;
  await other.stop();
  const answers = fc.sample(anything, 2000);
  let answered = 0;
  const peers = senselessMember(path.join(root, "b"), node, () => answers[answered++ % answers.length]);
  const count = { asked: 0, refused: 0 };
  try {
    // Where the node knows it to be, so that it is asked, and offered snapshots, as well.
    const [host, port] = place.split(":");
    await peers.listen({ host: host!, port: Number(port) });
    while (!peers.isConnected(node.node.id)) await Bun.sleep(10);
    // "removed" has no body: whoever is told so by a member ends, as it is to.
    for (const method of peerMethods.filter((one) => one !== "removed")) {
      const bodies = method === "propose" ? batches : fc.oneof(anything, nearMiss(samples[method]));
      await fc.assert(
        fc.asyncProperty(bodies, async (body) => {
          count.asked += 1;
          // Of a bundle that could be one it is told once it is there, which it never will be.
          const isAwaited = method === "bundle.take" && typeof body === "string" && sha256Form.test(body);
          const timeoutMs = isAwaited ? 100 : 20_000;
          const error = await peers.request(node.node.id, method, body, { timeoutMs }).then(
            () => undefined,
            (fault: unknown) => fault as Fault,
          );
          if (error === undefined || (isAwaited && error.code === "peer-timeout")) return;
          // Neither silence nor a closed socket: an answer.
          expect([method, error.code, error.message]).toEqual([method, "peer-refused", expect.any(String)]);
          // What it says is meant for people: no error of the language's own.
          expect(error.message).not.toMatch(/undefined|is not a function|is not an? (object|iterable)|cannot read/i);
          count.refused += 1;
        }),
        { numRuns: 150 },
      );
    }
    expect(await peers.request(node.node.id, "leader", null)).toBe(node.node.id);
    const labels = { fuzzed: "yes" };
    const admin = node.node.authenticate(readContext(path.join(root, "a"))!.token)!;
    expect(await node.node.propose("node.label", { node: "a", labels }, admin)).toMatchObject({ ok: true });
    const read = await node.node.read((tx) => findNode(tx, "a")?.labels, { consistency: "linearizable" });
    expect(read.ok && read.value.value).toMatchObject(labels);
    expect(count.refused).toBeGreaterThan(count.asked / 3);
    // A hash that the member made up sets it apart from the quorum, which is told as an error: of that member, and of nobody else.
    const setApart = `error: the state of node ${other.node.id} differs from that of a quorum: it is quarantined`;
    expect(messages.filter((message) => message.startsWith("error") && message !== setApart)).toEqual([]);
    const told = messages.filter((message) => message.includes("asked what makes no sense"));
    expect(told.length).toBeGreaterThan(5);
    expect(told.length).toBeLessThanOrEqual(peerMethods.length);
  } finally {
    await peers.close();
    await node.stop();
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}, 180_000);
