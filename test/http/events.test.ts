import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverEvents, type ServerEvent } from "../../src/client/sse.ts";
import { epochSpan } from "../../src/lib/epoch.ts";
import { limits } from "../../src/lib/limits.ts";
import { jobId } from "../../src/lib/ids.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { Events } from "../../src/node/events.ts";
import { EventJournal, EventJournalReader } from "../../src/storage/event-journal.ts";
import { admin } from "../state/support.ts";
import { adminToken, asking, errorIn, Mesh } from "./fake-node.ts";

/** Reads `count` events, positions left out, and goes away. */
async function take(response: Response, count: number, meanwhile: () => void = () => {}): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  let started = false;
  const body = response.body!;
  for await (const event of serverEvents(body, () => {
    if (!started) meanwhile();
    started = true;
  })) {
    if (event.event === "position") continue;
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

/** A mesh with one job from submit to success: a handful of events. */
function withHistory(): Mesh {
  const mesh = new Mesh();
  mesh.change((cluster) => cluster.submit());
  mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
  mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
  return mesh;
}

describe("events", () => {
  test("come as they happen, with topic, id and time", async () => {
    const mesh = new Mesh();
    const response = await asking(mesh.node())("GET", "/v1/events");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const [added] = await take(response, 1, () => mesh.change((cluster) => cluster.submit()));
    const index = mesh.cluster.database.applied;
    expect(added).toMatchObject({ event: "job", id: `${index}.0` });
    expect(JSON.parse(added!.data)).toEqual({ at: "1970-01-01T00:16:40.000Z", kind: "added", first: 1, count: 1 });
  });

  test("are chosen by topic", async () => {
    const mesh = withHistory();
    const response = await asking(mesh.node())("GET", "/v1/events?topic=task&from=0");
    const events = await take(response, 2);
    expect(events.map(({ event }) => event)).toEqual(["task", "task"]);
    const unknown = await errorIn(await asking(mesh.node())("GET", "/v1/events?topic=jobs"));
    expect([unknown.status, unknown.details[0]!.path]).toEqual([422, "topic"]);
  });

  test("tell of tasks that were given out and ended together in ranges", async () => {
    const mesh = new Mesh();
    mesh.change((cluster) => cluster.submit({ count: 10 }));
    mesh.change((cluster) => cluster.give(1, 1, 0, 10, 2));
    mesh.change((cluster) => cluster.end(1, 1, 0, [0, 5, 6], [1, 7, 9], [4, 5, 6]));
    mesh.change((cluster) => cluster.finish(1, 3, 1, 1, "failed"));
    mesh.change((cluster) => cluster.must("job.cancel", { id: jobId(1) }, admin));
    const response = await asking(mesh.node())("GET", "/v1/events?topic=task&from=0");
    const at = "1970-01-01T00:16:40.000Z";
    const events = (await take(response, 4)).map(({ data }) => JSON.parse(data) as unknown);
    expect(events).toEqual([
      { at, kind: "unit-assigned", job: 1, first: 0, count: 10, width: 2, node: 1 },
      { at, kind: "unit-ended", job: 1, first: 0, tasks: "0-1,4", node: 1 },
      { at, kind: "ended", job: 1, task: 3, attempt: 1, node: 1, state: "failed" },
      { at, kind: "unit-stop", job: 1, first: 0, node: 1 },
    ]);
  });

  test("are resumed after any of them without a gap or a repeat", async () => {
    const mesh = withHistory();
    const ask = asking(mesh.node());
    const total = mesh.cluster.events
      .flatMap((event) => event.changes)
      .filter((change) => change.topic !== "token").length;
    const all = await take(await ask("GET", "/v1/events?from=0"), total);
    const ids = all.map((event) => event.id);
    expect(new Set(ids).size).toBe(total);
    for (const [at, id] of ids.slice(0, -1).entries()) {
      const resumed = await take(await ask("GET", "/v1/events", undefined, { "last-event-id": id }), total - at - 1);
      expect(resumed.map((event) => event.id)).toEqual(ids.slice(at + 1));
    }
  });

  test("go on from a Skein-Index: what happened after that answer, and what happens next", async () => {
    const mesh = withHistory();
    const ask = asking(mesh.node());
    const index = (await ask("GET", "/v1/jobs")).headers.get("skein-index")!;
    mesh.change((cluster) => cluster.submit());
    const events = await take(await ask("GET", `/v1/events?from=${index}`), 2, () => {
      mesh.change((cluster) => cluster.submit());
    });
    expect(events.map((event) => (JSON.parse(event.data) as { first: number }).first)).toEqual([2, 3]);
  });

  test("older than what is kept are gone: 410 says from where on", async () => {
    const mesh = new Mesh();
    mesh.cluster.now += limits.eventsInMemoryMs * 2;
    mesh.change((cluster) => cluster.submit());
    const oldest = mesh.node().oldestEvent();
    expect(oldest).toBeGreaterThan(0);
    const ask = asking(mesh.node());
    const response = await ask("GET", "/v1/events?from=0");
    const error = await errorIn(response);
    expect([error.status, error.code, error.details as unknown]).toEqual([410, "gone", { oldest }]);
    const events = await take(await ask("GET", `/v1/events?from=${oldest}`), 1);
    expect(events.length).toBe(1);
  });

  test("of before this start are read from the disk, and go on in memory without a gap or a repeat", async () => {
    const mesh = withHistory();
    for (let job = 0; job < 20; job++) mesh.change((cluster) => cluster.submit());
    const all = mesh.cluster.events.flatMap((event) => event.changes);
    const total = all.filter((change) => change.topic !== "token").length;
    const whole = (await take(await asking(mesh.node())("GET", "/v1/events?from=0"), total)).map((event) => event.id);
    const directory = mkdtempSync(join(tmpdir(), "skein-http-events-"));
    try {
      const journal = new EventJournal(join(directory, "state.db"), 0, { segmentBytes: 300 });
      for (const event of mesh.cluster.events) journal.append(event.index - 1, event.index, JSON.stringify([event]));
      const { applied } = mesh.cluster.database;
      // A line whose transaction is not committed yet, or was never.
      journal.append(applied, applied + 1, JSON.stringify([{ index: applied + 1, at: 1, changes: all }]));
      const stored = new EventJournalReader(join(directory, "state.db"));
      mesh.events = new Events(applied, { stored, applied: () => mesh.cluster.database.applied });
      const ask = asking(mesh.node());
      expect(mesh.node().oldestEvent()).toBe(0);
      for (const [at, id] of whole.entries()) {
        if (at % 7 !== 3) continue;
        const rest = await take(await ask("GET", `/v1/events?from=${id}`), total - at, () => {
          if (mesh.cluster.events.at(-1)!.index === applied) mesh.change((cluster) => cluster.submit());
        });
        expect(rest.slice(0, total - at - 1).map((event) => event.id)).toEqual(whole.slice(at + 1));
        expect(rest.at(-1)!.id).toBe(`${applied + 1}.0`);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("of single jobs are told to those who want them alone", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    const begin = mesh.cluster.database.applied;
    const path = "/v1/events?job=2,4&topic=job,task";
    const ids = (events: readonly { readonly id: string | undefined }[]): (string | undefined)[] =>
      events.map((event) => event.id);
    const happen = (): void => {
      for (let job = 1; job <= 4; job++) mesh.change((cluster) => cluster.submit());
      for (let job = 1; job <= 4; job++) mesh.change((cluster) => cluster.assign(job, 1, [0, 1]));
    };
    const live = await take(await ask("GET", `${path}&from=${begin}`), 6, happen);
    expect(live.map((event) => event.event)).toEqual(["job", "job", "job", "task", "job", "task"]);
    expect(new Set(live.slice(2).map((event) => (JSON.parse(event.data) as { job: number }).job))).toEqual(
      new Set([2, 4]),
    );
    const past = await take(await ask("GET", `${path}&from=${begin}`), 6);
    expect(ids(past)).toEqual(ids(live));
    for (const wrong of ["job=x", "job=0", "job=1,,2", `job=${"1,".repeat(limits.eventJobs)}1`]) {
      const error = await errorIn(await ask("GET", `/v1/events?${wrong}`));
      expect([error.status, error.details[0]!.path]).toEqual([422, "job"]);
    }
  });

  test("end when the state jumps: the reader resumes, and is told that they are gone", async () => {
    const mesh = withHistory();
    const response = await asking(mesh.node())("GET", "/v1/events");
    const reader = response.body!.getReader();
    await reader.read();
    mesh.events.reset(mesh.cluster.database.applied + 10);
    expect((await reader.read()).done).toBe(true);
  });

  test("after an index that this node has not applied yet are told when it has", async () => {
    const mesh = withHistory();
    const { applied } = mesh.cluster.database;
    const events = await take(await asking(mesh.node())("GET", `/v1/events?from=${applied + 2}`), 1, () => {
      for (let job = 0; job < 3; job++) mesh.change((cluster) => cluster.submit());
    });
    expect(events[0]!.id).toBe(`${applied + 3}.0`);
  });

  test("of another epoch are another history: 409", async () => {
    const ask = asking(new Mesh().node());
    for (const from of [`${epochSpan}`, `${epochSpan + 7}.3`, `${5 * epochSpan}`]) {
      const error = await errorIn(await ask("GET", `/v1/events?from=${from}`));
      expect([from, error.status, error.code]).toEqual([from, 409, "conflict"]);
    }
  });

  test("from no position at all are refused", async () => {
    const error = await errorIn(await asking(new Mesh().node())("GET", "/v1/events?from=now"));
    expect([error.status, error.details[0]!.path]).toEqual([422, "from"]);
  });

  test("are not kept for a reader that does not read: it is cut off, and others are not", async () => {
    const mesh = new Mesh();
    const node = mesh.node();
    const slow = await asking(node)("GET", "/v1/events?topic=task");
    const reader = slow.body!.getReader();
    await reader.read();
    const change = { topic: "task", kind: "assigned", job: jobId(1), task: 0, attempt: 1, node: node.id } as const;
    const changes = Array.from({ length: 10_000 }, () => change);
    let index = mesh.cluster.database.applied;
    for (let number = 0; number * changes.length <= limits.watcherBacklogChanges; number++) {
      mesh.events.publish([{ index: ++index, at: mesh.cluster.now, changes }], mesh.cluster.now);
    }
    expect((await reader.read()).done).toBe(true);
    const fresh = await take(await asking(node)("GET", "/v1/events"), 1, () =>
      mesh.change((cluster) => cluster.submit()),
    );
    expect(fresh.length).toBe(1);
  });

  test("over a socket: a reader that leaves is forgotten, and a server that stops ends its streams", async () => {
    const mesh = new Mesh();
    const node = mesh.node();
    let listeners = 0;
    const gone = Promise.withResolvers<void>();
    const watch = node.watch.bind(node);
    node.watch = (listener) => {
      listeners += 1;
      const unwatch = watch(listener);
      let watching = true;
      return () => {
        if (watching) listeners -= 1;
        watching = false;
        unwatch();
        if (listeners === 0) gone.resolve();
      };
    };
    const server = serveHttp({ node, host: "127.0.0.1", port: 0 });
    const headers = { authorization: `Bearer ${adminToken}` };
    const leaving = new AbortController();
    const first = await fetch(`${server.url}/v1/events`, { headers, signal: leaving.signal });
    await first.body!.getReader().read();
    expect(listeners).toBe(1);
    leaving.abort();
    await gone.promise;
    const second = await fetch(`${server.url}/v1/events`, { headers });
    const reader = second.body!.getReader();
    await reader.read();
    await server.stop();
    expect((await reader.read()).done).toBe(true);
    expect(listeners).toBe(0);
  });
});
