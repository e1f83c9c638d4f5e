/** Driver http on the real binary: a submitted request is made, its answer is the task's output, and a secret goes along. And more time for a task that waits for an answer. */
import { expect, test } from "bun:test";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, type TaskAnswer } from "../../scripts/mesh-jobs.ts";

test(
  "a request with a secret in a header is answered, tried again as the spec says, and shows no secret",
  async () => {
    const keys: (string | null)[] = [];
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        keys.push(request.headers.get("idempotency-key"));
        const given = request.headers.get("authorization");
        return new Response(`you are ${given}\n`, { status: keys.length === 1 ? 503 : 200 });
      },
    });
    await using mesh = await Mesh.start({ nodes: 1 });
    const node = mesh.nodes[0]!;
    const set = await node.skein(["secret", "set", "token"], { stdin: "Bearer hunter2!\n" });
    expect([set.code, set.stdout]).toEqual([0, "secret token is set (revision 1)\n"]);
    const job = await submit(node, {
      driver: "http",
      http: { url: `http://127.0.0.1:${server.port}/`, headers: { Authorization: { secret: "token" } } },
      retries: { max: 1, backoff: "10ms" },
    });
    await finished(mesh, job);
    const task = (await node.api("GET", `/v1/jobs/${job}/tasks/0`)).body as TaskAnswer;
    expect([task.state, task.attempt, task.exit_code]).toEqual(["succeeded", 2, 0]);
    expect(task.tail).toMatch(/^you are \*\*\*\nGET http:\/\/127\.0\.0\.1:\d+\/: 200 OK, /);
    expect(new Set(keys).size).toBe(1);
    const shown = await node.skein(["jobs", "show", String(job), "-o", "json"]);
    expect(shown.stdout).toContain('{"secret":"token"}');
    expect(shown.stdout).not.toContain("hunter2");
  },
  4 * patienceMs,
);

test(
  "each task of a matrix and of targets asks for its own",
  async () => {
    const asked: string[] = [];
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        asked.push(`${pathname}${search} ${await request.text()}`);
        return new Response("ok\n");
      },
    });
    await using mesh = await Mesh.start({ nodes: 1 });
    const node = mesh.nodes[0]!;
    const of = (path: string): string => `http://127.0.0.1:${server.port}/${path}`;
    const http = { url: of("{{zone}}?i={{SKEIN_INDEX}}"), body: { n: "{{n}}" } };
    await finished(mesh, await submit(node, { driver: "http", http, matrix: { zone: ["eu/1", "us"], n: [4] } }));
    const targets = { driver: "http", http: { url: of("{{SKEIN_TARGET}}") }, targets: "web[1-2]" };
    await finished(mesh, await submit(node, targets));
    expect(asked.toSorted()).toEqual(['/eu%2F1?i=0 {"n":4}', '/us?i=1 {"n":4}', "/web1 ", "/web2 "]);
    const wrong = await node.api("POST", "/v1/jobs", { driver: "http", http: { url: of("{{SKEIN_TARGET}}") } });
    expect(wrong).toMatchObject({ status: 422, body: { error: { details: [{ path: "http.url" }] } } });
  },
  4 * patienceMs,
);

test(
  "jobs extend gives a request that waits for its answer more time than its timeout",
  async () => {
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: () => answered.then(() => new Response("at last\n")),
    });
    await using mesh = await Mesh.start({ nodes: 1 });
    const node = mesh.nodes[0]!;
    const http = { url: `http://127.0.0.1:${server.port}/` };
    const extended = await submit(node, { driver: "http", http, timeout: "8s" });
    const other = await submit(node, { driver: "http", http, timeout: "8s" });
    const said = await until(
      async () => {
        const one = await node.skein(["jobs", "extend", `${extended}/0`, "1h", "-o", "json"]);
        return one.code === 0 ? one.stdout : undefined; // it runs now
      },
      patienceMs,
      () => `job ${extended} never ran`,
    );
    expect(said).toBe(`{"id":${extended},"tasks":1}\n`);
    await finished(mesh, other);
    const ended = await node.skein(["jobs", "extend", String(other), "1h"]);
    expect([ended.code, ended.stderr]).toEqual([6, `skein: job ${other} has ended already: failed\n`]);
    answer();
    expect((await finished(mesh, extended)).state).toBe("succeeded");
  },
  4 * patienceMs,
);
