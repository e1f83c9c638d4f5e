/**
 * `npm run demo:cron -- [--seconds=60] [--schedules=100] [--json=FILE]`: clustered cron, shown on the real binary. 100 schedules are due each second on three nodes, which become six and
 * then three again, while leaders and owners die by SIGKILL. At the end every second of every schedule is looked up in its history: fired once, or not. Prints who ran how many and how late
 * they were; exit code 1 when an instant was doubled, missed or early.
 */
import { writeFileSync } from "node:fs";
import type { FireView } from "../src/state/answers.ts";
import { buildIfChanged } from "./build.ts";
import { distribution } from "./figures.ts";
import { Mesh, type MeshNode, until } from "./mesh.ts";
import { numberOption, onInterrupt, onlyOptions, textOption } from "./steps.ts";

/** What became of all instants. */
export interface CronVerdict {
  readonly instants: number;
  readonly doubled: readonly string[];
  readonly missed: readonly string[];
  readonly early: readonly string[];
  readonly lagMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly kills: number;
  /** Jobs by the name of the node that ran them. */
  readonly ranOn: Readonly<Record<string, number>>;
  readonly story: readonly string[];
}

const second = 1_000;
const settleMs = 90_000;

/** Runs it for so long. Throws only when the mesh cannot be started, or does not come back. */
export async function demonstrate(
  seconds: number,
  schedules: number,
  tell: (line: string) => void,
): Promise<CronVerdict> {
  await using mesh = await Mesh.start({ nodes: 3 });
  const show = new Show(mesh, tell);
  await mesh.leader({ voters: 3 });
  const names = Array.from({ length: schedules }, (_, place) => `tick-${place}`);
  await show.call("POST", "/v1/schedules", {
    schedules: names.map((name) => ({ name, every: "1s", overlap: "allow", job: { driver: "noop" } })),
  });
  show.say(`${schedules} schedules are due each second on 3 nodes`);
  const sixth = (seconds * second) / 6;
  await show.during(sixth, [() => show.killLeader()]);
  for (let node = 4; node <= 6; node++) await mesh.add();
  show.say("6 nodes");
  await show.during(sixth, [() => show.killOwner()]);
  await show.during(sixth, [() => show.killLeader(), () => show.killOwner()]);
  await show.shrink();
  show.say("3 nodes again");
  await show.during(sixth, [() => show.killLeader()]);
  await show.during(sixth, [() => show.killOwner(), () => show.killLeader()]);
  await show.during(sixth, []);
  await show.pauseAll();
  return await show.verdict(names);
}

/** The mesh, and what is done to it. */
class Show {
  readonly #mesh: Mesh;
  readonly #tell: (line: string) => void;
  readonly #story: string[] = [];
  readonly #began = performance.now();
  #kills = 0;

  constructor(mesh: Mesh, tell: (line: string) => void) {
    this.#mesh = mesh;
    this.#tell = tell;
  }

  say(words: string): void {
    const line = `${((performance.now() - this.#began) / second).toFixed(1).padStart(6)} s  ${words}`;
    this.#story.push(line);
    this.#tell(line);
  }

  /** Things that happen one after the other in that time. */
  async during(ms: number, events: readonly (() => Promise<void>)[]): Promise<void> {
    const until = performance.now() + ms;
    for (const [place, event] of events.entries()) {
      await sleep(Math.max(0, until - performance.now()) / (events.length - place + 1));
      await event();
    }
    await sleep(Math.max(0, until - performance.now()));
  }

  async killLeader(): Promise<void> {
    await this.#kill(await this.#mesh.leader(), "the leader");
  }

  /** Of a share of the schedules, and not the leader. */
  async killOwner(): Promise<void> {
    const leader = await this.#mesh.leader();
    const owner = this.#mesh.nodes.find((node) => node.running && node !== leader);
    if (owner !== undefined) await this.#kill(owner, "an owner");
  }

  async #kill(node: MeshNode, what: string): Promise<void> {
    this.#kills += 1;
    this.say(`SIGKILL of node ${node.ready.node}, ${what}`);
    await node.kill();
    await sleep(second);
    await node.start();
    this.say(`node ${node.ready.node} is back`);
  }

  /** Ends it: what each schedule has is told of up to here. */
  async pauseAll(): Promise<void> {
    const said = await this.#mesh.skein(["cron", "pause", "--all"]);
    if (said.code !== 0) throw new Error(`schedules cannot be paused: ${said.stderr}`);
  }

  /** One leaves, one dies and is removed, and the leader is told to leave as well; not the first node, whose token is an admin's. */
  async shrink(): Promise<void> {
    await this.#mesh.leader({ voters: 5 });
    const [first, , , fourth, fifth, sixth] = this.#mesh.nodes;
    await this.#leave(fourth!);
    this.#kills += 1;
    this.say(`SIGKILL of node ${fifth!.ready.node}, which is removed`);
    await fifth!.kill();
    await until(
      async () => ((await this.#mesh.skein(["nodes", "rm", String(fifth!.ready.node)])).code === 0 ? true : undefined),
      settleMs,
      () => `node ${fifth!.ready.node} cannot be removed`,
    );
    const leader = await this.#mesh.leader();
    await this.#leave(leader === first ? sixth! : leader);
    await this.#mesh.leader({ voters: 3 });
  }

  async #leave(node: MeshNode): Promise<void> {
    this.say(`node ${node.ready.node} leaves`);
    const said = await node.skein(["leave"]);
    if (said.code !== 0) throw new Error(`node ${node.ready.node} does not leave: ${said.stderr}`);
    await node.exited;
  }

  /** An answer of any node that gives one. */
  async call(method: "GET" | "POST", route: string, body?: unknown): Promise<unknown> {
    let seen = "no answer";
    return await until(
      async () => {
        for (const node of this.#mesh.nodes) {
          if (!node.running) continue;
          const answer = await node.api(method, route, body).catch(() => undefined);
          if (answer !== undefined && answer.status < 300) return { body: answer.body };
          seen = answer === undefined ? seen : JSON.stringify(answer.body);
        }
        return undefined;
      },
      settleMs,
      () => `${method} ${route}: ${seen}`,
    ).then((answer) => answer.body);
  }

  /** Looks up every second of every schedule. */
  async verdict(names: readonly string[]): Promise<CronVerdict> {
    const doubled: string[] = [];
    const missed: string[] = [];
    const early: string[] = [];
    const lags: number[] = [];
    const jobs: number[] = [];
    for (const name of names) {
      const lines = await this.#history(name);
      const fired = new Map<number, FireView>();
      for (const one of lines) {
        const at = Date.parse(one.at);
        if (one.reason === "paused") continue;
        if (one.job === undefined) missed.push(`${name} ${one.at}: ${one.reason} (${one.count ?? 1})`);
        else if (fired.has(at)) doubled.push(`${name} ${one.at}: jobs ${fired.get(at)!.job} and ${one.job}`);
        else fired.set(at, one);
        if (one.fired_at !== undefined && Date.parse(one.fired_at) < at) early.push(`${name} ${one.at}`);
        if (one.job !== undefined) jobs.push(one.job);
        if (one.lag_ms !== undefined && one.job !== undefined) lags.push(one.lag_ms);
      }
      const all = [...fired.keys()];
      for (let at = Math.min(...all); at <= Math.max(...all); at += second)
        if (!fired.has(at)) missed.push(`${name} ${new Date(at).toISOString()}: nothing is known of it`);
    }
    const { p50, p99, max } = distribution(lags.length === 0 ? [0] : lags);
    const ranOn = await this.#ranOn(jobs);
    return {
      instants: jobs.length,
      doubled,
      missed,
      early,
      lagMs: { p50, p99, max },
      kills: this.#kills,
      ranOn,
      story: this.#story,
    };
  }

  /** Whole: to the pause that ended it, which is its newest line. */
  async #history(name: string): Promise<FireView[]> {
    const lines: FireView[] = [];
    for (let next: string | undefined; ;) {
      const page = (await this.call(
        "GET",
        `/v1/schedules/${name}/fires?limit=1000${next === undefined ? "" : `&next=${next}`}`,
      )) as {
        fires: FireView[];
        next?: string;
      };
      lines.push(...page.fires);
      ({ next } = page);
      if (next !== undefined) continue;
      if (lines[0]?.reason === "paused") return lines;
      lines.length = 0; // what came before the pause may still be under way
      await sleep(200);
    }
  }

  async #ranOn(jobs: readonly number[]): Promise<Record<string, number>> {
    const ran: Record<string, number> = {};
    const left = [...jobs];
    const worker = async (): Promise<void> => {
      for (let job = left.pop(); job !== undefined; job = left.pop()) {
        const { tasks } = (await this.call("GET", `/v1/jobs/${job}/tasks`)) as { tasks: { node: number | null }[] };
        const node = `node ${tasks[0]?.node ?? "?"}`;
        ran[node] = (ran[node] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    return ran;
  }
}

/** The verdict as people read it. */
function table({ instants, doubled, missed, early, lagMs, kills, ranOn }: CronVerdict): string {
  const nodes = Object.entries(ranOn)
    .toSorted(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
    .map(([node, jobs]) => `${node.padEnd(8)} ${String(jobs).padStart(8)}`);
  const of = (what: readonly string[]): string =>
    `${what.length}${what.length === 0 ? "" : `: ${what.slice(0, 5).join("; ")}`}`;
  return [
    "",
    `node         jobs`,
    ...nodes,
    "",
    `fired    ${instants}, with ${kills} kills`,
    `doubled  ${of(doubled)}`,
    `missed   ${of(missed)}`,
    `early    ${of(early)}`,
    `late     p50 ${lagMs.p50} ms, p99 ${lagMs.p99} ms, at most ${lagMs.max} ms`,
  ].join("\n");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (process.argv[1] === import.meta.filename) {
  onlyOptions("demo:cron", ["seconds", "schedules", "json"]);
  onInterrupt(() => Mesh.stopAll());
  await buildIfChanged();
  const verdict = await demonstrate(numberOption("seconds", 60), numberOption("schedules", 100), (line) =>
    console.log(line),
  );
  console.log(table(verdict));
  const file = textOption("json");
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(verdict, null, 2)}\n`);
  process.exitCode = verdict.doubled.length + verdict.missed.length + verdict.early.length === 0 ? 0 : 1;
}
