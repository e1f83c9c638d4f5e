import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { announcement } from "../state/support.ts";
import { cli, ServedMesh, start, TestIo } from "./support.ts";

const ids = (...nodes: number[]) => nodes.map((node) => nodeId(node));

/** Three members that vote. The configuration changes when the test says so, as the leader changes it: after the request was answered. */
function threeVoters(): ServedMesh {
  const served = new ServedMesh();
  for (const node of [2, 3]) served.mesh.change((cluster) => cluster.join(node));
  served.node.voters = ids(1, 2, 3);
  return served;
}

/** The configuration at each look after the first one: the last of them stays. */
function thenIs(served: ServedMesh, ...changes: { readonly voters: number[]; readonly outgoing?: number[] }[]): void {
  let looks = 0;
  served.node.onStatus = () => {
    const change = changes[Math.min(looks++, changes.length) - 1];
    if (change === undefined) return;
    served.node.voters = ids(...change.voters);
    served.node.outgoing = ids(...(change.outgoing ?? []));
  };
}

describe("what the cluster bears, after a change of who votes", () => {
  for (const [words, after, said, note] of [
    [["nodes", "rm", "n2"], [1, 3], "node 2 is removed", "2 voters now: it bears the loss of no voter, as with 1"],
    [["cluster", "set", "voters=1"], [1], "voters: 1", "1 voter now: it bears the loss of no voter\n"],
  ] as const)
    test(`${words.join(" ")}: is told when the change is there, not in the middle of it`, async () => {
      using served = threeVoters();
      thenIs(served, { voters: [...after], outgoing: [1, 2, 3] }, { voters: [...after] });
      const { code, out, err } = await cli(words, served.env);
      expect([code, out]).toEqual([0, `${said}\n`]);
      expect(err).toContain(`the cluster has ${note}`);
      expect(err).not.toContain("3 voters");
      expect(err).not.toContain("yet");
    });

  test("demote: is told when another one votes in its place", async () => {
    using served = threeVoters();
    served.mesh.change((cluster) => cluster.join(4));
    thenIs(served, { voters: [1, 3, 4], outgoing: [1, 2, 3] }, { voters: [1, 3, 4] });
    const { out, err } = await cli(["nodes", "demote", "n2"], served.env);
    expect([out, err]).toEqual([
      "node 2 is to be a learner\n",
      "the cluster has 3 voters now: it bears the loss of 1 voter\n",
    ]);
  });

  test("demote: where nobody can vote in its place that is said at once", async () => {
    using served = threeVoters();
    const { code, out, err } = await cli(["nodes", "demote", "n2"], served.env);
    expect([code, out]).toEqual([0, "node 2 is to be a learner\n"]);
    expect(err).toBe(
      "the cluster has 3 voters yet, and bears the loss of 1 voter: nobody can vote in its place, so it votes on until somebody can: join a node, or have fewer vote\n",
    );
    expect(served.node.statusAsked).toBe(1);
  });

  test("promote: is told when the promoted one votes", async () => {
    using served = threeVoters();
    served.node.voters = ids(1, 2);
    thenIs(served, { voters: [1, 2, 3] });
    const { err } = await cli(["nodes", "promote", "3"], served.env);
    expect(err).toBe("the cluster has 3 voters now: it bears the loss of 1 voter\n");
  });

  test("a change that does not come in time is not told as if it had", async () => {
    using served = threeVoters();
    served.mesh.change((cluster) => cluster.join(4));
    const { code, err } = await cli(["nodes", "demote", "2", "--timeout", "250ms"], served.env);
    expect(code).toBe(0);
    expect(err).toMatch(/^the cluster has 3 voters yet, and bears the loss of 1 voter: .*`skein cluster status`\n$/);
    served.node.voters = ids(1);
    served.node.outgoing = ids(1, 2, 3);
    expect((await cli(["nodes", "rm", "2", "--timeout", "0"], served.env)).err).toMatch(
      /^the cluster has 3 voters yet, and bears the loss of no voter; a change of the voters is under way: /,
    );
  });

  test("a program gets its value at once, and the truth of that moment beside it", async () => {
    using served = threeVoters();
    const { code, out, err } = await cli(["nodes", "rm", "2", "-o", "json"], served.env);
    expect([code, JSON.parse(out)]).toEqual([0, { node: 2 }]);
    expect(err).toContain("the cluster has 3 voters yet");
    expect(served.node.statusAsked).toBe(1);
  });

  test("a terminal shows that it is waited for, and Ctrl-C ends that", async () => {
    using served = threeVoters();
    served.mesh.change((cluster) => cluster.join(4));
    const io = new TestIo({ tty: true });
    const code = start(["nodes", "demote", "2", "--no-color"], served.env, io);
    await io.stderr.has("3 voters yet, waiting for the leader, 0 s");
    io.interrupt();
    expect(await code).toBe(130);
    expect(io.stderr.text).toEndWith("\r\u001b[K");
    expect(io.stdout.text).toBe("node 2 is to be a learner\n");
  });

  test("more voters than there are members for are not waited for", async () => {
    using served = threeVoters();
    const { err } = await cli(["cluster", "set", "voters=5"], served.env);
    expect(err).toContain("the cluster has 3 voters yet, and bears the loss of 1 voter");
    expect(served.node.statusAsked).toBe(1);
  });

  test("a node that answers no more leaves it open what is borne", async () => {
    using served = threeVoters();
    served.node.onStatus = () => {
      throw new Error("it is gone");
    };
    const { code, err } = await cli(["nodes", "rm", "2"], served.env);
    expect(code).toBe(0);
    expect(err).toContain("what the cluster bears now is not known: ");
  });

  test("rm of the only node that is known here: the others, whom it named before, say what is borne", async () => {
    using served = threeVoters();
    const other = new URL(served.url).host;
    served.mesh.change((cluster) =>
      cluster.must("node.seen", { node: nodeId(3), ...announcement(3), api: other, level: ownLevel }),
    );
    // Node 1 hands the request on, and is gone once it was answered.
    const first = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const answer = await fetch(served.url + pathname + search, request);
        if (pathname !== "/v1/commands/node.remove") return answer;
        served.node.voters = ids(2, 3);
        void first.stop();
        return new Response(await answer.text(), { status: answer.status, headers: { connection: "close" } });
      },
    });
    const { code, out, err } = await cli(["nodes", "rm", "n1"], { ...served.env, SKEIN_ADDR: first.url.origin });
    expect([code, out, err]).toEqual([
      0,
      "node 1 is removed\n",
      "the cluster has 2 voters now: it bears the loss of no voter, as with 1: an even number bears no more\n",
    ]);
  });

  test("a node that hangs after the request is given no more time than --timeout says", async () => {
    using served = threeVoters();
    // Everything goes on to the mesh, but a look at the cluster is never answered.
    const hung = Promise.withResolvers<Response>();
    using hanging = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname, search } = new URL(request.url);
        if (pathname === "/v1/cluster") return hung.promise;
        return fetch(served.env["SKEIN_ADDR"] + pathname + search, request);
      },
    });
    const env = { ...served.env, SKEIN_ADDR: hanging.url.origin };
    const { code, err } = await cli(["nodes", "demote", "2", "--timeout", "100ms"], env);
    expect(code).toBe(0);
    expect(err).toBe("what the cluster bears now is not known: no node answered in time\n");
    hung.resolve(new Response());
  });

  test("who votes is the leader's to decide once a wish is taken back", async () => {
    using served = threeVoters();
    const { err } = await cli(["nodes", "demote", "2", "--forget"], served.env);
    expect(err).toStartWith("the leader decides who votes");
  });
});
