import { describe, expect, test } from "bun:test";
import path from "node:path";
import { mkdirSync } from "node:fs";
import { binary } from "../../scripts/build.ts";
import { Mesh, MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, type JobAnswer, submit, submitToEach, tasksOf } from "../../scripts/mesh-jobs.ts";
import { limits } from "../../src/lib/limits.ts";
import { temporaryDirectory, threeAbreast, untilTrue, whileLeasesHold } from "./harness.ts";

/** One fault at a time, with the real binary: freezing, stopping in good order, dying at every moment of a node's beginning. */

function followersOf(mesh: Mesh, leader: MeshNode): MeshNode[] {
  return mesh.nodes.filter((node) => node !== leader);
}

async function running(node: MeshNode, job: number, count: number): Promise<void> {
  await until(
    async () => {
      const tasks = await tasksOf(node, job);
      return tasks.filter((task) => task.started_at !== null).length >= count ? true : undefined;
    },
    patienceMs,
    () => `job ${job} does not run ${count} tasks`,
  );
}

describe("the leader's process freezes", () => {
  test("work on the other nodes goes on, reads and writes too, and its own work starts again once it is lost", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    await mesh.leader({ voters: 3 });
    await whileLeasesHold(async (counts) => {
      const leader = await mesh.leader({ voters: 3 });
      const [one, two] = followersOf(mesh, leader);
      counts([one!, two!]);
      // Longer than a lease: it must be renewed by a leader that is found meanwhile.
      const run = `[ $SKEIN_ATTEMPT -gt 1 ] || sleep ${(limits.leaseMs + limits.leaseRenewMs) / 1000}`;
      const id = await submitToEach(mesh, one!, { run });
      await running(one!, id, 3);
      process.kill(leader.pid, "SIGSTOP");
      try {
        // One question, which is not left with the frozen one until it fails.
        expect((await one!.api("GET", `/v1/jobs/${id}`)).status).toBe(200);
        const next = await submit(two!, { run: "true" });
        const ended = async (): Promise<true | undefined> => {
          const { body } = await one!.api("GET", `/v1/jobs/${next}?wait=5s`);
          return (body as { state: string }).state === "succeeded" ? true : undefined;
        };
        await until(ended, patienceMs, () => `job ${next} did not end`);
        await until(
          async () =>
            (await tasksOf(one!, id)).filter((task) => task.state === "succeeded").length >= 2 ? true : undefined,
          patienceMs,
          () => "the followers' tasks did not end",
        );
      } finally {
        process.kill(leader.pid, "SIGCONT");
      }
      expect((await finished(mesh, id)).state).toBe("succeeded");
      const frozen = leader.ready.node;
      for (const task of await tasksOf(one!, id)) {
        if (task.node !== frozen)
          expect({ node: task.node, attempt: task.attempt }).toEqual({ node: task.node, attempt: 1 });
      }
    });
  }, 600_000);
});

describe("SIGTERM of the leader while clients write", () => {
  test("every request that reached it is answered, what was acknowledged is there, it exits 0", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    const leader = await mesh.leader({ voters: 3 });
    const [other] = followersOf(mesh, leader);
    const acknowledged: number[] = [];
    const refused: unknown[] = [];
    const over = new AbortController();
    const clients = Array.from({ length: 8 }, async () => {
      while (!over.signal.aborted) {
        try {
          const answer = await leader.api("POST", "/v1/jobs", { driver: "noop", noop: { for: "0ms" } });
          if (answer.status === 201) acknowledged.push((answer.body as { id: number }).id);
          else refused.push(answer.body);
        } catch {
          return; // nobody listens there any more: not sent
        }
      }
    });
    await untilTrue(
      () => acknowledged.length >= 300,
      () => `only ${acknowledged.length} jobs were acknowledged, refused: ${JSON.stringify(refused.slice(0, 3))}`,
    );
    expect(await leader.stop()).toBe(0);
    over.abort();
    await Promise.all(clients);
    expect(refused).toEqual([]);
    await mesh.leader({ voters: 2 });
    const found = new Set<number>();
    for (let next = ""; ;) {
      const page = await other!.api("GET", `/v1/jobs?limit=1000${next === "" ? "" : `&next=${next}`}`);
      const body = page.body as { jobs: JobAnswer[]; next?: string | null };
      for (const job of body.jobs) found.add(job.id);
      if (body.next === undefined || body.next === null) break;
      next = body.next;
    }
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
    expect(new Set(acknowledged).size).toBe(acknowledged.length);
    // At least once and under one key each: a job that nobody was told of would be a request that was logged twice.
    expect(found.size).toBe(acknowledged.length);
  }, 600_000);
});

describe("a job is cancelled while a node that runs it is away", () => {
  test("its task there is stopped when the node is back", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    const leader = await mesh.leader({ voters: 3 });
    const [victim, other] = followersOf(mesh, leader);
    await whileLeasesHold(async (counts) => {
      counts(mesh.nodes);
      const id = await submitToEach(mesh, other!, { run: "sleep 300" });
      await running(other!, id, 3);
      await victim!.kill();
      expect((await other!.api("POST", `/v1/jobs/${id}/cancel`)).status).toBe(202);
      await victim!.start(); // before its lease is over: the guard still runs the task
      const job = await finished(mesh, id);
      expect(job).toMatchObject({ state: "cancelled", counts: { cancelled: 3 } });
    });
  }, 600_000);
});

describe("SIGKILL at every moment of a node's beginning", () => {
  /** Kills the process of `node` so many milliseconds after its start, then starts it for good. */
  async function killedAfter(node: MeshNode, ms: number, words: readonly string[]): Promise<void> {
    const starting = node.start(words).catch(() => undefined);
    await Bun.sleep(ms);
    await node.kill();
    await starting;
    await node.start(words);
  }

  /** So many moments, evenly spread. */
  const moments = (everyMs: number, lastMs: number): number[] =>
    Array.from({ length: lastMs / everyMs }, (_, at) => (at + 1) * everyMs);

  test("founding: the next start makes a cluster that works, with an admin's token", async () => {
    using scratch = temporaryDirectory();
    const mark = { SKEIN_TEST_MESH: path.basename(scratch.path) };
    await threeAbreast(moments(30, 330), async (ms) => {
      const directory = path.join(scratch.path, `after-${ms}`);
      mkdirSync(directory);
      const node = new MeshNode({ executable: binary, directory, flags: [], env: mark });
      try {
        await killedAfter(node, ms, ["--name", "a"]);
        const ran = await node.skein(["run", "--", "echo", "alive"]);
        expect({ ms, ...ran }).toMatchObject({ ms, code: 0, stdout: "alive\n" });
        expect({ ms, ...(await node.skein(["cluster", "token", "-o", "quiet"])) }).toMatchObject({ ms, code: 0 });
      } finally {
        await node.stop();
      }
    });
  }, 600_000);

  test("joining: the next start is a member, its own token is good, and no ghost is left in the cluster", async () => {
    await using mesh = await Mesh.start({ nodes: 1 });
    const first = mesh.nodes[0]!;
    const token = await mesh.joinToken();
    const joined: MeshNode[] = [];
    try {
      await threeAbreast(moments(40, 320), async (ms) => {
        const directory = path.join(mesh.directory, `after-${ms}`);
        mkdirSync(directory);
        const env = { SKEIN_TEST_MESH: path.basename(mesh.directory) };
        const node = new MeshNode({ executable: binary, directory, flags: [], env });
        joined.push(node);
        await killedAfter(node, ms, ["--name", `after-${ms}`, "--join", mesh.addresses(), "--token", token]);
        const ran = await node.skein(["run", "--", "echo", "alive"]);
        expect({ ms, ...ran }).toMatchObject({ ms, code: 0, stdout: "alive\n" });
      });
      const { nodes } = (await first.api("GET", "/v1/nodes")).body as { nodes: { name: string }[] };
      expect(nodes.length).toBe(1 + joined.length);
    } finally {
      await Promise.all(joined.map((node) => node.stop()));
    }
  }, 600_000);
});
