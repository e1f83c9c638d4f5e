import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { refuse } from "../../src/lib/outcome.ts";
import type { DeadLetterView, ReplayView } from "../../src/state/answers.ts";
import { admin, report } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh, viewerToken } from "./fake-node.ts";

/** A mesh with so many dead letters, and who asks it. */
function withDead(jobs: number) {
  const mesh = new Mesh(1);
  mesh.cluster.level = 3;
  const node = mesh.node();
  const fail = (first: number, count: number): void =>
    mesh.change((cluster) => {
      for (let from = first; from < first + count; from += 500) {
        const ids = Array.from({ length: Math.min(500, first + count - from) }, (_, at) => from + at);
        cluster.must("unit.assign", {
          units: ids.map((id) => ({ job: jobId(id), node: nodeId(1), tasks: [[0, 1]] as [number, number][] })),
        });
        cluster.must("task.finish", { node: nodeId(1), reports: ids.map((id) => report(id, 0, 1, "failed")) });
      }
    });
  mesh.change((cluster) => {
    for (let at = 0; at < jobs; at += 1000)
      cluster.must(
        "job.submit",
        { jobs: Array.from({ length: Math.min(1000, jobs - at) }, () => ({ run: "x", name: "n" })) },
        admin,
      );
  });
  fail(1, jobs);
  mesh.cluster.level = 1; // at which the tokens of these nodes are not judged
  return { mesh, node, ask: asking(node), fail };
}
const replayed = async (answer: Response): Promise<ReplayView> => {
  expect(answer.status).toBe(200);
  return jsonIn<ReplayView>(answer);
};

describe("GET /v1/dead-letters", () => {
  test("pages and filters, and says of a wrong filter where it is", async () => {
    const { ask } = withDead(5);
    const list = async (query: string) =>
      jsonIn<{ dead_letters: DeadLetterView[]; next?: string }>(await ask("GET", `/v1/dead-letters${query}`));
    const first = await list("?limit=2");
    expect(first.dead_letters.map(({ id }) => id)).toEqual([5, 4]);
    const rest = await list(`?limit=9&next=${first.next}`);
    expect([rest.dead_letters.map(({ id }) => id), rest.next]).toEqual([[3, 2, 1], undefined]);
    expect((await list("?name=other")).dead_letters).toEqual([]);
    const wrong = await errorIn(await ask("GET", "/v1/dead-letters?since=never&label=%3D"));
    expect([wrong.status, wrong.details.map(({ path }) => path).toSorted()]).toEqual([422, ["label", "since"]]);
  });
});

describe("POST /v1/dead-letters/replay", () => {
  test("runs all of them again in one request after the other, oldest first, each once", async () => {
    const jobs = limits.replayedPerRequest + 50;
    const { ask, fail, mesh } = withDead(jobs);
    const first = await replayed(await ask("POST", "/v1/dead-letters/replay", { all: true }));
    expect(first.replayed).toHaveLength(limits.replayedPerRequest);
    expect(first.replayed[0]).toEqual({ id: jobs + 1, retry_of: 1 });
    fail(jobs + 1, 10); // some fail again before the next request: they are not for this time
    const second = await replayed(await ask("POST", "/v1/dead-letters/replay", { all: true, next: first.next }));
    expect([second.replayed.length, second.refused, second.next]).toEqual([50, [], undefined]);
    const left = await jsonIn<{ dead_letters: DeadLetterView[] }>(await ask("GET", "/v1/dead-letters"));
    expect(left.dead_letters.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, at) => jobs + 10 - at));
    expect(mesh.cluster.job(jobs + 1).retry_of).toBe(1);
  });

  test("of those that are named it says which could not be, and why", async () => {
    const { ask } = withDead(3);
    await replayed(await ask("POST", "/v1/dead-letters/replay", { ids: [2] }));
    const again = await replayed(await ask("POST", "/v1/dead-letters/replay", { ids: [3, 2, 99, 3] }));
    expect(again.replayed).toEqual([{ id: 5, retry_of: 3 }]);
    expect(again.refused.map(({ id, code }) => [id, code])).toEqual([
      [2, "gone"],
      [99, "not-found"],
    ]);
  });

  test("of a job of many tasks those are run again that did not succeed", async () => {
    const { ask, mesh } = withDead(1);
    const job = mesh.change((cluster) => {
      const id = cluster.submit({ count: 5 });
      cluster.assign(id, 1, ...[0, 1, 2, 3, 4].map((task) => [task, 1] as const));
      for (let task = 0; task < 5; task++) cluster.finish(id, task, 1, 1, task % 2 === 0 ? "succeeded" : "timeout");
      return id;
    });
    const view = await replayed(await ask("POST", "/v1/dead-letters/replay", { ids: [job] }));
    expect(mesh.cluster.job(view.replayed[0]!.id)).toMatchObject({ counts: { queued: 2 }, retry_of: job });
  });

  test("a limit in the middle ends it with what was done and where to go on; at its beginning it is the answer", async () => {
    const { ask, node } = withDead(limits.replayedPerCommand + 20);
    let commands = 0;
    const { why } = refuse("busy", "there is no room", { retryAfterMs: 1000, limit: "jobs" });
    node.onPropose = () => {
      commands += 1;
      node.refusing = commands > 1 ? why : undefined;
    };
    const part = await replayed(await ask("POST", "/v1/dead-letters/replay", { all: true }));
    expect([part.replayed.length, part.refused, part.next]).toEqual([
      limits.replayedPerCommand,
      [],
      expect.any(String),
    ]);
    node.onPropose = undefined;
    node.refusing = why;
    expect((await ask("POST", "/v1/dead-letters/replay", { ids: [270] })).status).toBe(429);
    node.refusing = undefined;
    const rest = await replayed(await ask("POST", "/v1/dead-letters/replay", { all: true, next: part.next }));
    expect([rest.replayed.length, rest.next]).toEqual([20, undefined]);
  });

  test("whoever does not say which, or may not, changes nothing", async () => {
    const { ask } = withDead(1);
    for (const body of [{}, { ids: [] }, { ids: [1], all: true }, { all: false }, { all: true, next: "?" }])
      expect((await ask("POST", "/v1/dead-letters/replay", body)).status).toBe(422);
    const by = { authorization: `Bearer ${viewerToken}` };
    expect((await ask("POST", "/v1/dead-letters/replay", { all: true }, by)).status).toBe(403);
    expect((await jsonIn<{ dead_letters: unknown[] }>(await ask("GET", "/v1/dead-letters"))).dead_letters).toHaveLength(
      1,
    );
  });

  test("how many there are is in the status of the cluster and in the metrics", async () => {
    const { ask } = withDead(3);
    expect(await jsonIn<object>(await ask("GET", "/v1/cluster"))).toMatchObject({ jobs: { dead: 3, finished: 3 } });
    expect(await (await ask("GET", "/metrics")).text()).toContain("\nskein_dead_letters 3\n");
  });
});
