import { expect, test } from "bun:test";
import { submit } from "../../scripts/mesh-jobs.ts";
import { Mesh, until } from "../../scripts/mesh.ts";

test("a node that was away while all others were replaced finds those who are there now", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const [first, second, away] = mesh.nodes as [(typeof mesh.nodes)[0], (typeof mesh.nodes)[0], (typeof mesh.nodes)[0]];
  await away.kill();
  const others = [await mesh.add(), await mesh.add()];
  // One of the new ones votes in the place of the dead one; the first two go, and with them every address that the dead one knows.
  for (const leaving of [first, second]) {
    await until(
      async () => {
        const r = await leaving.skein(["leave"]);
        console.log(r);
        return r.code === 0 ? true : undefined;
      },
      120_000,
      () => `node ${leaving.ready.node} cannot leave:\n${leaving.log}`,
    );
    await leaving.stop();
  }
  const leader = await mesh.leader({ timeoutMs: 60_000 });
  expect(others).toContain(leader);
  const job = await submit(leader, { driver: "noop" });
  await away.start();
  await until(
    async () => ((await away.api("GET", `/v1/jobs/${job}?consistency=stale`)).status === 200 ? true : undefined),
    60_000,
    () => `it hears of nothing:\n${away.log}`,
  );
  await submit(away, { driver: "noop" });
}, 300_000);
