import { expect, test } from "bun:test";
import { cli, ServedMesh } from "./support.ts";

test("skein jobs dead and replay, in every form", async () => {
  using served = new ServedMesh();
  served.mesh.change((cluster) => {
    cluster.level = 3;
    for (const name of ["a", "b", "c"]) {
      const job = cluster.submit({ name });
      cluster.assign(job, 1, [0, 1]);
      cluster.finish(job, 0, 1, 1, "failed", { reason: "no such command: x" });
    }
    cluster.level = 1; // at which the tokens of these nodes are not judged
  });
  const run = (...words: string[]) => cli(["jobs", ...words], served.env);
  expect((await run("dead")).out).toMatch(
    /^ID +NAME +FAILED +TRIES +NODE +BY +AT +WHY\n +3 +c +1\/1 +1 +1 +anna .* no such command: x\n/,
  );
  expect((await run("dead", "--limit", "2", "-o", "quiet")).out).toBe("3\n2\n");
  expect(JSON.parse((await run("dead", "--name", "b", "-o", "json")).out)).toMatchObject({ dead_letters: [{ id: 2 }] });
  // Which ones must be said, in one way.
  expect((await run("replay")).code).toBe(2);
  expect((await run("replay", "1", "--all")).code).toBe(2);
  const one = await run("replay", "1", "9", "-o", "json");
  expect(one.code).toBe(3);
  expect(one.err).toContain("job 9: there is no such job");
  expect(JSON.parse(one.out)).toMatchObject({ replayed: [{ id: 4, retry_of: 1 }], refused: [{ id: 9 }] });
  expect((await run("replay", "1")).code).toBe(6);
  expect(await run("replay", "--name", "c")).toEqual({ code: 0, out: "5 (job 3 again)\n", err: "" });
  expect(await run("replay", "--all", "-o", "quiet")).toEqual({ code: 0, out: "6\n", err: "" });
  expect((await run("replay", "--all")).err).toContain("there are none");
  expect((await run("show", "1")).out).toMatch(/retried as +job 4\n/);
});
