import { afterEach, describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { refuse } from "../../src/lib/outcome.ts";
import { CronDuty } from "../../src/node/cron-duty.ts";
import { OwnedSchedules } from "../../src/node/owned-schedules.ts";
import { OwnerMoves } from "../../src/scheduler/owner-moves.ts";
import { Owners } from "../../src/scheduler/owners.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { scheduleIds } from "../../src/state/tables/schedule.ts";
import { admin, Cluster } from "../state/support.ts";

/** What members count of their schedules, over one real state. */

const started: OwnedSchedules[] = [];
const duties: CronDuty[] = [];
afterEach(() => {
  for (const one of [...started.splice(0), ...duties.splice(0)]) one.stop();
});

function counting(on: Cluster, self: number) {
  const lines: { message: string; fields: Readonly<Record<string, unknown>> | undefined }[] = [];
  const owned = new OwnedSchedules({
    self: nodeId(self),
    view: (query) => query(on.database),
    log: (_level, message, fields) => lines.push({ message, fields }),
  });
  started.push(owned);
  owned.start();
  return { owned, lines };
}

function set(on: Cluster, count: number, first = 0): void {
  for (let at = first; at < first + count; at += 500) {
    const schedules = Array.from({ length: Math.min(500, first + count - at) }, (_, place) => ({
      name: `s${at + place}`,
      every: "1h",
      job: { run: "true" },
    }));
    on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules }), admin);
  }
}

const ring = (...members: readonly number[]): Owners => new Owners(members.map(nodeId));
const movesOf = (on: Cluster, before: Owners, after: Owners): OwnerMoves =>
  new OwnerMoves(before, after).add(scheduleIds(on.database, 0, 10_000));

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe("a member", () => {
  test("knows how many schedules are its own, and tells in one line what a change of the members has moved", async () => {
    const on = Cluster.ofNewest(4);
    set(on, 1_200); // more than are read at once
    const [three, four] = [ring(1, 2, 3), ring(1, 2, 3, 4)];
    const members = [1, 2, 3, 4].map((id) => counting(on, id));
    for (const { owned } of members) owned.onMembers(three);
    await until(() => members.every(({ owned }) => owned.owned !== null));
    expect(members.map(({ owned }) => owned.owned!)).toEqual(
      [1, 2, 3, 4].map((id) => movesOf(on, three, three).owned.get(nodeId(id)) ?? 0),
    );
    expect(members.flatMap(({ lines }) => lines)).toEqual([]);

    for (const { owned } of members) owned.onMembers(four);
    await until(() => members.every(({ lines }) => lines.length > 0));
    const moves = movesOf(on, three, four);
    const [from, to, count] = moves.pairs[0]!;
    for (const [place, { owned, lines }] of members.entries()) {
      expect([owned.moved, owned.owned]).toEqual([moves.moved, moves.willOwn.get(nodeId(place + 1))!]);
      expect(lines).toHaveLength(1);
      expect(lines[0]!.message).toStartWith(
        `${moves.moved} of 1200 schedules are worked out by other members now: ${count} from n${from} to n${to}, `,
      );
      expect(lines[0]!.fields).toEqual({ before: [1, 2, 3], after: [1, 2, 3, 4], moved: moves.moved, needless: 0 });
    }
  });

  test("counts what changes while it counts from where it has come to, and loses none of it", async () => {
    const on = Cluster.ofNewest(3);
    set(on, 1_200);
    const lists: readonly NodeId[][] = [[1], [1, 2], [1, 2, 3], [2, 3]].map((list) => list.map(nodeId));
    const rings = lists.map((list) => new Owners(list));
    const { owned, lines } = counting(on, 2);
    owned.onMembers(rings[0]!);
    await until(() => owned.owned !== null);
    // The first of these is being counted when the others come: they are one change.
    for (const one of rings.slice(1)) owned.onMembers(one);
    await until(() => lines.length === 2);
    const moved = movesOf(on, rings[0]!, rings[1]!).moved + movesOf(on, rings[1]!, rings[3]!).moved;
    expect([owned.moved, owned.owned]).toEqual([moved, movesOf(on, rings[3]!, rings[3]!).owned.get(nodeId(2))!]);
  });

  test("counts again when there are other schedules, and calls nothing moved for that", async () => {
    const on = Cluster.ofNewest(1);
    set(on, 10);
    const { owned, lines } = counting(on, 1);
    owned.onMembers(ring(1));
    await until(() => owned.owned === 10);
    set(on, 5, 10);
    owned.onSchedules();
    await until(() => owned.owned === 15);
    expect([owned.moved, lines]).toEqual([0, []]);
  });

  test("does so of itself: when it begins, when a member comes, when schedules are set, and when the state becomes another one", async () => {
    const on = Cluster.ofNewest(2);
    on.must("node.drain", { node: 2 }, admin);
    on.now = Date.now();
    set(on, 100);
    const lines: string[] = [];
    const duty = new CronDuty({
      self: nodeId(1),
      now: () => Date.now(),
      isLeading: () => false,
      silent: () => undefined,
      takesPart: () => true,
      view: (query) => query(on.database),
      makeJob: () => Promise.reject(new Error("none is due")),
      propose: () => Promise.resolve(refuse("busy", "nothing is to be done here")),
      log: (_level, message) => lines.push(message),
    });
    duties.push(duty);
    duty.start();
    await until(() => duty.owned.owned === 100);
    const change = (make: () => void): void => {
      const seen = on.events.length;
      make();
      duty.onApplied(on.events.slice(seen).map((event) => ({ ...event, at: on.now })));
    };
    change(() => on.must("node.undrain", { node: 2 }, admin));
    await until(() => lines.length > 0);
    const { moved } = movesOf(on, ring(1), ring(1, 2));
    expect(lines).toEqual([`${moved} of 100 schedules are worked out by other members now: ${moved} from n1 to n2`]);
    expect([duty.owned.owned, duty.owned.moved]).toEqual([100 - moved, moved]);
    const mine = (): number => movesOf(on, ring(1, 2), ring(1, 2)).owned.get(nodeId(1))!;
    change(() => set(on, 100, 100));
    await until(() => duty.owned.owned === mine());
    set(on, 100, 200);
    duty.onJump();
    await until(() => duty.owned.owned === mine());
  });
});
