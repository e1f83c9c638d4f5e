import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { bundleVersions } from "../../src/state/bundle-views.ts";
import { bundleSourceView } from "../../src/state/bundle-source-views.ts";
import { commandByName, type CommandInput } from "../../src/state/commands/index.ts";
import { totals } from "../../src/state/queries.ts";
import type { SourceLook } from "../../src/state/sourcing.ts";
import { bundleSource, dueBundleSources } from "../../src/state/tables/bundle-source.ts";
import type { Principal } from "../../src/state/types.ts";
import { admin, Cluster } from "./support.ts";

const [first, second] = ["1".repeat(40), "2".repeat(40)] as const;
const webhook: Principal = { token: "", name: "webhook:play", role: "node" };

/** A cluster whose bundle "play" is pinned from a repository every ten minutes. */
class Stage {
  readonly cluster = Cluster.ofNewest(2);

  constructor(more: Partial<CommandInput<"bundle.source.set">> = {}) {
    this.secret("deploy");
    this.set(more);
  }

  secret(name: string): void {
    const authority = { fingerprint: "a".repeat(32), crossed: null, reason: "first" };
    const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    this.cluster.propose("authority.begin", { ...authority, certificate });
    const sealed = new Uint8Array(40).fill(1);
    this.cluster.must("secret.set", { name, key: authority.fingerprint, sealed }, admin);
  }

  set(more: Partial<CommandInput<"bundle.source.set">> = {}): void {
    const source = { name: "play", url: "git@git.lan:ops/play.git", ref: "main", every: 600_000, ...more };
    this.cluster.must("bundle.source.set", source, admin);
  }

  get row() {
    return bundleSource(this.cluster.database, "play")!;
  }

  get view() {
    return bundleSourceView(this.row);
  }

  get isDue(): boolean {
    return dueBundleSources(this.cluster.database, this.cluster.now).length > 0;
  }

  /** Somebody begins to look at it now. */
  look(): SourceLook {
    const { name, revision, asked, commit_id: base } = this.row;
    return { name, revision, asked, base };
  }

  pinInput(look: SourceLook, commit: string, letter: string): CommandInput<"bundle.source.pin"> {
    const tree = { digest: letter.repeat(64), bytes: 10, files: 1, copies: 2, holders: [1, 2].map(nodeId) };
    return { ...look, ...tree, source: "play.git main", commit };
  }

  fail(failure: string): void {
    this.cluster.must("bundle.source.note", { ...this.look(), failure });
  }
}

describe("a source of a bundle", () => {
  test("is due at once, then every so often, and a new commit is a new version by whoever set it", () => {
    const stage = new Stage();
    expect(stage.isDue).toBe(true);
    const pinned = stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), first, "a"));
    expect(pinned).toEqual({ name: "play", version: 1, isNew: true });
    expect(stage.isDue).toBe(false);
    stage.cluster.now += 600_000;
    expect(stage.isDue).toBe(true);
    stage.cluster.must("bundle.source.note", { ...stage.look(), failure: null });
    expect(stage.isDue).toBe(false);
    stage.cluster.now += 600_000;
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), second, "b"));
    const versions = bundleVersions(stage.cluster.database, "play");
    expect(versions.map(({ version, set_by: by }) => [version, by])).toEqual([
      [2, "anna"],
      [1, "anna"],
    ]);
    expect(stage.view).toMatchObject({ commit: second, version: 2, every: "10m" });
    expect(stage.view.failing).toBeUndefined();
    const told = stage.cluster.events.flatMap(({ changes }) => changes.filter(({ topic }) => topic === "bundle"));
    expect(told.map(({ kind }) => kind)).toEqual(["source", "pinned", "pinned"]);
  });

  test("that cannot be had keeps its newest version, says since when, how often and why, and is tried sooner", () => {
    const stage = new Stage();
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), first, "a"));
    stage.cluster.now += 600_000;
    const since = stage.cluster.now;
    const waits: number[] = [];
    for (let time = 0; time < 6; time++) {
      stage.fail("the host cannot be reached");
      waits.push(stage.row.due_at! - stage.cluster.now);
      stage.cluster.now = stage.row.due_at!;
    }
    expect(waits).toEqual([60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
    expect(stage.view).toMatchObject({
      version: 1,
      commit: first,
      good_at: new Date(since - 600_000).toISOString(),
      failing: { since: new Date(since).toISOString(), times: 6, reason: "the host cannot be reached" },
    });
    expect(bundleVersions(stage.cluster.database, "play")).toHaveLength(1);
    expect(totals(stage.cluster.database).bundleSourcesFailing).toBe(1);
    stage.cluster.must("bundle.source.note", { ...stage.look(), failure: null });
    expect(stage.view.failing).toBeUndefined();
    expect(totals(stage.cluster.database).bundleSourcesFailing).toBe(0);
  });

  test("of pushes alone is looked at when one is told of, once more where that comes meanwhile, and tried again where it fails", () => {
    const stage = new Stage();
    stage.secret("hook");
    stage.set({ every: undefined, webhook: "hook" });
    const begun = stage.look();
    stage.cluster.must("bundle.source.fetch", { bundle: "play" }, webhook);
    stage.cluster.must("bundle.source.pin", stage.pinInput(begun, first, "a"));
    expect(stage.isDue).toBe(true); // what was pushed meanwhile may not be in it
    stage.cluster.must("bundle.source.note", { ...stage.look(), failure: null });
    expect(stage.row).toMatchObject({ due_at: null, tried_by: "webhook:play", asked_by: null });
    stage.cluster.must("bundle.source.fetch", { bundle: "play" }, webhook);
    expect(stage.isDue).toBe(true);
    stage.fail("no");
    expect(stage.row.due_at).toBe(stage.cluster.now + limits.bundleSourceAgainMs);
  });

  test("of two looks at once, as after a change of the leader, the first one counts", () => {
    const stage = new Stage();
    const [one, other] = [stage.look(), stage.look()];
    stage.cluster.must("bundle.source.pin", stage.pinInput(one, second, "b"));
    const late = stage.cluster.refused("bundle.source.pin", stage.pinInput(other, first, "a"));
    expect(late).toEqual(["conflict", "bundle play was pinned by another look meanwhile"]);
    expect(bundleVersions(stage.cluster.database, "play").map(({ digest }) => digest[0])).toEqual(["b"]);
  });

  test("that was replaced or taken away meanwhile pins nothing; another ref begins anew, another time does not", () => {
    const stage = new Stage();
    const begun = stage.look();
    stage.set({ ref: "next" });
    expect(stage.cluster.refused("bundle.source.pin", stage.pinInput(begun, first, "a"))[0]).toBe("conflict");
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), first, "a"));
    stage.set({ ref: "next", every: 60_000 });
    expect(stage.row).toMatchObject({ commit_id: first, version: 1 });
    stage.set({ ref: "main" });
    expect(stage.row).toMatchObject({ commit_id: null, version: null });
    const last = stage.look();
    stage.cluster.must("bundle.source.rm", { bundle: "play" }, admin);
    expect(stage.cluster.refused("bundle.source.note", { ...last, failure: null })[0]).toBe("conflict");
    expect(stage.cluster.refused("bundle.source.fetch", { bundle: "play" }, admin)[0]).toBe("not-found");
    expect(bundleVersions(stage.cluster.database, "play")).toHaveLength(1);
  });

  test("goes with its bundle, and stays when one version goes", () => {
    const stage = new Stage();
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), first, "a"));
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), second, "b"));
    stage.cluster.must("bundle.rm", { bundle: "play", version: 1 }, admin);
    expect(stage.row).toBeDefined();
    stage.cluster.must("bundle.rm", { bundle: "play", version: 2 }, admin); // the last one
    expect(bundleSource(stage.cluster.database, "play")).toBeUndefined();
  });

  test("goes by the name of its bundle also before there is a version of that", () => {
    const stage = new Stage();
    expect(stage.cluster.refused("bundle.rm", { bundle: "play", version: 1 }, admin)[0]).toBe("not-found");
    expect(stage.cluster.must("bundle.rm", { bundle: "play" }, admin)).toEqual({ name: "play", versions: [] });
    expect(bundleSource(stage.cluster.database, "play")).toBeUndefined();
    expect(stage.cluster.refused("bundle.rm", { bundle: "play" }, admin)[0]).toBe("not-found");
  });

  test("knows no commit any more where it is set anew after its version was taken away: whoever sets it wants it", () => {
    const stage = new Stage();
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), first, "a"));
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), second, "b"));
    stage.cluster.must("bundle.rm", { bundle: "play", version: 2 }, admin);
    expect(stage.row.commit_id).toBe(second); // it does not come back by itself
    stage.set();
    expect(stage.row).toMatchObject({ commit_id: null, version: null });
  });

  test("keeps its secrets from being removed but by force", () => {
    const stage = new Stage();
    stage.secret("hook");
    stage.set({ key: "deploy", webhook: "hook" });
    for (const secret of ["deploy", "hook"]) {
      const [code, message] = stage.cluster.refused("secret.rm", { secret }, admin);
      expect([code, message]).toEqual(["conflict", expect.stringContaining("pinned by themselves: play;")]);
    }
    stage.cluster.must("secret.rm", { secret: "hook", force: true }, admin);
    stage.set();
    stage.cluster.must("secret.rm", { secret: "deploy" }, admin);
  });

  test("names secrets that are there, no password, and when it is looked at", () => {
    const { cluster } = new Stage();
    const made = { name: "play", url: "/srv/play.git", every: 600_000 };
    expect(cluster.refused("bundle.source.set", { ...made, key: "none" }, admin)).toEqual([
      "not-found",
      "there is no secret none: set it first ('skein secret set')",
    ]);
    const problems = (input: object): string[] => {
      const read = commandByName("bundle.source.set").input.safeParse({ ...made, every: "10m", ...input });
      return read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    };
    expect(problems({})).toEqual([]);
    expect(problems({ url: "ssh://git@git.lan/play.git" })).toEqual([]);
    for (const url of ["https://me:word@git.lan/x", "https://glpat-1234@git.lan/x", "ssh://me:word@git.lan/x"])
      expect(problems({ url }).join()).toContain("url: holds a password");
    expect(problems({ url: "ext::sh" })).toEqual(["url: cannot be fetched from"]);
    for (const url of ["./play", "play.git", "../ops/play", "~/play"])
      expect(problems({ url }).join()).toContain("url: is a path from a directory");
    for (const url of ["/srv/play.git", "file:///srv/play.git", "git@git.lan:ops/play.git", "git.lan:play"])
      expect(problems({ url })).toEqual([]);
    expect(problems({ ref: "--upload-pack=x" })).toEqual(["ref: cannot be fetched"]);
    expect(problems({ every: "1s" })).toEqual(["every: must be 10s at least"]);
    expect(problems({ every: undefined }).join()).toContain("say how often");
  });
});

describe("in the audit", () => {
  test("a push is its webhook's, and no token is asked for; anybody else's is asked for", () => {
    const stage = new Stage();
    stage.cluster.must("bundle.source.fetch", { bundle: "play" }, webhook);
    stage.cluster.must("bundle.source.pin", stage.pinInput(stage.look(), first, "a"));
    const audit = stage.cluster.events.flatMap(({ changes }) => changes.filter((one) => one.topic === "audit"));
    expect(audit.slice(-2)).toMatchObject([
      { by: "webhook:play", token: "", command: "bundle.source.fetch", what: "bundle play", outcome: "ok" },
      { by: "n1", command: "bundle.source.pin", what: "bundle play@1 (commit 111111111111)" },
    ]);
    const tree = stage.pinInput(stage.look(), first, "a");
    const { name, digest, bytes, files, copies, holders, source } = tree;
    const set = { name, digest, bytes, files, copies, holders, source };
    expect(stage.cluster.refused("bundle.set", set, webhook)[0]).toBe("unauthorized");
    expect(stage.cluster.refused("bundle.source.set", { name, url: "/x", every: 60_000 }, webhook)[0]).toBe(
      "unauthorized",
    );
  });
});
