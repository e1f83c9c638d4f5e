import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { accept } from "../../src/lib/outcome.ts";
import { httpStart } from "../../src/executor/drivers/http.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import type { Assignment, Spec } from "../../src/state/types.ts";
import { credentials } from "../transport/credentials.ts";
import { Rig, until } from "./rig.ts";

/** Driver http against a server of the test's own. */

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const value = "correct horse battery staple";
const asked: Asked[] = [];
let gone = 0;
let release = (): void => {};
const held = new Promise<void>((resolve) => {
  release = resolve;
});

function answer(request: Request, path: string): Response | Promise<Response> {
  const to = (location: string, status: number): Response =>
    new Response("over there", { status, headers: { location } });
  if (path.startsWith("/status/")) return new Response("so it is\n", { status: Number(path.slice(8)) });
  if (path === "/say") return new Response(`the password is ${value} and no other`);
  if (path === "/loop") return to("/loop", 302);
  if (path === "/see") return to("/landed", 303);
  if (path === "/same") return to("/landed", 307);
  if (path === "/away") return to(`http://localhost:${server.port}/landed`, 307);
  if (path === "/file") return to("file:///etc/passwd", 302);
  if (path === "/silent") {
    request.signal.addEventListener("abort", () => (gone += 1));
    return new Promise(() => {});
  }
  if (path === "/hold") return held.then(() => new Response("held\n"));
  if (path === "/endless") {
    const stream = new ReadableStream({
      async pull(controller) {
        await Bun.sleep(1);
        controller.enqueue(new Uint8Array(4096).fill(120));
      },
      cancel: () => void (gone += 1),
    });
    return new Response(stream);
  }
  return new Response("hello\n");
}

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = await request.text();
    asked.push({ method: request.method, path: pathname, headers: request.headers.toJSON(), body });
    return answer(request, pathname);
  },
});
// The test server of other names on this host: redirects to it are to another origin.
const base = `http://127.0.0.1:${server.port}`;

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
  asked.length = 0;
  gone = 0;
});
afterEach(() => rig.close());

const http = (path: string, more: Partial<NonNullable<Spec["http"]>> = {}, rest: Spec = {}): Spec => ({
  driver: "http",
  http: { method: "GET", url: base + path, ...more },
  ...rest,
});

test("a request is made as the spec says, with who asks, and the answer's body is the output", async () => {
  await rig.open();
  const spec = http("/hello", { method: "POST", body: '{"a":1}', json: true, headers: { "X-Own": "yes" } });
  const report = await rig.run(spec, { job: 5, task: 3, attempt: 2 });
  expect([report.state, report.exitCode, report.reason]).toEqual(["succeeded", 0, undefined]);
  expect(await rig.logText(report, "stdout")).toBe("hello\n");
  expect(await rig.logText(report, "stderr")).toMatch(/^POST http:\/\/127\.0\.0\.1:\d+\/hello: 200 OK, 6B in \d+ms\n$/);
  expect(Buffer.from(report.tail).toString()).toStartWith("hello\nPOST ");
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatchObject({
    method: "POST",
    body: '{"a":1}',
    headers: {
      "x-own": "yes",
      "content-type": "application/json",
      "idempotency-key": "skein-c1-5-3",
      "skein-job": "5",
      "skein-task": "3",
      "skein-attempt": "2",
      "skein-fence": "1",
    },
  });
});

test("a task fills in what tells it from the others: as part of a URL, as text, and in JSON with its type", () => {
  const assignment: Assignment = {
    job: jobId(7),
    task: 3,
    attempt: 2,
    fence: 99,
    target: "web[1].lan:8080",
    point: { index: 5, matrix: { zone: "eu/west &1", threads: 8, dry: true } },
    spec: {
      driver: "http",
      http: {
        method: "POST",
        url: "http://{{SKEIN_TARGET}}/{{ zone }}/\\{{zone}}?n={{SKEIN_INDEX}}&z={{zone}}",
        headers: {
          "X-Who": "{{SKEIN_JOB}}/{{SKEIN_TASK}}.{{SKEIN_ATTEMPT}} {{SKEIN_FENCE}} {{SKEIN_NODE}}",
          "X-N": "{{threads}}",
        },
        body: JSON.stringify({
          n: "{{threads}}",
          all: ["{{dry}}", "{{zone}}", "{{none}}", "a{{threads}}"],
          "{{zone}}": "\\{{zone}}",
        }),
        json: true,
      },
    },
  };
  const who = { node: nodeId(4), cluster: "c1" };
  const { http: made } = httpStart(assignment, who, {});
  expect(made?.url).toBe("http://web[1].lan:8080/eu%2Fwest%20%261/{{zone}}?n=5&z=eu%2Fwest%20%261");
  expect(made?.headers.filter(([name]) => name.startsWith("X-"))).toEqual([
    ["X-Who", "7/3.2 99 4", false],
    ["X-N", "8", false],
  ]);
  expect(JSON.parse(made?.body ?? "")).toEqual({ n: 8, all: [true, "eu/west &1", "a8"], "{{zone}}": "{{zone}}" });
  const plain = { ...assignment.spec.http!, url: "http://a@b{{zone}}/", body: "{{threads}}", json: false };
  const other = httpStart({ ...assignment, spec: { driver: "http", http: plain } }, who, {}).http;
  expect([other?.url, other?.body]).toEqual(["http://a@beu%2Fwest%20%261/", "8"]);
});

test("every attempt of a task has the same idempotency key and a larger fence; a key of the spec's own wins", async () => {
  await rig.open();
  await rig.run(http("/hello"), { attempt: 1 });
  await rig.run(http("/hello"), { attempt: 2 });
  await rig.run(http("/hello", { headers: { "idempotency-key": "mine" } }), { attempt: 3 });
  expect(asked.map(({ headers }) => headers["idempotency-key"])).toEqual(["skein-c1-1-0", "skein-c1-1-0", "mine"]);
  expect(asked.map(({ headers }) => Number(headers["skein-fence"]))).toEqual([1, 2, 3]);
});

describe("an answer", () => {
  test.each([
    [200, undefined, "succeeded", undefined],
    [204, undefined, "succeeded", undefined],
    [404, undefined, "failed", "answered 404 Not Found, and 2xx was expected"],
    [503, ["2xx", 404], "failed", "answered 503 Service Unavailable, and 2xx or 404 was expected"],
    [404, [404], "succeeded", undefined],
    [201, [200], "failed", "answered 201 Created, and 200 was expected"],
  ] as const)("of %d where %p is expected: %s", async (status, wanted, state, reason) => {
    await rig.open();
    const report = await rig.run(http(`/status/${status}`, wanted === undefined ? {} : { expect: wanted }));
    expect([report.state, report.reason, report.exitCode]).toEqual([state, reason, state === "failed" ? 1 : 0]);
  });

  test("that never comes is broken off at the timeout, and the reason says what is not known", async () => {
    await rig.open();
    const report = await rig.run(http("/silent", {}, { timeoutMs: 200 }));
    expect([report.state, report.reason]).toEqual([
      "timeout",
      "ran longer than its timeout of 200ms: the request was broken off, and may have been done all the same",
    ]);
    await until("the end of the request", () => gone === 1);
  });

  test("without an end is read up to output.keep", async () => {
    await rig.open();
    const report = await rig.run(http("/endless", {}, { output: { keepBytes: 10_000 } }));
    expect([report.state, report.reason]).toEqual(["succeeded", "the answer was read up to output.keep (9.8KiB)"]);
    expect((await rig.logText(report, "stdout")).length).toBe(10_000);
    await until("the end of the request", () => gone === 1);
  });

  test("that nobody gives is a failure that says why", async () => {
    await rig.open();
    const closed = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
    const { port } = closed;
    await closed.stop(true);
    const report = await rig.run({ driver: "http", http: { method: "GET", url: `http://127.0.0.1:${port}/x` } });
    expect([report.state, report.exitCode]).toEqual(["failed", null]);
    expect(report.reason).toContain(`GET http://127.0.0.1:${port}/x: `);
    expect(report.reason).toContain("ECONNREFUSED");
  });
});

test("a certificate that nobody vouches for is not believed", async () => {
  await rig.open();
  const { key, certificate } = await credentials();
  const untrusted = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { key, cert: certificate },
    fetch: () => new Response("x"),
  });
  const report = await rig.run({
    driver: "http",
    http: { method: "GET", url: `https://127.0.0.1:${untrusted.port}/` },
  });
  await untrusted.stop(true);
  expect([report.state, report.exitCode, report.log]).toEqual(["failed", null, undefined]);
  expect(report.reason).toMatch(/certificate|CERT/);
});

describe("a redirect", () => {
  test("is followed, with the method and the body that its status says", async () => {
    await rig.open();
    const post = { method: "POST", body: "words" };
    expect((await rig.run(http("/see", post), { task: 1 })).state).toBe("succeeded");
    expect((await rig.run(http("/same", post), { task: 2 })).state).toBe("succeeded");
    const landed = asked.filter(({ path }) => path === "/landed");
    expect(landed.map(({ method, body }) => [method, body])).toEqual([
      ["GET", ""],
      ["POST", "words"],
    ]);
  });

  test("to another host is not given what only the first one is to have", async () => {
    await rig.open();
    rig.secrets = () => Promise.resolve(accept({ key: value }));
    const headers = { Authorization: "Basic xyz", "X-Plain": "1" };
    await rig.run(http("/away", { headers }, { secrets: { headers: { "X-Key": "key" } } }));
    const [first, landed] = [asked[0]!, asked[1]!];
    expect([first.headers["x-key"], first.headers["authorization"]]).toEqual([value, "Basic xyz"]);
    expect(landed.path).toBe("/landed");
    expect(Object.keys(landed.headers)).not.toContain("x-key");
    expect(Object.keys(landed.headers)).not.toContain("authorization");
    expect(landed.headers["x-plain"]).toBe("1");
    const secretBody = await rig.run(http("/away", { method: "POST" }, { secrets: { body: "key" } }), { task: 1 });
    expect([secretBody.state, secretBody.reason]).toEqual([
      "failed",
      `was led to http://localhost:${server.port}, which is not given a body that is a secret`,
    ]);
    expect(asked.filter(({ path }) => path === "/landed")).toHaveLength(1);
  });

  test("is followed five times at most, never out of http, and not at all where it is what is expected", async () => {
    await rig.open();
    const loop = await rig.run(http("/loop"), { task: 1 });
    expect([loop.state, loop.reason]).toEqual(["failed", `was led on more than 5 times, last to ${base}/loop`]);
    expect(asked).toHaveLength(6);
    const file = await rig.run(http("/file"), { task: 2 });
    expect([file.state, file.reason]).toEqual(["failed", "was led from http:// to file://, and is not followed there"]);
    expect((await rig.run(http("/loop", { expect: [302] }), { task: 3 })).state).toBe("succeeded");
  });
});

test("secrets go into headers and body, and not into the output", async () => {
  await rig.open();
  rig.secrets = () => Promise.resolve(accept({ key: value }));
  const report = await rig.run(
    http("/say", { method: "POST" }, { secrets: { headers: { "X-Key": "key" }, body: "key" } }),
  );
  expect([asked[0]!.headers["x-key"], asked[0]!.body]).toEqual([value, value]);
  expect(await rig.logText(report, "stdout")).toBe("the password is *** and no other");
  expect(Buffer.from(report.tail).toString()).not.toContain("staple");
});

test("cancelled and dropped requests are broken off; of a dropped one nothing is told", async () => {
  await rig.open();
  const stopped = rig.assignment(http("/silent"), { task: 1 });
  const dropped = rig.assignment(http("/endless"), { task: 2 });
  rig.executor.assign([stopped, dropped]);
  await until("both requests", () => asked.length === 2);
  rig.executor.stop([stopped]);
  rig.executor.drop([dropped]);
  expect((await rig.reportOf(stopped)).state).toBe("cancelled");
  await until("the end of both", () => gone === 2);
  await rig.run(http("/hello"), { task: 3 }); // the guard has heard of the drop by now
  expect(rig.reports.map(({ task }) => task)).toEqual([1, 3]);
});

test("a request goes on while its node is away, and its answer is told to the node that comes back (J3)", async () => {
  const held = rig.assignment(http("/hold"));
  const node = await rig.otherNode([held]);
  await until("the request", () => asked.length === 1);
  await node.crash();
  await rig.open({ held: [held] });
  release();
  const report = await rig.reportOf(held);
  expect([report.state, await rig.logText(report, "stdout")]).toEqual(["succeeded", "held\n"]);
  expect(asked).toHaveLength(1);
});

test("a request is broken off when the lease ends (J3)", async () => {
  const held = rig.assignment(http("/silent"));
  const node = await rig.otherNode([held], 2_000);
  await until("the request", () => asked.length === 1);
  await node.crash();
  await until("the end of the request", () => gone === 1);
  await rig.open({ held: [held] });
  const report = await rig.reportOf(held);
  expect([report.state, report.reason]).toEqual([
    "lost",
    "the lease of its node ended while it ran: the request was broken off, and may have been done all the same",
  ]);
});
