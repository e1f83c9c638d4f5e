import { expect, test } from "bun:test";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

const fleet = "[web]\nweb[1:3] a=1\n[db]\ndb1\n[prod:children]\nweb\n[prod:vars]\nenv=prod\n";

function newest() {
  const mesh = new Mesh();
  return { mesh, ask: asking(mesh.node()) };
}

test("an inventory is set, listed, shown, put back and removed", async () => {
  const { ask } = newest();
  const made = await ask("POST", "/v1/inventories", { name: "fleet", format: "ini", text: fleet });
  expect([made.status, await jsonIn(made)]).toEqual([
    201,
    {
      name: "fleet",
      version: 1,
      changed: true,
      hosts: 4,
      groups: 3,
      differences: { added: 4, removed: 0, changed: 0, groups: 3 },
    },
  ]);
  const again = await ask("POST", "/v1/inventories", { name: "fleet", format: "ini", text: fleet });
  expect([again.status, await jsonIn(again)]).toMatchObject([200, { version: 1, changed: false }]);
  const map = { web: { hosts: ["web1"] }, _meta: { hostvars: { web1: { a: 2 } } } };
  expect((await ask("POST", "/v1/inventories", { name: "fleet", inventory: map })).status).toBe(201);
  expect(await jsonIn(await ask("GET", "/v1/inventories"))).toMatchObject({
    inventories: [{ name: "fleet", version: 2, hosts: 1, groups: 1, set_by: "anna" }],
  });
  expect(await jsonIn(await ask("GET", "/v1/inventories/fleet?version=1"))).toMatchObject({
    version: 2,
    shown: 1,
    group_list: [
      { name: "db", hosts: 1, children: [], vars: {} },
      { name: "prod", hosts: 3, children: ["web"], vars: { env: "prod" } },
      { name: "web", hosts: 3 },
    ],
  });
  expect(await jsonIn(await ask("GET", "/v1/inventories/fleet/hosts/web1"))).toEqual({
    host: "web1",
    version: 2,
    groups: ["web"],
    vars: { a: 2 },
  });
  expect(await jsonIn(await ask("GET", "/v1/inventories/fleet/hosts?version=1&group=prod&limit=2"))).toEqual({
    hosts: ["web1", "web2"],
    next: "2",
  });
  expect(await jsonIn(await ask("GET", "/v1/inventories/fleet/hosts?version=1&group=prod&limit=2&next=2"))).toEqual({
    hosts: ["web3"],
  });
  const back = await ask("POST", "/v1/inventories", { name: "fleet", from_version: 1 });
  expect(await jsonIn(back)).toMatchObject({ version: 3, hosts: 4 });
  expect(await jsonIn(await ask("GET", "/v1/inventories/fleet/history"))).toMatchObject({
    versions: [{ version: 3, origin: "version 1" }, { version: 2, removed: 3, changed: 1 }, { version: 1 }],
  });
  for (const path of [
    "fleet?version=9",
    "fleet/hosts/nobody",
    "fleet/hosts?group=x",
    "none",
    "none/history",
    "none/hosts",
  ])
    expect((await ask("GET", `/v1/inventories/${path}`)).status).toBe(404);
  expect((await ask("POST", "/v1/inventories", { name: "fleet", from_version: 9 })).status).toBe(404);
  expect((await ask("DELETE", "/v1/inventories/fleet")).status).toBe(200);
  expect((await ask("DELETE", "/v1/inventories/fleet")).status).toBe(404);
});

test("what cannot be an inventory is refused whole, with every problem", async () => {
  const { ask } = newest();
  const set = (body: object) => ask("POST", "/v1/inventories", { name: "fleet", ...body });
  const wrong = await set({ format: "ini", text: "a b\nx[2:1]\n" });
  expect([wrong.status, (await errorIn(wrong)).details?.map(({ path }) => path)]).toEqual([422, ["line 1", "line 2"]]);
  expect((await set({ format: "json", text: "Traceback (most recent call last)" })).status).toBe(422);
  for (const body of [{}, { text: "a" }, { text: "a", format: "yaml" }, { text: "a", format: "list", from_version: 1 }])
    expect((await set(body)).status).toBe(422);
  for (const name of ["list", "a:b", "-a", "x".repeat(65)])
    expect((await ask("POST", "/v1/inventories", { name, format: "list", text: "a" })).status).toBe(422);
  const many = await set({ format: "list", text: "web[1-100001]" });
  expect((await errorIn(many)).message).toContain("stands for 100,001 names, and at most 100,000");
  expect(await jsonIn(await ask("GET", "/v1/inventories"))).toEqual({ inventories: [] });
});

test("targets name inventories, groups and everybody, and what they name not is refused with what there is", async () => {
  const { mesh, ask } = newest();
  await ask("POST", "/v1/inventories", { name: "fleet", format: "ini", text: fleet });
  await ask("POST", "/v1/inventories", { name: "lab", format: "list", text: "lab[1-2],web1" });
  const targetsOf = async (...targets: string[]): Promise<unknown> => {
    const response = await ask("POST", "/v1/jobs", { run: "x", targets });
    if (response.status !== 201) return (await errorIn(response)).details?.map(({ message }) => message);
    const { id } = await jsonIn<{ id: number }>(response);
    const { tasks } = await jsonIn<{ tasks: { target: string }[] }>(await ask("GET", `/v1/jobs/${id}/tasks`));
    return tasks.map(({ target }) => target).join(",");
  };
  expect(await targetsOf("@fleet")).toBe("web1,web2,web3,db1");
  expect(await targetsOf("@fleet:prod!web2", "@lab&lab[1-9]")).toBe("web1,web3,lab1,lab2");
  expect(await targetsOf("*!@fleet")).toBe("lab1,lab2");
  expect(await targetsOf("@*")).toBe("web1,web2,web3,db1,lab1,lab2");
  expect(await targetsOf("@fleet:ungrouped")).toEqual([
    'there is no group or inventory "fleet:ungrouped": the group has no host\n@fleet:ungrouped\n^^^^^^^^^^^^^^^^'.replace(
      'there is no group or inventory "fleet:ungrouped"',
      '"@fleet:ungrouped" matches nobody',
    ),
  ]);
  expect(await targetsOf("db9,@flet")).toEqual([
    `there is no group or inventory "flet": there are the inventories fleet, lab\ndb9,@flet\n    ^^^^^`,
  ]);
  expect(await targetsOf("@fleet:wbe")).toEqual([
    `there is no group or inventory "fleet:wbe": in fleet there are the groups db, web, prod\n@fleet:wbe\n^^^^^^^^^^`,
  ]);
  expect(await targetsOf("@web")).toEqual([
    `there is no group or inventory "web": a group of that name is @fleet:web\n@web\n^^^^`,
  ]);
  expect(mesh.cluster.job(1).spec["targets"]).toEqual(["@fleet"]);
});
