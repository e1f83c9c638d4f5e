import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Looked } from "../../src/node/bundle-looks.ts";
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
