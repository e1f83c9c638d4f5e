import { afterEach, describe, expect, test } from "bun:test";
import {
  type ApiError,
  type JobSpec,
  PartlySubmitted,
  SkeinClient,
  type SubmittedBatch,
} from "../../src/client/skein-client.ts";
import { type HttpServer, serveHttp } from "../../src/http/serve.ts";
import { limits } from "../../src/lib/limits.ts";
import { adminToken, Mesh } from "../http/fake-node.ts";

const servers: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

interface Rig {
  readonly mesh: Mesh;
  readonly client: SkeinClient;
  /** Of every request that was answered: its key, and its jobs. */
  readonly sent: { readonly key: string; readonly jobs: readonly JobSpec[]; readonly bytes: number }[];
}

/** A client of one node; `answer` stands between the two. */
function rig(
  answer: (response: Response, number: number) => Response | Promise<Response> = (response) => response,
): Rig {
  const mesh = new Mesh();
  const server = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0 });
  servers.push(server);
  const sent: Rig["sent"] = [];
  const client = new SkeinClient({
    addrs: [server.url],
    token: adminToken,
    async fetch(url, init) {
      const response = await fetch(url, init);
      if (init.body === undefined) return response;
      const body = init.body as string;
      const key = new Headers(init.headers).get("idempotency-key")!;
      sent.push({ key, jobs: (JSON.parse(body) as { jobs: JobSpec[] }).jobs, bytes: Buffer.byteLength(body) });
      return answer(response, sent.length);
    },
  });
  return { mesh, client, sent };
}

function* specs(count: number, onTake: (number: number) => void = () => {}): Generator<JobSpec> {
  for (let number = 0; number < count; number++) {
    onTake(number);
    yield { name: `job-${number}`, driver: "noop" };
  }
}

async function all(batches: AsyncIterable<SubmittedBatch>): Promise<SubmittedBatch[]> {
  const list: SubmittedBatch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
}

describe("submitMany", () => {
  test("submits all in batches, each spec once, and tells of them in the order of the source", async () => {
    const { mesh, client, sent } = rig();
    const batches = await all(client.submitMany(specs(1234), { batch: 100, inFlight: 5 }));
    expect(batches.map((batch) => batch.first)).toEqual(Array.from({ length: 13 }, (_, at) => at * 100));
    expect(batches.map((batch) => batch.ids.length)).toEqual([...Array.from({ length: 12 }, () => 100), 34]);
    for (const { first, ids } of batches)
      expect(mesh.cluster.job(ids.at(-1)!).name).toBe(`job-${first + ids.length - 1}`);
    expect(new Set(sent.map((one) => one.key)).size).toBe(13);
  });

  test("reads the source only as far as batches are under way and their answers are taken", async () => {
    const { client } = rig();
    let taken = 0;
    const batches = client.submitMany(
      specs(100_000, (number) => (taken = number + 1)),
      { batch: 10, inFlight: 3 },
    );
    await batches.next();
    expect(taken).toBe(30);
    await Bun.sleep(20); // nobody asks for more
    expect(taken).toBe(30);
    await batches.next();
    expect(taken).toBe(40);
    await batches.return();
    expect(taken).toBe(40);
  });

  test("makes requests small enough, however long the specs are", async () => {
    const { client, sent } = rig();
    const long = Array.from({ length: 5 }, () => ({ driver: "shell", run: `# ${"ä".repeat(120_000)}` }) as const);
    const source = (async function* () {
      for (let time = 0; time < 10; time++) yield* long;
    })();
    const batches = await all(client.submitMany(source, { batch: limits.specsPerRequest }));
    expect(batches.reduce((sum, batch) => sum + batch.ids.length, 0)).toBe(50);
    expect(sent.length).toBeGreaterThan(1);
    for (const { bytes } of sent) expect(bytes).toBeLessThan(limits.bodyBytes);
  });

  test("makes no job twice when answers are lost, and waits as long as a busy node says", async () => {
    const { mesh, client, sent } = rig((response, number) => {
      if (number === 2) throw new Error("the socket was closed");
      if (number !== 4) return response;
      const error = { code: "busy", message: "too much" };
      return Response.json(
        { error },
        { status: 429, headers: { "retry-after": new Date(Date.now() + 1).toUTCString() } },
      );
    });
    const batches = await all(client.submitMany(specs(60), { batch: 10, inFlight: 2 }));
    expect(batches.flatMap((batch) => batch.ids).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 60 }, (_, at) => at + 1),
    );
    expect(sent.length).toBe(8);
    expect((await client.jobs()).jobs.length).toBe(60);
    expect(mesh.cluster.job(60).id).toBe(60);
  });

  test("again with the same key submits what was missing, and nothing twice", async () => {
    const { client } = rig();
    const options = { batch: 10, key: "import-17" };
    const some = client.submitMany(specs(55), { ...options, inFlight: 1 });
    const first = [(await some.next()).value, (await some.next()).value] as SubmittedBatch[];
    await some.return();
    const again = await all(client.submitMany(specs(55), options));
    expect(again.slice(0, 2)).toEqual(first.map((batch) => ({ ...batch, repeated: true })));
    expect(again.slice(2).every((batch) => !batch.repeated)).toBe(true);
    expect((await client.jobs({ limit: 1000 })).jobs.length).toBe(55);
  });

  test("says where it was when a batch is refused", async () => {
    const { client } = rig();
    const source = [...specs(25), { run: "" }, ...specs(10)];
    const seen: number[] = [];
    const failed = await (async () => {
      for await (const batch of client.submitMany(source, { batch: 10, key: "k" })) seen.push(batch.first);
    })().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(PartlySubmitted);
    const { first, key, cause } = failed as PartlySubmitted;
    expect([seen, first, key]).toEqual([[0, 10], 20, "k"]);
    expect((cause as ApiError).problems.map((one) => one.path)).toEqual(["jobs[5].run"]);
  });

  test("ends at once when its signal fires, and refuses options that make no sense", async () => {
    const { client } = rig();
    const abort = new AbortController();
    const reason = new Error("enough");
    const batches = client.submitMany(specs(100), { batch: 1, inFlight: 1, signal: abort.signal });
    await batches.next();
    abort.abort(reason);
    expect(await batches.next().catch((error: unknown) => error)).toBe(reason);
    for (const options of [{ batch: 0 }, { batch: 10_001 }, { inFlight: 1.5 }, { key: "k".repeat(101) }])
      expect(
        await client
          .submitMany(specs(1), options)
          .next()
          .catch((error: unknown) => error),
      ).toBeInstanceOf(TypeError);
  });
});

describe("wait", () => {
  test("of jobs that are forgotten between two requests tells what was seen last; an unknown one is refused", async () => {
    const mesh = new Mesh();
    const server = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0 });
    servers.push(server);
    const client = new SkeinClient({ addrs: [server.url], token: adminToken });
    for (let job = 0; job < 3; job++) mesh.change((cluster) => cluster.submit());
    const end = (id: number): void => {
      mesh.change((cluster) => cluster.assign(id, 1, [0, 1]));
      mesh.change((cluster) => cluster.finish(id, 0, 1, 1));
    };
    end(1);
    let round = 0;
    const view = await client.wait([1, 2, 3, 3], {
      everyMs: 1,
      onProgress: ({ finished }) => {
        expect(finished).toBe(false);
        round += 1;
        if (round === 1) mesh.change((cluster) => cluster.must("job.remove", { id: cluster.job(1).id as never }));
        if (round === 2) {
          end(2);
          mesh.change((cluster) => cluster.must("job.remove", { id: 2 as never }));
        }
        if (round === 3) end(3);
      },
    });
    expect(view).toEqual({
      finished: true,
      jobs: [
        { id: 1, state: "succeeded" },
        { id: 3, state: "succeeded" },
        { id: 3, state: "succeeded" },
      ],
      forgotten: [2],
    });
    const unknown = await client.wait([3, 9]).catch((error: unknown) => error);
    expect(unknown).toMatchObject({ status: 404, details: [{ path: "ids[1]" }] });
  });

  test("on more jobs than one request may name asks for them in turns", async () => {
    const mesh = new Mesh();
    const server = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0 });
    servers.push(server);
    const asked: number[] = [];
    const client = new SkeinClient({
      addrs: [server.url],
      token: adminToken,
      fetch(url, init) {
        asked.push((JSON.parse(init.body as string) as { ids: number[] }).ids.length);
        return fetch(url, init);
      },
    });
    mesh.change((cluster) => cluster.must("job.submit", { jobs: [{ driver: "noop" }, { driver: "noop" }] }));
    // The same two many times: repeats are asked for once, and told as often as they were named.
    const ids = Array.from({ length: limits.specsPerRequest + 1 }, (_, at) => 1 + (at % 2));
    const view = await client.wait(ids, { timeoutMs: 0 });
    expect([view.finished, view.jobs.length, asked]).toEqual([false, ids.length, [2]]);
  });
});
