import { expect, test } from "bun:test";
import { factsOfAnsible, factsScript, parseFacts } from "../../src/lib/facts.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import { FactsDuty } from "../../src/node/facts-duty.ts";
import type { CommandInput, CommandName, CommandValue } from "../../src/state/commands/index.ts";
import { nextRemains } from "../../src/state/forgetting.ts";
import { listResults } from "../../src/state/results.ts";
import { changesOf, factJobs, factsOfTarget, hasChanges } from "../../src/state/tables/fact.ts";
import { admin, Cluster, report } from "../state/support.ts";

async function look(cluster: Cluster): Promise<void> {
  const duty = new FactsDuty({
    view: (query) => query(cluster.database),
    propose: <Name extends CommandName>(name: Name, input: CommandInput<Name>) => {
      const outcome = cluster.propose(name, input) as Outcome<CommandValue<Name>>;
      return Promise.resolve(outcome.ok ? accept({ value: outcome.value, index: 1 }) : outcome);
    },
  });
  duty.look(() => true);
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
}

const gather = (cluster: Cluster, targets: string): number => {
  const { jobs } = cluster.withTargets([{ run: "x", targets: { from: [targets], list: "", count: 0 } }]);
  const { lists = [] } = cluster.withTargets([{ run: "x", targets: { from: [targets], list: "", count: 0 } }]);
  return cluster.must("job.submit", { jobs, lists, gathers: true }, admin).first;
};

test("what targets have said is kept once the job has ended, with what is other than before; failed ones keep what they had", async () => {
  const cluster = Cluster.ofNewest(1);
  const says = (job: number, task: number, text: string): void => {
    cluster.assign(job, 1, [task, 1]);
    cluster.finish(job, task, 1, 1, "succeeded", { tail: new TextEncoder().encode(text) });
  };
  const job = gather(cluster, "h[1-3]");
  says(job, 0, "os=debian\ncores=2\nnoise\nBad=x\n");
  says(job, 1, "os=alpine\n");
  await look(cluster);
  expect(factsOfTarget(cluster.database, "h1")).toBeUndefined();
  cluster.assign(job, 1, [2, 1]);
  cluster.finish(job, 2, 1, 1, "failed");
  await look(cluster);
  expect(factJobs(cluster.database)).toEqual([]);
  expect(factsOfTarget(cluster.database, "h1")).toMatchObject({
    job,
    facts: '{"cores":"2","os":"debian"}',
    changed: "{}",
  });
  expect(factsOfTarget(cluster.database, "h3")).toBeUndefined();
  const again = gather(cluster, "h1");
  says(again, 0, "os=debian\ncores=4\npython=/usr/bin/python3\n");
  await look(cluster);
  expect(JSON.parse(factsOfTarget(cluster.database, "h1")!.changed)).toEqual({
    cores: ["2", "4"],
    python: [null, "/usr/bin/python3"],
  });
  // They are targets from now on.
  const found = cluster.submit({ targets: "os=debian,os!=debian" });
  expect(cluster.job(found).counts.queued).toBe(2);
});

test("each result tells what its job found to be other, however often the target is asked later, and until the job is forgotten", async () => {
  const cluster = Cluster.ofNewest(1);
  const found = (target: string): unknown[] =>
    listResults(cluster.database, { targets: [target], limit: 10 }).items.map((one) => [one.job, one.facts_changed]);
  const asked: number[] = [];
  for (const said of ["os=debian\ncores=2\n", "os=debian\ncores=4\n", "os=debian\ncores=4\n", "os=alpine\n"]) {
    const job = gather(cluster, "h[1-2]");
    asked.push(job);
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.finish(job, 0, 1, 1, "succeeded", { tail: new TextEncoder().encode(said) });
    cluster.finish(job, 1, 1, 1, "succeeded", { tail: new TextEncoder().encode("os=debian\n") });
    await look(cluster);
  }
  const [first, second, third, fourth] = asked;
  expect(found("h1")).toEqual([
    [
      fourth,
      {
        cores: ["4", null],
        os: ["debian", "alpine"],
      },
    ],
    [third, undefined],
    [second, { cores: ["2", "4"] }],
    // Nothing was known of it before.
    [first, undefined],
  ]);
  expect(found("h2")).toEqual(asked.toReversed().map((job) => [job, undefined]));
  expect([hasChanges(cluster.database, second!), hasChanges(cluster.database, third!)]).toEqual([true, false]);
  cluster.must("job.remove", { id: jobId(second!) }, admin);
  expect(hasChanges(cluster.database, second!)).toBe(false);
  // Whoever comes too late tells of no job that is gone.
  cluster.must("facts.set", { job: jobId(second!), next: null, facts: [["h1", { os: "void" }]] });
  expect(hasChanges(cluster.database, second!)).toBe(false);
  // Asked twice by one job: other than before the first time.
  for (const os of ["debian", "arch", "void"])
    cluster.must("facts.set", { job: jobId(fourth!), next: null, facts: [["h1", { os }]] });
  expect(changesOf(cluster.database, fourth!, "h1")).toEqual({ cores: ["4", null], os: ["debian", "void"] });
});

test("what ansible's setup has found comes with the end of the task, whatever that was: the rest is kept, and what is only known now is no change", () => {
  const cluster = Cluster.ofNewest(1);
  const asked = gather(cluster, "h1");
  cluster.must("facts.set", { job: jobId(asked), next: null, facts: [["h1", { cores: "2", init: "systemd" }]] });
  const job = cluster.submit({
    driver: "ansible",
    run: undefined,
    targets: "h[1-3]",
    ansible: { playbook: "- hosts: all\n" },
  });
  cluster.assign(job, 1, [0, 1], [1, 1], [2, 1]);
  cluster.finish(job, 0, 1, 1, "failed", { facts: { cores: "4", kernel: "6.1" } });
  cluster.finish(job, 1, 1, 1, "succeeded", { facts: { cores: "1" } });
  cluster.finish(job, 2, 1, 1);
  const facts = (target: string): unknown => {
    const row = factsOfTarget(cluster.database, target);
    return row === undefined ? undefined : [row.job, JSON.parse(row.facts), JSON.parse(row.changed)];
  };
  expect(facts("h1")).toEqual([job, { cores: "4", init: "systemd", kernel: "6.1" }, { cores: ["2", "4"] }]);
  expect([facts("h2"), facts("h3")]).toEqual([[job, { cores: "1" }, {}], undefined]);
  const { items } = listResults(cluster.database, { job, limit: 10 });
  expect(items.map((one) => one.facts_changed)).toEqual([{ cores: ["2", "4"] }, undefined, undefined]);
  // A report that comes too late changes nothing (J1).
  cluster.propose("task.finish", {
    node: nodeId(1),
    reports: [report(job, 0, 1, "succeeded", { facts: { cores: "9" } })],
  });
  expect(facts("h1")).toEqual([job, { cores: "4", init: "systemd", kernel: "6.1" }, { cores: ["2", "4"] }]);
});

test("the changes of a large job that is forgotten go in steps, with the rows of its tasks", () => {
  const cluster = Cluster.ofNewest(1);
  const job = gather(cluster, "h[1-1200]");
  for (let from = 0; from < 1200; from += 400) {
    const tasks = Array.from({ length: 400 }, (_, at) => from + at);
    cluster.assign(job, 1, ...tasks.map((task) => [task, 1] as const));
    const reports = tasks.map((task) => report(job, task, 1));
    cluster.must("task.finish", { node: nodeId(1), reports });
    for (const cores of ["1", "2"]) {
      const facts = tasks.map((task): [string, { cores: string }] => [`h${task + 1}`, { cores }]);
      cluster.must("facts.set", { job: jobId(job), next: null, facts });
    }
  }
  expect(changesOf(cluster.database, job, "h1200")).toEqual({ cores: ["1", "2"] });
  cluster.must("job.remove", { id: jobId(job) }, admin);
  cluster.must("job.sweep", { rows: 1_300 });
  expect([hasChanges(cluster.database, job), nextRemains(cluster.database)]).toEqual([true, job]);
  cluster.must("job.sweep", { rows: 1_300 });
  expect([hasChanges(cluster.database, job), nextRemains(cluster.database)]).toEqual([false, undefined]);
});

test("the script says of this host what it is, in lines that are read", () => {
  const said = Bun.spawnSync(["sh", "-c", factsScript]).stdout.toString();
  const facts = parseFacts(said)!;
  expect(facts["kernel"]).toMatch(/^\d/);
  expect(Number(facts["cores"])).toBeGreaterThan(0);
  expect(Object.keys(facts)).toEqual(expect.arrayContaining(["arch", "hostname", "os"]));
  expect(said.length).toBeLessThan(2_048);
  expect(parseFacts("Traceback\n  File\n")).toBeUndefined();
  expect(factsOfAnsible({ distribution: "RedHat", distribution_version: "9.3", processor_vcpus: 4 })).toEqual({
    cores: "4",
    os: "rhel",
    os_version: "9.3",
  });
  expect(factsOfAnsible({ distribution: "openSUSE Leap", distribution_release: "NA", kernel: ["x"] })).toEqual({
    os: "opensuse-leap",
  });
  expect(factsOfAnsible({ kernel: {} })).toBeUndefined();
  const many = Array.from({ length: 100 }, (_, at) => `k${at}=${"v".repeat(500)}`).join("\n");
  expect(JSON.stringify(parseFacts(many)).length).toBeLessThan(4_096);
});
