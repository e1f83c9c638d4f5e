import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { readInventory } from "../../src/lib/inventory-format.ts";
import { packInventory, type Packed } from "../../src/lib/inventory-pieces.ts";
import { jobId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { setInventory } from "../../src/node/inventories.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import { hasRemains } from "../../src/state/forgetting.ts";
import { hostIn, hostsIn, membersOf } from "../../src/state/inventories.ts";
import { inventoryByName, versionsOf } from "../../src/state/tables/inventory.ts";
import { sql } from "../../src/state/tx.ts";
import { admin, Cluster } from "./support.ts";

const fleet = (text: string) => {
  const read = atOnce(readInventory(text, "ini"));
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.inventory;
};
const pack = (text: string): Packed => atOnce(packInventory(fleet(text)))!;

/** Sets it as a node does that is asked. */
const set = (cluster: Cluster, name: string, what: string | number) =>
  setInventory(
    {
      read: (query) => Promise.resolve(accept({ value: query(cluster.database), index: 0 })),
      propose: (command, input) => Promise.resolve(wrapped(cluster.propose(command, input, admin))),
    },
    typeof what === "number"
      ? { name, fromVersion: what, origin: `version ${what}` }
      : { name, inventory: fleet(what), origin: "file" },
  );

function wrapped<Value>(outcome: Outcome<Value>): Outcome<{ readonly value: Value; readonly index: number }> {
  return outcome.ok ? accept({ value: outcome.value, index: 0 }) : outcome;
}

const rows = (cluster: Cluster): number[] =>
  ["inventory", "inventory_version", "inventory_content", "inventory_piece", "job_inventory"].map(
    (table) => cluster.database.get<{ rows: number }>(sql(`select count(*) as rows from ${table}`))!.rows,
  );

/** The leader sweeps until nothing is left. */
function sweep(cluster: Cluster): void {
  cluster.now += limits.inventoryPieceKeepMs + 1;
  cluster.submit({});
  for (let count = 0; hasRemains(cluster.database); count++) {
    expect(count).toBeLessThan(200);
    cluster.must("job.sweep", { rows: limits.sweepRows });
  }
}

const two = "[web]\nweb[1:3] a=1\n[db]\ndb1\n[prod:children]\nweb\n[prod:vars]\nenv=prod\n";

describe("an inventory", () => {
  test("has versions, with who made them when and how much each changed; one of before is put back", async () => {
    const cluster = Cluster.ofNewest(1);
    expect(await set(cluster, "fleet", two)).toMatchObject({
      value: { version: 1, changed: true, hosts: 4, groups: 3 },
    });
    expect(await set(cluster, "fleet", two)).toMatchObject({ value: { version: 1, changed: false } });
    cluster.now += 1000;
    await set(cluster, "fleet", "[web]\nweb[2:4] a=2\n");
    expect(await set(cluster, "fleet", 1)).toMatchObject({ value: { version: 3, changed: true } });
    expect(
      versionsOf(cluster.database, "fleet").map(({ content: _content, inventory: _name, at: _at, ...rest }) => rest),
    ).toEqual([
      {
        version: 3,
        hosts: 4,
        groups: 3,
        added: 2,
        removed: 1,
        changed: 2,
        changed_groups: 2,
        by: "anna",
        origin: "version 1",
      },
      {
        version: 2,
        hosts: 3,
        groups: 1,
        added: 1,
        removed: 2,
        changed: 2,
        changed_groups: 2,
        by: "anna",
        origin: "file",
      },
      {
        version: 1,
        hosts: 4,
        groups: 3,
        added: 4,
        removed: 0,
        changed: 0,
        changed_groups: 3,
        by: "anna",
        origin: "file",
      },
    ]);
    const { content } = inventoryByName(cluster.database, "fleet")!;
    expect(hostsIn(cluster.database, content!)).toEqual(["web1", "web2", "web3", "db1"]);
    expect(membersOf(cluster.database, content!, "prod")).toEqual(["web1", "web2", "web3"]);
    expect(membersOf(cluster.database, content!, "nobody")).toBeUndefined();
    expect(hostIn(cluster.database, content!, "web2")).toEqual({
      groups: ["prod", "web"],
      vars: { env: "prod", a: 1 },
    });
    expect(hostIn(cluster.database, content!, "web")).toBeUndefined();
  });

  test("of which somebody else has set another meanwhile is looked at again", async () => {
    const cluster = Cluster.ofNewest(1);
    await set(cluster, "fleet", "a\n");
    const late = pack("b\n");
    cluster.must("inventory.put", { pieces: [...late.pieces] }, admin);
    const counts = { added: 0, removed: 0, changed: 0, changedGroups: 0, hosts: 1, groups: 0 };
    const input = { name: "fleet", content: late.content, base: null, ...counts, origin: "file", job: null };
    expect(cluster.refused("inventory.set", input, admin)[0]).toBe("conflict");
    expect(await set(cluster, "fleet", "b\n")).toMatchObject({ value: { version: 2 } });
  });

  test("whose pieces are not all there is not set", () => {
    const cluster = Cluster.ofNewest(1);
    const { content, pieces } = pack(two);
    const counts = { added: 0, removed: 0, changed: 0, changedGroups: 0, hosts: 4, groups: 3 };
    const input = { name: "fleet", content, base: null, ...counts, origin: "file", job: null };
    expect(cluster.refused("inventory.set", input, admin)[1]).toContain("send it again");
    cluster.must("inventory.put", { pieces: [[content, pieces.get(content)!]] }, admin);
    expect(cluster.refused("inventory.set", input, admin)[1]).toContain("send it again");
    expect(rows(cluster).slice(0, 3)).toEqual([0, 0, 0]);
  });

  test("that is removed goes with its pieces, in time; its name begins after its versions", async () => {
    const cluster = Cluster.ofNewest(1);
    await set(cluster, "fleet", two);
    await set(cluster, "fleet", "a\n");
    cluster.must("inventory.remove", { inventory: "fleet" }, admin);
    expect(cluster.refused("inventory.remove", { inventory: "fleet" }, admin)[0]).toBe("not-found");
    expect(rows(cluster)[3]).toBeGreaterThan(0);
    sweep(cluster);
    expect(rows(cluster)).toEqual([0, 0, 0, 0, 0]);
    expect(await set(cluster, "fleet", two)).toMatchObject({ value: { version: 3 } });
  });

  test("a job keeps the variables that it was submitted with, its retry too, until both are gone", async () => {
    const cluster = Cluster.ofNewest(1);
    await set(cluster, "fleet", "web1 a=1\n");
    const job = cluster.submit({ targets: "@fleet", ttl: "1s" });
    await set(cluster, "fleet", "web1 a=2\nweb2\n");
    const contents = (id: number) =>
      cluster.database
        .all<{ content: string }>(sql("select content from job_inventory where job = ?"), id)
        .map(({ content }) => hostIn(cluster.database, content, "web1")?.vars);
    expect(contents(job)).toEqual([{ a: 1 }]);
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    const again = cluster.must(
      "job.retry",
      { id: jobId(job), only: "all", tasks: null, key: null, digest: "" },
      admin,
    ).first;
    cluster.must("inventory.remove", { inventory: "fleet" }, admin);
    cluster.must("job.remove", { id: jobId(job) }, admin);
    sweep(cluster);
    expect(contents(again)).toEqual([{ a: 1 }]);
    cluster.assign(again, 1, [0, 1]);
    cluster.finish(again, 0, 1, 1);
    cluster.must("job.remove", { id: jobId(again) }, admin);
    sweep(cluster);
    expect(rows(cluster)).toEqual([0, 0, 0, 0, 0]);
  });

  test("however it is set, put back and removed, its history is that of a model, and nothing is left over", async () => {
    const names = ["a", "b"];
    const step = fc.record({
      name: fc.constantFrom(...names),
      hosts: fc.subarray(["h1", "h2", "h3", "h4"], { minLength: 1 }),
      kind: fc.constantFrom("set", "set", "back", "remove"),
      back: fc.integer({ min: 1, max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const cluster = Cluster.ofNewest(1);
        const model = new Map<string, { version: number; hosts: string }[]>();
        let floor = 0;
        for (const { name, hosts, kind, back } of steps) {
          const versions = model.get(name);
          if (kind === "remove") {
            const outcome = cluster.propose("inventory.remove", { inventory: name }, admin);
            expect(outcome.ok).toBe(versions !== undefined);
            floor = Math.max(floor, versions?.at(-1)?.version ?? 0);
            model.delete(name);
            continue;
          }
          const former = versions?.find(({ version }) => version === back);
          const outcome = await set(cluster, name, kind === "back" ? back : `${hosts.join("\n")}\n`);
          if (kind === "back" && former === undefined) {
            expect(outcome.ok).toBe(false);
            continue;
          }
          const wanted = kind === "back" ? former!.hosts : hosts.join("\n");
          const before = versions?.at(-1);
          const version = before?.hosts === wanted ? before.version : (before?.version ?? floor) + 1;
          expect(outcome).toMatchObject({ ok: true, value: { version } });
          if (version !== before?.version)
            model.set(name, [...(versions ?? []), { version, hosts: wanted }].slice(-limits.inventoryVersions));
        }
        for (const name of names) {
          const kept = versionsOf(cluster.database, name).map(({ version, content }) => ({
            version,
            hosts: hostsIn(cluster.database, content)!.join("\n"),
          }));
          expect(kept.toReversed()).toEqual(model.get(name) ?? []);
          if (model.has(name)) cluster.must("inventory.remove", { inventory: name }, admin);
        }
        sweep(cluster);
        expect(rows(cluster)).toEqual([0, 0, 0, 0, 0]);
      }),
      { numRuns: 30 },
    );
  });

  test("of 100,000 hosts goes in entries of a megabyte at most, and one host more sends little", async () => {
    const cluster = Cluster.ofNewest(1);
    const text = "[web]\nweb[000001:099999] a=1\n";
    const begin = cluster.log.length;
    expect(await set(cluster, "fleet", text)).toMatchObject({ ok: true, value: { hosts: 99_999 } });
    const sizes = cluster.log.slice(begin).map(({ data }) => data.length);
    expect(Math.max(...sizes)).toBeLessThan(1_000_000);
    const before = cluster.log.length;
    await set(cluster, "fleet", `${text}new\n`);
    const more = cluster.log.slice(before).reduce((sum, { data }) => sum + data.length, 0);
    expect(more).toBeLessThan(200_000);
    const job = cluster.submit({ targets: "@fleet:web&web[000010-000012]" });
    expect(cluster.job(job).counts.queued).toBe(3);
  }, 60_000);
});
