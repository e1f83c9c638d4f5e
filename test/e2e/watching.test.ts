import { expect, test } from "bun:test";
import { SkeinClient } from "../../src/client/client.ts";
import { serverEvents } from "../../src/client/sse.ts";
import type { EventView } from "../../src/state/answers.ts";
import { isTerminal } from "../../src/lib/states.ts";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { untilTrue } from "./harness.ts";

/** Events resume by index without gap or repeat, whoever is killed: those of an index are the same on every node, and are kept over its restart. */

/** All events of the topics after `from`, up to and with the entry `last`, as this node alone tells them. */
async function told(node: MeshNode, from: number, last: number): Promise<string[]> {
  const response = await fetch(`${node.ready.api}/v1/events?topic=job,task&from=${from}`, {
    headers: { authorization: `Bearer ${node.token}` },
  });
  expect(response.status).toBe(200);
  const events: string[] = [];
  for await (const event of serverEvents(response.body!)) {
    const index = Number(event.id!.split(".")[0]);
    // The stream says how far it is also when nothing more happens.
    if (index > last) break;
    if (event.event !== "position") events.push(`${event.id} ${event.event} ${event.data}`);
    else if (index >= last) break;
  }
  return events;
}

const idOf = ({ id }: EventView): number[] => id.split(".").map(Number);

test("the asked node and the leader are killed while events are read: the end of every job is seen once, in order, and every node tells the same of the past", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const first = mesh.nodes[0]!;
  /** Whom the reader was given its stream by, in order. */
  const streams: MeshNode[] = [];
  const of = (nodes: readonly MeshNode[]): SkeinClient =>
    new SkeinClient({
      addrs: nodes.map((node) => node.ready.api),
      token: first.token,
      async fetch(url, init) {
        const response = await fetch(url, init);
        const asked = mesh.nodes.find((node) => url.startsWith(`${node.ready.api}/v1/events`));
        if (asked !== undefined && response.ok) streams.push(asked);
        return response;
      },
    });
  const begin = Number((await first.api("GET", "/v1/jobs")).headers.get("skein-index"));
  const reader = of(mesh.nodes);
  const writer = of(mesh.nodes.toReversed());

  const submitted: number[] = [];
  const seen: EventView[] = [];
  const ends = new Map<number, number>();
  const abort = new AbortController();
  const reading = (async () => {
    for await (const event of reader.events({ topics: ["job"], from: begin, signal: abort.signal })) {
      seen.push(event);
      if (event.topic !== "job" || event.kind !== "state" || !isTerminal(event.state)) continue;
      ends.set(event.job, (ends.get(event.job) ?? 0) + 1);
    }
  })().catch((error: unknown) => {
    if (!abort.signal.aborted) throw error;
  });
  const enough = new AbortController();
  const writing = (async () => {
    while (!enough.signal.aborted) {
      const specs = Array.from({ length: 10 }, () => ({ driver: "noop" }) as const);
      submitted.push(...(await writer.submit(specs)).ids);
    }
  })();
  const moreEnds = async (): Promise<void> => {
    const before = ends.size;
    await untilTrue(
      () => ends.size >= before + 50,
      () => `after ${before} ends only ${ends.size} were seen, of ${submitted.length} jobs`,
    );
  };
  /** The one that is asked dies, and its reader goes on elsewhere. */
  const killAsked = async (): Promise<MeshNode> => {
    await moreEnds();
    const asked = streams.at(-1)!;
    const before = streams.length;
    await asked.kill();
    await untilTrue(
      () => streams.length > before,
      () => "the reader went nowhere else",
    );
    await moreEnds();
    return asked;
  };

  await (await killAsked()).start();
  const leader = await mesh.leader({ voters: 3 });
  await leader.kill();
  await moreEnds();
  await leader.start();
  await mesh.leader({ voters: 3 });
  await (await killAsked()).start();
  await mesh.leader({ voters: 3 });

  enough.abort();
  await writing;
  await writer.wait(submitted);
  await untilTrue(
    () => submitted.every((job) => ends.has(job)),
    () => `not seen: ${submitted.filter((job) => !ends.has(job)).join(", ")}`,
  );
  abort.abort();
  await reading;
  expect([...ends.values()].every((times) => times === 1)).toBe(true);
  expect(ends.size).toBe(submitted.length);
  for (const [at, event] of seen.entries()) {
    if (at === 0) continue;
    const [[index, n], [beforeIndex, beforeN]] = [idOf(event), idOf(seen[at - 1]!)] as [number[], number[]];
    expect(index! > beforeIndex! || (index === beforeIndex && n! > beforeN!)).toBe(true);
  }

  // Two of them were started again since: what they tell of before is from their disks.
  const last = idOf(seen.at(-1)!)[0]!;
  const [one, two, three] = await Promise.all(mesh.nodes.map((node) => told(node, begin, last)));
  expect(one!.length).toBeGreaterThan(3 * submitted.length);
  expect([two, three]).toEqual([one, one]);
}, 600_000);
