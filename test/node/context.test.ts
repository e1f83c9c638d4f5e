import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { addressesOnThisHost, isTold, readContext, writeContext, writeContexts } from "../../src/node/context.ts";

const context = (node: number, port = 7000 + node) => ({
  addrs: [`http://127.0.0.1:${port}`],
  token: `t${node}`,
  cluster: "c",
  node,
});

/** The user's configuration directory and those of nodes, for one test. */
function places(): Disposable & {
  readonly shared: string;
  readonly environment: Record<string, string>;
  of(node: number): string;
} {
  const root = mkdtempSync(path.join(tmpdir(), "skein-context-"));
  return {
    shared: path.join(root, "config", "skein"),
    environment: { XDG_CONFIG_HOME: path.join(root, "config") },
    of: (node) => path.join(root, `node-${node}`),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

test("nodes of one host tell their addresses in one place, the newest first, under the first one's token", () => {
  using host = places();
  const { environment } = host;
  expect(isTold(context(1), environment)).toBe(true); // there is nothing: the user's business
  for (const node of [1, 2, 3]) writeContexts(host.of(node), context(node), environment, () => true);
  expect(readContext(host.shared)).toEqual({ ...context(1), addrs: [3, 2, 1].flatMap((node) => context(node).addrs) });
  expect(readContext(host.of(2))).toEqual(context(2));
  expect([1, 2, 3, 4].map((node) => isTold(context(node), environment))).toEqual([true, true, true, false]);
});

test("one whose address another one wrote over sees it, and writes it again beside the other's", () => {
  using host = places();
  const { environment } = host;
  writeContexts(host.of(1), context(1), environment, () => true);
  writeContext(host.shared, context(2)); // read before, written after
  expect([isTold(context(1), environment), isTold(context(2), environment)]).toEqual([false, true]);
  writeContexts(host.of(1), context(1), environment, () => true);
  expect([isTold(context(1), environment), isTold(context(2), environment)]).toEqual([true, true]);
});

test("a node that comes back elsewhere takes its former address out: whoever has it now is not to be shown tokens", () => {
  using host = places();
  const { environment } = host;
  writeContexts(host.of(1), context(1), environment, () => true);
  writeContexts(host.of(2), context(2), environment, () => true);
  writeContexts(host.of(2), context(2, 7003), environment, () => true);
  expect(addressesOnThisHost("c", environment)).toEqual([7003, 7001].map((port) => `http://127.0.0.1:${port}`));
  // Node 2 is where node 1 was: it sees that its address went with node 1's move, and is told again.
  writeContexts(host.of(2), context(2, 7001), environment, () => true);
  writeContexts(host.of(1), context(1, 7004), environment, () => true);
  expect(isTold(context(2, 7001), environment)).toBe(false);
  writeContexts(host.of(2), context(2, 7001), environment, () => true);
  expect(addressesOnThisHost("c", environment)).toEqual([7001, 7004].map((port) => `http://127.0.0.1:${port}`));
});

test("no more addresses are kept than are of use, the newest ones", () => {
  using host = places();
  const { environment } = host;
  for (let node = 1; node < 40; node++) writeContexts(host.of(node), context(node), environment, () => true);
  expect(addressesOnThisHost("c", environment)).toEqual(
    Array.from({ length: 16 }, (_, back) => `http://127.0.0.1:${7039 - back}`),
  );
});

test("a token that is good no more gives way, and so does another cluster", () => {
  using host = places();
  const { environment } = host;
  writeContexts(host.of(1), context(1), environment, () => true);
  writeContexts(host.of(2), context(2), environment, () => false);
  expect(readContext(host.shared)).toMatchObject({ token: "t2", node: 2 });
  const other = { ...context(1), cluster: "another" };
  writeContexts(host.of(1), other, environment, () => true);
  expect(readContext(host.shared)).toEqual(other);
  expect(isTold(context(2), environment)).toBe(true); // it is not this cluster's place any more
});
