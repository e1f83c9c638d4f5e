import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { whyMissing } from "../../scripts/needed.ts";
import { Sshd } from "../../scripts/sshd.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { bundleSource } from "../../src/state/tables/bundle-source.ts";
import { adminToken, Mesh } from "../http/fake-node.ts";
import { cli, TestIo } from "./support.ts";

const scratch = mkdtempSync(join(tmpdir(), "skein-bundle-cli-"));
const mesh = new Mesh();
const node = mesh.node();
const server = serveHttp({ node, host: "127.0.0.1", port: 0 });
afterAll(async () => {
  await server.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const env = { SKEIN_ADDR: server.url, SKEIN_TOKEN: adminToken };
const run = (words: readonly string[], stdin?: Uint8Array) =>
  cli(words, env, new TestIo(stdin === undefined ? {} : { stdin }));
const json = async (words: readonly string[], stdin?: Uint8Array): Promise<Record<string, unknown>> => {
  const { code, out, err } = await run(["-o", "json", ...words], stdin);
  if (code !== 0) throw new Error(err);
  return JSON.parse(out) as Record<string, unknown>;
};

let made = 0;
function directoryOf(files: Readonly<Record<string, string>>): string {
  const root = join(scratch, `tree-${++made}`);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** Root may read everything. */
async function asNobody<Value>(work: () => Promise<Value>): Promise<Value> {
  const { getuid, seteuid } = process;
  if (getuid?.() !== 0 || seteuid === undefined) return await work();
  chmodSync(scratch, 0o755);
  seteuid.call(process, 65_534);
  try {
    return await work();
  } finally {
    seteuid.call(process, 0);
  }
}

const large = "0123456789abcdef".repeat(160 * 1024);

describe("skein bundle push", () => {
  test("keeps a directory, sends only what is new, and gives it back as it was", async () => {
    const root = directoryOf({ "bin/run": "#!/bin/sh\n", "etc/a": "1", "etc/b": "1", large });
    chmodSync(join(root, "bin/run"), 0o750);
    mkdirSync(join(root, "empty"));
    symlinkSync("../etc/a", join(root, "bin/conf"));
    expect(await json(["bundle", "push", root, "--name", "site"])).toMatchObject({
      name: "site",
      version: 1,
      is_new: true,
      files: 4,
      sent_files: 3,
    });
    expect(await json(["bundle", "push", root, "--name", "site"])).toMatchObject({
      version: 1,
      is_new: false,
      sent_files: 0,
    });
    writeFileSync(join(root, "etc/b"), "2");
    expect(await json(["bundle", "push", root, "--name", "site", "--source", "by hand"])).toMatchObject({
      version: 2,
      sent_files: 1,
      sent_bytes: 1,
    });
    const listed = (await json(["bundle", "ls"])) as { bundles: Record<string, unknown>[] };
    expect(listed.bundles[0]).toMatchObject({ name: "site", version: 2, files: 4, source: "by hand", nodes: [1] });
    const shown = (await json(["bundle", "show", "site"])) as { versions: { version: number }[] };
    expect(shown.versions.map(({ version }) => version)).toEqual([2, 1]);
    const back = join(scratch, "back");
    await json(["bundle", "get", "site@1", back]);
    expect(readFileSync(join(back, "etc/b"), "utf8")).toBe("1");
    expect(readFileSync(join(back, "large"), "utf8") === large).toBe(true);
    expect([
      statSync(join(back, "bin/run")).mode & 0o777,
      readlinkSync(join(back, "bin/conf")),
      existsSync(join(back, "empty")),
    ]).toEqual([0o750, "../etc/a", true]);
    expect((await run(["bundle", "get", "site", back])).err).toContain("is not empty");
    expect((await run(["bundle", "rm", "site"])).out).toContain("bundle site is removed (version 2, 1)");
    expect(await run(["bundle", "show", "site"])).toMatchObject({ code: 3, err: "skein: there is no bundle site\n" });
  });

  test("says at once everything that a bundle cannot hold", async () => {
    const root = directoryOf({ ok: "x" });
    symlinkSync("/etc/passwd", join(root, "absolute"));
    symlinkSync("../..", join(root, "out"));
    Bun.spawnSync(["mkfifo", join(root, "pipe")]);
    writeFileSync(join(root, "setuid"), "");
    chmodSync(join(root, "setuid"), 0o4755);
    const { code, err } = await run(["bundle", "push", root]);
    expect(code).toBe(2);
    for (const words of [
      "cannot be a bundle: of 4 things in it",
      "pipe: is a pipe",
      "setuid: has permissions beyond",
      "absolute: is a link to /etc/passwd",
      "out: is a link to ../.., which leads out of the bundle",
    ])
      expect(err).toContain(words);
    expect(await run(["bundle", "push", join(scratch, "none")])).toMatchObject({
      code: 2,
      err: expect.stringContaining(`${join(scratch, "none")} is not there`) as unknown,
    });
    expect(await run(["bundle", "push", join(root, "ok")])).toMatchObject({
      code: 2,
      err: expect.stringContaining("is no directory") as unknown,
    });
    expect((await run(["bundle", "push", root, "--name", "no name", "--copies", "99"])).err).toContain("--copies");
  });

  test("says at once what of a tree cannot be read, and which names are not UTF-8", async () => {
    const root = directoryOf({ "closed/f": "x", "etc/secret": "x", ok: "x", "ok-too": "x" });
    symlinkSync("../..", join(root, "out"));
    // "café" in Latin-1.
    writeFileSync(Buffer.concat([Buffer.from(join(root, "etc/caf")), Buffer.from([0xe9])]), "");
    chmodSync(join(root, "etc/secret"), 0);
    chmodSync(join(root, "closed"), 0);
    const { code, err } = await asNobody(() => run(["bundle", "push", root]));
    chmodSync(join(root, "closed"), 0o755);
    expect(code).toBe(2);
    for (const words of [
      "cannot be a bundle: of 4 things in it",
      "closed: cannot be read: you have no permission for it",
      "etc/secret: cannot be read: you have no permission for it",
      "etc/caf\\xe9: has a name that is not text in UTF-8",
      "out: is a link to ../..",
    ])
      expect(err).toContain(words);
  });

  test.each([[[]], [["-z"]]])("takes a tar %j on standard input", async (how) => {
    const root = directoryOf({ "a/b": "one", c: "two" });
    symlinkSync("a/b", join(root, "l"));
    Bun.spawnSync(["ln", join(root, "c"), join(root, "d")]);
    const tar = Bun.spawnSync(["tar", "-C", root, ...how, "-cf", "-", "."]).stdout;
    const pushed = await json(["bundle", "push", "-", "--name", `tar${how.length}`], tar);
    expect(pushed).toMatchObject({ version: 1, files: 3 });
    const back = join(scratch, `tar-back${how.length}`);
    await json(["bundle", "get", `tar${how.length}`, back]);
    expect(["a/b", "c", "d", "l"].map((path) => readFileSync(join(back, path), "utf8"))).toEqual([
      "one",
      "two",
      "two",
      "one",
    ]);
  });

  test("refuses a tar that leads out, one that is cut short, and what is none", async () => {
    const root = directoryOf({ f: "x" });
    symlinkSync("/etc", join(root, "l"));
    const evil = Bun.spawnSync(["tar", "-C", root, "-P", "--transform", "s,^f$,../../f,", "-cf", "-", "f", "l"]).stdout;
    const refused = await run(["bundle", "push", "-", "--name", "evil"], evil);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain("../../f: leads out of the bundle (..)");
    expect(refused.err).toContain("l: is a link to /etc");
    const whole = Bun.spawnSync(["tar", "-C", directoryOf({ f: "x".repeat(5000) }), "-cf", "-", "f"]).stdout;
    for (const bytes of [whole.subarray(0, 2000), Buffer.from("no tar at all".repeat(100)), new Uint8Array(0)])
      expect((await run(["bundle", "push", "-", "--name", "bad"], bytes)).code).toBe(2);
    expect((await run(["bundle", "push", "-"], whole)).err).toContain("say it with --name");
  });

  test("a submit names a bundle, and what it stands for is kept with the job", async () => {
    const pushed = await json(["bundle", "push", directoryOf({ f: "job" }), "--name", "jobs"]);
    const { id } = await json(["run", "-d", "--bundle", "jobs", "--read-only", "--", "cat", "f"]);
    const { spec } = mesh.cluster.job(id as number);
    expect(spec["bundle"]).toEqual({ name: `jobs@sha256:${String(pushed["digest"])}`, read_only: true });
    expect((await run(["run", "-d", "--bundle", "nothing", "--", "true"])).err).toContain(
      "bundle: there is no bundle nothing",
    );
    expect((await run(["run", "-d", "--read-only", "--", "true"])).err).toContain(
      "--read-only: is about the tree of --bundle",
    );
    const planned = await json(["plan", "-"], Buffer.from(JSON.stringify({ run: "x", bundle: "jobs@9" }))).catch(
      String,
    );
    expect(planned).toContain("bundle jobs has no version 9");
  });
});

/** A repository, by the system's git. */
class Repository {
  readonly path: string;

  constructor(name: string) {
    this.path = join(scratch, name);
    mkdirSync(this.path, { recursive: true });
    this.git("init", "-q", "-b", "main");
  }

  git(...words: string[]): string {
    const who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"];
    const said = Bun.spawnSync(["git", "-C", this.path, ...who, ...words], {
      env: { PATH: process.env["PATH"], HOME: scratch },
    });
    if (said.exitCode !== 0) throw new Error(said.stderr.toString());
    return said.stdout.toString().trim();
  }

  /** The server that it is on is of this process. */
  async addSubmodule(url: string, at: string): Promise<void> {
    const child = Bun.spawn(["git", "-C", this.path, "submodule", "add", "-q", url, at], {
      env: { PATH: process.env["PATH"], HOME: scratch },
      stderr: "pipe",
    });
    if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  }

  commit(files: Readonly<Record<string, string>>): string {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(this.path, dirname(path)), { recursive: true });
      writeFileSync(join(this.path, path), text);
    }
    this.git("add", "-A");
    this.git("commit", "-q", "-m", "x");
    this.git("update-server-info");
    return this.git("rev-parse", "HEAD");
  }
}

describe("skein bundle git", () => {
  const at = (repository: Repository): string => `file://${repository.path}`;

  test("keeps a branch, a new commit of it, a tag, a commit and a directory, without .git", async () => {
    const repository = new Repository("plain");
    const first = repository.commit({ "play/site.yml": "first", README: "r" });
    repository.git("tag", "v1");
    expect(await json(["bundle", "git", at(repository), "--ref", "main"])).toMatchObject({
      name: "plain",
      version: 1,
      files: 2,
    });
    const second = repository.commit({ "play/site.yml": "second" });
    expect(await json(["bundle", "git", at(repository), "--ref", "main"])).toMatchObject({ version: 2, sent_files: 1 });
    expect(await json(["bundle", "git", at(repository)])).toMatchObject({ version: 2, is_new: false });
    expect(await json(["bundle", "git", at(repository), "--ref", "v1"])).toMatchObject({ version: 3, sent_files: 0 });
    expect(await json(["bundle", "git", at(repository), "--ref", second.slice(0, 10)])).toMatchObject({ version: 4 });
    expect(
      await json(["bundle", "git", at(repository), "--ref", first, "--subdir", "play", "--name", "play"]),
    ).toMatchObject({ files: 1 });
    const shown = (await json(["bundle", "show", "plain"])) as { versions: { source: string }[] };
    expect(shown.versions[0]?.source).toBe(`${at(repository)} ${second.slice(0, 10)} ${second}`);
  });

  test("brings submodules along, from a server that gives no parts of histories too", async () => {
    const part = new Repository("part");
    part.commit({ lib: "of the part" });
    const whole = new Repository("whole");
    whole.commit({ top: "t" });
    using files = serveFiles();
    await whole.addSubmodule(`${files.url}/part/.git`, "sub");
    whole.commit({ top: "t2" });
    const pushed = await json(["bundle", "git", `${files.url}/whole/.git`, "--ref", "main", "--name", "whole"]);
    expect(pushed).toMatchObject({ files: 3 });
    const back = join(scratch, "whole-back");
    await json(["bundle", "get", "whole", back]);
    expect(readFileSync(join(back, "sub/lib"), "utf8")).toBe("of the part");
    expect(existsSync(join(back, "sub/.git"))).toBe(false);
  }, 60_000);

  test("refuses files of git LFS, each named, and a ref or directory that is not there", async () => {
    const repository = new Repository("lfs");
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    repository.commit({ "big.iso": pointer, "d/other.iso": pointer, ok: "x" });
    const refused = await run(["bundle", "git", at(repository)]);
    expect(refused.code).toBe(2);
    for (const words of [
      "2 files are kept by git LFS",
      "big.iso: is a pointer of git LFS",
      "d/other.iso: is a pointer",
    ])
      expect(refused.err).toContain(words);
    expect((await run(["bundle", "git", at(repository), "--ref", "nowhere"])).err).toContain("git fetch of");
    expect((await run(["bundle", "git", at(repository), "--subdir", "none"])).err).toContain(
      "there is no directory none",
    );
    expect((await run(["bundle", "git", at(repository), "--subdir", "../x"])).err).toContain(
      "is not in the repository",
    );
  });

  test("never asks: a server that wants a password, a repository that is not there and an option for an address fail at once", async () => {
    using closed = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("who are you?", { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }),
    });
    const denied = await run(["bundle", "git", `http://127.0.0.1:${closed.port}/x.git`]);
    expect(denied.code).toBe(7);
    expect(denied.err).toMatch(/terminal prompts disabled|Authentication failed/);
    expect((await run(["bundle", "git", `file://${scratch}/no-such-repository`])).code).toBe(7);
    for (const url of ["--upload-pack=touch", "ext::sh -c true"])
      expect((await run(["bundle", "git", "--name", "x", "--", url])).code).toBe(2);
  });

  test("ends by its limit where a server takes the connection and says nothing", async () => {
    using silent = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Promise<Response>(() => {}) });
    const late = await run(["bundle", "git", `http://127.0.0.1:${silent.port}/x.git`, "--timeout", "700ms"]);
    expect(late.code).toBe(124);
    expect(late.err).toContain("took longer than 700ms");
  });
});

test("skein bundle git --every is looked at by itself from then on, listed with how that goes, and taken away", async () => {
  const url = "git@git.lan:ops/follow.git";
  const set = await run(["bundle", "git", url, "--ref", "main", "--every", "10m"]);
  expect([set.code, set.out]).toEqual([0, expect.stringContaining("bundle follow is pinned from there every 10m")]);
  const listed = (await json(["bundle", "sources"])) as { sources: object[] };
  expect(listed.sources).toMatchObject([
    { name: "follow", url, ref: "main", every: "10m", set_by: "anna", version: null },
  ]);
  const { revision, asked } = bundleSource(mesh.cluster.database, "follow")!;
  const failure = "by node 2: the host cannot be reached";
  const noted = { name: "follow", revision, asked, base: null, failure };
  mesh.change((cluster) => cluster.must("bundle.source.note", noted));
  expect((await run(["bundle", "sources"])).out).toContain(`(1): ${failure}`);
  expect((await run(["bundle", "source", "fetch", "follow"])).code).toBe(0);
  expect(bundleSource(mesh.cluster.database, "follow")).toMatchObject({ asked_by: "anna" });
  for (const [words, why] of [
    [["--every", "1s"], "must be 10s at least"],
    [["--webhook", "none"], "there is no secret none"],
    [["--every", "10m", "--key-file", "x"], "name a secret by --key"],
  ] as const)
    expect((await run(["bundle", "git", url, ...words])).err).toContain(why);
  expect((await run(["bundle", "source", "rm", "follow"])).code).toBe(0);
  expect((await run(["bundle", "source", "rm", "follow"])).err).toContain("nothing pins bundle follow by itself");
});

const missing = whyMissing("sshd", ["openssh-server"], () => existsSync("/usr/sbin/sshd"), [
  "ssh.service",
  "ssh.socket",
]);
if (missing !== undefined) console.log(`skipped: git over ssh by a node: ${missing}`);

describe.skipIf(missing !== undefined)("skein bundle git by the node that is asked, over ssh", () => {
  let sshd: Sshd;
  let url: string;
  const repository = new Repository("by-node");
  beforeAll(async () => {
    sshd = await Sshd.start();
    url = `ssh://127.0.0.1:${sshd.port}${repository.path}`;
    node.keys.set("ops", readFileSync(sshd.key, "utf8").trimEnd());
  });
  afterAll(() => sshd.stop());
  const knownHosts = (): string => join(node.dataDir, "known_hosts");
  const left = (): string[] => readdirSync(join(node.dataDir, "git"));

  test("a key of the mesh fetches a branch, and a new commit of it; nothing of key or checkout stays", async () => {
    const first = repository.commit({ "site.yml": "[]" });
    expect(await json(["bundle", "git", url, "--key", "ops", "--ref", "main"])).toMatchObject({
      name: "by-node",
      version: 1,
      commit: first,
      files: 1,
    });
    const second = repository.commit({ "site.yml": "- hosts: all", more: "x".repeat(3_000_000) });
    expect(await json(["bundle", "git", url, "--key", "ops", "--ref", "main"])).toMatchObject({
      version: 2,
      commit: second,
      files: 2,
    });
    expect(await json(["bundle", "git", url, "--key", "ops"])).toMatchObject({ version: 2, is_new: false });
    const shown = await json(["bundle", "show", "by-node"]);
    expect(JSON.stringify(shown)).toContain(`${url} main ${second}`);
    expect(left()).toEqual([]);
    expect(readFileSync(knownHosts(), "utf8")).toContain(`127.0.0.1]:${sshd.port}`);
    const back = join(scratch, "by-node-back");
    await json(["bundle", "get", "by-node", back]);
    expect(readFileSync(join(back, "more"), "utf8")).toBe("x".repeat(3_000_000));
  });

  test("what would need a person fails with what to do, and without a word of the key", async () => {
    const keyOf = (...words: string[]): string => {
      const path = join(scratch, `key-${++made}`);
      Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-f", path, ...words]);
      return readFileSync(path, "utf8");
    };
    node.keys.set("strange", keyOf("-N", ""));
    node.keys.set("locked", keyOf("-N", "a passphrase"));
    node.keys.set("broken", "-----BEGIN OPENSSH PRIVATE KEY-----\nnot a key");
    const refused = async (key: string, to = url): Promise<string> => {
      const { code, err } = await run(["bundle", "git", to, "--key", key, "--name", "x", "--timeout", "30s"]);
      expect(code).not.toBe(0);
      expect(err).not.toContain("PRIVATE KEY");
      return err;
    };
    expect(await refused("strange")).toContain("the host knows neither the key nor the user");
    expect(await refused("locked")).toContain("locked by a passphrase");
    expect(await refused("broken")).toContain("no private key that ssh can read");
    expect(await refused("none")).toContain("there is no secret none");
    expect(await refused("ops", `ssh://127.0.0.1:1${repository.path}`)).toContain("the host cannot be reached");
    const before = readFileSync(knownHosts(), "utf8");
    const other = readFileSync(`${join(scratch, `key-${made}`)}.pub`, "utf8")
      .split(" ")
      .slice(0, 2)
      .join(" ");
    writeFileSync(knownHosts(), `[127.0.0.1]:${sshd.port} ${other}\n`);
    expect(await refused("ops")).toContain("the host has another key than before");
    writeFileSync(knownHosts(), before);
    expect(left()).toEqual([]);
    expect(await json(["bundle", "git", url, "--key", "ops"])).toMatchObject({ is_new: false });
    expect((await run(["bundle", "git", url, "--there", "--key-file", sshd.key])).code).toBe(2);
    expect((await run(["bundle", "git", "--there", "--name", "x", "--", "ext::sh -c true"])).code).toBe(2);
  });
});

/** Files below the scratch directory, as a plain web server has them. */
function serveFiles(): { readonly url: string } & Disposable {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const file = Bun.file(join(scratch, new URL(request.url).pathname));
      return (await file.exists()) ? new Response(file) : new Response("", { status: 404 });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, [Symbol.dispose]: () => void server.stop(true) };
}
