import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whyMissing } from "../../scripts/needed.ts";
import { generateKey, Sshd } from "../../scripts/sshd.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Looked } from "../../src/node/bundle-looks.ts";
import { bundleHolders } from "../../src/state/queries.ts";
import { bundleVersions } from "../../src/state/bundle-views.ts";
import type { CommandInput } from "../../src/state/commands/index.ts";
import { bundleSource } from "../../src/state/tables/bundle-source.ts";
import { Mesh } from "../http/fake-node.ts";
import { admin } from "../state/support.ts";

/** Looks at a repository on disk by the system's git, as a member does them for the leader. */
const scratch = mkdtempSync(join(tmpdir(), "skein-looks-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let made = 0;
let repository = "";
beforeEach(() => {
  repository = join(scratch, `repository-${++made}`);
  mkdirSync(repository);
  git("init", "-q", "-b", "main");
});

function git(...words: string[]): string {
  const who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
  const said = Bun.spawnSync(["git", "-C", repository, ...who, ...words]);
  if (said.exitCode !== 0) throw new Error(said.stderr.toString());
  return said.stdout.toString().trim();
}

function commit(text: string): string {
  writeFileSync(join(repository, "word"), text);
  git("add", "-A");
  git("commit", "-q", "-m", "x");
  return git("rev-parse", "HEAD");
}

class Stage {
  readonly mesh = new Mesh();
  readonly node = this.mesh.node();

  constructor(more: Partial<CommandInput<"bundle.source.set">> = {}) {
    this.mesh.cluster.level = 3;
    this.set(more);
  }

  set(more: Partial<CommandInput<"bundle.source.set">> = {}): void {
    const source = { name: "play", url: repository, ref: "main", every: 60_000, ...more };
    this.mesh.change((cluster) => cluster.must("bundle.source.set", source, admin));
  }

  /** A secret of the mesh, which this node can read. */
  secret(name: string, value: string): void {
    const [key, sealed] = ["0".repeat(32), new Uint8Array(40)] as const;
    const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    this.mesh.change((cluster) => {
      cluster.must("authority.begin", { fingerprint: key, certificate, crossed: null, reason: "test" });
      cluster.must("secret.set", { name, key, sealed }, admin);
    });
    this.node.keys.set(name, value);
  }

  get row() {
    return bundleSource(this.mesh.cluster.database, "play")!;
  }

  get versions(): number[] {
    return bundleVersions(this.mesh.cluster.database, "play").map(({ version }) => version);
  }

  async look(): Promise<Looked> {
    const { name, revision, asked, commit_id: base } = this.row;
    const looked = await this.node.bundles.lookAtSource({ name, revision, asked, base });
    expect(readdirSync(join(this.node.dataDir, "git"))).toEqual([]);
    return looked;
  }
}

test("a commit is pinned once, and another one when the ref stands for it; that of another branch is not", async () => {
  const first = commit("one");
  const stage = new Stage();
  expect(await stage.look()).toEqual({ kind: "pinned" });
  expect(stage.row).toMatchObject({ commit_id: first, version: 1 });
  expect(await stage.look()).toEqual({ kind: "same" });
  git("checkout", "-q", "-b", "deeper/main");
  commit("aside");
  expect(await stage.look()).toEqual({ kind: "same" });
  git("checkout", "-q", "main");
  const second = commit("two");
  expect(await stage.look()).toEqual({ kind: "pinned" });
  expect(stage.row).toMatchObject({ commit_id: second, version: 2 });
  expect(stage.versions).toEqual([2, 1]);
  const [newest] = bundleVersions(stage.mesh.cluster.database, "play");
  expect(newest).toMatchObject({ set_by: "anna", source: `${repository} main ${second}` });
});

test("an annotated tag, the repository's own branch and a commit stand for a commit, and are seen to do so again", async () => {
  const first = commit("one");
  git("tag", "-a", "v1", "-m", "x");
  commit("two");
  for (const ref of ["v1", "refs/tags/v1", first]) {
    const stage = new Stage({ ref });
    expect(await stage.look()).toEqual({ kind: "pinned" });
    expect(stage.row.commit_id).toBe(first);
    expect(await stage.look()).toEqual({ kind: "same" });
  }
  const stage = new Stage({ ref: undefined });
  expect([await stage.look(), await stage.look()]).toEqual([{ kind: "pinned" }, { kind: "same" }]);
});

test("another commit with the same tree is no version, and is known all the same", async () => {
  commit("one");
  const stage = new Stage();
  await stage.look();
  git("commit", "-q", "--allow-empty", "-m", "nothing");
  expect(await stage.look()).toEqual({ kind: "pinned" });
  expect(stage.row).toMatchObject({ commit_id: git("rev-parse", "HEAD"), version: 1 });
  expect(stage.versions).toEqual([1]);
});

test("what cannot be had is told in git's words, and pins nothing", async () => {
  commit("one");
  const stage = new Stage({ ref: "nowhere" });
  const looked = await stage.look();
  expect(looked).toEqual({ kind: "failed", why: expect.stringContaining("nowhere") });
  stage.set({ url: join(scratch, "none.git") });
  expect(await stage.look()).toEqual({ kind: "failed", why: expect.stringContaining("git fetch of") });
  stage.set({ subdir: "none" });
  expect(await stage.look()).toEqual({ kind: "failed", why: expect.stringContaining("there is no directory none") });
  writeFileSync(join(repository, "big"), "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n");
  commit("two");
  stage.set();
  expect(await stage.look()).toEqual({ kind: "failed", why: expect.stringContaining("big: is a pointer of git LFS") });
  expect(stage.versions).toEqual([]);
});

test("a look for a source that is another one by now does nothing", async () => {
  commit("one");
  const stage = new Stage();
  const { name, revision, asked } = stage.row;
  stage.set({ ref: "next" });
  const looked = await stage.node.bundles.lookAtSource({ name, revision, asked, base: null });
  expect(looked).toEqual({ kind: "over" });
  expect(stage.versions).toEqual([]);
});

test("what no member has any more is taken again, and is the version that it was; but not over what was pushed by hand", async () => {
  const first = commit("one");
  const stage = new Stage();
  await stage.look();
  const { digest } = bundleVersions(stage.mesh.cluster.database, "play")[0]!;
  const lose = (lost: string): void => {
    const held = { node: nodeId(1), held: [], gone: [lost] };
    stage.mesh.change((cluster) => cluster.must("bundle.held", held));
  };
  lose(digest);
  expect(await stage.look()).toEqual({ kind: "pinned" });
  expect(stage.row).toMatchObject({ commit_id: first, version: 1 });
  expect(bundleHolders(stage.mesh.cluster.database, digest)).toEqual([nodeId(1)]);
  const other = { digest: "e".repeat(64), bytes: 1, files: 1, copies: 1, holders: [nodeId(1)], source: null };
  stage.mesh.change((cluster) => cluster.must("bundle.set", { name: "play", ...other }, admin));
  for (const one of [digest, other.digest]) lose(one);
  expect(await stage.look()).toEqual({ kind: "same" });
  expect(stage.versions).toEqual([2, 1]);
});

test("who has as many checkouts under way as may be says that, and looks at it once they have ended", async () => {
  commit("one");
  const stage = new Stage();
  const { name, revision, asked } = stage.row;
  const look = { name, revision, asked, base: null };
  const some = Array.from({ length: limits.bundleCheckouts + 1 }, () => stage.node.bundles.lookAtSource(look));
  const kinds = (await Promise.all(some)).map(({ kind }) => kind);
  expect(kinds.toSorted()).toEqual(["busy", "over", "pinned"]);
  expect(await stage.look()).toEqual({ kind: "same" });
});

const missing = whyMissing("sshd", ["openssh-server"], () => existsSync("/usr/sbin/sshd"), [
  "ssh.service",
  "ssh.socket",
]);
if (missing !== undefined) console.log(`skipped: looks over ssh: ${missing}`);

describe.skipIf(missing !== undefined)("a look with a key that is a secret", () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await Sshd.start();
  });
  afterAll(() => sshd.stop());
  const stageWith = (key: string): Stage => {
    const stage = new Stage();
    stage.secret("deploy", key);
    stage.set({ url: `ssh://127.0.0.1:${sshd.port}${repository}`, key: "deploy" });
    return stage;
  };

  test("fetches over ssh, sees that nothing is new, and fetches what is; the host's key is kept, that of the mesh is not", async () => {
    commit("one");
    const stage = stageWith(readFileSync(sshd.key, "utf8").trimEnd());
    expect([await stage.look(), await stage.look()]).toEqual([{ kind: "pinned" }, { kind: "same" }]);
    const second = commit("two");
    expect(await stage.look()).toEqual({ kind: "pinned" });
    expect(stage.row).toMatchObject({ commit_id: second, version: 2 });
    expect(readFileSync(join(stage.node.dataDir, "known_hosts"), "utf8")).toContain(`127.0.0.1]:${sshd.port}`);
  });

  test("that the host does not know, that is locked or that is gone is told as that, without a word of it", async () => {
    commit("one");
    const keyOf = (name: string, passphrase: string): string => {
      const at = join(scratch, `${name}-${made}`);
      generateKey(at, passphrase);
      return readFileSync(at, "utf8");
    };
    for (const [key, why] of [
      [keyOf("strange", ""), "the host knows neither the key nor the user"],
      [keyOf("locked", "a passphrase"), "the secret deploy is locked by a passphrase"],
    ] as const) {
      const looked = await stageWith(key).look();
      expect(looked).toEqual({ kind: "failed", why: expect.stringContaining(why) });
      expect(JSON.stringify(looked)).not.toContain("PRIVATE KEY");
    }
    const stage = stageWith("x");
    expect(await stage.look()).toEqual({ kind: "failed", why: expect.stringContaining("no private key") });
    stage.node.keys.delete("deploy");
    expect(await stage.look()).toEqual({ kind: "failed", why: "there is no secret deploy" });
    expect(stage.versions).toEqual([]);
  });
});
