/** Pages of other origins: what a browser asks first, and what it is told with each answer. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type HttpServer, serveHttp } from "../../src/http/serve.ts";
import { adminToken, Mesh } from "./fake-node.ts";

const page = "https://page.lan";
let server: HttpServer;
let closed: HttpServer;
const mesh = new Mesh();
beforeAll(() => {
  server = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0, origins: ["http://other.lan:81", page] });
  closed = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0 });
});
afterAll(() => Promise.all([server.stop(), closed.stop()]));

const preflight = (at: HttpServer, origin: string): Promise<Response> =>
  fetch(`${at.url}/v1/jobs`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,idempotency-key",
    },
  });
const ask = (
  at: HttpServer,
  origin: string | undefined,
  more: RequestInit = {},
  path = "/v1/jobs",
): Promise<Response> =>
  fetch(at.url + path, {
    ...more,
    headers: { authorization: `Bearer ${adminToken}`, ...(origin === undefined ? {} : { origin }) },
  });
const allows = (response: Response): string | null => response.headers.get("access-control-allow-origin");

describe("a page of an origin that was named", () => {
  test("may send what the client sends, and read what it reads", async () => {
    const first = await preflight(server, page);
    expect([first.status, allows(first), first.headers.get("vary")]).toEqual([204, page, "origin"]);
    const headers = first.headers.get("access-control-allow-headers")!.split(", ");
    for (const name of ["authorization", "content-type", "idempotency-key", "last-event-id", "skein-min-index"])
      expect(headers).toContain(name);
    for (const method of ["POST", "PATCH", "DELETE"])
      expect(first.headers.get("access-control-allow-methods")).toContain(method);
    const made = await ask(server, page, { method: "POST", body: '{"run":"true"}' });
    expect([made.status, allows(made), made.headers.get("vary")]).toEqual([201, page, "origin"]);
    expect(made.headers.get("access-control-expose-headers")).toContain("skein-index");
    expect(made.headers.get("access-control-allow-credentials")).toBeNull();
  });

  test("reads refusals and streams as well", async () => {
    const refused = await fetch(`${server.url}/v1/jobs`, { headers: { origin: page } });
    expect([refused.status, allows(refused)]).toEqual([401, page]);
    const abort = new AbortController();
    const stream = await ask(server, page, { signal: abort.signal }, "/v1/events");
    expect([stream.status, allows(stream)]).toEqual([200, page]);
    abort.abort();
  });
});

test("no other page may, and who is no page is served as ever", async () => {
  for (const origin of ["https://evil.lan", "http://page.lan", "null"]) {
    expect([(await preflight(server, origin)).status, allows(await preflight(server, origin))]).toEqual([405, null]);
    expect(allows(await ask(server, origin))).toBeNull();
  }
  const plain = await ask(server, undefined);
  expect([plain.status, allows(plain)]).toEqual([200, null]);
  expect([(await preflight(closed, page)).status, allows(await ask(closed, page))]).toEqual([405, null]);
});
