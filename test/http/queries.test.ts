import { describe, expect, test } from "bun:test";
import { Hono } from "hono";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { anyone, type Environment } from "../../src/http/route.ts";
import { formatInstant } from "../../src/lib/calendar.ts";
import { createApp } from "../../src/http/app.ts";
import { allRoutes } from "../../src/http/app.ts";
import { referencePage } from "../../src/http/reference.ts";
import { Reply } from "../../src/http/reply.ts";
import { Watchers } from "../../src/http/watchers.ts";
import type { JobView, TaskView } from "../../src/state/types.ts";
import type { ClusterView, NodeView, WaitView } from "../../src/state/answers.ts";
import { admin, record } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh, operatorToken, viewerToken } from "./fake-node.ts";

describe("jobs", () => {
  test("are listed newest first, page by page, each once", async () => {
    const mesh = new Mesh();
    for (let number = 0; number < 7; number++) mesh.change((cluster) => cluster.submit());
    const ask = asking(mesh.node());
    const seen: number[] = [];
    let next: string | undefined;
    do {
      const query = `limit=3${next === undefined ? "" : `&next=${next}`}`;
      const page = await jsonIn<{ jobs: JobView[]; next?: string }>(await ask("GET", `/v1/jobs?${query}`));
      seen.push(...page.jobs.map((job) => job.id));
      next = page.next;
      if (next !== undefined) expect(encodeURIComponent(next)).toBe(next);
    } while (next !== undefined);
    expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1]);
  });

  test("are found by state, name, label and age", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit({ name: "docs", labels: { team: "docs" } }));
    mesh.change((cluster) => cluster.submit({ name: "site" }));
    mesh.change((cluster) => cluster.assign(2, 1, [0, 1]));
    const ask = asking(mesh.node());
    const ids = async (query: string): Promise<number[]> =>
      (await jsonIn<{ jobs: JobView[] }>(await ask("GET", `/v1/jobs?${query}`))).jobs.map((job) => job.id);
    expect(await ids("state=running")).toEqual([2]);
    expect(await ids("name=docs")).toEqual([1]);
    expect(await ids("label=team%3Ddocs")).toEqual([1]);
    expect(await ids(`since=${formatInstant(mesh.cluster.now)}`)).toEqual([2, 1]);
    expect(await ids("since=1h")).toEqual([]);
  });

  test.each([
    ["state=done", "state"],
    ["limit=0", "limit"],
    ["limit=1001", "limit"],
    ["limit=ten", "limit"],
    ["since=yesterday", "since"],
    ["label=%3D", "label"],
    ["stat=failed", "stat"],
    ["consistency=maybe", "consistency"],
  ])("a wrong parameter is 422 and named: %s", async (query, path) => {
    const error = await errorIn(await asking(new Mesh().node())("GET", `/v1/jobs?${query}`));
    expect([error.status, error.details.map((one) => one.path)]).toEqual([422, [path]]);
  });

  test.each([
    ["GET", "/v1/jobs/99", 404],
    ["GET", "/v1/jobs/99?wait=1s", 404],
    ["GET", "/v1/jobs/99/tasks", 404],
    ["GET", "/v1/jobs/99/tasks/0", 404],
    ["GET", "/v1/jobs/1/tasks/5", 404],
    ["GET", "/v1/jobs/99/logs", 404],
    ["GET", "/v1/jobs/1/logs?task=5", 404],
    ["POST", "/v1/jobs/99/cancel", 404],
    ["GET", "/v1/jobs/last", 422],
    ["GET", "/v1/jobs/1/tasks/x", 422],
    ["POST", "/v1/jobs/x/cancel", 422],
    ["GET", "/v1/nodes/n9", 404],
    ["POST", "/v1/nodes/n9/drain", 404],
    ["POST", "/v1/commands/unit.assign", 404],
  ])("what does not exist: %s %s is %d", async (method, path, status) => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const error = await errorIn(await asking(mesh.node())(method, path, method === "POST" ? {} : undefined));
    expect([error.status, error.code]).toEqual([status, status === 404 ? "not-found" : "invalid"]);
    expect(error.message.length).toBeGreaterThan(10);
  });

  test("tasks have pages and filters", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit({ count: 5 }));
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1], [1, 1]));
    const ask = asking(mesh.node());
    const first = await jsonIn<{ tasks: TaskView[]; next: string }>(await ask("GET", "/v1/jobs/1/tasks?limit=3"));
    const rest = await jsonIn<{ tasks: TaskView[]; next?: string }>(
      await ask("GET", `/v1/jobs/1/tasks?next=${first.next}`),
    );
    expect([...first.tasks, ...rest.tasks].map((task) => task.task)).toEqual([0, 1, 2, 3, 4]);
    const running = await jsonIn<{ tasks: TaskView[] }>(await ask("GET", "/v1/jobs/1/tasks?state=running"));
    expect(running.tasks.map((task) => task.task)).toEqual([0, 1]);
    expect(await jsonIn(await ask("GET", "/v1/jobs/1/tasks/4"))).toMatchObject({ task: 4, state: "queued" });
  });

  test("cancel answers 202, also without a body and by the command's name", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    mesh.change((cluster) => cluster.submit());
    const ask = asking(mesh.node());
    expect((await ask("POST", "/v1/jobs/1/cancel")).status).toBe(202);
    expect((await ask("POST", "/v1/commands/job.cancel", { id: 2 })).status).toBe(202);
    expect([mesh.cluster.job(1).state, mesh.cluster.job(2).state]).toEqual(["cancelled", "cancelled"]);
    expect((await ask("POST", "/v1/jobs/1/cancel")).status).toBe(409);
    const viewer = { authorization: `Bearer ${viewerToken}` };
    expect((await ask("POST", "/v1/commands/job.cancel", { id: 2 }, viewer)).status).toBe(403);
  });
});

describe("waiting", () => {
  test("for a job ends with the event of its end", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const node = mesh.node();
    const waiting = node.nextWait();
    const answer = asking(node)("GET", "/v1/jobs/1?wait=10m");
    await waiting;
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
    expect(await jsonIn(await answer)).toMatchObject({ id: 1, state: "succeeded" });
  });

  test("ends when the time is up, with the job as it is", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const response = await asking(mesh.node())("GET", "/v1/jobs/1?wait=5ms");
    expect([response.status, (await jsonIn<JobView>(response)).state]).toEqual([200, "queued"]);
  });

  test("for many ends when the last one does, in whatever order they end", async () => {
    const mesh = new Mesh();
    const ids = Array.from({ length: 40 }, () => mesh.change((cluster) => cluster.submit()));
    const answer = asking(mesh.node())("POST", "/v1/jobs/wait", { ids, timeout: "10m" });
    for (const id of ids.toReversed()) {
      mesh.change((cluster) => cluster.assign(id, 1, [0, 1]));
      await Promise.resolve();
      mesh.change((cluster) => cluster.finish(id, 0, 1, 1, id % 2 === 0 ? "succeeded" : "failed"));
      if (id % 7 === 0) await Bun.sleep(0);
    }
    const view = await jsonIn<WaitView>(await answer);
    expect(view.finished).toBe(true);
    expect(view.jobs.map((job) => job.id)).toEqual(ids);
    expect(view.jobs[0]!.state).toBe("failed");
    expect(view.jobs[1]!.state).toBe("succeeded");
  });

  test("for as many as one request may name: each is read about once, and what was forgotten meanwhile has the state that it was seen to end in", async () => {
    const mesh = new Mesh();
    const count = limits.specsPerRequest;
    mesh.change((cluster) => cluster.must("job.submit", { jobs: Array.from({ length: count }, () => ({ run: "x" })) }));
    const end = (id: number): void => {
      mesh.change((cluster) => cluster.assign(id, 1, [0, 1]));
      mesh.change((cluster) => cluster.finish(id, 0, 1, 1));
    };
    const node = mesh.node();
    let reads = 0;
    const read = node.read.bind(node);
    node.read = (query, options) => {
      reads += 1;
      return read(query, options);
    };
    end(1);
    let waiting = node.nextWait();
    const ids = Array.from({ length: count }, (_, at) => at + 1);
    const answer = asking(node)("POST", "/v1/jobs/wait", { ids, timeout: "10m" });
    await waiting; // for job 2
    waiting = node.nextWait();
    mesh.change((cluster) => cluster.must("job.remove", { id: jobId(1) }));
    end(2);
    await waiting; // for job 3
    // Ends and is forgotten before anybody looks at it.
    end(4);
    mesh.change((cluster) => cluster.must("job.remove", { id: jobId(4) }));
    mesh.change((cluster) => {
      cluster.entry(ids.slice(4).map((id) => record("job.cancel", { id: jobId(id) }, admin)));
      cluster.apply();
    });
    mesh.change((cluster) => cluster.must("job.cancel", { id: jobId(3) }));
    const view = await jsonIn<WaitView>(await answer);
    expect([view.finished, view.forgotten, view.jobs.length]).toEqual([true, [4], count - 1]);
    expect(view.jobs.slice(0, 4).map(({ id, state }) => [id, state])).toEqual([
      [1, "succeeded"],
      [2, "succeeded"],
      [3, "cancelled"],
      [5, "cancelled"],
    ]);
    expect(reads).toBeLessThan(40);
    const again = await errorIn(await asking(node)("POST", "/v1/jobs/wait", { ids: [3, 4] }));
    expect([again.status, again.details.map((one) => one.path)]).toEqual([404, ["ids[1]"]]);
  });

  test("of two thousand requests for one job ends for all with one event, and nothing is left behind", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const node = mesh.node();
    const ask = asking(node);
    const watchers = async (): Promise<string | undefined> =>
      /skein_watchers (\d+)/.exec(await (await ask("GET", "/metrics")).text())?.[1];
    const answers = Array.from({ length: 2000 }, () => ask("GET", "/v1/jobs/1?wait=10m"));
    // Bounded by the number of requests: each begins to wait once.
    for (let begun = 0; begun <= 2000 && (await watchers()) !== "2000"; begun++) await Bun.sleep(0);
    expect(await watchers()).toBe("2000");
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
    const states = await Promise.all(answers.map(async (answer) => (await jsonIn<JobView>(await answer)).state));
    expect(new Set(states)).toEqual(new Set(["succeeded"]));
    expect(await watchers()).toBe("0");
  });

  test("for many says who is not done when the time is up", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const view = await jsonIn(await asking(mesh.node())("POST", "/v1/jobs/wait", { ids: [1], timeout: "1ms" }));
    expect(view).toEqual({ finished: false, jobs: [{ id: 1, state: "queued" }] });
  });

  test("for an unknown job is 404 and says which", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const error = await errorIn(await asking(mesh.node())("POST", "/v1/jobs/wait", { ids: [1, 9] }));
    expect([error.status, error.details[0]!.path]).toEqual([404, "ids[1]"]);
  });

  test.each([
    [{ ids: [1], timeout: "-5s" }, "timeout"],
    [{ ids: [1], timeout: 5 }, "timeout"],
    [{ ids: [1], timeout: "1d" }, "timeout"],
    [{ ids: [] }, "ids"],
    [{ ids: ["1"] }, "ids[0]"],
    [{}, "ids"],
  ])("a wrong wait is 422: %j", async (body, path) => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/jobs/wait", body));
    expect([error.status, error.details.map((one) => one.path)]).toEqual([422, [path]]);
    expect((await asking(new Mesh().node())("GET", "/v1/jobs/1?wait=-5s")).status).toBe(422);
  });

  test("begins with a fresh read: an older state is never taken for an answer (R1)", async () => {
    const mesh = new Mesh();
    const id = mesh.change((cluster) => cluster.submit());
    mesh.change((cluster) => cluster.propose("job.cancel", { id: jobId(id) }));
    const node = mesh.node();
    node.refusing = { code: "unavailable", message: "no leader answered", retryAfterMs: 1000 };
    const ask = asking(node);
    for (const ids of [[id], [99]]) {
      expect((await ask("POST", "/v1/jobs/wait", { ids, timeout: "1ms" })).status).toBe(503);
      expect((await ask("GET", `/v1/jobs/${ids[0]}?wait=1ms`)).status).toBe(503);
    }
    expect((await ask("GET", `/v1/jobs/${id}?wait=1ms&consistency=stale`)).status).toBe(200);
    const early = { "skein-min-index": "1000" };
    node.refusing = undefined;
    expect((await ask("POST", "/v1/jobs/wait", { ids: [id] }, early)).status).toBe(503);
  });

  test.each([2, 3])("does not sleep through an end that comes right after read %i and before its wait", async (at) => {
    const mesh = new Mesh();
    const id = mesh.change((cluster) => cluster.submit());
    const node = mesh.node();
    let reads = 0;
    const read = node.read.bind(node);
    node.read = async (query, options) => {
      const answer = await read(query, options);
      reads += 1;
      if (reads === at) mesh.change((cluster) => cluster.propose("job.cancel", { id: jobId(id) }));
      return answer;
    };
    const response = await asking(node)("GET", `/v1/jobs/${id}?wait=10m`);
    expect((await jsonIn<JobView>(response)).state).toBe("cancelled");
  });

  test("has a bounded number of places; past it 429, for streams too, and a place that is left is free again", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const node = mesh.node();
    const watchers = new Watchers(new AbortController().signal);
    const parts = { node, reply: new Reply(node), watchers };
    const nobody = new AbortController().signal;
    const places = Array.from({ length: limits.watchersPerNode }, () => watchers.enter(nobody, () => {})!);
    expect(watchers.enter(nobody, () => {})).toBeUndefined();
    const app = new Hono<Environment>();
    for (const route of allRoutes(parts)) app.on(route.method, route.path, (exchange) => route.serve(exchange, anyone));
    const full = await Promise.all(["/v1/jobs/1?wait=1s", "/v1/events"].map(async (path) => app.request(path)));
    for (const response of full) {
      expect(response.headers.get("retry-after")).toBe("5");
      expect(await errorIn(response)).toMatchObject({ status: 429, code: "busy" });
    }
    expect((await app.request("/v1/jobs/1")).status).toBe(200);
    places.pop()!();
    expect((await app.request("/v1/jobs/1?wait=1ms")).status).toBe(200);
    expect(watchers.count).toBe(limits.watchersPerNode - 1);
  });

  test("ends with 503 when the node stops serving, so that clients go elsewhere", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const closing = new AbortController();
    const node = mesh.node();
    const waiting = node.nextWait();
    const answer = asking(node, { closing: closing.signal })("GET", "/v1/jobs/1?wait=10m");
    await waiting;
    closing.abort();
    const response = await answer;
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorIn(response)).toMatchObject({ status: 503, code: "unavailable", retry: "safe" });
  });
});

describe("consistency", () => {
  test("a read is not older than the client's last write", async () => {
    const ask = asking(new Mesh().node());
    const early = await ask("GET", "/v1/jobs", undefined, { "skein-min-index": "1000" });
    expect([early.status, early.headers.get("retry-after")]).toEqual([503, "2"]);
    expect((await ask("GET", "/v1/jobs", undefined, { "skein-min-index": "1" })).status).toBe(200);
    expect((await ask("GET", "/v1/jobs", undefined, { "skein-min-index": "x" })).status).toBe(422);
  });

  test("without a leader stale reads, nodes, cluster and metrics answer; others are 503", async () => {
    const node = new Mesh().node();
    node.ready = false;
    node.refusing = { code: "unavailable", message: "no leader answered", retryAfterMs: 1000 };
    const ask = asking(node);
    expect((await ask("GET", "/v1/jobs")).status).toBe(503);
    expect((await ask("POST", "/v1/jobs", { run: "a" })).status).toBe(503);
    expect((await ask("GET", "/v1/jobs?consistency=stale")).status).toBe(200);
    expect((await jsonIn<ClusterView>(await ask("GET", "/v1/cluster"))).leader).toBeNull();
    expect((await ask("GET", "/v1/nodes")).status).toBe(200);
    expect((await ask("GET", "/metrics")).status).toBe(200);
    expect((await ask("GET", "/readyz")).status).toBe(503);
    expect((await ask("GET", "/health")).status).toBe(503);
    expect((await ask("GET", "/healthz")).status).toBe(200);
  });
});

describe("nodes and cluster", () => {
  test("a full disk is told as one wherever a node is looked at", async () => {
    const mesh = new Mesh();
    const node = mesh.node();
    node.ready = false;
    node.diskFull = true;
    const ask = asking(node);
    expect(await (await ask("GET", "/readyz")).text()).toContain("the disk of this node is full");
    expect(await (await ask("GET", "/metrics")).text()).toContain("\nskein_disk_full 1\n");
    const { nodes } = await jsonIn<{ nodes: NodeView[] }>(await ask("GET", "/v1/nodes"));
    expect(nodes.map(({ disk_full: full }) => full)).toEqual([true]);
  });

  test("while nobody leads, voters that are not connected are told apart", async () => {
    const mesh = new Mesh(3);
    const node = mesh.node();
    node.ready = false;
    node.voters = [nodeId(1), nodeId(2), nodeId(3)];
    node.peers = [2, 3].map((id) => ({ node: nodeId(id), connected: id === 3, lag: null, leaseMs: null }));
    const { nodes } = await jsonIn<{ nodes: NodeView[] }>(await asking(node)("GET", "/v1/nodes"));
    expect(nodes.map(({ silent }) => silent)).toEqual([null, true, null]);
  });

  test("show who votes, who leads and what runs", async () => {
    const mesh = new Mesh(2);
    mesh.change((cluster) => cluster.submit({ count: 2 }));
    mesh.change((cluster) => cluster.assign(1, 2, [0, 1], [1, 1]));
    const ask = asking(mesh.node());
    const { nodes } = await jsonIn<{ nodes: NodeView[] }>(await ask("GET", "/v1/nodes"));
    expect(nodes.map(({ name, role, leader, running }) => [name, role, leader, running])).toEqual([
      ["n1", "voter", true, 0],
      ["n2", "learner", false, 2],
    ]);
    expect(await jsonIn(await ask("GET", "/v1/nodes/n2"))).toEqual(nodes[1] as never);
    expect(await jsonIn(await ask("GET", "/v1/nodes/2"))).toEqual(nodes[1] as never);
    const cluster = await jsonIn<ClusterView>(await ask("GET", "/v1/cluster"));
    expect(cluster).toMatchObject({ cluster: "c", leader: 1, voters: [1], voters_wanted: 5, term: 3 });
    expect(cluster.nodes).toEqual(nodes);
  });

  test("are where this node has heard last that they are, and otherwise where the log has them", async () => {
    const node = new Mesh(2).node();
    const ask = asking(node);
    const where = async () =>
      (await jsonIn<{ nodes: NodeView[] }>(await ask("GET", "/v1/nodes"))).nodes.map(({ peer, starts }) => [
        peer,
        starts,
      ]);
    const [first, second] = await where();
    expect([first![1], second![1]]).toEqual([0, 0]);
    expect(first![0]).not.toBe("");
    node.addresses = [{ node: nodeId(2), address: "elsewhere:1", starts: 7 }];
    expect(await where()).toEqual([first!, ["elsewhere:1", 7]]);
  });

  test("drain takes a name or an id, and asks for its right", async () => {
    const mesh = new Mesh(2);
    const ask = asking(mesh.node());
    expect(await jsonIn(await ask("POST", "/v1/nodes/n2/drain"))).toEqual({ node: 2, state: "draining" });
    expect((await ask("POST", "/v1/nodes/2/undrain", {}, { authorization: `Bearer ${operatorToken}` })).status).toBe(
      200,
    );
    expect((await ask("POST", "/v1/nodes/2/drain", {}, { authorization: `Bearer ${viewerToken}` })).status).toBe(403);
  });

  test("join tokens are made by admins only, with an end", async () => {
    const ask = asking(new Mesh().node());
    const made = await ask("POST", "/v1/cluster/tokens", { ttl: "2h", uses: 3 });
    expect([made.status, await jsonIn(made)]).toEqual([201, { token: "skein1.h.7200000.3" }]);
    expect((await ask("POST", "/v1/cluster/tokens", {}, { authorization: `Bearer ${operatorToken}` })).status).toBe(
      403,
    );
    expect((await ask("POST", "/v1/cluster/tokens", { ttl: "-1h" })).status).toBe(422);
    // As the command line: what nobody said is a few hosts and a day.
    expect(await jsonIn(await ask("POST", "/v1/cluster/tokens", {}))).toEqual({ token: "skein1.h.86400000.10" });
  });

  test("joining needs no bearer token; leaving does", async () => {
    const node = new Mesh().node();
    const ask = asking(node);
    const nobody = { authorization: undefined };
    expect((await ask("POST", "/v1/join", { token: "good" }, nobody)).status).toBe(200);
    expect((await ask("POST", "/v1/join", { token: "bad" }, nobody)).status).toBe(401);
    expect((await ask("POST", "/v1/join", "x".repeat(70_000), nobody)).status).toBe(413);
    expect((await ask("POST", "/v1/nodes/self/leave", {}, nobody)).status).toBe(401);
    expect(
      (await ask("POST", "/v1/nodes/self/leave", { timeout: "1m" }, { authorization: `Bearer ${operatorToken}` }))
        .status,
    ).toBe(200);
    expect(node.left).toBe(true);
  });
});

describe("every route", () => {
  const parts = (mesh: Mesh) => ({
    node: mesh.node(),
    reply: new Reply(mesh.node()),
    watchers: new Watchers(new AbortController().signal),
  });

  test("says who answered and which state it saw, and asks for a token unless it is public", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    const open = [
      "/v1/join",
      "/v1/ca",
      "/v1/certificate",
      "/v1/tokens/recover",
      "/healthz",
      "/readyz",
      "/health",
      "/metrics",
      "/v1/openapi.json",
    ];
    for (const { method, path } of allRoutes(parts(mesh))) {
      const filled = path.replace(/:\w+/g, "1");
      const withToken = await ask(method, filled);
      expect([path, withToken.headers.get("skein-node"), withToken.headers.get("skein-index")]).toEqual([
        path,
        "1",
        String(mesh.cluster.database.applied),
      ]);
      await withToken.body?.cancel();
      const without = await ask(method, filled, undefined, { authorization: undefined });
      if (!open.includes(path)) expect([path, without.status]).toEqual([path, 401]);
      else if (method === "GET") expect([path, without.status]).toEqual([path, 200]);
    }
  });

  test("stands in the OpenAPI document and on the reference page", async () => {
    const mesh = new Mesh();
    const document = await jsonIn<{ openapi: string; paths: Record<string, Record<string, { operationId: string }>> }>(
      await asking(mesh.node())("GET", "/v1/openapi.json"),
    );
    expect(document.openapi).toBe("3.1.0");
    const page = referencePage();
    const ids = new Set<string>();
    for (const { method, path } of allRoutes(parts(mesh))) {
      const operation = document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()];
      expect([path, operation === undefined]).toEqual([path, false]);
      ids.add(operation!.operationId);
      expect(page).toContain(`\`${method} ${path}\``);
    }
    expect(ids.size).toBe(allRoutes(parts(mesh)).length);
    const text = JSON.stringify(document);
    for (const key of ["max_failures", "each_node", "wait", "Last-Event-ID"]) expect(text + page).toContain(key);
  });

  test("an unknown path is 404, a wrong method 405 with what is allowed", async () => {
    const ask = asking(new Mesh().node());
    const unknown = await ask("GET", "/v2/jobs");
    expect([unknown.status, unknown.headers.get("skein-node")]).toEqual([404, "1"]);
    expect((await errorIn(unknown)).message).toContain("/v2/jobs");
    const wrong = await ask("DELETE", "/v1/jobs");
    expect([wrong.status, wrong.headers.get("allow")?.split(", ").toSorted()]).toEqual([405, ["GET", "POST"]]);
  });

  test("with a method that its path does not know is 405 on every path, with those that it knows", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    const known = Map.groupBy(allRoutes(parts(mesh)), ({ path }) => path);
    for (const [pattern, routes] of known) {
      const path = pattern.replaceAll(/:\w+/g, "7");
      // Another route may have the same path beside parameters of its own: "/v1/jobs/dead" and "/v1/jobs/:id".
      const allowed = new Set(
        [...known].flatMap(([other, ofOther]) =>
          new RegExp(`^${other.replaceAll(/:\w+/g, "[^/]+")}$`).test(path) ? ofOther.map(({ method }) => method) : [],
        ),
      );
      expect(routes.every(({ method }) => allowed.has(method))).toBe(true);
      for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"]) {
        if ((allowed as ReadonlySet<string>).has(method === "HEAD" ? "GET" : method)) continue;
        const answer = await ask(method, path);
        const { allow = "" } = Object.fromEntries(answer.headers);
        expect([method, path, answer.status, allow.split(", ").toSorted()]).toEqual([
          method,
          path,
          405,
          [...allowed].toSorted(),
        ]);
      }
    }
  });

  test("that is refused costs no look into the state: not a stranger's, not one too many, not an invalid one", async () => {
    const node = new Mesh().node();
    const ask = asking(node);
    const stranger = { authorization: "Bearer skein_x_y" };
    expect((await ask("GET", "/v1/jobs", undefined, stranger)).status).toBe(401);
    expect((await ask("POST", "/v1/jobs", { run: "" })).status).toBe(422);
    expect((await ask("GET", "/v2/jobs")).status).toBe(404);
    node.refusing = { code: "busy", message: "too many writes wait", retryAfterMs: 1000 };
    const busy = await ask("POST", "/v1/jobs", { run: "a" });
    expect([busy.status, busy.headers.get("skein-index")]).toEqual([429, String(node.applied)]);
    expect(node.statusAsked).toBe(0);
  });

  test("that fails unexpectedly is 500, says so to the node's log, and does not take the server down", async () => {
    const node = new Mesh().node();
    node.onPropose = () => {
      throw new Error("broken");
    };
    const bugs: unknown[] = [];
    const response = await asking(node, { onBug: (error) => bugs.push(error) })("POST", "/v1/jobs", { run: "a" });
    expect([response.status, (await errorIn(response)).code, bugs.length]).toEqual([500, "bug", 1]);
  });
});

test("metrics have the names of the contract", async () => {
  const mesh = new Mesh();
  mesh.change((cluster) => cluster.submit({ count: 3 }));
  mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
  const response = await createApp(mesh.node()).request("/metrics");
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  const page = await response.text();
  const lines = page.split("\n");
  expect(lines).toContain("skein_jobs_submitted_total 1");
  expect(lines).toContain("skein_tasks_running 1");
  expect(lines).toContain("skein_queue_depth 2");
  expect(lines).toContain("skein_is_leader 1");
  expect(lines).toContain("skein_raft_term 3");
  expect(lines).toContain('skein_jobs_finished_total{state="succeeded"} 0');
  expect(page).toContain("skein_raft_commit_index ");
  expect(page).toContain("skein_raft_applied_index ");
  expect(lines).toContain("skein_raft_first_index 1");
  expect(lines).toContain("skein_schedules_owned 4");
  expect(lines).toContain("skein_schedules_moved_total 2");
  for (const line of lines) expect(line).toMatch(/^(# (HELP|TYPE) .+|[a-z_]+(\{[^}]*\})? -?[0-9.]+|)$/);
});
