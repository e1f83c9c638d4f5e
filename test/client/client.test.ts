import { afterEach, describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { CommandClient } from "../../src/client/command-client.ts";
import { ApiError, Unreachable } from "../../src/client/errors.ts";
import type { LogPiece } from "../../src/client/follow.ts";
import type { EventView } from "../../src/state/answers.ts";
import { type HttpServer, serveHttp } from "../../src/http/serve.ts";
import { adminToken, type FakeNode, Mesh } from "../http/fake-node.ts";

const servers: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

function serve(node: FakeNode): HttpServer {
  const server = serveHttp({ node, host: "127.0.0.1", port: 0 });
  servers.push(server);
  return server;
}

function clientOf(...all: readonly { readonly url: string }[]): CommandClient {
  return new CommandClient({ addrs: all.map((server) => server.url), token: adminToken });
}

/** An address that nothing listens on. */
async function deadAddress(): Promise<{ url: string }> {
  const server = serveHttp({ node: new Mesh().node(), host: "127.0.0.1", port: 0 });
  await server.stop();
  return server;
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable("it was not refused"),
    (error: unknown) => error,
  );
}

describe("calls", () => {
  test("are typed all the way: submit, look, cancel, list", async () => {
    const mesh = new Mesh(2);
    const client = clientOf(serve(mesh.node()));
    expect(await client.submit({ run: "true", count: 2 })).toEqual({ ids: [1], repeated: false });
    expect(await client.submit([{ run: "a" }, { run: "b" }])).toEqual({ ids: [2, 3], repeated: false });
    expect((await client.jobs({ limit: 2 })).jobs.map((job) => job.id)).toEqual([3, 2]);
    expect((await client.job(1)).counts.queued).toBe(2);
    expect((await client.tasks(1)).tasks.length).toBe(2);
    expect((await client.task(1, 1)).state).toBe("queued");
    await client.cancel(1);
    expect((await client.job(1)).state).toBe("cancelled");
    expect(await client.call("node.drain", { node: "n2" })).toMatchObject({ state: "draining" });
    expect((await client.nodes()).map((node) => node.state)).toEqual(["up", "draining"]);
    expect((await client.node("n2")).id).toBe(2);
    expect((await client.cluster()).leader).toBe(1);
    expect(await client.joinToken({ ttlMs: 60_000, uses: 2 })).toBe("skein1.h.60000.2");
  });

  test("page through all tasks", async () => {
    const mesh = new Mesh();
    const client = clientOf(serve(mesh.node()));
    await client.submit({ run: "true", count: 25 });
    const seen: number[] = [];
    for await (const task of client.everyTask(1, { limit: 10 })) seen.push(task.task);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, task) => task));
  });

  test("that are refused throw what the node said", async () => {
    const client = clientOf(serve(new Mesh().node()));
    const invalid = await rejection(client.submit({ run: "", count: 0 }));
    expect(invalid).toBeInstanceOf(ApiError);
    expect((invalid as ApiError).problems.map((one) => one.path).toSorted()).toEqual(["count", "run"]);
    expect(await rejection(client.job(9))).toMatchObject({ status: 404, code: "not-found" });
    const stranger = new CommandClient({ addrs: [servers[0]!.url], token: "skein_x_y" });
    expect(await rejection(stranger.jobs())).toMatchObject({ status: 401, code: "unauthorized" });
  });

  test("may take longer than a timer can count: the node's answer comes before any timeout", async () => {
    const client = clientOf(serve(new Mesh().node()));
    const error = await rejection(client.leave(30 * 86_400_000));
    expect(error).toMatchObject({ status: 422, code: "invalid" });
  });

  test("to something that is not a node say so", async () => {
    const other = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("<h1>hello</h1>", { status: 404 }),
    });
    try {
      const error = await rejection(new CommandClient({ addrs: [`127.0.0.1:${other.port}`] }).cluster());
      expect((error as Error).message).toContain("no answer of skein");
    } finally {
      await other.stop(true);
    }
  });

  test("carry the index of the last write, so that another node does not answer with older state", async () => {
    const seen: (string | null)[] = [];
    const server = serve(new Mesh().node());
    const client = new CommandClient({
      addrs: [server.url],
      token: adminToken,
      fetch(url, init) {
        seen.push(new Headers(init.headers).get("skein-min-index"));
        return fetch(url, init);
      },
    });
    await client.jobs();
    await client.submit({ run: "true" });
    await client.jobs();
    expect([seen[0], seen[1]]).toEqual([null, null]);
    expect(Number(seen[2])).toBeGreaterThan(0);
  });
});

describe("with one node down", () => {
  test("the next address is asked, and stays the first choice", async () => {
    const asked: string[] = [];
    const [dead, alive] = [await deadAddress(), serve(new Mesh().node())];
    const client = new CommandClient({
      addrs: [dead.url, alive.url],
      token: adminToken,
      fetch(url, init) {
        asked.push(new URL(url).origin);
        return fetch(url, init);
      },
    });
    await client.submit({ run: "true" });
    await client.jobs();
    expect(asked).toEqual([dead.url, alive.url, alive.url]);
  });

  test("and no other, the error names every address and why", async () => {
    const [one, two] = [await deadAddress(), await deadAddress()];
    const error = await rejection(clientOf(one, two).jobs());
    expect(error).toBeInstanceOf(Unreachable);
    const { tried, mayHaveHappened } = error as Unreachable;
    expect(tried.map((each) => each.address).toSorted()).toEqual([one.url, two.url].toSorted());
    expect(tried.every((each) => each.cause === "connection refused")).toBe(true);
    expect(mayHaveHappened).toBe(false);
  });

  test("waiting goes on at another one", async () => {
    const mesh = new Mesh();
    const [first, second] = [mesh.node(1), mesh.node(1)];
    const [one, two] = [serve(first), serve(second)];
    const client = clientOf(one, two);
    const { ids } = await client.submit({ run: "true" });
    const atFirst = first.nextWait();
    const waited = client.wait(ids);
    await atFirst;
    const atSecond = second.nextWait();
    await one.stop();
    await atSecond;
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
    expect(await waited).toEqual({ finished: true, jobs: [{ id: 1, state: "succeeded" }] });
  });

  test("logs go on at another one, without a gap and without a repeat", async () => {
    const mesh = new Mesh();
    const [one, two] = [serve(mesh.node()), serve(mesh.node())];
    const client = clientOf(one, two);
    await client.submit({ run: "true" });
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    mesh
      .log(1)
      .write("one\n")
      .write(new Uint8Array([0xff]));
    const seen: LogPiece[] = [];
    for await (const piece of client.logs(1, { follow: true })) {
      seen.push(piece);
      if (seen.length === 2) {
        await one.stop();
        mesh.log(1).write("two\n", "stderr");
      }
      if (seen.length === 3) mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
    }
    const outputs = seen.map((piece) => (piece.kind === "output" ? [piece.stream, [...piece.bytes]] : piece));
    const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
    expect(outputs).toEqual([
      ["stdout", bytes("one\n")],
      ["stdout", [0xff]],
      ["stderr", bytes("two\n")],
    ]);
  });

  test("events go on at another one, without a gap and without a repeat", async () => {
    const mesh = new Mesh();
    const [one, two] = [serve(mesh.node()), serve(mesh.node())];
    const client = clientOf(one, two);
    const seen: EventView[] = [];
    const events = client.events({ topics: ["job"], from: mesh.cluster.database.applied });
    mesh.change((cluster) => cluster.submit());
    for await (const event of events) {
      seen.push(event);
      if (seen.length === 1) {
        await one.stop();
        mesh.change((cluster) => cluster.submit());
        mesh.change((cluster) => cluster.submit());
      }
      if (seen.length === 3) break;
    }
    expect(seen.map((event) => [event.topic, event.kind, "first" in event && Number(event.first)])).toEqual([
      ["job", "added", 1],
      ["job", "added", 2],
      ["job", "added", 3],
    ]);
  });
});

test("events that one node has no more are asked of another, before anybody is told that they are gone", async () => {
  const mesh = new Mesh();
  for (let job = 0; job < 3; job++) mesh.change((cluster) => cluster.submit());
  const joined = mesh.node(2);
  const { applied } = joined;
  joined.eventsAfter = (from) => (from < applied ? undefined : mesh.events.after(from));
  const [old, young] = [serve(mesh.node()), serve(joined)];
  const asked: string[] = [];
  const client = (...all: readonly { readonly url: string }[]): CommandClient =>
    new CommandClient({
      addrs: all.map((server) => server.url),
      token: adminToken,
      async fetch(url, init) {
        const response = await fetch(url, init);
        asked.push(`${new URL(url).origin} ${response.status}`);
        return response;
      },
    });
  const first = await client(young, old)
    .events({ topics: ["job"], from: 0 })
    .next();
  expect([first.value?.topic, asked]).toEqual(["job", [`${young.url} 410`, `${old.url} 200`]]);
  expect(await rejection(client(young).events({ from: 0 }).next())).toMatchObject({ status: 410, code: "gone" });
});

describe("a write", () => {
  /** A server that carries out the first request but loses its answer. */
  function losing(mesh: Mesh): { client: CommandClient; answers: number[] } {
    const server = serve(mesh.node());
    const answers: number[] = [];
    const client = new CommandClient({
      addrs: [server.url],
      token: adminToken,
      async fetch(url, init) {
        const response = await fetch(url, init);
        answers.push(response.status);
        if (answers.length > 1) return response;
        await response.text();
        throw new Error("the socket was closed");
      },
    });
    return { client, answers };
  }

  test("whose answer was lost is repeated under its key and done once", async () => {
    const mesh = new Mesh();
    const { client, answers } = losing(mesh);
    expect(await client.submit({ run: "true" })).toEqual({ ids: [1], repeated: true });
    expect(answers).toEqual([201, 200]);
    expect((await client.jobs()).jobs.length).toBe(1);
  });

  test("whose answer was lost, of a schedule that is fired by hand, is repeated under its key and done once", async () => {
    const mesh = new Mesh();
    mesh.cluster.now = Date.now();
    const server = serve(mesh.node());
    const schedule = { name: "a", every: "1h", overlap: "allow", job: { run: "true" } } as const;
    await new CommandClient({ addrs: [server.url], token: adminToken }).setSchedule(schedule);
    const { client, answers } = losing(mesh);
    expect(await client.fireSchedule("a")).toEqual({ name: "a", job: 1 });
    expect(answers).toEqual([201, 200]);
    expect((await client.jobs()).jobs.length).toBe(1);
  });

  test.each([
    ["a command", (client: CommandClient) => client.call("node.drain", { node: "n2" })],
    ["a join token", (client: CommandClient) => client.joinToken()],
    ["leaving", (client: CommandClient) => client.leave(1000)],
  ])("without a key (%s) is not repeated when it may have happened", async (_what, write) => {
    const { client, answers } = losing(new Mesh(2));
    const error = await rejection(write(client));
    expect([error instanceof Unreachable, (error as Unreachable).mayHaveHappened, answers]).toEqual([
      true,
      true,
      [expect.any(Number)],
    ]);
    expect(answers[0]).toBeLessThan(300);
    expect((error as Error).message).toContain("may have been carried out");
  });

  test.each([
    ["is repeated elsewhere when the node says that nothing was done", "safe", 1],
    ["is not repeated when the node does not know", undefined, 0],
  ] as const)("without a key %s", async (_, retry, drained) => {
    const mesh = new Mesh(2);
    const [first, second] = [mesh.node(), mesh.node()];
    first.refusing = { code: "unavailable", message: "no leader", retryAfterMs: 1000, retry };
    const client = clientOf(serve(first), serve(second));
    const outcome = await client.call("node.drain", { node: "n2" }).then(
      () => "done",
      (error: unknown) => (error as ApiError).code,
    );
    expect(outcome).toBe(drained === 1 ? "done" : "unavailable");
    expect((await clientOf(serve(mesh.node())).node("n2")).state).toBe(drained === 1 ? "draining" : "up");
  });

  test("waits out a time without a leader", async () => {
    const node = new Mesh().node();
    node.refusing = { code: "unavailable", message: "no leader", retryAfterMs: 1000 };
    const client = clientOf(serve(node));
    let tries = 0;
    node.onPropose = () => {
      if (++tries === 3) node.refusing = undefined;
    };
    expect((await client.submit({ run: "true" })).ids).toEqual([1]);
    expect(tries).toBe(3);
  });
});

test("an abort ends waiting, logs and events at once", async () => {
  const mesh = new Mesh();
  const node = mesh.node();
  const client = clientOf(serve(node));
  await client.submit({ run: "true" });
  const abort = new AbortController();
  const { signal } = abort;
  const waiting = node.nextWait();
  const all = [
    rejection(client.wait([1], { signal })),
    rejection(client.logs(1, { follow: true, signal }).next()),
    rejection(client.events({ signal }).next()),
  ];
  await waiting;
  const reason = new Error("the person pressed Ctrl-C");
  abort.abort(reason);
  expect(await Promise.all(all)).toEqual([reason, reason, reason]);
});

test("the client runs under Node, first address dead", async () => {
  const mesh = new Mesh();
  const node = mesh.node();
  void node.nextWait().then(() => {
    mesh.log(1).write("hello from node\n");
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
  });
  const script = fileURLToPath(new URL("under-node.ts", import.meta.url));
  const [dead, alive] = [await deadAddress(), serve(node)];
  const child = Bun.spawn(["node", "--import", "tsx", script, dead.url, alive.url, adminToken], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  expect(JSON.parse(text)).toEqual({ ids: [1], finished: true, output: "hello from node\n" });
}, 30_000);
