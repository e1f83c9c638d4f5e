/** Bundles that are pinned from a repository by themselves, by the binary on three voters and a learner: on a schedule, by pushes that GitHub and GitLab tell of, and under another leader. */
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { allUp, finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import type { BundleSourceView } from "../../src/state/answers.ts";
import { metric, temporaryDirectory } from "./harness.ts";

const secret = "correct horse battery";

/** A bare repository, and a checkout that pushes to it. */
class Repository {
  readonly bare: string;
  readonly #work: string;

  constructor(root: string) {
    this.bare = path.join(root, "play.git");
    this.#work = path.join(root, "work");
    mkdirSync(this.#work);
    this.#git(root, "init", "-q", "--bare", "-b", "main", this.bare);
    this.#git(root, "init", "-q", "-b", "main", this.#work);
  }

  #git(at: string, ...words: string[]): string {
    const who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    const said = Bun.spawnSync(["git", "-C", at, ...who, ...words]);
    if (said.exitCode !== 0) throw new Error(said.stderr.toString());
    return said.stdout.toString().trim();
  }

  push(text: string, branch = "main"): string {
    writeFileSync(path.join(this.#work, "word"), text);
    this.#git(this.#work, "add", "-A");
    this.#git(this.#work, "commit", "-q", "-m", "x");
    this.#git(this.#work, "push", "-q", this.bare, `HEAD:refs/heads/${branch}`);
    return this.#git(this.#work, "rev-parse", "HEAD");
  }
}

/** undefined: there is none, or nobody leads just now. */
async function sourceOf(node: MeshNode): Promise<BundleSourceView | undefined> {
  const { status, body } = await node.api("GET", "/v1/bundle-sources");
  return status === 200 ? (body as { sources: BundleSourceView[] }).sources[0] : undefined;
}

/** As soon as that holds of it. */
async function untilSource(node: MeshNode, holds: (source: BundleSourceView) => boolean): Promise<BundleSourceView> {
  let seen: BundleSourceView | undefined;
  return until(
    async () => ((seen = await sourceOf(node)), seen !== undefined && holds(seen) ? seen : undefined),
    2 * patienceMs,
    () => `it stays ${JSON.stringify(seen)}`,
  );
}

async function say(node: MeshNode, ...words: string[]): Promise<string> {
  const said = await node.skein(words);
  if (said.code !== 0) throw new Error(said.stderr);
  return said.stdout;
}

/** What a task finds in the newest version. */
async function word(mesh: Mesh, node: MeshNode): Promise<string | undefined> {
  const job = await submit(node, { run: "cat word", bundle: "play" });
  expect((await finished(mesh, job)).state).toBe("succeeded");
  return (await tasksOf(node, job))[0]?.tail.trim();
}

test("a bundle follows its repository: by pushes that are told of, on a schedule, and keeps its newest version where that is gone", async () => {
  using scratch = temporaryDirectory();
  const repository = new Repository(scratch.path);
  const first = repository.push("one");
  await using mesh = await Mesh.start({ nodes: 3 });
  const [a, b, c] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
  await allUp(mesh, a);
  expect((await a.api("POST", "/v1/secrets", { name: "hook", value: secret })).status).toBe(201);
  await say(a, "bundle", "git", repository.bare, "--ref", "main", "--name", "play", "--webhook", "hook");
  expect(await untilSource(b, ({ version }) => version === 1)).toMatchObject({ commit: first, every: null });
  expect(await word(mesh, b)).toBe("one");

  // GitHub tells one node of a push, and GitLab another one: a learner, which cannot read the secret and has a voter judge it.
  const learner = await mesh.add(["--learner"]);
  const tell = (node: MeshNode, body: string, headers: Record<string, string>) =>
    node.api("POST", "/v1/bundles/play/webhook", JSON.parse(body), { ...headers, authorization: "" });
  const signed = (body: string): Record<string, string> => ({
    "x-github-event": "push",
    "x-hub-signature-256": `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`,
  });
  const second = repository.push("two");
  const message = JSON.stringify({ ref: "refs/heads/main", after: second });
  expect((await tell(b, message, { ...signed(message), "x-hub-signature-256": "sha256=00" })).status).toBe(401);
  expect(await tell(b, message, signed(message))).toMatchObject({ status: 202, body: { result: "fetching" } });
  const pinned = await untilSource(c, ({ commit }) => commit === second);
  expect(pinned).toMatchObject({ version: 2, last_by: "webhook:play" });
  expect(await word(mesh, c)).toBe("two");
  const other = JSON.stringify({ object_kind: "push", ref: "refs/heads/next" });
  expect(await tell(c, other, { "x-gitlab-token": secret })).toMatchObject({
    status: 200,
    body: { result: "ignored" },
  });
  const third = repository.push("three");
  const gitlab = JSON.stringify({ object_kind: "push", ref: "refs/heads/main" });
  expect((await tell(learner, gitlab, { "x-gitlab-token": `${secret}r` })).status).toBe(401);
  expect((await tell(learner, gitlab, { "x-gitlab-token": secret })).status).toBe(202);
  await untilSource(a, ({ commit }) => commit === third);
  const audit = (await a.api("GET", "/v1/audit?by=webhook:play")).body as { audit: { command: string }[] };
  expect(audit.audit.map(({ command }) => command)).toEqual(["bundle.source.fetch", "bundle.source.fetch"]);

  // On a schedule, without anybody's word; another branch's commit makes no version.
  await say(b, "bundle", "git", repository.bare, "--ref", "main", "--name", "play", "--every", "10s");
  repository.push("aside", "next");
  const fourth = repository.push("four");
  expect(await untilSource(b, ({ commit }) => commit === fourth)).toMatchObject({ version: 4, every: "10s" });

  // The repository goes away: the newest version stays, and it is said since when and why. It comes back under another leader.
  renameSync(repository.bare, `${repository.bare}.away`);
  const failing = await untilSource(c, (source) => source.failing !== undefined);
  expect(failing).toMatchObject({ version: 4, commit: fourth });
  expect(failing.failing?.reason).toContain("git ls-remote of");
  // A node's metrics are of what it has applied itself, which may be a moment behind.
  await until(
    async () => (await metric(a, "skein_bundle_sources_failing")) === 1 || undefined,
    patienceMs,
    () => "its metrics do not say that a source is failing",
  );
  expect(await say(a, "bundle", "sources")).toContain("failing since");
  expect(await word(mesh, a)).toBe("four");
  const leader = await mesh.leader();
  await leader.kill();
  renameSync(`${repository.bare}.away`, repository.bare);
  const fifth = repository.push("five");
  const left = mesh.nodes.find((node) => node !== leader)!;
  const back = await untilSource(left, ({ commit }) => commit === fifth);
  expect([back.version, back.failing]).toEqual([5, undefined]);
  await leader.start();
  await say(left, "bundle", "source", "rm", "play");
  expect((await left.api("GET", "/v1/bundle-sources")).body).toEqual({ sources: [] });
  expect(await word(mesh, left)).toBe("five");
}, 300_000);
