import { describe, expect, test } from "bun:test";
import { Folding, howOf, type Outcome, diffOf, referenceOf } from "../../src/cli/fold.ts";
import { printFolded } from "../../src/cli/fold-print.ts";
import { Output } from "../../src/cli/output.ts";
import { type Ran, cli, ServedMesh, start, TestIo } from "./support.ts";

const one = (name: string, text: string, more: Partial<Outcome> = {}): Outcome => ({
  name,
  state: "succeeded",
  exitCode: 0,
  signal: null,
  reason: undefined,
  text,
  ...more,
});

describe("folding", () => {
  test("equal output is there once, the odd ones and what failed first", () => {
    const folding = new Folding();
    for (const name of ["web01", "web02", "web03"]) folding.add(one(name, "6.1\n"));
    folding.add(one("web04", "5.10\n"));
    folding.add(one("db1", "6.1\n", { state: "failed", exitCode: 3 }));
    expect(folding.groups().map(({ names, size, how, text }) => [names, size, how, text])).toEqual([
      ["db1", 1, "exit 3", "6.1\n"],
      ["web04", 1, "", "5.10\n"],
      ["web[01-03]", 3, "", "6.1\n"],
    ]);
  });

  test("output that is equal with another exit code is not the same, and a reason that names its own target is", () => {
    const folding = new Folding();
    const failed = { state: "failed", exitCode: null } as const;
    folding.add(one("a1", "", { ...failed, reason: "unreachable: a1 port 22: refused" }));
    folding.add(one("a2", "", { ...failed, reason: "unreachable: a2 port 22: refused" }));
    folding.add(one("a3", "", { ...failed, reason: "unreachable: no route" }));
    expect(folding.groups().map(({ names, how }) => [names, how])).toEqual([
      ["a3", "failed: unreachable: no route"],
      ["a[1-2]", "failed: unreachable: TARGET port 22: refused"],
    ]);
  });

  test("a target's name is taken out of a reason where it is a word, and not out of other words", () => {
    const how = (name: string, reason: string) => howOf({ name, state: "lost", exitCode: null, signal: null, reason });
    expect(how("1", "port 11 of 1: 10.0.0.1 x1 1-2")).toBe("lost: port 11 of TARGET: 10.0.0.1 x1 1-2");
    expect(how("a", "what a failure: a.lan, root@a:22")).not.toContain("whTARGETt");
    expect(how("web.1", "web.1: webs1, (web.1) and web.1.")).toBe("lost: TARGET: webs1, (TARGET) and TARGET.");
  });

  test("the others are compared with the most of those that succeeded", () => {
    const folding = new Folding();
    for (const name of ["a1", "a2", "a3"]) folding.add(one(name, "x\n", { state: "failed", exitCode: 1 }));
    for (const name of ["b1", "b2"]) folding.add(one(name, "one\ntwo\nthree\n"));
    folding.add(one("c", "one\n2\nthree\n"));
    const groups = folding.groups();
    const reference = referenceOf(groups)!;
    expect(reference.names).toBe("b[1-2]");
    expect(
      diffOf(
        reference,
        groups.find(({ names }) => names === "c")!,
        1000,
      ),
    ).toBe("@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n");
    expect(diffOf(reference, reference, 1000)).toBe("");
  });

  /** Three that are alike, and so many others. */
  const unlike = (count: number): Folding => {
    const folding = new Folding();
    for (const name of ["a1", "a2", "a3"]) folding.add(one(name, "same\n"));
    for (let nth = 1; nth <= count; nth++) folding.add(one(`b${nth}`, `other ${nth}\n`));
    return folding;
  };

  test("where there is no time to compare, that is said of each and how many they are; many are counted", async () => {
    const io = new TestIo();
    const out = new Output(io, "table", false);
    const { signal } = new AbortController();
    await printFolded(out, unlike(203), { job: 5, diff: true, signal, budgetMs: 0 });
    expect(io.stdout.text).toContain("b1\n---------------\n(not compared with a[1-3])\n");
    expect(io.stdout.text.split("not compared with").length - 1).toBe(200);
    expect(io.stdout.text).toContain("(3 more outputs, of 3, are not shown: `skein logs 5 -b` shows them)\n");
    expect(io.stdout.text).toEndWith("(what the others are compared with)\n---------------\nsame\n");
    expect(io.stderr.text).toContain("200 of 200 outputs were not compared, since that takes too long");
  });

  test("comparisons are left when somebody interrupts", async () => {
    const io = new TestIo();
    const abort = new AbortController();
    const write = io.stdout.write.bind(io.stdout);
    io.stdout.write = (chunk) => {
      write(chunk);
      if (String(chunk).includes("+other")) abort.abort(new Error("interrupted"));
    };
    const printing = printFolded(new Output(io, "table", false), unlike(9), {
      job: 5,
      diff: true,
      signal: abort.signal,
    });
    expect(await printing.catch(String)).toBe("Error: interrupted");
    expect(io.stdout.text.split("+other").length - 1).toBe(1);
  });

  test("how one ended is in the words of a person", () => {
    const how = (more: Partial<Outcome>) => howOf(one("h", "", more));
    expect(how({})).toBe("");
    expect(how({ state: "timeout", exitCode: null, reason: "1s" })).toBe("timed out: 1s");
    expect(how({ state: "failed", exitCode: null, signal: "SIGSEGV" })).toBe("killed by SIGSEGV");
    expect(how({ state: "cancelled", exitCode: null })).toBe("cancelled");
  });
});

/** A job about five targets that are on their node; of each what it has printed. */
async function running(served: ServedMesh, flags: readonly string[], io = new TestIo()) {
  const code = start(["run", ...flags, "--target", "web[1-5]", "--", "uname"], served.env, io);
  const id = await served.submitted();
  for (let task = 0; task < 5; task++) served.assign(id, task);
  const end = (task: number, text: string, state: "succeeded" | "failed" = "succeeded", exitCode = 0): void => {
    served.mesh.log(id, task).write(text);
    served.finish(id, task, state, { exitCode, tail: new TextEncoder().encode(text) });
  };
  return { id, code, io, end };
}

test("run -b shows equal output once when all have ended, and what failed by message", async () => {
  using served = new ServedMesh();
  const { code, io, end, id } = await running(served, ["-b"]);
  for (const task of [0, 1, 3]) end(task, "6.1\n");
  end(2, "no such host\n", "failed", 3);
  end(4, "5.10\n");
  expect(await code).toBe(1);
  const rule = "-".repeat(15);
  expect(io.stdout.text).toBe(
    `${rule}\nweb3: exit 3\n${rule}\nno such host\n${rule}\nweb5\n${rule}\n5.10\n${rule}\nweb[1-2,4] (3)\n${rule}\n6.1\n`,
  );
  expect(io.stderr.text).toBe(`skein: job ${id} failed\n  task 2 (web3): exit 3 on node 1\n`);
});

test("what failed alike is told once, with whom it befell, most first", async () => {
  using served = new ServedMesh();
  const { code, io, end, id } = await running(served, []);
  end(0, "");
  for (const task of [1, 2, 4]) end(task, "", "failed", 3);
  end(3, "", "failed", 7);
  expect(await code).toBe(1);
  expect(io.stderr.text).toBe(`skein: job ${id} failed\n  web[2-3,5] (3): exit 3\n  task 3 (web4): exit 7 on node 1\n`);
});

test("what is longer than the end that is kept is read from the log, as jobs that are over show it, too", async () => {
  using served = new ServedMesh();
  const { code, id } = await running(served, ["--diff"]);
  const long = Array.from({ length: 500 }, (_, line) => `line ${line}\n`).join("");
  for (let task = 0; task < 5; task++) {
    const text = task === 4 ? long.replace("line 250\n", "line x\n") : long;
    served.mesh.log(id, task).write(text);
    served.finish(id, task, "succeeded", { tail: new TextEncoder().encode(text.slice(-100)) });
  }
  expect(await code).toBe(0);
  const shown = await cli(["logs", String(id), "--diff"], served.env);
  const [head, ...rest] = shown.out.split("web[1-4] (4)");
  expect(head).toContain("web5\n");
  expect(head).toContain("\n-line 250\n+line x\n");
  expect(head).not.toContain("line 100\n");
  expect(rest.join()).toContain(long);
});

test("Ctrl-C shows what has come and who still runs", async () => {
  using served = new ServedMesh();
  const io = new TestIo({ tty: true, columns: 120 });
  const { code, end, id } = await running(served, ["-b", "--no-color"], io);
  end(0, "6.1\n");
  end(1, "6.1\n");
  await io.stderr.has("2/5 done, 3 running: web[3-5]");
  io.interrupt();
  expect(await code).toBe(130);
  expect(io.stdout.text).toContain("web[1-2] (2)");
  expect(io.stderr.text).toContain("skein: still running: web[3-5]");
  expect(io.stderr.text).toContain(`job ${id} goes on`);
});

test("whoever began after the last end is named, and who never began, folded or not", async () => {
  for (const flags of [["-b"], []]) {
    using served = new ServedMesh();
    const io = new TestIo({ tty: true, columns: 160 });
    const argv = ["run", ...flags, "--no-color", "--target", "c[1-5]", "--batch", "1,2", "--", "x"];
    const code = start(argv, served.env, io);
    const id = await served.submitted();
    served.assign(id, 0);
    served.finish(id, 0);
    await io.stderr.has("1/5 done");
    served.assign(id, 1);
    served.assign(id, 2);
    await io.stderr.has("1/5 done, 2 running: c[2-3]");
    io.interrupt();
    expect(await code).toBe(130);
    expect(io.stderr.text).toContain("skein: still running: c[2-3]\nskein: not begun: c[4-5]\n");
  }
});

test("Ctrl-C names who runs by then, also where no bar was drawn, and leaves though the mesh is gone", async () => {
  const served = new ServedMesh();
  const { code, io, end } = await running(served, ["-o", "json"]);
  end(0, "6.1\n");
  await io.stdout.has('"target":"web1"');
  io.interrupt();
  expect(await code).toBe(130);
  expect(io.stderr.text).toContain("skein: still running: web[2-5]\n");
  const tty = new TestIo({ tty: true, columns: 160 });
  const left = start(["run", "-b", "--target", "c[1-2]", "--no-color", "--", "x"], served.env, tty);
  const second = await served.submitted(2);
  served.assign(second, 1);
  await tty.stderr.has("1 running: c2");
  served[Symbol.dispose]();
  tty.interrupt();
  expect(await left).toBe(130);
  expect(tty.stderr.text).toContain("skein: running when it was last heard of: c2\n");
});

test("-o json is a line for each target as it ends, and the job", async () => {
  using served = new ServedMesh();
  const io = new TestIo();
  const { code, end, id } = await running(served, ["-o", "json"], io);
  end(3, "a");
  await io.stdout.has('"target":"web4"');
  for (const task of [0, 1, 2, 4]) end(task, "b");
  expect(await code).toBe(0);
  const lines = io.stdout.text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const targets = lines.slice(0, -1).map(({ target }) => String(target));
  expect(targets.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(["web1", "web2", "web3", "web4", "web5"]);
  expect(lines.at(-1)).toMatchObject({ id, state: "succeeded" });
});

test("-o json has all that a task printed, up to 1 MiB, and says where there was more or a part is missing", async () => {
  using served = new ServedMesh();
  const { code, io, end, id } = await running(served, ["-o", "json"]);
  const long = "0123456789abcde\n".repeat(4096);
  for (const [task, text] of ["short\n", long, long.repeat(17), "", long].entries()) {
    if (task === 4) served.node.unreachableLogs.add(`${id}/4.1`);
    if (text.length < 100) end(task, text);
    else {
      served.mesh.log(id, task).write(text);
      served.finish(id, task, "succeeded", { tail: new TextEncoder().encode(text.slice(-100)) });
    }
  }
  expect(await code).toBe(0);
  const lines = io.stdout.text.trimEnd().split("\n");
  const tasks = lines.slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
  const shown = tasks
    .toSorted((a, b) => Number(a["task"]) - Number(b["task"]))
    .map((task) => [task["output"], task["output_cut"], task["output_missing"]]);
  expect(shown).toEqual([
    ["short\n", undefined, undefined],
    [long, undefined, undefined],
    [long.repeat(16), true, undefined],
    ["", undefined, undefined],
    ["", undefined, [expect.any(String)]],
  ]);
});

test("folding is of a whole job", async () => {
  const ran: Ran = await cli(["logs", "5/1", "-b"], { SKEIN_ADDR: "http://127.0.0.1:1", SKEIN_TOKEN: "skein_1_1" });
  expect([ran.code, ran.err]).toEqual([2, expect.stringContaining("of a whole job")]);
});
