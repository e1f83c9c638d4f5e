import { describe, expect, test } from "bun:test";
import { PackShelf } from "../../src/executor/pack-shelf.ts";
import { Fault } from "../../src/lib/fault.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import type { LogRequest } from "../../src/node/api.ts";
import { type LogPorts, readLog } from "../../src/node/logs.ts";
import { Cluster } from "../state/support.ts";

/** A task that ran on node 2 with this output; node 2 does not answer node 1 any more. */
function away(output: Uint8Array, logBytes = output.length) {
  const cluster = Cluster.of(2);
  const job = cluster.submit();
  cluster.assign(job, 2, [0, 1]);
  const log = { bytes: logBytes, sha256: "x" };
  cluster.finish(job, 0, 1, 2, "succeeded", { tail: output, log });
  const ports: LogPorts = {
    self: nodeId(1),
    shelf: new PackShelf("", 1),
    view: (query) => query(cluster.database),
    away: new Map(),
    askCopy: () => Promise.reject(new Fault("peer-unreachable", "no socket", "safe")),
    ask: () => Promise.reject(new Fault("peer-unreachable", "no socket", "safe")),
  };
  const read = (more: Partial<LogRequest> = {}) =>
    readLog({ job, task: 0, offset: 0, maxBytes: 1000, waitMs: 0, ...more }, ports);
  return { read };
}

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

describe("the log of a task whose node is away", () => {
  test("is served from the replicated tail when that is all of it", async () => {
    const page = await away(bytes("7 squared is 49\n")).read();
    if (!page.ok) throw new Error(page.why.message);
    expect(page.value).toMatchObject({ attempt: 1, next: 16, end: true });
    expect(text(page.value.chunks[0]?.bytes)).toBe("7 squared is 49\n");
  });

  test("from an offset, and from the end", async () => {
    const { read } = away(bytes("0123456789"));
    for (const [offset, rest] of [
      [4, "456789"],
      [-3, "789"],
      [-99, "0123456789"],
      [10, undefined],
    ] as const) {
      const page = await read({ offset });
      expect(page.ok ? page.value.chunks.map((chunk) => text(chunk.bytes))[0] : page.why.message).toBe(rest as string);
      expect(page.ok && page.value.next).toBe(10);
    }
  });

  test.each([
    ["longer than the tail", away(bytes("tail"), 5000), {}],
    ["not UTF-8", away(new Uint8Array([0xff, 0xfe])), {}],
    ["asked for by stream", away(bytes("both")), { stream: "stderr" as const }],
  ])("is refused for now when it is %s: nothing is made up", async (_why, task, more) => {
    const page = await task.read(more);
    expect(page.ok ? "" : page.why).toMatchObject({ code: "unavailable" });
    expect(page.ok ? "" : page.why.message).toContain("on node 2");
  });
});

describe("a task that waits for its retry", () => {
  function waiting(ended: "failed" | "taken back") {
    const cluster = Cluster.of(2);
    cluster.level = 3;
    const job = cluster.submit({ retries: { max: 1, backoff: "1h" } });
    cluster.assign(job, 2, [0, 1]);
    if (ended === "taken back") cluster.must("unit.recall", { node: nodeId(2), attempts: [[jobId(job), 0, 1]] });
    else cluster.finish(job, 0, 1, 2, "failed", { tail: bytes("why"), log: { bytes: 3, sha256: "x" } });
    expect(cluster.task(job)).toMatchObject({ state: "queued", attempt: 1 });
    const asked: unknown[] = [];
    const ports: LogPorts = {
      self: nodeId(1),
      shelf: new PackShelf("", 1),
      view: (query) => query(cluster.database),
      away: new Map(),
      askCopy: () => Promise.reject(new Fault("peer-unreachable", "no socket", "safe")),
      ask: (node, { attempt }) => {
        asked.push([node, attempt]);
        const chunks = [{ stream: "stdout" as const, at: 1, bytes: bytes("why") }];
        return Promise.resolve({ attempt, chunks, next: 3, end: true });
      },
    };
    return { asked, read: () => readLog({ job, task: 0, offset: 0, maxBytes: 1000, waitMs: 0 }, ports) };
  }

  test("shows what its last attempt said, from the node where that was", async () => {
    const { asked, read } = waiting("failed");
    const page = await read();
    if (!page.ok) throw new Error(page.why.message);
    expect(page.value).toMatchObject({ attempt: 1, next: 3, end: true });
    expect(text(page.value.chunks[0]?.bytes)).toBe("why");
    expect(asked).toEqual([[nodeId(2), 1]]);
  });

  test("has nothing to show of what was taken back before it began, and nobody is asked", async () => {
    const { asked, read } = waiting("taken back");
    expect(await read()).toMatchObject({ ok: true, value: { chunks: [], end: true } });
    expect(asked).toEqual([]);
  });
});
