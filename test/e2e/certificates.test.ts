/** Certificates over the life of a mesh: the authority's key moves with the voters, certificates renew themselves, and the authority is replaced. */
import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { createPrivateKey } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { Mesh, MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { allUp } from "../../scripts/mesh-jobs.ts";
import { SkeinClient } from "../../src/client/client.ts";
import { makeKey, makeRequest } from "../../src/node/certificates.ts";
import { type JoinToken, parseJoinToken } from "../../src/node/credentials.ts";
import { askToJoin, type JoinRequest } from "../../src/node/join.ts";
import type { ClusterView } from "../../src/state/answers.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { untilForgotten } from "./harness.ts";

interface Keys {
  readonly keys: Readonly<Record<string, { readonly key: string }>>;
}

const keysOf = (node: MeshNode): Keys["keys"] | undefined => {
  const file = path.join(node.data, "authority.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Keys).keys : undefined;
};

/** Asked again where its listener was being replaced: whoever connects in that instant is refused or reset. */
async function seen(node: MeshNode): Promise<ClusterView> {
  const answer = await until(
    () => node.api("GET", "/v1/cluster").catch(() => undefined),
    patienceMs,
    () => `node ${node.ready.node} does not answer:\n${node.log}`,
  );
  return answer.body as ClusterView;
}

async function untilSeen(node: MeshNode, is: (view: ClusterView) => boolean, what: string): Promise<ClusterView> {
  let last = "nothing";
  return await until(
    async () => {
      const view = await seen(node).catch(() => undefined);
      if (view === undefined) return undefined;
      last = JSON.stringify({
        voters: view.voters,
        authorities: view.authorities,
        nodes: view.nodes.map((one) => one.certificate),
      });
      return is(view) ? view : undefined;
    },
    patienceMs,
    () => `${what} was not seen, but ${last}`,
  );
}

/** The private number of every key that a node holds: all else in a key's file is the same in every file, or public. */
function secretsOf(node: MeshNode): Buffer[] {
  const own = (JSON.parse(readFileSync(path.join(node.data, "certificate.json"), "utf8")) as { key: string }).key;
  const all = [own, ...Object.values(keysOf(node) ?? {}).map((one) => one.key)];
  return all.map((pem) => {
    const number = Buffer.from(createPrivateKey(pem).export({ format: "jwk" }).d!, "base64url");
    expect(number).toHaveLength(32);
    return number;
  });
}

/** The forms in which such a number can stand in a file: raw, hex, and base64 of a text in which it begins at any of three places. */
function formsOf(secret: Buffer): Buffer[] {
  const hex = secret.toString("hex");
  const phases = [0, 1, 2].flatMap((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), secret]);
    // Letters that hold bits of what stands before or after are left out.
    const [from, to] = [Math.ceil((before * 4) / 3), Math.floor((whole.length * 4) / 3)];
    return (["base64", "base64url"] as const).map((form) => whole.toString(form).slice(from, to));
  });
  return [secret, ...[hex, hex.toUpperCase(), ...phases].map((text) => Buffer.from(text))];
}

/** The files that hold one of the secrets in any form. A key's own file breaks its base64 into lines: they are closed up. */
function leaking(files: readonly string[], secrets: readonly Buffer[]): string[] {
  const forms = secrets.flatMap(formsOf);
  return files.filter((file) => {
    const bytes = bytesOf(file);
    const closed = Buffer.from(bytes.toString("latin1").replaceAll(/\r?\n|\\n/g, ""), "latin1");
    return forms.some((form) => bytes.includes(form) || closed.includes(form));
  });
}

/** Every file of a data directory but those two that are to hold keys. */
function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile() && one.name !== "certificate.json" && one.name !== "authority.json")
    .map((one) => path.join(one.parentPath, one.name));
}

/** Empty when it went meanwhile: a guard outlives its node for a moment. */
function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

async function untilThreeHoldKeys(mesh: Mesh): Promise<void> {
  await until(
    () => Promise.resolve(mesh.nodes.filter((node) => keysOf(node) !== undefined).length === 3 ? true : undefined),
    patienceMs,
    () => "not all voters have the key",
  );
}

test("voters are given the authority's key in a private file, learners are not, and no key is in any other file", async () => {
  await using mesh = await Mesh.start({ nodes: 4, flags: ["--voters", "3"], env: { SKEIN_LOG_ENTRIES: "50" } });
  const [first] = mesh.nodes as [MeshNode, ...MeshNode[]];
  const { voters } = await untilSeen(first, (view) => view.voters.length === 3, "three voters");
  const holding = (): MeshNode[] => mesh.nodes.filter((node) => keysOf(node) !== undefined);
  await until(
    () => Promise.resolve(holding().length === 3 ? true : undefined),
    patienceMs,
    () => "not all voters have the key",
  );
  expect(
    holding()
      .map((node) => node.ready.node)
      .toSorted((a, b) => a - b),
  ).toEqual([...voters].toSorted((a, b) => a - b));
  for (const node of holding()) expect(statSync(path.join(node.data, "authority.json")).mode & 0o777).toBe(0o600);
  for (const node of mesh.nodes) expect(statSync(path.join(node.data, "certificate.json")).mode & 0o777).toBe(0o600);
  // A node that cannot issue lets another one in all the same: it asks a voter.
  const learner = mesh.nodes.find((node) => !voters.includes(node.ready.node))!;
  const joined = await mesh.add(["--join", new URL(learner.ready.api).host]);
  expect(keysOf(joined)).toBeUndefined();
  // Enough of a log that it is compacted, and a node that comes back by a snapshot.
  await joined.stop();
  const { index } = await seen(first);
  for (let round = 0; round < 3; round++)
    expect(
      (await first.api("POST", "/v1/jobs", { jobs: Array.from({ length: 400 }, () => ({ driver: "noop", noop: {} })) }))
        .status,
    ).toBe(201);
  for (let round = 0; round < 150; round++) await first.api("POST", "/v1/jobs", { driver: "noop", noop: {} });
  const others = mesh.nodes.filter((node) => node !== joined);
  await untilForgotten(others, index);
  await joined.start();
  await joined.said("goes on from a snapshot");
  const secrets = mesh.nodes.flatMap(secretsOf);
  expect(new Set(secrets.map((one) => one.toString("hex"))).size).toBe(6); // five nodes, one authority
  await Promise.all(mesh.nodes.map((node) => node.stop()));
  // The search finds what is there: in the keys' own files, and planted in each form amid other bytes.
  const own = mesh.nodes.map((node) => path.join(node.data, "certificate.json"));
  expect(leaking(own, secrets)).toEqual(own);
  const planted = path.join(mesh.directory, "planted");
  const [secret] = secrets as [Buffer, ...Buffer[]];
  const texts = [0, 1, 2].map((before) => Buffer.concat([Buffer.alloc(before, 7), secret, Buffer.from("after")]));
  for (const form of [
    secret,
    secret.toString("hex"),
    secret.toString("hex").toUpperCase(),
    ...texts.flatMap((text) => [text.toString("base64"), text.toString("base64url")]),
  ]) {
    writeFileSync(planted, Buffer.concat([Buffer.from("before "), Buffer.from(form), Buffer.from(" after")]));
    expect(leaking([planted], secrets)).toEqual([planted]);
  }
  writeFileSync(planted, Buffer.concat([secret.subarray(0, 16), Buffer.alloc(1), secret.subarray(16)]));
  expect(leaking([planted], secrets)).toEqual([]);
  const files = mesh.nodes.flatMap((node) => filesOf(node.data));
  expect(files.some((file) => file.endsWith("log.db")) && files.some((file) => file.endsWith("state.db"))).toBe(true);
  expect(leaking(files, secrets)).toEqual([]);
}, 600_000);

test("the authority is replaced under writes without a failed request, and clients that know only the former one go on", async () => {
  await using mesh = await Mesh.start({ nodes: 3, tls: true });
  const [first] = mesh.nodes as [MeshNode, ...MeshNode[]];
  await untilSeen(first, (view) => view.voters.length === 3, "three voters");
  // Nobody is to lead but for what is shown here, on a busy machine neither.
  expect((await first.skein(["cluster", "set", "election-timeout=2s"])).code).toBe(0);
  const before = await untilSeen(first, (view) => view.leader !== null, "a leader");
  const old = before.authorities[0]!.fingerprint;
  const { ca } = JSON.parse(readFileSync(path.join(first.data, "context.json"), "utf8")) as { ca: string };
  const client = new SkeinClient({ addrs: mesh.nodes.map((node) => node.ready.api), token: first.token, ca });
  const writing = { on: true };
  let written = 0;
  const failures: unknown[] = [];
  const writers = Array.from({ length: 8 }, async () => {
    while (writing.on) {
      try {
        await client.submit({ driver: "noop", noop: {} });
        written++;
      } catch (error) {
        failures.push(error);
      }
    }
  });
  const leader = before.leader;
  const { code, stdout } = await first.skein(["cluster", "rotate-ca", "-o", "quiet"]);
  expect(code).toBe(0);
  const fresh = stdout.trim();
  const after = await untilSeen(
    first,
    (view) => view.authorities.length === 1 && view.authorities[0]!.fingerprint === fresh,
    "the new authority alone",
  );
  const sofar = written;
  await until(
    () => Promise.resolve(written > sofar + 50 ? true : undefined),
    patienceMs,
    () => "writes stopped",
  );
  writing.on = false;
  await Promise.all(writers);
  expect(failures).toEqual([]);
  expect(after.nodes.map((node) => node.certificate?.authority)).toEqual([fresh, fresh, fresh]);
  expect([after.leader, after.term]).toEqual([leader, before.term]);
  // Voters hold the new key and no other one.
  await until(
    () =>
      Promise.resolve(mesh.nodes.every((node) => Object.keys(keysOf(node) ?? {}).join() === fresh) ? true : undefined),
    patienceMs,
    () => `keys: ${JSON.stringify(mesh.nodes.map((node) => Object.keys(keysOf(node) ?? {})))}`,
  );
  const { stdout: audit } = await first.skein(["audit", "--what", "authority"]);
  for (const step of ["authority.begin", "authority.issue", "authority.drop"]) expect(audit).toContain(step);
  // Local commands and new nodes go by the new one.
  expect((await first.skein(["nodes", "ls"])).code).toBe(0);
  const token = (await first.skein(["cluster", "token", "-o", "quiet"])).stdout.trim();
  expect((await joinBy(mesh, token, "late")).cluster).toBe(first.ready.cluster);
  expect(old).not.toBe(fresh);
}, 600_000);

async function joinBy(mesh: Mesh, token: string, name: string): Promise<MeshNode["ready"]> {
  const joiner = new MeshNode({
    executable: binary,
    directory: path.join(mesh.directory, name),
    flags: ["--name", name, "--join", mesh.addresses(), "--token", token],
    env: { SKEIN_TEST_MESH: path.basename(mesh.directory) },
  });
  mesh.nodes.push(joiner);
  return await joiner.start();
}

async function rotate(node: MeshNode): Promise<string> {
  const before = (await seen(node)).authorities.map((one) => one.fingerprint);
  const fresh = await until(
    async () => {
      const said = await node.skein(["cluster", "rotate-ca", "-o", "quiet"]);
      if (said.code === 0) return said.stdout.trim();
      // What the API shows was being replaced: that answer was lost, and the request may have been carried out.
      expect([said.code, said.stderr]).toEqual([5, expect.stringContaining("the answer was lost")]);
      return (await seen(node)).authorities.map((one) => one.fingerprint).find((one) => !before.includes(one));
    },
    patienceMs,
    () => "the authority cannot be replaced",
  );
  await untilSeen(
    node,
    ({ authorities }) => authorities.length === 1 && authorities[0]!.fingerprint === fresh,
    "the new authority alone",
  );
  return fresh;
}

test("a join token and a client's authority of before several replacements stay good, each is vouched for by the one before", async () => {
  await using mesh = await Mesh.start({ nodes: 2, tls: true });
  const [first] = mesh.nodes as [MeshNode, MeshNode];
  const { ca } = JSON.parse(readFileSync(path.join(first.data, "context.json"), "utf8")) as { ca: string };
  const token = (await first.skein(["cluster", "token", "--uses", "1", "-o", "quiet"])).stdout.trim();
  for (let round = 0; round < 3; round++) expect(token).not.toContain(await rotate(first));
  const client = new SkeinClient({ addrs: mesh.nodes.map((node) => node.ready.api), token: first.token, ca });
  expect(await client.submit({ driver: "noop", noop: {} })).toBeDefined();
  expect((await joinBy(mesh, token, "late")).cluster).toBe(first.ready.cluster);
}, 600_000);

test("a node that is started with the words of its first start, join token and all, comes back after the authority was replaced", async () => {
  await using mesh = await Mesh.start({ nodes: 1 });
  const [first] = mesh.nodes as [MeshNode];
  const token = (await first.skein(["cluster", "token", "--uses", "1", "-o", "quiet"])).stdout.trim();
  const joined = await joinBy(mesh, token, "joined");
  const second = mesh.nodes[1]!;
  const ignored = "the join token is of no authority";
  for (let round = 0; round < 2; round++) {
    expect(token).not.toContain(await rotate(first));
    await second.stop();
    // Its flags hold the token, which names the authority of then.
    expect((await second.start()).node).toBe(joined.node);
    await untilSeen(second, (view) => view.leader !== null && view.nodes.length === 2, "both nodes and a leader");
    await second.said("going on as node");
    expect(second.log).not.toContain(ignored);
  }
  // It was off meanwhile, and knows nothing of the authority that a new token names.
  await second.stop();
  const begun = await first.skein(["cluster", "rotate-ca", "-o", "quiet"]);
  expect(begun.code).toBe(0);
  expect(
    (await second.start(["--token", `skein1.${"0".repeat(32)}.${token.split(".").slice(2).join(".")}`])).node,
  ).toBe(joined.node);
  await second.said(ignored);
  await untilSeen(
    second,
    (view) => view.authorities.length === 1 && view.authorities[0]!.fingerprint === begun.stdout.trim(),
    "the new authority alone",
  );
}, 600_000);

test("a voter that was dead when it was removed learns of it when it is started after the authority was replaced, twice", async () => {
  await using mesh = await Mesh.start({ nodes: 4, flags: ["--voters", "3"] });
  const [first] = mesh.nodes as [MeshNode, ...MeshNode[]];
  const before = await untilSeen(first, (view) => view.voters.length === 3, "three voters");
  await untilThreeHoldKeys(mesh);
  const old = before.authorities[0]!.fingerprint;
  const dead = mesh.nodes.find((node) => before.voters.includes(node.ready.node) && node !== first)!;
  await dead.kill();
  await until(
    async () => ((await first.skein(["nodes", "rm", String(dead.ready.node)])).code === 0 ? true : undefined),
    patienceMs,
    () => "a dead node could not be removed",
  );
  await untilSeen(
    first,
    (view) => view.authorities.length === 1 && view.authorities[0]!.fingerprint !== old,
    "another authority",
  );
  await rotate(first);
  await dead.start().catch(() => undefined); // it may end before it says that it is ready
  expect(await dead.exited).toBe(6);
}, 600_000);

test("certificates renew themselves while a job runs, again and again, and nobody notices", async () => {
  await using mesh = await Mesh.start({ nodes: 3, tls: true, env: { SKEIN_CERTIFICATE_LIFE: "12s" } });
  const [first] = mesh.nodes as [MeshNode, ...MeshNode[]];
  const before = await untilSeen(
    first,
    (view) => view.voters.length === 3 && view.nodes.every((one) => one.certificate !== null),
    "three voters with certificates",
  );
  const shown = (view: ClusterView): string[] => view.nodes.map((node) => node.certificate!.fingerprint);
  await allUp(mesh, first);
  const running = first.skein([
    "run",
    "--each-node",
    "--",
    "sh",
    "-c",
    "while [ ! -e stop ]; do sleep 0.1; [ $((n=n+1)) -gt 200 ] && touch stop; done; echo done",
  ]);
  let last = before;
  for (let round = 0; round < 2; round++) {
    const known = shown(last);
    last = await untilSeen(
      first,
      (view) => shown(view).every((one, at) => one !== known[at]),
      "a new certificate on every node",
    );
  }
  // All that they had at the start has expired by now, and new connections are let in by what they have.
  const started = Math.max(...before.nodes.map((node) => Date.parse(node.certificate!.expires_at)));
  await until(
    () => Promise.resolve(Date.now() > started ? true : undefined),
    patienceMs,
    () => "time stands still",
  );
  const [, second] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await second.kill();
  await second.start();
  const { code, stdout } = await running;
  expect([code, stdout.match(/done/g)?.length]).toEqual([0, 3]);
  const after = await untilSeen(first, (view) => view.nodes.every((node) => node.state === "up"), "all nodes up");
  expect(after.leader).not.toBeNull();
  expect(existsSync(path.join(first.data, "certificate.json"))).toBe(true);
}, 600_000);

test("a node that was off past the end of its certificate comes back with its data", async () => {
  await using mesh = await Mesh.start({ nodes: 3, env: { SKEIN_CERTIFICATE_LIFE: "15s" } });
  const [first, , third] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  const before = await untilSeen(
    first,
    (view) => view.voters.length === 3 && view.nodes.every((one) => one.certificate !== null),
    "three voters with certificates",
  );
  await third.stop();
  const certificateOf = (view: ClusterView) => view.nodes.find((one) => one.id === third.ready.node)!.certificate!;
  const ends = Date.parse(certificateOf(before).expires_at);
  await until(
    () => Promise.resolve(Date.now() > ends + 1000 ? true : undefined),
    patienceMs,
    () => "time stands still",
  );
  await third.start();
  const after = await untilSeen(
    third,
    (view) => view.leader !== null && certificateOf(view).fingerprint !== certificateOf(before).fingerprint,
    "a new certificate",
  );
  expect(after.voters).toContain(third.ready.node);
  expect((await third.api("POST", "/v1/jobs", { driver: "noop", noop: {} })).status).toBe(201);
}, 600_000);

test("a voter that is removed is followed by a new authority, whose key it never saw", async () => {
  await using mesh = await Mesh.start({ nodes: 4, flags: ["--voters", "3"] });
  const [first] = mesh.nodes as [MeshNode, ...MeshNode[]];
  const before = await untilSeen(first, (view) => view.voters.length === 3, "three voters");
  await untilThreeHoldKeys(mesh);
  const old = before.authorities[0]!.fingerprint;
  const leaving = mesh.nodes.find((node) => before.voters.includes(node.ready.node) && node !== first)!;
  expect((await first.skein(["nodes", "rm", String(leaving.ready.node)])).code).toBe(0);
  const after = await untilSeen(
    first,
    (view) => view.authorities.length === 1 && view.authorities[0]!.fingerprint !== old,
    "another authority",
  );
  const fresh = after.authorities[0]!.fingerprint;
  expect(await leaving.exited).toBe(6);
  expect(Object.keys(keysOf(leaving) ?? {})).not.toContain(fresh);
  await untilSeen(first, (view) => view.voters.length === 3, "three voters again");
  await until(
    () =>
      Promise.resolve(
        mesh.nodes.filter((node) => Object.keys(keysOf(node) ?? {}).join() === fresh).length === 3 ? true : undefined,
      ),
    patienceMs,
    () => "not all voters have the new key",
  );
  const { stdout } = await first.skein(["audit", "--what", "authority.begin"]);
  expect(stdout).toContain(`node ${leaving.ready.node}, which knew its key, was removed`);
}, 600_000);

test("a copy of a member's state gets nobody its certificate: not by a join token that is good, nor by one that was revoked", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const [first, second] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await untilSeen(first, (view) => view.voters.length === 3 && view.level === ownLevel, "three voters at this level");
  const made = async (): Promise<JoinToken> => {
    const { code, stdout } = await first.skein(["cluster", "token", "-o", "quiet"]);
    expect(code).toBe(0);
    return parseJoinToken(stdout) as JoinToken;
  };
  const [good, revoked] = [await made(), await made()];
  // The copy is made when both tokens are good, with all that the hosts' disks say of them.
  const copied = await until(
    () => {
      const file = path.join(mesh.directory, "copy.db");
      for (const end of ["", "-wal"])
        writeFileSync(`${file}${end}`, readFileSync(path.join(second.data, `state.db${end}`)));
      using copy = new Database(file);
      const hashes = copy.query<{ hash: string }, string[]>("select hash from token where id in (?, ?)");
      if (hashes.all(good.id, revoked.id).length < 2) return Promise.resolve(undefined);
      const nodes = copy
        .query<{ id: number; name: string; incarnation: string }, []>("select * from node order by id")
        .all();
      const hashOf = ({ id }: JoinToken): string => hashes.all(id, id)[0]!.hash;
      const owned = copy.query<{ id: string; hash: string }, number>("select id, hash from token where node = ?");
      return Promise.resolve({
        nodes: nodes.map((node) => ({ ...node, apiToken: owned.get(node.id) ?? { id: "0123456789ab", hash: "h" } })),
        hashes: new Map([good, revoked].map((one) => [one, hashOf(one)])),
      });
    },
    patienceMs,
    () => "the tokens are not in the second node's state",
  );
  expect((await first.skein(["token", "revoke", revoked.id])).code).toBe(0);
  const key = await makeKey();
  const certificate = { csr: await makeRequest(key), hosts: ["localhost"] };
  for (const [token, why] of [
    [good, /in the cluster already|used before/],
    [revoked, /was revoked/],
  ] as const) {
    for (const { id, name, incarnation, apiToken } of copied.nodes) {
      for (const asked of [name, `another-${id}`]) {
        // Under a name that is free, with an incarnation that is not its own API token's, it would only be a new node.
        if (asked !== name && apiToken.hash === "h") continue;
        const request: JoinRequest = {
          name: asked,
          incarnation,
          labels: {},
          slots: 1,
          ioTasks: 1,
          level: ownLevel,
          version: "0",
          votersWanted: undefined,
          certificate,
          apiToken: { id: apiToken.id, hash: apiToken.hash },
        };
        const contact = { url: first.ready.api, tls: {} };
        const answer = await askToJoin(contact, token, copied.hashes.get(token)!, request, 30_000);
        expect([asked, answer.ok ? "let in" : answer.why.message]).toEqual([asked, expect.stringMatching(why)]);
      }
    }
  }
  const audit = (await first.skein(["audit", "--what", "node.join"])).stdout;
  for (const token of [good, revoked])
    expect(audit.split("\n").filter((line) => line.includes(`by join token ${token.id}`)).length).toBeGreaterThan(0);
  expect(audit).toMatch(/unauthorized/);
  expect((await seen(first)).nodes).toHaveLength(3);
}, 600_000);
