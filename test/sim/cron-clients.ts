import { randomInteger, type Random } from "../../src/lib/prng.ts";
import { commandByName, type CommandInput, type CommandName } from "../../src/state/commands/index.ts";
import { type Cluster, operator } from "./cluster.ts";
import { stream } from "./plan.ts";

/** People who set, change, pause and remove schedules, of all kinds. Nobody needs to know what they were answered: the log says it (cron-judge.ts). */

const zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Kolkata"];
const calendars = ["freeze", "office", "nights"];
const callTimeout = 8_000_000;
const atOnce = 100;

type Written = Readonly<Record<string, unknown>>;

export class CronClients {
  readonly #cluster: Cluster;
  readonly #random: Random;
  /** As it was set last. */
  readonly #written = new Map<string, Written>();
  #serial = 0;
  #isAllPaused = false;
  changes = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#random = stream(cluster.plan.seed, "schedules");
  }

  /** Calendars, and so many schedules. */
  begin(count: number): void {
    for (const name of calendars) this.#setCalendar(name);
    for (let done = 0; done < count; done += atOnce) {
      const some = Array.from({ length: Math.min(atOnce, count - done) }, () => this.#draw(this.#newName()));
      // Those that name a calendar need it to be there.
      this.#cluster.time.after(2_000_000, undefined, () => this.#set(some));
    }
  }

  /** One thing that somebody asks for. */
  change(): void {
    const draw = this.#random();
    const names = [...this.#written.keys()];
    const name = names[Math.floor(this.#random() * names.length)];
    this.changes += 1;
    if (name === undefined || draw < 0.1) return this.#set([this.#draw(this.#newName())]);
    if (draw < 0.22) return this.#set([this.#draw(name)]);
    if (draw < 0.3) return this.#describe();
    // The same once more changes nothing.
    if (draw < 0.36) return this.#set([this.#written.get(name)!]);
    if (draw < 0.5)
      return this.#pauseFor(
        "schedule.pause",
        names.filter(() => this.#random() < 0.03),
        this.#minutes(1, 50),
      );
    if (draw < 0.53) return this.#pauseAll(this.#minutes(1, 30));
    if (draw < 0.62) return this.#pauseAll(this.#random() * 3_000_000);
    if (draw < 0.7) {
      this.#written.delete(name);
      return this.#ask("schedule.rm", { names: [name] });
    }
    if (draw < 0.8) return this.#setCalendar(calendars[Math.floor(this.#random() * calendars.length)]!);
    if (draw < 0.9) return this.#ask("schedule.fire", { schedule: name, force: this.#random() < 0.3 });
    // Where something may be due at this very moment.
    this.#pauseFor("schedule.pause", [name], this.#random() * 5_000_000);
    return undefined;
  }

  /** Other words, and the same instants: some of them wait for their jitter now, and go on doing so. */
  #describe(): void {
    const waiting = [...this.#written.values()].filter((one) => one["jitter"] !== undefined && one["at"] === undefined);
    const chosen = waiting.filter(() => this.#random() < 0.2);
    if (chosen.length > 0) this.#set(chosen.map((one) => ({ ...one, description: `changed ${this.changes} times` })));
  }

  /** No pause is left. */
  end(): void {
    this.#isAllPaused = true;
    for (const delay of [0, 20_000_000])
      this.#cluster.time.after(delay, undefined, () => this.#ask("schedule.pause-all", { paused: false }));
  }

  #minutes(least: number, most: number): number {
    return randomInteger(this.#random, least, most) * 60_000_000;
  }

  #newName(): string {
    return `s${(this.#serial += 1)}`;
  }

  #pauseFor(name: "schedule.pause", names: readonly string[], lasts: number): void {
    if (names.length === 0) return;
    this.#ask(name, { names: [...names], paused: true });
    const resume = (): void => this.#ask(name, { names: names.filter((one) => this.#written.has(one)), paused: false });
    for (const more of [0, 30_000_000]) this.#cluster.time.after(lasts + more, undefined, resume);
  }

  #pauseAll(lasts: number): void {
    if (this.#isAllPaused) return;
    this.#isAllPaused = true;
    this.#ask("schedule.pause-all", { paused: true });
    for (const more of [0, 15_000_000])
      this.#cluster.time.after(lasts + more, undefined, () => this.#ask("schedule.pause-all", { paused: false }));
    this.#cluster.time.after(lasts + 30_000_000, undefined, () => (this.#isAllPaused = false));
  }

  #setCalendar(name: string): void {
    const now = this.#cluster.time.trueWallMs;
    let at = now - this.#random() * 3_600_000;
    const spans: [number, number][] = [];
    for (let more = randomInteger(this.#random, 0, 4); more > 0; more--) {
      const from = Math.floor(at + this.#random() * 7_200_000);
      at = from + 60_000 + Math.floor(this.#random() * 3_600_000);
      spans.push([from, at]);
      at += 1;
    }
    this.#ask("calendar.set", { name, description: null, events: JSON.stringify({ spans, windows: [] }), until: null });
  }

  #set(written: readonly Written[]): void {
    for (const one of written) this.#written.set(one["name"] as string, one);
    const parsed = commandByName("schedule.set").input.parse({ schedules: written });
    this.#ask("schedule.set", parsed);
  }

  #ask<Name extends CommandName>(name: Name, input: CommandInput<Name>): void {
    const host = this.#cluster.anyUp("schedules");
    if (host === undefined) return;
    const { node } = host.process!;
    this.#cluster
      .ask(host, callTimeout, () => node.propose(name, input, operator))
      .answered((outcome) => {
        this.#cluster.count(`${name} ${outcome === undefined ? "unknown" : outcome.ok ? "done" : outcome.why.code}`);
      });
  }

  #draw(name: string): Written {
    const random = this.#random;
    const chosen = <Item>(...items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
    const written: Record<string, unknown> = { name };
    const minute = randomInteger(random, 0, 59);
    const kind = random();
    if (kind < 0.45) written["every"] = chosen("10m", "15m", "20m", "30m", "45m", "1h", "1h", "2h", "90s");
    else if (kind < 0.9) {
      const hour = chosen("*", "*", "*", "*/2", "*/3", "8-17", `${randomInteger(random, 0, 23)}`);
      const minutes = chosen(`${minute}`, `${minute}`, "0", "*/30", "*/20", `${minute % 30},${30 + (minute % 30)}`);
      written["cron"] = `${minutes} ${hour} * * ${chosen("*", "*", "*", "1-5", "5,6")}`;
      written["tz"] = chosen(...zones);
    } else {
      const inMs = randomInteger(random, 1, 600) * 60_000;
      written["at"] = new Date(Math.floor(this.#cluster.time.trueWallMs) + inMs).toISOString();
    }
    if (random() < 0.3) written["jitter"] = chosen("30s", "2m", "10m");
    if (random() < 0.5) written["missed"] = chosen("latest", "all", "skip");
    if (random() < 0.3) written["catch_up"] = chosen("1m", "10m", "3h");
    if (written["missed"] === "all" && random() < 0.5) written["missed_most"] = randomInteger(random, 1, 4);
    if (random() < 0.7) written["overlap"] = chosen("skip", "queue", "queue_all", "replace", "allow");
    if (random() < 0.1) written["limit"] = randomInteger(random, 1, 6);
    if (random() < 0.2) written["calendars"] = [chosen(...calendars, "only:office")];
    if (random() < 0.04) written["paused"] = random() < 0.5;
    const length = random();
    const forMs = length < 0.75 ? 0 : length < 0.9 ? 60_000 : 1_500_000;
    written["job"] = { driver: "noop", noop: { for: `${forMs}ms` }, ttl: "1h" };
    return written;
  }
}
