import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { addressesOnThisHost, readContext, writeContexts } from "../../src/node/context.ts";

const context = (node: number) => ({
  addrs: [`http://127.0.0.1:${7000 + node}`],
  token: `t${node}`,
  cluster: "c",
  node,
});

function scratchDirectory(): Disposable & { readonly path: string } {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-context-"));
  return { path: directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

test("nodes that start at once on one host all find each other's addresses there", async () => {
  using scratch = scratchDirectory();
  const shared = { XDG_CONFIG_HOME: path.join(scratch.path, "config") };
  const nodes = [1, 2, 3, 4, 5, 6];
  const program = `
    import { addressesOnThisHost, writeContexts } from "${path.join(import.meta.dir, "../../src/node/context.ts")}";
    const [data, text] = process.argv.slice(-2);
    process.stdout.write("ready");
    for await (const _ of process.stdin) {
      const context = JSON.parse(text);
      for (let round = 0; round < 30; round++) {
        writeContexts(data, context, process.env, () => true);
        if (!addressesOnThisHost("c", process.env).includes(context.addrs[0])) process.exit(9);
      }
      break;
    }`;
  const children = nodes.map((node) =>
    Bun.spawn(
      [process.execPath, "-e", program, path.join(scratch.path, `node-${node}`), JSON.stringify(context(node))],
      {
        env: { ...process.env, ...shared },
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
      },
    ),
  );
  for (const child of children) await child.stdout.getReader().read();
  for (const child of children) {
    void child.stdin.write("go\n");
    await child.stdin.end();
  }
  for (const child of children) expect(await child.exited).toBe(0);
  expect(addressesOnThisHost("c", shared).toSorted()).toEqual(nodes.flatMap((node) => context(node).addrs));
});

test("what one left that was killed while it wrote keeps nobody out", () => {
  using scratch = scratchDirectory();
  const shared = { XDG_CONFIG_HOME: path.join(scratch.path, "config") };
  writeContexts(path.join(scratch.path, "a"), context(1), shared, () => true);
  writeFileSync(path.join(shared.XDG_CONFIG_HOME, "skein", "context.lock"), "");
  writeContexts(path.join(scratch.path, "b"), context(2), shared, () => true);
  expect(addressesOnThisHost("c", shared)).toEqual([...context(1).addrs, ...context(2).addrs]);
  expect(readContext(path.join(scratch.path, "b"))).toEqual(context(2));
});

test("a node that moved takes its former address back, and nobody else's; a token that is good no more gives way", () => {
  using scratch = scratchDirectory();
  const shared = { XDG_CONFIG_HOME: path.join(scratch.path, "config") };
  const [a, b] = [path.join(scratch.path, "a"), path.join(scratch.path, "b")];
  const now = () => readContext(path.join(shared.XDG_CONFIG_HOME, "skein"));
  writeContexts(a, context(1), shared, () => true);
  writeContexts(b, context(2), shared, () => true);
  writeContexts(a, { ...context(1), addrs: ["http://127.0.0.1:8001"] }, shared, () => true);
  expect(now()).toEqual({ ...context(1), addrs: ["http://127.0.0.1:7002", "http://127.0.0.1:8001"] });
  writeContexts(b, context(2), shared, () => false);
  expect(now()).toMatchObject({ token: "t2", node: 2, addrs: ["http://127.0.0.1:8001", "http://127.0.0.1:7002"] });
  writeContexts(a, { ...context(1), cluster: "another" }, shared, () => true);
  expect(now()).toEqual({ ...context(1), cluster: "another" });
});
