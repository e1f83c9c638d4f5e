import { expect, test } from "bun:test";
import { LogClock } from "../../src/node/log-clock.ts";

const year = 365 * 86_400_000;
const start = 1_700_000_000_000;

/** A leader whose clocks the test moves; the state's clock stands at `start` when it has gone on for 5 s. */
class World {
  monotonic = 5_000;
  wall = start;
  isConfirmed = false;
  asked = 0;
  readonly clock = new LogClock({
    wall: () => this.wall,
    monotonic: () => this.monotonic,
    isConfirmed: () => {
      this.asked += 1;
      return this.isConfirmed;
    },
  });

  constructor() {
    this.clock.seen(start);
  }

  /** So much time goes by. */
  pass(ms: number): void {
    this.monotonic += ms;
    this.wall += ms;
  }
}

test("a wall clock that nobody confirms stamps no entry: time goes on from what the log said last, and no entry adds to it", () => {
  const world = new World();
  world.wall += year;
  for (let entries = 0; entries < 1_000; entries++) world.clock.seen(world.clock.now());
  expect(world.clock.now()).toBe(start);
  world.pass(2_000);
  expect(world.clock.now()).toBe(start + 2_000);
  world.isConfirmed = true;
  expect(world.clock.now()).toBe(start + year + 2_000);
});

test("a clock that jumps between two entries is asked about at once, one that runs on is not asked about each time", () => {
  const world = new World();
  world.isConfirmed = true;
  for (let entries = 0; entries < 100; entries++) {
    world.pass(1);
    expect(world.clock.now()).toBe(world.wall);
  }
  expect(world.asked).toBe(1);
  world.clock.seen(world.clock.now());
  world.isConfirmed = false;
  world.wall += year;
  world.pass(10);
  expect(world.clock.now()).toBe(start + 110);
});

test("what another term confirmed counts no more", () => {
  const world = new World();
  world.isConfirmed = true;
  world.clock.now();
  world.isConfirmed = false;
  world.wall += year;
  world.clock.lead();
  expect(world.clock.now()).toBe(start);
});

test("a clock that is behind is taken as it is, and the furthest time of the log counts", () => {
  const world = new World();
  world.wall = start - year;
  expect(world.clock.now()).toBe(start - year);
  world.clock.seen(start - 5_000);
  world.wall = start + year;
  expect(world.clock.now()).toBe(start);
});

test("a log that says nothing of time has the first entry's leader begin it", () => {
  const clock = new LogClock({ wall: () => start, monotonic: () => 1, isConfirmed: () => false });
  clock.seen(0);
  expect(clock.now()).toBe(start);
});
