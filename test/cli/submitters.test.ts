import { expect, test } from "bun:test";
import { cli, ServedMesh } from "./support.ts";
import { asking, errorIn, jsonIn, Mesh, operatorToken } from "../http/fake-node.ts";

test("shares are set by an admin, listed, and taken back with 1; every problem is told at once", async () => {
  const ask = asking(new Mesh(1).node());
  for (const [name, weight] of [
    ["bert", 3],
    ["*", 2],
    ["anna", 1],
  ] as const)
    expect((await ask("POST", "/v1/submitters", { name, weight })).status).toBe(200);
  const list = async (): Promise<unknown> => jsonIn<unknown>(await ask("GET", "/v1/submitters"));
  const none = { jobs_max: null, jobs: null };
  expect(await list()).toEqual({
    submitters: [
      { name: "*", weight: 2, ...none },
      { name: "anna", weight: 1, ...none }, // another one than everybody's
      { name: "bert", weight: 3, ...none },
    ],
  });
  await ask("POST", "/v1/submitters", { name: "*", weight: 1 });
  await ask("POST", "/v1/submitters", { name: "anna", weight: 1 });
  expect(await list()).toEqual({ submitters: [{ name: "bert", weight: 3, ...none }] });
  const bad = await errorIn(await ask("POST", "/v1/submitters", { name: "", weight: 0 }));
  expect([bad.status, bad.details.map(({ path }) => path)]).toEqual([422, ["name", "weight"]]);
  const by = { authorization: `Bearer ${operatorToken}` };
  expect((await ask("POST", "/v1/submitters", { name: "bert", weight: 9 }, by)).status).toBe(403);
});

test("skein submitters set and ls, in every form", async () => {
  using served = new ServedMesh();
  const set = await cli(["submitters", "set", "bert", "--weight", "3", "-o", "quiet"], served.env);
  expect(set).toEqual({ code: 0, out: "bert\n", err: "" });
  expect((await cli(["submitters", "ls"], served.env)).out).toMatch(/^NAME +WEIGHT +JOBS +AT MOST\nbert +3 +- +-\n$/);
  expect(JSON.parse((await cli(["submitters", "ls", "-o", "json"], served.env)).out)).toEqual({
    submitters: [{ name: "bert", weight: 3, jobs_max: null, jobs: null }],
  });
  expect((await cli(["submitters", "set", "*", "--jobs", "10"], served.env)).code).toBe(0);
  expect((await cli(["submitters", "ls"], served.env)).out).toMatch(/\n\* +1 +- +10\nbert +3 +0 +10\n$/);
  expect((await cli(["submitters", "set", "*", "--jobs", "none"], served.env)).code).toBe(0);
  expect((await cli(["submitters", "ls", "-o", "quiet"], served.env)).out).toBe("bert\n");
  expect((await cli(["submitters", "set", "bert", "--jobs", "0"], served.env)).code).toBe(2);
  expect((await cli(["submitters", "set", "bert", "--weight", "0"], served.env)).code).toBe(2);
  expect((await cli(["submitters", "set", "bert"], served.env)).code).toBe(2);
});
