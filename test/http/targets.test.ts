import { describe, expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { digestOfText } from "../../src/lib/digest.ts";
import { limits } from "../../src/lib/limits.ts";
import { admin } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

interface Results {
  readonly results: readonly { readonly job: number; readonly task: number; readonly target?: string }[];
  readonly next?: string;
}

/** Submits; gives the job's id. */
async function submit(ask: ReturnType<typeof asking>, spec: object): Promise<number> {
  const response = await ask("POST", "/v1/jobs", { run: "true", ...spec });
  expect(response.status).toBe(201);
  return (await jsonIn<{ id: number }>(response)).id;
}

function meshed() {
  const mesh = new Mesh();
  return { mesh, ask: asking(mesh.node()) };
}

describe("targets over HTTP", () => {
  test("a job has a task for each name, and is shown as it was written", async () => {
    const { mesh, ask } = meshed();
    const id = await submit(ask, { targets: ["web[01-03]", "db"] });
    expect(mesh.cluster.job(id)).toMatchObject({ counts: { queued: 4 }, spec: { targets: ["web[01-03]", "db"] } });
    const { tasks } = await jsonIn<{ tasks: object[] }>(await ask("GET", `/v1/jobs/${id}/tasks?target=db`));
    expect(tasks).toMatchObject([{ task: 3, target: "db" }]);
  });

  test("a request that is sent again has the first one's answer, though its group is another one or gone since", async () => {
    const { mesh, ask } = meshed();
    const first = await submit(ask, { targets: "web[1-3]" });
    const list = digestOfText("web1\nweb2\nweb3");
    const again = { run: "true", targets: `@list:${list}`, idempotency_key: "k" };
    expect((await ask("POST", "/v1/jobs", again)).status).toBe(201);
    for (const id of [first, 2]) {
      mesh.cluster.must("job.cancel", { id: jobId(id) }, admin);
      mesh.cluster.must("job.remove", { id: jobId(id) }, admin);
    }
    mesh.cluster.must("job.sweep", { rows: 100 });
    const other = await errorIn(await ask("POST", "/v1/jobs", { ...again, idempotency_key: "other" }));
    expect(other.details?.[0]?.message).toContain("there is no group or inventory");
    const repeated = await ask("POST", "/v1/jobs", again);
    expect([repeated.status, await jsonIn(repeated)]).toEqual([200, { id: 2 }]);
  });

  test("every mistake is told at its expression, with the place below it", async () => {
    const { ask } = meshed();
    const error = await errorIn(
      await ask("POST", "/v1/jobs", { run: "x", targets: ["ok1", "web[3-1]", "a,@nosuch", "os=debian", "*"] }),
    );
    expect([error.status, error.details?.map(({ path }) => path)]).toEqual([
      422,
      ["targets[1]", "targets[2]", "targets[3]", "targets[4]"],
    ]);
    expect(error.details?.[0]?.message).toBe('bad range: "3-1" ends before it begins\nweb[3-1]\n    ^^^');
    expect(error.details?.[1]?.message).toBe(
      "there is no group or inventory \"nosuch\": no inventory is set ('skein inventory set')\na,@nosuch\n  ^^^^^^^",
    );
    const many = await errorIn(await ask("POST", "/v1/jobs", { jobs: [{ run: "x" }, { run: "x", targets: "[" }] }));
    expect(many.details?.map(({ path }) => path)).toEqual(["jobs[1].targets[0]"]);
  });

  test("of a long expression the part around a mistake is shown", async () => {
    const { ask } = meshed();
    const names = Array.from({ length: 100 }, (_, at) => `host${at}`);
    const text = `${names.join(",")},bad[3-1],${names.join("\n")}`;
    const error = await errorIn(await ask("POST", "/v1/jobs", { run: "x", targets: text }));
    const [, shown = "", carets = ""] = error.details?.[0]?.message.split("\n") ?? [];
    expect(shown.length).toBeLessThan(100);
    expect(shown.slice(carets.indexOf("^"), carets.lastIndexOf("^") + 1)).toBe("3-1");
  });

  test("100,001 are refused with their number, in one expression or in two, and 100,000 are taken", async () => {
    const { mesh, ask } = meshed();
    for (const [targets, message] of [
      ["web[1-100001]", "stands for 100,001 names, and at most 100,000"],
      [["a[1-60000]", "b[1-60000]"], "up to here it is 120,000 names, and at most 100,000"],
    ] as const) {
      const error = await errorIn(await ask("POST", "/v1/jobs", { run: "x", targets }));
      expect([error.status, error.details?.[0]?.message]).toEqual([422, expect.stringContaining(message)]);
    }
    const id = await submit(ask, { targets: "web[1-100000]" });
    expect(mesh.cluster.task(id, 99_999).target).toBe("web100000");
  });

  test("names that ssh and ansible would take apart, or have for themselves, are refused for these: one would spoil a whole unit", async () => {
    const { ask } = meshed();
    const over = async (driver: string, targets: unknown): Promise<unknown> => {
      const more = driver === "ansible" ? { ansible: { module: "ping" } } : { run: "true" };
      return (await errorIn(await ask("POST", "/v1/jobs", { driver, targets, ...more }))).details;
    };
    const port = [{ path: "targets", message: expect.stringContaining("a port is said by ssh.port") as string }];
    expect(await over("ansible", ["web1", "127.0.0.1:2222"])).toEqual(port);
    expect(await over("ssh", "web1:22")).toEqual(port);
    const group = [{ path: "targets", message: expect.stringContaining("a group of ansible's own") as string }];
    expect(await over("ansible", ["web1", "all"])).toEqual(group);
    await submit(ask, { driver: "ssh", run: "true", targets: ["fe80::1", "all"] });
    expect((await ask("POST", "/v1/jobs", { driver: "noop", targets: ["web1:22"] })).status).toBe(201);
  });

  test("names that are too long alone, or all together, are refused", async () => {
    const { ask } = meshed();
    const name = "x".repeat(limits.targetLength);
    const long = await errorIn(await ask("POST", "/v1/jobs", { run: "x", targets: `${name}y` }));
    expect(long.details?.[0]?.message).toContain("at most 253 characters");
    const together = await errorIn(await ask("POST", "/v1/jobs", { run: "x", targets: `${"x".repeat(200)}[1-50000]` }));
    expect(together.details).toEqual([{ path: "targets", message: expect.stringContaining("longer than 8 MiB") }]);
  });

  test("names that the state has are not logged again, and are when they have gone meanwhile", async () => {
    const { mesh, ask } = meshed();
    const first = await submit(ask, { targets: "web[1-50]" });
    const bytes = (): number => mesh.cluster.log.at(-1)!.data.length;
    const before = bytes();
    await submit(ask, { targets: "web[1-50]" });
    expect(bytes()).toBeLessThan(before - 200);
    const node = mesh.node();
    const propose = node.propose.bind(node);
    let isLate = true;
    node.propose = (name, input, by) => {
      // Between the look at the state and the entry both jobs go, and their list.
      if (isLate)
        for (const id of [first, first + 1]) {
          mesh.cluster.must("job.cancel", { id: jobId(id) }, admin);
          mesh.cluster.must("job.remove", { id: jobId(id) }, admin);
        }
      if (isLate) mesh.cluster.must("job.sweep", { rows: 100 });
      isLate = false;
      return propose(name, input, by);
    };
    const last = await submit(asking(node), { targets: "web[1-50]" });
    expect(mesh.cluster.task(last, 49).target).toBe("web50");
  });

  test("a plan says how many there are and names the first, and what is wrong as a submit does", async () => {
    const { mesh, ask } = meshed();
    const plan = await ask("POST", "/v1/plan", { run: "x", targets: "web[1-5000]" });
    const [job] = (await jsonIn<{ jobs: { tasks: number; first: object[] }[] }>(plan)).jobs;
    expect([job!.tasks, job!.first.length, job!.first[1]]).toEqual([5000, 20, { task: 1, target: "web2" }]);
    expect(mesh.cluster.database.get({ id: -1, text: "select 1 from job" })).toBeUndefined();
    expect((await errorIn(await ask("POST", "/v1/plan", { run: "x", targets: "a!a" }))).status).toBe(422);
  });

  test("a template takes them as a parameter, and tells mistakes of its spec", async () => {
    const { mesh, ask } = meshed();
    await ask("POST", "/v1/templates", {
      name: "ping",
      parameters: { hosts: {} },
      spec: { run: "ping", targets: "{{hosts}}" },
    });
    const run = await ask("POST", "/v1/templates/ping/run", { params: { hosts: "web[1-2]" } });
    expect([run.status, mesh.cluster.job(1).counts.queued]).toEqual([201, 2]);
    const error = await errorIn(await ask("POST", "/v1/templates/ping/run", { params: { hosts: "web[2-1]" } }));
    expect([error.status, error.details?.[0]?.path]).toEqual([422, "spec.targets[0]"]);
  });
});

describe("results", () => {
  const found = ({ results }: Results): string[] => results.map(({ job, task, target }) => `${job}/${task} ${target}`);

  async function history() {
    const { mesh, ask } = meshed();
    const list = async (query: string): Promise<Results> => jsonIn<Results>(await ask("GET", `/v1/results${query}`));
    await submit(ask, { name: "first", targets: "web[1-3]" });
    await submit(ask, { targets: "db[1-2]" });
    await submit(ask, { count: 3 });
    mesh.cluster.now += 60_000;
    await submit(ask, { targets: "web3,db1" });
    await submit(ask, { each_node: true });
    await submit(ask, { targets: "web[1-3]" });
    return { mesh, ask, list };
  }

  test("of a target: over all jobs, newest first, with the names of the jobs", async () => {
    const { list } = await history();
    expect(found(await list("?target=web3"))).toEqual(["6/2 web3", "4/0 web3", "1/2 web3"]);
    expect(await list("?target=web1&state=succeeded")).toEqual({ results: [] });
    expect((await list("?target=web1")).results.at(-1)).toMatchObject({ name: "first", state: "queued", tail: "" });
    expect(found(await list("?target=nobody"))).toEqual([]);
    // What ran on a node is found by its name as well.
    expect(found(await list("?target=n1"))).toEqual(["5/0 n1"]);
  });

  test("of several targets, of a job, of a time, in pages", async () => {
    const { mesh, list } = await history();
    const several = ["6/0 web1", "6/2 web3", "4/0 web3", "4/1 db1", "2/0 db1", "1/0 web1", "1/2 web3"];
    expect(found(await list("?target=web[1,3]&target=db1"))).toEqual(several);
    expect(found(await list("?target=web3&job=4"))).toEqual(["4/0 web3"]);
    expect(found(await list("?job=4"))).toEqual(["4/0 web3", "4/1 db1"]);
    expect(found(await list("?job=3"))).toHaveLength(3);
    const between = encodeURIComponent(new Date(mesh.cluster.now - 1).toISOString());
    expect(found(await list(`?target=web3&since=${between}`))).toEqual(["6/2 web3", "4/0 web3"]);
    expect(found(await list(`?target=web3&until=${between}`))).toEqual(["1/2 web3"]);
    // Without a target: jobs that are about some.
    const all = found(await list(""));
    expect(all.join(", ")).toBe(
      "6/0 web1, 6/1 web2, 6/2 web3, 5/0 n1, 4/0 web3, 4/1 db1, 2/0 db1, 2/1 db2, 1/0 web1, 1/1 web2, 1/2 web3",
    );
    for (const [query, expected] of [
      ["?target=web[1,3]&target=db1", several],
      ["?", all],
      ["?job=1", ["1/0 web1", "1/1 web2", "1/2 web3"]],
    ] as const) {
      const pages: string[] = [];
      let next: string | undefined;
      do {
        const page = await list(`${query}&limit=2${next === undefined ? "" : `&next=${next}`}`);
        pages.push(...found(page));
        next = page.next;
      } while (next !== undefined);
      expect(pages).toEqual([...expected]);
    }
  });

  test("a retry's are found by the target that each task had", async () => {
    const { mesh, ask, list } = await history();
    mesh.cluster.assign(1, 1, [0, 1], [1, 1], [2, 1]);
    for (const task of [0, 1, 2]) mesh.cluster.finish(1, task, 1, 1, task === 0 ? "succeeded" : "failed");
    expect((await ask("POST", "/v1/jobs/1/retry", { only: "failed" })).status).toBe(201);
    expect(found(await list("?target=web3&limit=1"))).toEqual(["7/1 web3"]);
    expect(found(await list("?target=web1&limit=1"))).toEqual(["6/0 web1"]);
    expect(found(await list("?target=web[1-3]&state=failed"))).toEqual(["1/1 web2", "1/2 web3"]);
  });

  test("those that could not be reached are a part of those that failed, over all jobs and of one", async () => {
    const { mesh, ask, list } = await history();
    mesh.cluster.assign(1, 1, [0, 1], [1, 1], [2, 1]);
    const away = { exitCode: null, reason: "unreachable: Connection timed out" };
    for (const task of [0, 1, 2]) mesh.cluster.finish(1, task, 1, 1, "failed", task === 1 ? away : {});
    expect(found(await list("?state=unreachable"))).toEqual(["1/1 web2"]);
    expect(found(await list("?target=web[1-3]&state=unreachable"))).toEqual(["1/1 web2"]);
    expect(found(await list("?target=web1&state=unreachable"))).toEqual([]);
    expect(found(await list("?state=failed"))).toEqual(["1/0 web1", "1/1 web2", "1/2 web3"]);
    const { tasks } = await jsonIn<{ tasks: object[] }>(await ask("GET", "/v1/jobs/1/tasks?state=unreachable"));
    expect(tasks).toMatchObject([{ task: 1, state: "failed", reason: away.reason }]);
    expect((await ask("POST", "/v1/jobs/1/retry", { only: "unreachable" })).status).toBe(201);
    expect(found(await list("?job=7"))).toEqual(["7/0 web2"]);
    expect((await errorIn(await ask("POST", "/v1/jobs/7/retry", { only: "unreachable" }))).status).toBe(409);
  });

  test("a mistake in a target has its place, and too many are refused", async () => {
    const { ask } = meshed();
    const error = await errorIn(await ask("GET", "/v1/results?target=a&target=web[2-1]"));
    expect([error.status, error.details?.map(({ path }) => path)]).toEqual([422, ["target[1]"]]);
    const many = await errorIn(await ask("GET", "/v1/results?target=web[1-1001]"));
    expect(many.details?.[0]?.message).toContain("at most 1,000");
    expect((await errorIn(await ask("GET", "/v1/results?job=0"))).status).toBe(422);
  });

  test("a job that is not there, and a mark that no list gave, are refused and no empty lists", async () => {
    const { ask } = meshed();
    expect((await errorIn(await ask("GET", "/v1/results?job=99"))).status).toBe(404);
    expect((await errorIn(await ask("GET", "/v1/results?next=zz!"))).details?.[0]?.path).toBe("next");
  });
});
