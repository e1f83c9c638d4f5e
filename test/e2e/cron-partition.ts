import { patienceMs, until } from "../../scripts/mesh.ts";
import { enterOwnNetwork } from "../../scripts/namespaces.ts";
import { startRig } from "../../scripts/soak-rig.ts";
import type { FireView } from "../../src/state/answers.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { metric } from "./harness.ts";

/**
 * Cuts a leader off from the two others while schedules are due each second, heals it, and prints as one JSON object what their histories say then, and what the one that was cut off has
 * fired by itself. In a network of its own, which only a process of its own can have.
 */

await enterOwnNetwork([process.execPath, import.meta.path]);
await using rig = await startRig(3, ["partition"], { ownLevel });
const { mesh, network } = rig;
const leader = await mesh.leader({ voters: 3 });
const others = mesh.nodes.filter((node) => node !== leader);
const names = Array.from({ length: 9 }, (_, place) => `s${place}`);
const schedules = names.map((name) => ({ name, every: "1s", overlap: "allow", job: { driver: "noop" } }));
const answer = await leader.api("POST", "/v1/schedules", { schedules });
if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));

const fired = async (node = others[0]!): Promise<number> => (await metric(node, "skein_fires_total")) ?? 0;
const firesOn = async (more: number): Promise<void> => {
  const wanted = (await fired()) + more;
  await until(
    async () => ((await fired()) >= wanted ? true : undefined),
    patienceMs,
    () => `fewer than ${wanted} were fired:\n${others[0]!.log}`,
  );
};
await firesOn(18);

const numberOf = (node: typeof leader): number => mesh.nodes.indexOf(node) + 1;
network!.isolate(numberOf(leader), others.map(numberOf));
// What it had on its way has come, or never will.
await until(
  async () => {
    const { body } = await others[0]!.api("GET", "/v1/cluster");
    const now = (body as { leader: number | null }).leader;
    return now !== null && now !== leader.ready.node ? true : undefined;
  },
  patienceMs,
  () => "nobody else leads",
);
const alone = await fired(leader);
await firesOn(45);
const byMinority = (await fired(leader)) - alone;
network!.heal();
await firesOn(18);

const histories: Record<string, readonly FireView[]> = {};
for (const name of names) {
  const { body } = await others[0]!.api("GET", `/v1/schedules/${name}/fires?limit=1000`);
  histories[name] = (body as { fires: readonly FireView[] }).fires.toReversed();
}
console.log(JSON.stringify({ byMinority, histories }));
