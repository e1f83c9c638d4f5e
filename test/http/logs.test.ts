import { describe, expect, test } from "bun:test";
import { serverEvents, type ServerEvent } from "../../src/client/sse.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { jobId } from "../../src/lib/ids.ts";
import { admin } from "../state/support.ts";
import { adminToken, asking, errorIn, Mesh } from "./fake-node.ts";

const sse = { accept: "text/event-stream" };

/** A job of `count` tasks that run on node 1, each with one attempt. */
function running(count = 1, spec: Record<string, unknown> = {}): Mesh {
  const mesh = new Mesh();
  mesh.change((cluster) => cluster.submit({ count, ...spec }));
  const tasks = Array.from({ length: count }, (_, task) => [task, 1] as const);
  mesh.change((cluster) => cluster.assign(1, 1, ...tasks));
  return mesh;
}

async function eventsOf(response: Response): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of serverEvents(response.body!)) events.push(event);
  return events;
}

describe("logs as text", () => {
  test("are the bytes as they were written, both streams in order of arrival", async () => {
    const mesh = running();
    const bytes = new Uint8Array([0xff, 0x00, 0x41, 0x0a]);
    mesh.log(1).write("one\n").write("two\n", "stderr").write(bytes);
    const ask = asking(mesh.node());
    const whole = new Uint8Array(await (await ask("GET", "/v1/jobs/1/logs")).arrayBuffer());
    expect(whole).toEqual(new Uint8Array([...new TextEncoder().encode("one\ntwo\n"), ...bytes]));
    expect(await (await ask("GET", "/v1/jobs/1/logs?stream=stderr")).text()).toBe("two\n");
  });

  test("skip an offset in bytes", async () => {
    const mesh = running();
    mesh.log(1).write("one\n").write("two\n");
    expect(await (await asking(mesh.node())("GET", "/v1/jobs/1/logs?offset=5")).text()).toBe("wo\n");
  });

  test.each([
    [0, ""],
    [1, "cc\n"],
    [2, "bb\ncc\n"],
    [3, "a\nbb\ncc\n"],
    [9, "a\nbb\ncc\n"],
  ])("end with the last %d lines", async (tail, text) => {
    const mesh = running();
    mesh.log(1).write("a\nb").write("b\ncc\n");
    expect(await (await asking(mesh.node())("GET", `/v1/jobs/1/logs?tail=${tail}`)).text()).toBe(text);
  });

  test("of a long log have their last lines found however far back they begin", async () => {
    const mesh = running();
    mesh.log(1).write(`first\n${"x".repeat(300_000)}\n${"y".repeat(200_000)}`);
    const text = await (await asking(mesh.node())("GET", "/v1/jobs/1/logs?tail=2")).text();
    expect([text.length, text.startsWith("xxx")]).toEqual([500_001, true]);
  });

  test("of many tasks come task by task", async () => {
    const mesh = running(3);
    for (const task of [2, 0, 1]) mesh.log(1, task).write(`task ${task}\n`);
    const ask = asking(mesh.node());
    expect(await (await ask("GET", "/v1/jobs/1/logs")).text()).toBe("task 0\ntask 1\ntask 2\n");
    expect(await (await ask("GET", "/v1/jobs/1/logs?task=1")).text()).toBe("task 1\n");
    const error = await errorIn(await ask("GET", "/v1/jobs/1/logs?offset=3"));
    expect([error.status, error.details[0]!.path]).toEqual([422, "offset"]);
  });

  test("of ten million tasks that did not begin are over at once, and who follows many that left nothing lets others have their turn", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => {
      cluster.submit({ count: 10_000_000 });
      cluster.must("job.cancel", { id: jobId(1) }, admin);
    });
    const ask = asking(mesh.node());
    for (const words of ["", "?follow", "?tail=3"]) {
      const response = await ask("GET", `/v1/jobs/1/logs${words}`);
      expect([words, response.status, await response.text()]).toEqual([words, 200, ""]);
    }
    // Their output was there and is not found any more: each is asked for.
    mesh.change((cluster) => {
      const job = cluster.submit({ count: 3000 });
      for (let first = 0; first < 3000; first += 500)
        cluster.assign(job, 1, ...Array.from({ length: 500 }, (_, at) => [first + at, 1] as const));
      const log = { bytes: 1, sha256: "x" };
      for (let task = 0; task < 3000; task++) cluster.finish(job, task, 1, 1, "succeeded", { log });
    });
    let isOver = false;
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    await (await ask("GET", "/v1/jobs/2/logs")).text();
    isOver = true;
    expect(turns).toBeGreaterThan(10);
  });

  test("of a task that has not begun are empty", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit());
    const response = await asking(mesh.node())("GET", "/v1/jobs/1/logs");
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  test("that cannot be had are 503 with the reason", async () => {
    const mesh = running();
    const node = mesh.node();
    node.unreachableLogs.add("1/0.1");
    const error = await errorIn(await asking(node)("GET", "/v1/jobs/1/logs"));
    expect([error.status, error.message]).toEqual([503, "the node that has the log does not answer"]);
  });

  test("over a socket, followed: every piece arrives while the task runs, and the end with its end", async () => {
    const mesh = running();
    mesh.log(1).write("one\n");
    const server = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0 });
    try {
      const headers = { authorization: `Bearer ${adminToken}` };
      const response = await fetch(`${server.url}/v1/jobs/1/logs?follow`, { headers });
      const reader = response.body!.getReader();
      const text = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
      expect(await text()).toBe("one\n");
      mesh.log(1).write("two\n");
      expect(await text()).toBe("two\n");
      mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
      expect((await reader.read()).done).toBe(true);
    } finally {
      await server.stop();
    }
  });
});

describe("logs as events", () => {
  test("carry where each piece came from, bytes that are no text as base64, and an end", async () => {
    const mesh = running();
    mesh
      .log(1)
      .write("grün\n")
      .write(new Uint8Array([0xc3]), "stderr");
    const events = await eventsOf(await asking(mesh.node())("GET", "/v1/jobs/1/logs", undefined, sse));
    expect(events.map(({ event, id }) => [event, id])).toEqual([
      ["output", "0.1.6"],
      ["output", "0.1.7"],
      ["end", "0.1.7"],
    ]);
    const at = "1970-01-01T00:00:01.000Z";
    expect(JSON.parse(events[0]!.data)).toEqual({ task: 0, attempt: 1, stream: "stdout", at, text: "grün\n" });
    expect(JSON.parse(events[1]!.data)).toEqual({ task: 0, attempt: 1, stream: "stderr", at, base64: "ww==" });
  });

  test("go on after the last one that arrived, task and bytes", async () => {
    const mesh = running(2);
    mesh.log(1, 0).write("zero\n");
    mesh.log(1, 1).write("one\n").write("more\n");
    const headers = { ...sse, "last-event-id": "1.1.4" };
    const events = await eventsOf(await asking(mesh.node())("GET", "/v1/jobs/1/logs", undefined, headers));
    expect(events.map(({ id }) => id)).toEqual(["1.1.9", "1.1.9"]);
  });

  test("followed from before the first attempt over a retry to the end", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit({ retries: { max: 1 } }));
    const response = await asking(mesh.node())("GET", "/v1/jobs/1/logs?follow=true", undefined, sse);
    const seen: string[] = [];
    for await (const event of serverEvents(response.body!, () => {
      if (mesh.cluster.task(1).attempt > 0) return;
      mesh.log(1, 0, 1).write("first try\n");
      mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    })) {
      seen.push(event.event === "end" ? "end" : (JSON.parse(event.data) as { text: string }).text);
      if (seen.length === 1) {
        mesh.change((cluster) => cluster.finish(1, 0, 1, 1, "failed"));
        mesh.log(1, 0, 2).write("second try\n");
        mesh.cluster.now += 60_000;
        mesh.change((cluster) => cluster.assign(1, 1, [0, 2]));
      }
      if (seen.length === 2) mesh.change((cluster) => cluster.finish(1, 0, 2, 1));
    }
    expect(seen).toEqual(["first try\n", "second try\n", "end"]);
  });

  test("tell of a task whose log cannot be had and go on with the next", async () => {
    const mesh = running(2);
    const node = mesh.node();
    node.unreachableLogs.add("1/0.1");
    mesh.log(1, 1).write("one\n");
    const events = await eventsOf(await asking(node)("GET", "/v1/jobs/1/logs", undefined, sse));
    expect(events.map(({ event }) => event)).toEqual(["problem", "output", "end"]);
    expect(JSON.parse(events[0]!.data)).toMatchObject({ task: 0, code: "unavailable" });
  });

  test("followed through the loss of the node that ran the task", async () => {
    const mesh = running();
    mesh.log(1).write("begun\n");
    const node = mesh.node();
    const response = await asking(node)("GET", "/v1/jobs/1/logs?follow", undefined, sse);
    const seen: string[] = [];
    for await (const event of serverEvents(response.body!)) {
      const { text, message } = JSON.parse(event.data) as { text?: string; message?: string };
      seen.push(text ?? message ?? event.event);
      if (seen.length === 1) {
        node.unreachableLogs.add("1/0.1");
        mesh.log(1, 0, 2).write("begun again\n");
        mesh.change((cluster) => cluster.finish(1, 0, 1, 1, "lost"));
        mesh.change((cluster) => cluster.assign(1, 1, [0, 2]));
      }
      if (text === "begun again\n") mesh.change((cluster) => cluster.finish(1, 0, 2, 1));
    }
    expect(seen.filter((text) => text !== "the node that has the log does not answer")).toEqual([
      "begun\n",
      "begun again\n",
      "end",
    ]);
  });
});
