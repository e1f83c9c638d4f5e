import { expect, test } from "bun:test";
import { greet, type Started } from "../../src/cli/greet.ts";
import { TestIo } from "./support.ts";

function started(more: Partial<Started> = {}): Started & { readonly made: string[] } {
  const made: string[] = [];
  return {
    kind: "created",
    cluster: "c",
    node: 1,
    name: "a",
    dataDir: "/d",
    api: "127.0.0.1:7400",
    exposed: [],
    voters: 1,
    votes: true,
    makeToken: () => Promise.resolve(made[made.push("skein1.f.i.s") - 1]),
    ...more,
    made,
  };
}

test("on a terminal the first node shows a join token, to be given by the environment", async () => {
  const { stdout } = new TestIo({ tty: true });
  await greet(stdout, started());
  expect(stdout.text).toContain(
    "SKEIN_JOIN_TOKEN=skein1.f.i.s skein up --join 127.0.0.1:7400   # valid 24h, 10 uses\n",
  );
  expect(stdout.text).not.toContain("--token");
});

test("in a pipe or a journal no token is made, and the command that makes one is named", async () => {
  const { stdout } = new TestIo();
  const node = started({ exposed: ["0.0.0.0:7400"] });
  await greet(stdout, node);
  expect(node.made).toEqual([]);
  expect(stdout.text).toContain("SKEIN_JOIN_TOKEN=$(skein cluster token -o quiet) skein up --join 127.0.0.1:7400\n");
  expect(stdout.text).toContain("warning: the API is served in the clear on 0.0.0.0:7400");
});

test.each(["joined", "resumed"] as const)("a node that has %s makes no token", async (kind) => {
  const { stdout } = new TestIo({ tty: true });
  const node = started({ kind });
  await greet(stdout, node);
  expect(node.made).toEqual([]);
  expect(stdout.text).toContain("$(skein cluster token -o quiet)");
});

test("a node tells what its cluster bears, and an even number of voters is explained", async () => {
  for (const [more, words] of [
    [{ voters: 1 }, "1 voter: the cluster bears the loss of no voter, and 3 hosts that of 1\n"],
    [
      { kind: "joined", voters: 3, votes: false },
      "3 voters: the cluster bears the loss of 1 voter; this node does not vote (yet)\n",
    ],
    [
      { kind: "resumed", voters: 4 },
      "4 voters: the cluster bears the loss of 1 voter, as with 3: an even number bears no more\n",
    ],
    [{ kind: "resumed", voters: 5 }, "5 voters: the cluster bears the loss of 2 voters\n"],
  ] as const) {
    const { stdout } = new TestIo();
    await greet(stdout, started(more));
    expect(stdout.text).toContain(words);
  }
});
