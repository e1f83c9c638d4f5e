import { expect, test } from "bun:test";
import { accept, type Outcome, refuse } from "../../src/lib/outcome.ts";
import { InventoryDuty } from "../../src/node/inventory-duty.ts";
import type { CommandInput, CommandName, CommandValue } from "../../src/state/commands/index.ts";
import { listInventories } from "../../src/state/inventory-views.ts";
import { inventoryByName } from "../../src/state/tables/inventory.ts";
import type { Principal, Report } from "../../src/state/types.ts";
import { admin, Cluster } from "../state/support.ts";

const leader: Principal = { token: "", name: "node 1", role: "node" };

/** A cluster with an inventory that a command gives, and its leader's duty; what jobs print is the test's to say. */
class Stage {
  readonly cluster = Cluster.ofNewest(1);
  readonly output = new Map<number, string>();
  readonly #duty: InventoryDuty;

  constructor(source: Partial<CommandInput<"inventory.source">> = {}) {
    const { cluster } = this;
    const input = { inventory: "fleet", command: "list-hosts", every: 60_000, ...source };
    cluster.must("inventory.source", input, admin);
    this.#duty = new InventoryDuty({
      now: () => cluster.now,
      view: (query) => query(cluster.database),
      log: () => {},
      readLog: ({ job, offset }) => {
        const text = this.output.get(job);
        if (text === undefined) return Promise.resolve(refuse("unavailable", "nobody has it"));
        const bytes = new TextEncoder().encode(text).slice(offset, offset + 10);
        const chunks = bytes.length === 0 ? [] : [{ stream: "stdout" as const, at: 0, bytes }];
        return Promise.resolve(accept({ attempt: 1, chunks, next: offset + bytes.length, end: bytes.length < 10 }));
      },
      propose: <Name extends CommandName>(name: Name, input: CommandInput<Name>) => {
        const outcome = cluster.propose(name, input, leader) as Outcome<CommandValue<Name>>;
        return Promise.resolve(outcome.ok ? accept({ value: outcome.value, index: 1 }) : outcome);
      },
    });
  }

  get row() {
    return inventoryByName(this.cluster.database, "fleet")!;
  }

  get view() {
    return listInventories(this.cluster.database, { limit: 1 }).items[0]!;
  }

  /** The leader looks, and what it began is done. */
  async look(): Promise<void> {
    this.#duty.look();
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Its job is run: gives what it prints, or ends otherwise. */
  async run(printed: string, state: Report["state"] = "succeeded"): Promise<number> {
    await this.look();
    const { job } = this.row;
    this.cluster.assign(job!, 1, [0, 1]);
    if (state === "succeeded") this.output.set(job!, printed);
    this.cluster.finish(job!, 0, 1, 1, state, state === "succeeded" ? {} : { exitCode: 3 });
    await this.look();
    return job!;
  }
}

const good = JSON.stringify({ web: { hosts: ["web1", "web2"] } });

test("what the command prints becomes a version, by whoever has set the command, and none where it prints the same", async () => {
  const stage = new Stage();
  const first = await stage.run(good);
  expect(stage.cluster.job(first)).toMatchObject({
    name: "inventory fleet",
    labels: { inventory: "fleet" },
    inventory: "fleet",
    submitted_by: "anna",
    spec: { run: "list-hosts", timeout: "1m" },
  });
  expect(stage.row).toMatchObject({ version: 1, hosts: 2, job: null, failures: 0, set_by: "anna" });
  await stage.look();
  expect(stage.row.job).toBeNull(); // not due yet
  stage.cluster.now += 60_000;
  await stage.run(good);
  expect(stage.row).toMatchObject({ version: 1, good_at: stage.cluster.now });
  stage.cluster.now += 60_000;
  await stage.run(JSON.stringify({ web: { hosts: ["web1"] } }));
  expect(stage.row).toMatchObject({ version: 2, hosts: 1 });
});

test("what fails, takes too long or prints something else leaves the last good version in force, and says since when and why", async () => {
  const stage = new Stage();
  await stage.run(good);
  const since = (stage.cluster.now += 60_000);
  const failed = await stage.run("", "failed");
  expect(stage.row).toMatchObject({ version: 1, failures: 1, failure: `job ${failed} failed (code 3): out` });
  for (const [printed, why] of [
    ["Traceback (most recent call last):", "is no inventory (read as json): it is not JSON"],
    ["oops", "is no inventory"],
    ["", "printed nothing"],
    ['{"web": {"hosts": ["a b"]}}', `web.hosts[0]: "a b" is no name of a host`],
    ["{}", "it names no host"],
  ] as const) {
    stage.cluster.now += 60_000;
    await stage.run(printed);
    expect(stage.row).toMatchObject({ version: 1, failure: expect.stringContaining(why) });
  }
  stage.cluster.now += 60_000;
  const late = await stage.run("", "timeout");
  expect(stage.view.source?.failing).toMatchObject({
    times: 7,
    since: new Date(since).toISOString(),
    reason: `job ${late} took longer than it may (code 3): out`,
  });
  const events = stage.cluster.events.flatMap(({ changes }) => changes.filter(({ topic }) => topic === "inventory"));
  expect(events.filter((one) => "failures" in one)).toHaveLength(7);
  stage.cluster.now += 60_000;
  await stage.run(good);
  expect(stage.row).toMatchObject({ version: 1, failed_at: null, failures: 0, failure: null });
});

test("an output that nobody can give yet is waited for, and not for ever; a job that is gone is a failure", async () => {
  const stage = new Stage({ format: "list" });
  await stage.look();
  const job = stage.row.job!;
  stage.cluster.assign(job, 1, [0, 1]);
  stage.cluster.finish(job, 0, 1, 1);
  await stage.look();
  expect(stage.row).toMatchObject({ job, failures: 0 });
  stage.output.set(job, "web[1-3]\n");
  await stage.look();
  expect(stage.row).toMatchObject({ job: null, version: 1, hosts: 3 });
  const next = stage.cluster.must("inventory.refresh", { inventory: "fleet" }, admin).job;
  expect(stage.cluster.must("inventory.refresh", { inventory: "fleet" }, admin).job).toBe(next);
  stage.cluster.assign(next, 1, [0, 1]);
  stage.cluster.finish(next, 0, 1, 1);
  await stage.look();
  expect(stage.row.job).toBe(next);
  stage.cluster.now += 60_001;
  await stage.look();
  expect(stage.row).toMatchObject({
    job: null,
    version: 1,
    failure: `job ${next} has ended, but its output cannot be read`,
  });
});

test("a command that was replaced meanwhile, or taken away, sets nothing", async () => {
  const stage = new Stage();
  await stage.look();
  const job = stage.row.job!;
  stage.cluster.must("inventory.source", { inventory: "fleet", command: null }, admin);
  stage.output.set(job, good);
  stage.cluster.assign(job, 1, [0, 1]);
  stage.cluster.finish(job, 0, 1, 1);
  await stage.look();
  expect(stage.row).toMatchObject({ version: 0, source: null, job: null });
  expect(stage.cluster.refused("inventory.refresh", { inventory: "fleet" }, admin)[0]).toBe("conflict");
});
