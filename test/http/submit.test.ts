import { describe, expect, test } from "bun:test";
import { createApp } from "../../src/http/app.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { adminToken, asking, errorIn, jsonIn, Mesh, viewerToken } from "./fake-node.ts";

const mistakes = { run: "", count: 0, timeout: "-5s", retries: { max: -1 }, prioritty: 3 };
const paths = ["count", "prioritty", "retries.max", "run", "timeout"];

describe("submitting", () => {
  test("one spec gives one id", async () => {
    const mesh = new Mesh();
    const response = await asking(mesh.node())("POST", "/v1/jobs", { run: "echo hello", count: 3 });
    expect(response.status).toBe(201);
    expect(await jsonIn(response)).toEqual({ id: 1 });
    expect(response.headers.get("skein-node")).toBe("1");
    expect(response.headers.get("skein-index")).toBe(String(mesh.cluster.database.applied));
    expect(mesh.cluster.job(1).counts.queued).toBe(3);
    expect(mesh.cluster.job(1).submitted_by).toBe("anna");
  });

  test("a list of specs gives as many ids, in order", async () => {
    const mesh = new Mesh();
    const response = await asking(mesh.node())("POST", "/v1/jobs", { jobs: [{ run: "a" }, { run: "b" }] });
    expect([response.status, await jsonIn(response)]).toEqual([201, { ids: [1, 2] }]);
    expect(mesh.cluster.job(2).spec["run"]).toBe("b");
  });

  test("NDJSON is a list of specs; empty lines are none", async () => {
    const mesh = new Mesh();
    const lines = '{"run":"a"}\n\n{"run":"b"}\n';
    const response = await asking(mesh.node())("POST", "/v1/jobs", lines, { "content-type": "application/x-ndjson" });
    expect([response.status, await jsonIn(response)]).toEqual([201, { ids: [1, 2] }]);
  });

  test("a key that would be dropped without a word is refused, wherever it stands; as a value it is text", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    for (const body of ['{"run":"a","env":{"__proto__":"x"}}', '{"run":"a","__proto__" : {}}'])
      expect(await errorIn(await ask("POST", "/v1/jobs", body))).toMatchObject({ status: 400, code: "bad-json" });
    const stdin = '{"__proto__": 1}';
    expect((await ask("POST", "/v1/jobs", { run: "a", name: "__proto__", stdin })).status).toBe(201);
    expect(mesh.cluster.job(1).spec).toMatchObject({ name: "__proto__", stdin });
  });

  test("a key that an object has twice is refused with its place: one of its values would be left out", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    const lines = { "content-type": "application/x-ndjson" };
    const big = JSON.stringify({ jobs: Array.from({ length: 2_000 }, () => ({ run: "a", name: "x".repeat(100) })) });
    const cases: readonly [string, Record<string, string>, string][] = [
      ['{"run":"a","count":2,"count":3}', {}, "line 1, column 22"],
      ['{"jobs": [{"run": "a",\n "env": {"A": 1, "\\u0041": 2}}]}', {}, "line 2, column 18"],
      ['{"run":"a"}\n{"run":"b","run":"c"}', lines, "line 2, column 12"],
      [`${big.slice(0, -2)},{"run":"a","run":"b"}]}`, {}, `line 1, column ${big.length + 11}`],
      [`{"run":"a"}\n`.repeat(20_000).replace(/.*\n$/, '{"run":"a","run":"b"}'), lines, "line 20000, column 12"],
    ];
    for (const [body, headers, path] of cases) {
      const error = await errorIn(await ask("POST", "/v1/jobs", body, headers));
      expect([error.status, error.code, error.details.map((one) => one.path)]).toEqual([400, "bad-json", [path]]);
    }
    const twice = await errorIn(await ask("POST", "/v1/jobs/wait", '{"ids":[1],"ids":[2]}'));
    expect(twice).toMatchObject({ status: 400, code: "bad-json" });
    expect((await ask("POST", "/v1/jobs", '{"run": "a", "env": {"run": "b", "A": "\\"run\\":"}}')).status).toBe(201);
  });

  test("bytes that are no UTF-8, and halves of characters, are refused with their place: they would become other text", async () => {
    const mesh = new Mesh();
    const app = createApp(mesh.node());
    const post = (body: Uint8Array | ReadableStream<Uint8Array>, headers = {}): Promise<Response> =>
      Promise.resolve(
        app.request("/v1/jobs", {
          method: "POST",
          body,
          headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json", ...headers },
        }),
      );
    const bytes = Buffer.from('{"run":"a",\n"name":"caf\xe9"}', "latin1");
    const whole = await post(bytes, { "content-length": String(bytes.length) });
    for (const response of [whole, await post(new Blob([bytes]).stream())]) {
      const error = await errorIn(response);
      expect([error.status, error.code, error.details]).toEqual([
        400,
        "bad-json",
        [{ path: "line 2, byte 12", message: "the byte 0xe9 is no UTF-8" }],
      ]);
    }
    const ask = asking(mesh.node());
    const half = await errorIn(await ask("POST", "/v1/jobs", '{"run":"a","stdin":"\\ud83d"}'));
    expect(half).toMatchObject({ status: 400, code: "bad-json" });
    const fine = '\uFEFF{"run":"a","name":"\\ud83d\\ude00","stdin":"\\\\ud83d é"}';
    expect((await ask("POST", "/v1/jobs", fine)).status).toBe(201);
    expect(mesh.cluster.job(1).spec).toMatchObject({ name: "😀", stdin: "\\ud83d é" });
  });

  test("five mistakes in one spec are all reported, each where it was written", async () => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/jobs", mistakes));
    expect([error.status, error.code]).toEqual([422, "invalid"]);
    expect(error.details.map((one) => one.path).toSorted()).toEqual(paths);
    for (const { message } of error.details) expect(message).not.toBe("");
  });

  test("mistakes in a batch name the job; nothing of the batch is kept", async () => {
    const mesh = new Mesh();
    const jobs = [{ run: "a" }, mistakes];
    const error = await errorIn(await asking(mesh.node())("POST", "/v1/jobs", { jobs, more: 1 }));
    expect(error.status).toBe(422);
    expect(error.details.map((one) => one.path).toSorted()).toEqual([
      ...paths.map((path) => `jobs[1].${path}`),
      "more",
    ]);
    expect(mesh.cluster.events.flatMap((event) => event.changes).some((change) => change.topic === "job")).toBe(false);
  });

  test("a large request is read in turns, with the same answer: ids, or what is wrong and where", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    const env = { TEXT: "x".repeat(1_000) };
    const jobs = Array.from({ length: 400 }, (_, at) => ({ run: "a", name: `job-${at}`, env }));
    const last = { run: "a", after: ["job-0"] };
    const response = await ask("POST", "/v1/jobs", { jobs: [...jobs, last] });
    expect(response.status).toBe(201);
    expect(mesh.cluster.job(400).spec["name"]).toBe("job-399");
    expect(mesh.cluster.job(401).waits).toMatchObject({ after: 1 });

    const wrong = await errorIn(
      await ask("POST", "/v1/jobs", { jobs: [...jobs, mistakes, { run: "a", after: ["no"] }] }),
    );
    expect(wrong.status).toBe(422);
    expect(wrong.details.map(({ path }) => path).toSorted()).toEqual([
      ...paths.map((path) => `jobs[400].${path}`),
      "jobs[401].after[0]",
    ]);
  });

  test("where all of a large request is wrong it is told of the first thousand problems, and from where on nothing was looked at", async () => {
    const keys = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`no-such-key-${at}`, at]));
    const jobs = Array.from({ length: 1_000 }, () => ({ run: "a", ...keys }));
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/jobs", { jobs }));
    expect(error.status).toBe(422);
    expect(error.details).toHaveLength(1_001);
    expect(error.details[0]!.path).toBe("jobs[0].no-such-key-0");
    expect(error.details.at(-1)!.path).toBe("jobs[10]");
  });

  test("a refusal of the state names the place as it was written", async () => {
    const ask = asking(new Mesh().node());
    const spec = { run: "a", each_node: true, on: "zone=nowhere" };
    const one = await errorIn(await ask("POST", "/v1/jobs", spec));
    expect([one.status, one.details.map(({ path }) => path)]).toEqual([422, ["on"]]);
    const many = await errorIn(await ask("POST", "/v1/jobs", { jobs: [spec] }));
    expect(many.details.map(({ path }) => path)).toEqual(["jobs[0].on"]);
  });

  test.each([
    ["a list", "[]"],
    ["text", '"run"'],
    ["null", "null"],
    ["jobs that are no list", '{"jobs": 3}'],
    ["no jobs at all", '{"jobs": []}'],
    ["a job that is a number", '{"jobs": [7]}'],
  ])("a body of the wrong JSON type is 422: %s", async (_, body) => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/jobs", body));
    expect([error.status, error.code]).toEqual([422, "invalid"]);
    expect(error.details.length).toBeGreaterThan(0);
  });

  test.each([
    ['{"run": "a",}', "line 1, column 13"],
    ['{"run": "a"\n "count": 2}', "line 2, column 2"],
    ['{"run": "a', "line 1, column 9"],
    ["run: make", "line 1, column 1"],
    ["", "empty"],
  ])("broken JSON is 400 and says where: %p", async (body, where) => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/jobs", body));
    expect([error.status, error.code]).toEqual([400, "bad-json"]);
    expect(error.message).toContain(where);
  });

  test("a broken line of NDJSON is named by its number", async () => {
    const headers = { "content-type": "application/x-ndjson" };
    const error = await errorIn(
      await asking(new Mesh().node())("POST", "/v1/jobs", '{"run":"a"}\n{"run" 1}\n', headers),
    );
    expect([error.status, error.message.includes("line 2")]).toEqual([400, true]);
  });

  test("a viewer may not submit; nobody may without a token", async () => {
    const ask = asking(new Mesh().node());
    const viewer = await errorIn(
      await ask("POST", "/v1/jobs", { run: "a" }, { authorization: `Bearer ${viewerToken}` }),
    );
    expect([viewer.status, viewer.code]).toEqual([403, "forbidden"]);
    const wrong = await errorIn(await ask("POST", "/v1/jobs", { run: "a" }, { authorization: "Bearer skein_x_y" }));
    expect([wrong.status, wrong.message.includes("context.json")]).toEqual([401, true]);
    const none = await ask("POST", "/v1/jobs", { run: "a" }, { authorization: undefined });
    expect([none.status, none.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  });
});

describe("an idempotency key", () => {
  test("makes a repeated request give the first ids with 200", async () => {
    const ask = asking(new Mesh().node());
    const headers = { "idempotency-key": "k1" };
    const body = { jobs: [{ run: "a" }, { run: "b" }] };
    expect((await ask("POST", "/v1/jobs", body, headers)).status).toBe(201);
    const again = await ask("POST", "/v1/jobs", body, headers);
    expect([again.status, await jsonIn(again)]).toEqual([200, { ids: [1, 2] }]);
  });

  test("used for another body is a conflict", async () => {
    const ask = asking(new Mesh().node());
    const headers = { "idempotency-key": "k1" };
    await ask("POST", "/v1/jobs", { run: "a" }, headers);
    const error = await errorIn(await ask("POST", "/v1/jobs", { run: "b" }, headers));
    expect([error.status, error.code]).toEqual([409, "conflict"]);
  });

  test("may stand in a single spec", async () => {
    const ask = asking(new Mesh().node());
    const spec = { run: "a", idempotency_key: "k2" };
    expect(await jsonIn(await ask("POST", "/v1/jobs", spec))).toEqual({ id: 1 });
    const again = await ask("POST", "/v1/jobs", spec);
    expect([again.status, await jsonIn(again)]).toEqual([200, { id: 1 }]);
    const differs = await errorIn(await ask("POST", "/v1/jobs", spec, { "idempotency-key": "k3" }));
    expect(differs.details.map((one) => one.path)).toEqual(["idempotency_key"]);
  });

  test("of one spec among many is refused, for it would be ignored", async () => {
    const body = { jobs: [{ run: "a" }, { run: "b", idempotency_key: "k" }] };
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/jobs", body));
    expect(error.details.map((one) => one.path)).toEqual(["jobs[1].idempotency_key"]);
  });

  test("has at most 128 characters", async () => {
    const ask = asking(new Mesh().node());
    expect((await ask("POST", "/v1/jobs", { run: "a" }, { "idempotency-key": "k".repeat(128) })).status).toBe(201);
    const error = await errorIn(await ask("POST", "/v1/jobs", { run: "a" }, { "idempotency-key": "k".repeat(129) }));
    expect([error.status, error.details[0]!.path]).toEqual([422, "Idempotency-Key"]);
  });
});

describe("a body that is too large", () => {
  const mebibyte = new Uint8Array(1024 * 1024).fill(0x20);
  /** Spaces that are made while they are sent; tells how many were taken. */
  function spaces(mebibytes: number): { body: ReadableStream<Uint8Array>; sent: () => number } {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < mebibytes) controller.enqueue(mebibyte);
        else controller.close();
      },
    });
    return { body, sent: () => sent };
  }

  test("is 413 in our words, by its announced length", async () => {
    const server = serveHttp({ node: new Mesh().node(), host: "127.0.0.1", port: 0 });
    try {
      const response = await fetch(`${server.url}/v1/jobs`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminToken}` },
        body: new Blob(Array.from({ length: 100 }, () => mebibyte)),
      });
      const error = await errorIn(response);
      expect([error.status, error.code]).toEqual([413, "too-large"]);
      expect(error.message).toContain("16MiB");
      expect(response.headers.get("skein-node")).toBe("1");
    } finally {
      await server.stop();
    }
  });

  test("is 413 without an announced length too, and is not read to its end", async () => {
    const { body, sent } = spaces(100);
    const response = await createApp(new Mesh().node()).request("/v1/jobs", {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}` },
      body,
    });
    const error = await errorIn(response);
    expect([error.status, error.code]).toEqual([413, "too-large"]);
    expect(sent()).toBeLessThan(20);
  });

  test("is 413 over a socket in chunks", async () => {
    const server = serveHttp({ node: new Mesh().node(), host: "127.0.0.1", port: 0 });
    try {
      const response = await fetch(`${server.url}/v1/jobs`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminToken}` },
        body: spaces(100).body,
      });
      expect((await errorIn(response)).status).toBe(413);
    } finally {
      await server.stop();
    }
  });
});
