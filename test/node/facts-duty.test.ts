import { expect, test } from "bun:test";
import { factsScript, parseFacts } from "../../src/lib/facts.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import { FactsDuty } from "../../src/node/facts-duty.ts";
import type { CommandInput, CommandName, CommandValue } from "../../src/state/commands/index.ts";
import { factJobs, factsOfTarget } from "../../src/state/tables/fact.ts";
import { admin, Cluster } from "../state/support.ts";

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

test("the script says of this host what it is, in lines that are read", () => {
  const said = Bun.spawnSync(["sh", "-c", factsScript]).stdout.toString();
  const facts = parseFacts(said)!;
  expect(facts["kernel"]).toMatch(/^\d/);
  expect(Number(facts["cores"])).toBeGreaterThan(0);
  expect(Object.keys(facts)).toEqual(expect.arrayContaining(["arch", "hostname", "os"]));
  expect(said.length).toBeLessThan(2_048);
  expect(parseFacts("Traceback\n  File\n")).toBeUndefined();
  const many = Array.from({ length: 100 }, (_, at) => `k${at}=${"v".repeat(500)}`).join("\n");
  expect(JSON.stringify(parseFacts(many)).length).toBeLessThan(4_096);
});
