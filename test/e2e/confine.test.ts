/** user and limits on the real binary, from the words of a command line to the process. */
import { expect, test } from "bun:test";
import { Mesh, patienceMs } from "../../scripts/mesh.ts";

const isRoot = process.getuid?.() === 0;

test(
  "skein run --user and --limit reach the process, and the reason tells what was hit",
  async () => {
    await using mesh = await Mesh.start({ nodes: 1 });
    const node = mesh.nodes[0]!;
    const user = isRoot ? ["--user", "nobody"] : [];
    const ran = await node.skein([
      "run",
      ...user,
      "--limit",
      "files=64",
      "--limit",
      "memory=1GiB",
      "ulimit -n; ulimit -v; id -un",
    ]);
    expect([ran.code, ran.stdout.split("\n").slice(0, isRoot ? 3 : 2)]).toEqual([
      0,
      isRoot ? ["64", "1048576", "nobody"] : ["64", "1048576"],
    ]);
    const busy = await node.skein(["run", "--limit", "cpu=1s", "--", "sh", "-c", "while :; do :; done"]);
    expect([busy.code, busy.stderr]).toEqual([
      1,
      expect.stringContaining("used more CPU time than limits.cpu allows (1s"),
    ]);
    const stranger = await node.skein(["run", "--user", "no-such-user-here", "--", "true"]);
    expect([stranger.code, stranger.stderr]).toEqual([
      1,
      expect.stringContaining("there is no user no-such-user-here on this node"),
    ]);
    const wrong = await node.skein(["run", "--limit", "cpu=1ms", "--limit", "files=1", "--", "true"]);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringMatching(/limits.cpu.*at least 1s[^]*limits.files.*at least 8/),
    ]);
  },
  4 * patienceMs,
);
