import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { limits } from "../../src/lib/limits.ts";
import { bundleSource } from "../../src/state/tables/bundle-source.ts";
import { listAudit } from "../../src/state/queries.ts";
import { admin } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

/** GitHub's own example of a signature (docs.github.com, validating webhook deliveries). */
const secret = "It's a Secret to Everybody";
const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/** A node whose bundle "play" is pinned from a repository when a push is told of, and "quiet" on a schedule alone. */
class Stage {
  readonly mesh = new Mesh();
  readonly node = this.mesh.node();
  readonly ask = asking(this.node);

  constructor(ref?: string) {
    const { mesh } = this;
    mesh.cluster.level = 3;
    const key = "0".repeat(32);
    mesh.change((cluster) => {
      cluster.must("authority.begin", { fingerprint: key, certificate: pem, crossed: null, reason: "test" });
      cluster.must("secret.set", { name: "hook", key, sealed: new Uint8Array(40) }, admin);
      cluster.must("bundle.source.set", { name: "play", url: "/srv/play.git", ref, webhook: "hook" }, admin);
      cluster.must("bundle.source.set", { name: "quiet", url: "/srv/play.git", every: 60_000 }, admin);
    });
    this.node.keys.set("hook", secret);
    this.settle();
  }

  /** It was looked at, and nothing was new there. */
  settle(): void {
    const { revision, asked, commit_id: base } = this.row;
    const noted = { name: "play", revision, asked, base, failure: null };
    this.mesh.change((cluster) => cluster.must("bundle.source.note", noted));
  }

  get row() {
    return bundleSource(this.mesh.cluster.database, "play")!;
  }

  get isDue(): boolean {
    return this.row.due_at !== null;
  }

  /** Without a token, as whoever tells of pushes has none. */
  tell(body: string, headers: Record<string, string>, name = "play"): Promise<Response> {
    return this.ask("POST", `/v1/bundles/${name}/webhook`, body, { authorization: undefined, ...headers });
  }

  github(message: object, more: Record<string, string> = {}): Promise<Response> {
    const body = JSON.stringify(message);
    return this.tell(body, { "x-github-event": "push", "x-hub-signature-256": signed(body), ...more });
  }

  gitlab(message: object, more: Record<string, string> = {}): Promise<Response> {
    const headers = { "x-gitlab-event": "Push Hook", "x-gitlab-token": secret, ...more };
    return this.tell(JSON.stringify({ object_kind: "push", ...message }), headers);
  }
}

const signed = (body: string, by = secret): string => `sha256=${createHmac("sha256", by).update(body).digest("hex")}`;
const toMain = { ref: "refs/heads/main", repository: { default_branch: "main" } };

describe("a push that is told of", () => {
  test("by GitHub, signed as in its own example, is theirs", async () => {
    const stage = new Stage();
    const signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    const told = await stage.tell("Hello, World!", { "x-hub-signature-256": signature });
    expect(told.status).toBe(400); // signed well, and no JSON
    const other = await stage.tell("Hello, World?", { "x-hub-signature-256": signature });
    expect(other.status).toBe(401);
  });

  test("by GitHub has the repository looked at, in the audit by its webhook, and never shows the secret", async () => {
    const stage = new Stage("main");
    const told = await stage.github(toMain);
    expect([told.status, await jsonIn<unknown>(told)]).toEqual([202, { name: "play", result: "fetching" }]);
    expect(stage.row).toMatchObject({ due_at: expect.any(Number), asked_by: "webhook:play" });
    const [newest] = listAudit(stage.mesh.cluster.database, { limit: 1 }).items;
    expect(newest).toMatchObject({ name: "webhook:play", token: "", command: "bundle.source.fetch", outcome: "ok" });
    const shown = await (await stage.ask("GET", "/v1/bundle-sources")).text();
    expect(JSON.parse(shown)).toMatchObject({ sources: [{ name: "play", webhook: "hook" }, { name: "quiet" }] });
    for (const text of [shown, JSON.stringify(stage.row), JSON.stringify(newest)]) expect(text).not.toContain(secret);
  });

  test("by GitHub as a form is read too", async () => {
    const stage = new Stage("main");
    const body = new URLSearchParams({ payload: JSON.stringify(toMain) }).toString();
    const headers = { "x-github-event": "push", "content-type": "application/x-www-form-urlencoded" };
    expect((await stage.tell(body, { ...headers, "x-hub-signature-256": signed(body) })).status).toBe(202);
    // JSON under the name of a form, as curl -d sends it.
    const plain = JSON.stringify(toMain);
    expect((await stage.tell(plain, { ...headers, "x-hub-signature-256": signed(plain) })).status).toBe(202);
  });

  test("by GitLab has the repository looked at, of a branch and of a tag", async () => {
    for (const [ref, message] of [
      ["main", { ref: "refs/heads/main" }],
      [undefined, { ref: "refs/heads/trunk", project: { default_branch: "trunk" } }],
      ["HEAD", { ref: "refs/heads/trunk", project: { default_branch: "trunk" } }],
      ["v1", { object_kind: "tag_push", ref: "refs/tags/v1" }],
      ["refs/heads/next", { ref: "refs/heads/next" }],
    ] as const) {
      const stage = new Stage(ref);
      expect((await stage.gitlab(message)).status).toBe(202);
      expect(stage.isDue).toBe(true);
    }
  });

  test("to another ref, a ping, and what is no push are ignored, and it is said why", async () => {
    const stage = new Stage("main");
    for (const [told, why] of [
      [await stage.github({ ref: "refs/heads/next" }), "it is to refs/heads/next, and the bundle is of main"],
      [await stage.github({ ref: "refs/heads/old/main" }), "it is to refs/heads/old/main, and the bundle is of main"],
      [await stage.github({ zen: "x" }, { "x-github-event": "ping" }), "it is no push, but ping"],
      [await stage.gitlab({ object_kind: "issue" }), "it is no push, but issue"],
      [await stage.gitlab({}), "it does not say what was pushed to"],
    ] as const)
      expect([told.status, await jsonIn<unknown>(told)]).toEqual([200, { name: "play", result: "ignored", why }]);
    expect(stage.isDue).toBe(false);
  });

  test("with a wrong secret, without one, of a bundle that is not there or has no webhook: the same answer", async () => {
    const stage = new Stage("main");
    const body = JSON.stringify(toMain);
    const answers: string[] = [];
    for (const [headers, name] of [
      [{ "x-hub-signature-256": signed(body, "another secret") }, "play"],
      [{ "x-hub-signature-256": "sha256=" }, "play"],
      [{ "x-hub-signature-256": signed(body).slice(0, -2) }, "play"],
      [{ "x-hub-signature-256": `sha1=${"0".repeat(40)}` }, "play"],
      [{ "x-gitlab-token": secret.slice(1) }, "play"],
      [{ "x-gitlab-token": `${secret} x` }, "play"],
      [{ "x-gitlab-token": "" }, "play"],
      [{}, "play"],
      [{ authorization: "Bearer skein_a_admin" }, "play"],
      [{ "x-hub-signature-256": signed(body) }, "none"],
      [{ "x-gitlab-token": secret }, "quiet"],
      [{ "x-gitlab-token": secret }, "x".repeat(300)],
      [{ "x-gitlab-token": "x".repeat(limits.secretBytes) }, "play"],
    ] as const) {
      const told = await stage.tell(body, headers, name);
      answers.push(`${told.status} ${await told.text()}`);
    }
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toStartWith("401 ");
    expect(stage.isDue).toBe(false);
    stage.node.keys.delete("hook"); // its secret is gone
    const told = await stage.tell(body, { "x-gitlab-token": secret });
    expect(`${told.status} ${await told.text()}`).toBe(answers[0]!);
  });

  test("that is too large is so whether there is such a bundle or not", async () => {
    const stage = new Stage("main");
    const body = "x".repeat(limits.webhookBytes + 1);
    for (const name of ["play", "none"]) {
      const told = await stage.tell(body, { "x-gitlab-token": "wrong" }, name);
      expect((await errorIn(told)).status).toBe(413);
    }
  });

  test("while as many are read as may be is put off, whoever tells it", async () => {
    const stage = new Stage("main");
    const wrong = (): Promise<Response> => stage.tell("{}", { "x-gitlab-token": "wrong" }, "none");
    const answers = await Promise.all(Array.from({ length: limits.webhooksAtOnce + 2 }, wrong));
    const count = (status: number): number => answers.filter((one) => one.status === status).length;
    expect([count(401), count(429)]).toEqual([limits.webhooksAtOnce, 2]);
    expect((await stage.github(toMain)).status).toBe(202);
  });

  test("with a wrong secret keeps its place until it is answered: no secret is found out by trying many", async () => {
    const stage = new Stage("main");
    const { bundles } = stage.node;
    const real = bundles.told.bind(bundles);
    const { promise: allJudged, resolve } = Promise.withResolvers<void>();
    let judged = 0;
    bundles.told = async (push) => {
      const outcome = await real(push);
      judged += 1;
      if (judged === limits.webhooksAtOnce) resolve();
      return outcome;
    };
    const wrong = Array.from({ length: limits.webhooksAtOnce }, () => stage.tell("{}", { "x-gitlab-token": "wrong" }));
    await allJudged;
    expect((await stage.github(toMain)).status).toBe(429);
    for (const told of await Promise.all(wrong)) expect(told.status).toBe(401);
    expect((await stage.github(toMain)).status).toBe(202);
  });

  test("many at once become few entries of the log, and the last of them is not lost", async () => {
    const stage = new Stage("main");
    const before = stage.mesh.cluster.database.applied;
    const { promise, resolve } = Promise.withResolvers<void>();
    stage.node.onPropose = () => promise;
    // None is logged before all of them have been told.
    const { bundles } = stage.node;
    const real = bundles.fetchSoon.bind(bundles);
    let told = 0;
    bundles.fetchSoon = (name) => {
      told += 1;
      if (told === limits.webhooksAtOnce) resolve();
      return real(name);
    };
    const some = Array.from({ length: limits.webhooksAtOnce }, () => stage.github(toMain));
    expect(new Set((await Promise.all(some)).map(({ status }) => status))).toEqual(new Set([202]));
    expect(stage.mesh.cluster.database.applied - before).toBeLessThanOrEqual(2);
    expect(stage.row.asked).toBe(stage.mesh.cluster.database.applied);
  });
});
