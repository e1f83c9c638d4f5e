import { afterEach, describe, expect, test } from "bun:test";
import { ApiError } from "../../src/client/errors.ts";
import { SkeinClient } from "../../src/client/skein-client.ts";
import { type HttpServer, serveHttp } from "../../src/http/serve.ts";
import { adminToken, Mesh } from "../http/fake-node.ts";

let server: HttpServer | undefined;
afterEach(() => server?.stop());

function clientOfMesh(): SkeinClient {
  const mesh = new Mesh();
  mesh.cluster.now = Date.now();
  server = serveHttp({ node: mesh.node(), host: "127.0.0.1", port: 0 });
  return new SkeinClient({ addrs: [server.url], token: adminToken });
}

const hourly = { cron: "@hourly", job: { run: "true" } };

describe("schedules by the client", () => {
  test("are set, looked at, paused, fired and forgotten", async () => {
    const client = clientOfMesh();
    expect(await client.setSchedule({ name: "a", ...hourly })).toMatchObject({ name: "a", id: 1, changed: true });
    expect(await client.setSchedule({ name: "a", ...hourly })).toMatchObject({ id: 1, changed: false });
    const refused = client.setSchedule({ name: "a", ...hourly }, { onlyNew: true });
    expect(await refused.catch((error: unknown) => error)).toMatchObject({ code: "conflict" });
    expect(await client.schedule("a")).toMatchObject({ ...hourly, state: "active", id: 1 });
    expect(await client.pauseSchedules(["a"], true)).toBe(1);
    expect((await client.schedules({ state: "paused", failing: false })).schedules).toMatchObject([{ name: "a" }]);
    expect(await client.pauseSchedules(["a"], false)).toBe(1);
    expect([await client.pauseAllSchedules(true), await client.pauseAllSchedules(true)]).toEqual([true, false]);
    expect(await client.fireSchedule("a")).toEqual({ name: "a", job: 1 });
    expect(await client.fireSchedule(1, { force: true })).toEqual({ name: "a", job: 2 });
    expect((await client.scheduleFires("a", { reason: "fired", limit: 1 })).fires).toMatchObject([{ job: 2 }]);
    expect((await client.jobs({ schedule: "a" })).jobs.map(({ schedule }) => schedule)).toEqual(["a", "a"]);
    expect(await client.removeSchedules(["a"])).toBe(1);
    expect(await client.schedule("a").catch((error: unknown) => error)).toBeInstanceOf(ApiError);
  });

  test("are more than one request takes", async () => {
    const client = clientOfMesh();
    const names = Array.from({ length: 1_500 }, (_, at) => `s${at}`);
    const set = await client.setSchedules(names.map((name) => ({ name, ...hourly })));
    expect(set.map(({ name }) => name)).toEqual(names);
    expect(await client.pauseSchedules(names, true)).toBe(1_500);
    expect(await client.removeSchedules(names)).toBe(1_500);
  });
});
