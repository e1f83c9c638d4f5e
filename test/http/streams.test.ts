import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { createApp } from "../../src/http/app.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { limits } from "../../src/lib/limits.ts";
import { adminToken, asking, type FakeNode, Mesh } from "./fake-node.ts";

/** A mesh with a job that runs and has said something. */
function running(): Mesh {
  const mesh = new Mesh();
  mesh.change((cluster) => cluster.submit());
  mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
  mesh.log(1).write("one\n");
  return mesh;
}

/** Listeners that the node's events have from now on. */
function counted(node: FakeNode): { open: number } {
  const count = { open: 0 };
  const watch = node.watch.bind(node);
  node.watch = (listener) => {
    count.open += 1;
    const unwatch = watch(listener);
    return () => {
      count.open -= 1;
      unwatch();
    };
  };
  return count;
}

describe("HEAD of what streams", () => {
  test.each([
    ["/v1/events", undefined, "text/event-stream"],
    ["/v1/jobs/1/logs?follow=true", "text/event-stream", "text/event-stream"],
    ["/v1/jobs/1/logs?follow=true", undefined, "text/plain; charset=utf-8"],
    ["/v1/backup", undefined, "application/octet-stream"],
  ])("%s (accept: %p) is answered by its head, and nothing of it is left", async (path, accept, contentType) => {
    const node = running().node();
    const listeners = counted(node);
    const ask = asking(node);
    for (let time = 0; time < 3; time++) {
      const response = await ask("HEAD", path, undefined, { accept });
      expect([response.status, response.headers.get("content-type")]).toEqual([200, contentType]);
      expect(response.headers.get("skein-node")).toBe("1");
      expect(response.body).toBe(null);
    }
    expect(await (await ask("GET", "/metrics")).text()).toContain("skein_watchers 0\n");
    expect([listeners.open, node.backupsMade, node.backupsOpen]).toEqual([0, 0, 0]);
  });

  test("over a socket says no length, and that of other answers is GET's", async () => {
    const server = serveHttp({ node: running().node(), host: "127.0.0.1", port: 0 });
    try {
      const headers = { authorization: `Bearer ${adminToken}` };
      for (const path of ["/v1/events", "/v1/jobs/1/logs?follow=true", "/v1/backup"]) {
        const head = await fetch(server.url + path, { method: "HEAD", headers });
        expect([path, head.status, head.headers.get("content-length")]).toEqual([path, 200, null]);
      }
      for (const path of ["/v1/jobs", "/v1/jobs/9", "/v1/openapi.json"]) {
        const [head, whole] = [
          await fetch(server.url + path, { method: "HEAD", headers }),
          await fetch(server.url + path, { headers }),
        ];
        const length = String((await whole.arrayBuffer()).byteLength);
        expect([path, head.status, head.headers.get("content-length")]).toEqual([path, whole.status, length]);
      }
    } finally {
      await server.stop();
    }
  });

  test("is refused as GET is: no token, no right, nothing there", async () => {
    const ask = asking(running().node());
    expect((await ask("HEAD", "/v1/backup", undefined, { authorization: undefined })).status).toBe(401);
    expect((await ask("HEAD", "/v1/backup", undefined, { authorization: "Bearer skein_v_viewer" })).status).toBe(403);
    expect((await ask("HEAD", "/v1/jobs/9/logs")).status).toBe(404);
    expect((await ask("HEAD", "/v1/events?from=now")).status).toBe(422);
  });
});

/** Sends a request on a socket of its own and takes nothing of the answer. */
async function unread(port: number, path: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer ${adminToken}\r\n\r\n`);
  return socket;
}

describe("a backup that nobody reads", () => {
  test("over a socket: one whose reader takes a part and stops is removed after a while, and the transfer breaks", async () => {
    const node = running().node();
    const size = 64 * 1024 * 1024;
    node.backupState = new Uint8Array(size);
    const server = serveHttp({ node, host: "127.0.0.1", port: 0, backupStallMs: 200 });
    try {
      const removed = node.nextRemoval();
      const socket = await unread(server.port, "/v1/backup");
      await removed;
      expect(node.backupsOpen).toBe(0);
      let taken = 0;
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      socket.on("error", () => {}).on("data", (data: Buffer) => (taken += data.length));
      socket.resume();
      await closed;
      expect(taken).toBeLessThan(size);
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      expect(metrics).toContain("skein_watchers 0\n");
    } finally {
      await server.stop();
    }
  });

  test("over a socket: one whose reader leaves at once is removed at once", async () => {
    const node = running().node();
    node.backupState = new Uint8Array(64 * 1024 * 1024);
    const server = serveHttp({ node, host: "127.0.0.1", port: 0 });
    try {
      const removed = node.nextRemoval();
      (await unread(server.port, "/v1/backup")).destroy();
      await removed;
      expect(node.backupsOpen).toBe(0);
    } finally {
      await server.stop();
    }
  });

  test("is removed also when not one piece of it is ever asked for", async () => {
    const node = running().node();
    const removed = node.nextRemoval();
    const app = createApp(node, { backupStallMs: 1 });
    const response = await app.request("/v1/backup", { headers: { authorization: `Bearer ${adminToken}` } });
    await removed;
    expect(node.backupsOpen).toBe(0);
    expect(response.text()).rejects.toThrow("nobody read for 1 ms");
  });

  test("is removed when its reader gives up before the first piece", async () => {
    const node = running().node();
    const response = await asking(node)("GET", "/v1/backup");
    expect(node.backupsOpen).toBe(1);
    await response.body!.cancel();
    expect(node.backupsOpen).toBe(0);
  });

  test("is removed when there is no place for its reader", async () => {
    const node = running().node();
    const ask = asking(node);
    const responses = await Promise.all(
      Array.from({ length: limits.watchersPerNode }, () => ask("GET", "/v1/jobs/1/logs")),
    );
    expect([(await ask("GET", "/v1/backup")).status, node.backupsMade, node.backupsOpen]).toEqual([429, 1, 0]);
    await Promise.all(responses.map((response) => response.body!.cancel()));
    expect(await (await ask("GET", "/v1/backup")).text()).toContain("the state");
    expect([node.backupsMade, node.backupsOpen]).toEqual([2, 0]);
  });
});
