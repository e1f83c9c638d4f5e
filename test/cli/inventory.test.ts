import { expect, test } from "bun:test";
import { cli, ScratchDir, ServedMesh, TestIo } from "./support.ts";

test("an inventory is set from a file, listed, shown, put back and removed", async () => {
  using served = new ServedMesh();
  using scratch = new ScratchDir();
  const file = scratch.write("hosts.yml", "all:\n  children:\n    web:\n      hosts: {'web[1:3]': {a: yes}}\n");
  const say = (...words: string[]) => cli(["inventory", ...words], served.env);
  expect(await say("set", "fleet", file)).toEqual({
    code: 0,
    out: "fleet@1: 3 hosts, 1 group (3 new, 1 group other)\n",
    err: "",
  });
  expect((await say("set", "fleet", file)).out).toBe("fleet@1 is as it was: 3 hosts, 1 group\n");
  const io = new TestIo({ stdin: "web[2-4]\n" });
  expect((await cli(["inventory", "set", "fleet", "-"], served.env, io)).out).toBe(
    "fleet@2: 3 hosts, 0 groups (1 new, 1 gone, 2 changed, 1 group other)\n",
  );
  expect((await say("ls")).out).toMatch(/^NAME +VERSION .*\nfleet +2 +3 +0 /);
  expect((await say("show", "fleet", "--version", "1")).out).toMatch(/web\[1-3\][^]*\nweb +3/);
  expect((await say("show", "fleet", "--version", "1", "--host", "web2")).out).toMatch(/groups +web\n\na: true\n/);
  expect((await say("set", "fleet", "--from-version", "1", "-o", "quiet")).out).toBe("fleet@3\n");
  expect((await say("history", "fleet", "-o", "quiet")).out).toBe("3\n2\n1\n");
  expect((await say("rm", "fleet")).code).toBe(0);
  expect((await say("show", "fleet")).code).toBe(3);
});

test("what is wrong with a file is told with its lines, and what is wrong with the words with them", async () => {
  using served = new ServedMesh();
  using scratch = new ScratchDir();
  const wrong = scratch.write("hosts", "[web]\nweb[3:1]\nb a\n");
  const say = (...words: string[]) => cli(["inventory", "set", "fleet", ...words], served.env);
  const told = await say(wrong);
  expect(told.code).toBe(2);
  expect(told.err).toContain(`${wrong}:2: "web[3:1]": the range [3:1] ends before it begins`);
  expect(told.err).toContain(`${wrong}:3: expected name=value behind the host`);
  for (const words of [
    [],
    [wrong, "--command", "x"],
    [wrong, "--every", "1m"],
    ["--from-version", "x"],
    ["--command", "x", "--every", "1s"],
    ["--command", "x", "--on", "a b="],
    [wrong, "--format", "toml"],
    ["/nowhere/at/all"],
  ])
    expect([words, (await say(...words)).code]).toEqual([words, 2]);
  expect((await cli(["inventory", "ls", "-o", "quiet"], served.env)).out).toBe("");
});
