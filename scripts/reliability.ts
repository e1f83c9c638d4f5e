/**
 * `npm run reliability -- [--only=kill,transfer,...] [--scale=1]`: measures what docs/reliability.md says, and writes it. Each section can be measured
 * alone and takes its own place again; the figures are kept in docs/reliability.json. `--scale=0.05` makes fewer rounds, `--render` none.
 * Exit code 1 when something acknowledged was lost, a call was not linearizable, what was measured is not what is wanted, or a section could not be
 * measured; with `--render` when the page says so of any section.
 *
 * The whole takes about half an hour on two quiet cores, the simulator's hunt and the large meshes not counted: these run when they are named.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import path from "node:path";
import { type Random, seededRandom } from "../src/lib/prng.ts";
import { ownLevel } from "../src/state/levels.ts";
import { binary, buildIfChanged } from "./build.ts";
import { faultyDiskLibrary } from "./faulty-disk.ts";
import type { Distribution } from "./figures.ts";
import { type FailoverFigures, measureFailover, type Way, ways } from "./measure-failover.ts";
import { type Handover, measureHandover } from "./measure-handover.ts";
import { Mesh, runSkein } from "./mesh.ts";
import { enterOwnNetwork } from "./namespaces.ts";
import { lyingDisk, meshOnFaultyDisks, powerLossRounds, runningAs, weakRounds } from "./power-loss.ts";
import {
  judgeCatchup,
  judgeHunt,
  judgeJobs,
  judgeMutants,
  judgeScale,
  judgeSeeds,
  judgeThroughput,
  missedIn,
  none,
  type Row,
} from "./reliability-judge.ts";
import { jobsFaults, jobsFlags, soakJobs } from "./soak-jobs.ts";
import { type Fault, faults } from "./soak-nemesis.ts";
import { startRig, whyNot } from "./soak-rig.ts";
import { soak, usualShares } from "./soak.ts";
import { formatMs, numberOption, onInterrupt, onlyOptions, root, run, textOption } from "./steps.ts";
import { buildSynchronousOff } from "./synchronous-off.ts";

/** What one section found. */
interface Found {
  readonly rows: readonly Row[];
  /** Printed as they are: tables or lines of other programs. */
  readonly lines?: readonly string[];
  /** What must never be; empty is good. */
  readonly problems: readonly string[];
  readonly figures: unknown;
}

interface Section {
  readonly title: string;
  readonly text: string;
  /** Not part of a run that names no section. */
  readonly onlyWhenNamed?: boolean;
  /** Why it cannot be measured here. */
  missing?(): Promise<string | undefined>;
  /** Of a section that is lines of another program: what they are to be, also of lines that were recorded before. */
  judge?(lines: readonly string[]): readonly Row[];
  measure(rounds: (count: number) => number): Promise<Found>;
}

interface Kept extends Found {
  readonly date: string;
  readonly machine: string;
  readonly load: string;
  readonly version: string;
  readonly tookMs: number;
}

/** What another page measures, and this one judges too: by what is wanted here, anew each time that the page is written. */
interface Elsewhere {
  readonly title: string;
  readonly text: string;
  /** For people: where all of it is. */
  readonly link: string;
  readonly rows: () => readonly Row[];
}

const file = path.join(root, "docs", "reliability.json");
const page = path.join(root, "docs", "reliability.md");

const spread = ({ p50, p90, p99, max, count }: Distribution): string =>
  `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, longest ${max} ms (${count} times)`;

function failover(
  way: Way,
  title: string,
  text: string,
  count: number,
  limits: Partial<Record<"p50" | "p99", number>>,
): Section {
  return {
    title,
    text,
    missing: () => whyNot([ways[way]]),
    async measure(rounds) {
      const { problems, ...figures } = await measureFailover(way, rounds(count), say);
      const judged = way === "hang" ? figures.replacedMs : figures.nextWriteMs;
      const wanted = Object.entries(limits).map(([name, ms]) => `${name} under ${ms} ms`);
      const isMet = Object.entries(limits).every(([name, ms]) => judged[name as "p50" | "p99"] < ms);
      const met = wanted.length === 0 ? undefined : isMet;
      const next: Row = {
        what: "until the next acknowledged write",
        wanted: "",
        measured: spread(figures.nextWriteMs),
        met: undefined,
      };
      const replaced: Row = {
        what: "until another one leads",
        wanted: "",
        measured: spread(figures.replacedMs),
        met: undefined,
      };
      const demand = { wanted: wanted.join(", "), met };
      const rows = way === "hang" ? [next, { ...replaced, ...demand }] : [{ ...next, ...demand }, replaced];
      if (way === "full") rows.push(...fullDiskRows(figures));
      return {
        rows: [...rows, none(`lost of ${figures.acknowledged} acknowledged writes`, figures.lost)],
        problems,
        figures,
      };
    },
  };
}

/** A node without room refuses, resigns (else nobody would have replaced it) and recovers. */
function fullDiskRows({ rounds, refused, recoveredMs }: Omit<FailoverFigures, "problems">): Row[] {
  return [
    {
      what: "writes that the node itself refused meanwhile",
      wanted: "every time",
      measured: `${refused} of ${rounds}`,
      met: refused === rounds,
    },
    {
      what: "with room again until it can serve writes",
      wanted: "every time",
      measured: spread(recoveredMs),
      met: recoveredMs.count === rounds,
    },
  ];
}

function handover(kind: Handover, title: string, text: string, count: number, limitMs: number | undefined): Section {
  return {
    title,
    text,
    async measure(rounds) {
      const { problems, ...figures } = await measureHandover(kind, rounds(count), say);
      const { longestGapMs, gapAtRestMs } = figures;
      const met = limitMs === undefined ? undefined : longestGapMs.max < limitMs;
      return {
        rows: [
          {
            what: "longest time without an acknowledged write",
            wanted: limitMs === undefined ? "shown, no limit" : `under ${limitMs} ms`,
            measured: spread(longestGapMs),
            met,
          },
          { what: "the same while nothing happened", wanted: "", measured: spread(gapAtRestMs), met: undefined },
          {
            what: "calls that failed or had no answer",
            wanted: "no failed request",
            measured: String(figures.failed),
            met: figures.failed === 0,
          },
          none(`lost of ${figures.acknowledged} acknowledged writes`, figures.lost),
        ],
        problems,
        figures,
      };
    },
  };
}

/** Another program of this repository, whose own lines are the section. */
function program(
  title: string,
  text: string,
  script: string,
  words: () => readonly string[],
  isLine: (line: string) => boolean,
  judge: (lines: readonly string[]) => readonly Row[],
): Section {
  return {
    title,
    text,
    judge,
    onlyWhenNamed: true,
    missing: () => {
      const place = words()[0] === undefined || script !== "bench" ? `scripts/${script}.ts` : `bench/${words()[0]}.ts`;
      return Promise.resolve(existsSync(path.join(root, place)) ? undefined : `${place} does not exist`);
    },
    async measure() {
      const setup = path.join(root, "scripts", "setup.mjs");
      const ended = await run("node", [setup, script, ...words()], { timeoutMs: 6 * 3_600_000 });
      if (ended.code !== 0) console.log(ended.output);
      const lines = ended.output.split("\n").filter(isLine);
      const problems = ended.code === 0 ? [] : [`${script} ${words().join(" ")} ended with exit code ${ended.code}`];
      return { rows: judge(lines), lines, problems, figures: lines };
    },
  };
}

const isTable = (line: string): boolean => line.startsWith("|");
const isSaid = (line: string): boolean => line.trim() !== "" && !line.startsWith("setup:");

const sections: Readonly<Record<string, Section>> = {
  kill: failover(
    "kill",
    "The leader's process dies",
    "Three nodes on loopback under the light load of four writers and a reader (some hundred writes a second; a mesh that is full takes as much longer as its queues are long). SIGKILL of the leader; from the signal to the first acknowledgement of a write that was sent afterwards, through either of the other nodes.",
    200,
    { p50: 50, p99: 200 },
  ),
  freeze: failover(
    "freeze",
    "The leader freezes",
    "The same with SIGSTOP: nothing tells the others but silence. Default timeouts (heartbeat 50 ms, election timeout 600 ms).",
    60,
    { p99: 1500 },
  ),
  partition: failover(
    "partition",
    "The leader is cut off in silence",
    "The same, each node on a host of its own (network namespaces on one bridge): from one moment on packets between the leader and the others are lost, both ways, and nobody is told.",
    60,
    { p99: 1500 },
  ),
  hang: failover(
    "hang",
    "The leader's disk hangs",
    "Every write and sync of the leader's files stands still. It can go on to commit what the others store, but must be replaced within three election timeouts.",
    50,
    { p99: 1800 },
  ),
  full: failover(
    "full",
    "The leader's disk is full",
    "Every write of the leader that needs room is refused (ENOSPC), until another one leads and writes go on; then there is room again. It must refuse what it is asked, give the leadership up, and come back by itself.",
    20,
    {},
  ),
  transfer: handover(
    "transfer",
    "Planned hand-over",
    "`POST /v1/cluster/transfer` under eight writers and two readers, each a client of the library that knows all three addresses.",
    100,
    100,
  ),
  rolling: handover(
    "rolling",
    "Rolling restart",
    "Every node is stopped by SIGTERM and started again, one by one, under the same clients.",
    10,
    undefined,
  ),
  upgrade: handover(
    "upgrade",
    "Rolling upgrade",
    "The nodes are held one level lower, restarted one by one as what they are, and the cluster's level is raised, under the same clients; each time with a new mesh.",
    10,
    undefined,
  ),
  "power-loss": {
    title: "All nodes lose their power at once",
    text: "SIGKILL of all nodes and guards under load; then every change that was not synced is taken back: all of it, or any part of it, cut at sectors, names of files too. Then all start again.",
    missing: () => whyNot(["power-loss"]),
    async measure(rounds) {
      const { problems, ...figures } = await powerRounds(rounds(100));
      using built = await buildSynchronousOff();
      const weaknesses = {
        "with nodes built with `synchronous=OFF`, from a copy of the sources": runningAs(built.executable),
        "on disks that only say that they sync": lyingDisk,
      };
      const rows: Row[] = [];
      const blind: string[] = [];
      const weak: Record<string, { readonly acknowledged: number; readonly lost: number }> = {};
      for (const [what, weakness] of Object.entries(weaknesses)) {
        const options = { rounds: 5, random: anySeed(), loadMs: [200, 600] } as const;
        const { acknowledged, lost, rounds: tried } = await weakRounds(await neededLibrary(), weakness, options, say);
        rows.push({
          what: `the same check ${what}`,
          wanted: "acknowledged writes are lost",
          measured: `${lost} of ${acknowledged} lost in ${tried === 1 ? "1 power loss" : `${tried} power losses`}`,
          met: lost > 0,
        });
        weak[weakness.name] = { acknowledged, lost };
        if (lost === 0) blind.push(`no acknowledged write was lost ${what}`);
      }
      return {
        rows: [
          none(`lost of ${figures.acknowledged} acknowledged writes in ${figures.rounds} power losses`, figures.lost),
          {
            what: "changes that were not synced, and taken back",
            wanted: "some",
            measured: `${figures.undone} of ${figures.unsynced}, ${figures.torn} of them in part, ${figures.names} names of files`,
            met: figures.undone > 0,
          },
          ...rows,
        ],
        problems: [...problems, ...blind],
        figures: { strong: figures, weak },
      };
    },
  },
  soak: {
    title: "Everything at once",
    text: "`npm run soak -- --faults all`: processes die, freeze and restart, networks are cut both ways and one way, disks hang, fill up and lose their power, clocks jump, nodes join, drain, are removed and replaced, the authority is replaced, the mesh is upgraded, some of it at once; the calls of all clients are checked to be linearizable, every job to have one end, the states to be equal.",
    missing: () => whyNot(Object.keys(faults) as Fault[]),
    async measure(rounds) {
      const every = Object.keys(faults) as Fault[];
      const seed = 1 + Math.floor(Math.random() * 2 ** 31);
      await using rig = await startRig(3, every, { ownLevel });
      const world = { ...rig, ...usualShares };
      const { problems, story: _, ...figures } = await soak(world, { forMs: rounds(180) * 1000, seed, faults: every });
      const troubles = Object.entries(figures.troubles).map(([name, count]) => `${name} ${count}`);
      const gaps = Object.entries(figures.longestGapMs).map(([name, ms]) => `${name} ${ms} ms`);
      return {
        rows: [
          none("complaints of the checks", problems.length),
          {
            what: "calls judged",
            wanted: "",
            measured: `${figures.submits} submits, ${figures.reads} reads of the newest job, ${figures.registers} calls of registers`,
            met: undefined,
          },
          { what: "troubles", wanted: "", measured: troubles.join(", "), met: undefined },
          {
            what: "longest time without an acknowledged write, by trouble",
            wanted: "",
            measured: gaps.join(", "),
            met: undefined,
          },
        ],
        problems,
        figures: { seed, ...figures },
      };
    },
  },
  jobs: {
    title: "Jobs through trouble",
    text: "`npm run soak -- --jobs=10000`: jobs with retries, keys, graphs, arrays, instants, deadlines and limits, of both ways of `on_lost`, single and in batches, some cancelled and some held, while nodes die, freeze, are cut off in silence and hand over; in the middle one is destroyed with its disk. Each task writes when it begins, lives and ends into one file. Every job must end once, in the state that its tasks and parents lead to; no task may be alive twice, `on_lost: fail` not run again, no limit be passed; and the log of every task that finished over 2 s before its node was destroyed is read and compared.",
    missing: () => whyNot(jobsFaults),
    async measure(rounds) {
      const seed = 1 + Math.floor(Math.random() * 2 ** 31);
      await using rig = await startRig(3, jobsFaults, { ownLevel, flags: jobsFlags });
      const jobs = rounds(10_000);
      const forMs = rounds(150) * 1000;
      const options = { jobs, forMs, seed, faults: jobsFaults, tell: say };
      const { problems, story: _, ...figures } = await soakJobs({ ...rig, longShare: 0.25 }, options);
      return { rows: judgeJobs(figures, jobs, problems.length), problems, figures: { seed, ...figures } };
    },
  },
  catchup: program(
    "A follower that was away",
    "`npm run bench -- catchup`: a follower that missed a million writes (cancels of a job that there is not, which are logged and applied like any other command and change no job's row; an entry of the log holds those of a turn of the leader's loop, so there are fewer entries: both are told), and one that needs a snapshot of a state with a million jobs, under a load of half the mesh's maximum.",
    "bench",
    () => ["catchup"],
    isTable,
    judgeCatchup,
  ),
  scale: program(
    "A hundred nodes",
    "`npm run bench -- scale`: five voters and the rest learners, all on this machine.",
    "bench",
    () => ["scale"],
    isTable,
    judgeScale,
  ),
  "ci-seeds": program(
    "The simulated clusters of every CI run",
    "`npm run sim -- --seeds=1-300`, with the two processes that CI uses.",
    "sim",
    () => ["--seeds=1-300"],
    isSaid,
    judgeSeeds,
  ),
  simulation: program(
    "Simulated clusters",
    "`npm run sim -- --hours=H --record=FILE`: whole clusters under virtual time, each from one seed, in as many sittings as the machine has time for, each of the build of its day (listed below). `failing` are seeds that fail now; those that failed when they were run are named beside. A seed that passes a later build is no proof that its fault is mended, since what a seed does changes with the program: what each had found is a test of its own.",
    "sim",
    () => [`--hours=${numberOption("sim-hours", 2)}`, "--record=docs/sim-hunts.ndjson"],
    isSaid,
    judgeHunt,
  ),
  mutants: program(
    "Known bugs, planted",
    '`npm run sim -- --mutants`: bugs that other systems had, and some that this one could have, planted one by one into a copy of the sources, must be found by the simulations. Those below that are found by "test" are not looked for by any simulation but by one unit test that is named with each ([mutants](mutants.md)), and are counted apart.',
    "sim",
    () => ["--mutants", "--write"],
    isSaid,
    judgeMutants,
  ),
};

const elsewhere: Readonly<Record<string, Elsewhere>> = {
  throughput: {
    title: "Submitting, beside etcd and an older build",
    text: "Whether all of this costs too much: `npm run bench -- submit --write` measures it, and what else it measures is in [benchmarks-jobs](benchmarks-jobs.md#submitting), with date, machine and versions. Jobs that *wait* are accepted and nothing more, as etcd's puts are; jobs that *run* take their part of the same cores. The older build was measured by hand, as [benchmarks](benchmarks.md#submitting) says; `--beside=EXECUTABLE` measures one in the same run.",
    link: "[benchmarks-jobs](benchmarks-jobs.md#submitting), [benchmarks](benchmarks.md#submitting)",
    rows: () => judgeThroughput(rowsOfSubmit()),
  },
};

function rowsOfSubmit(): readonly Row[] {
  const book = path.join(root, "docs", "benchmarks-jobs.json");
  if (!existsSync(book)) return [];
  const { submit } = JSON.parse(readFileSync(book, "utf8")) as { readonly submit?: { readonly rows: readonly Row[] } };
  return submit?.rows ?? [];
}

async function neededLibrary(): Promise<string> {
  const disk = await faultyDiskLibrary();
  if ("missing" in disk) throw new Error(disk.missing);
  return disk.library;
}

const anySeed = (): Random => seededRandom(1 + Math.floor(Math.random() * 2 ** 31));

async function powerRounds(rounds: number): ReturnType<typeof powerLossRounds> {
  const { mesh, disks } = await meshOnFaultyDisks(await neededLibrary(), 3);
  await using _ = mesh;
  return await powerLossRounds(mesh, disks, { rounds, random: anySeed(), loadMs: [200, 600] }, say);
}

function say(what: string): void {
  console.log(`  ${what}`);
}

/** Demands may have come to be after what was recorded. */
function rowsOf(name: string, { rows, lines = [] }: Kept): readonly Row[] {
  return sections[name]?.judge?.(lines) ?? rows;
}

/** What of the page is missed, in words for people. */
function allMissed(kept: Readonly<Record<string, Kept>>): string[] {
  return [
    ...Object.keys(sections).flatMap((name) => {
      const found = kept[name];
      return found === undefined ? [] : missedIn(name, rowsOf(name, found), found.problems.length);
    }),
    ...Object.entries(elsewhere).flatMap(([name, { rows, link }]) =>
      missedIn(name, rows(), 0).map((one) => `${one} (${link})`),
    ),
  ];
}

/** The same as lines of the page, and what nobody has measured. */
function verdict(kept: Readonly<Record<string, Kept>>): string[] {
  const missed = allMissed(kept);
  const unmeasured = Object.keys(sections).filter((name) => kept[name] === undefined);
  return [
    missed.length === 0 ? "All that was measured is as wanted." : "**Missed**:",
    ...(missed.length === 0 ? [] : ["", ...missed.map((one) => `- ${one}`)]),
    ...(unmeasured.length === 0
      ? []
      : ["", `Not measured yet: ${unmeasured.map((name) => `\`${name}\``).join(", ")}.`]),
  ];
}

function tableOf(rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  return [
    "| | wanted | measured | |",
    "|---|---|---|---|",
    ...rows.map(
      ({ what, wanted, measured, met }) =>
        `| ${what} | ${wanted} | ${measured} | ${met === undefined || wanted === "" ? "" : met ? "met" : "**missed**"} |`,
    ),
    "",
  ];
}

function render(kept: Readonly<Record<string, Kept>>): string {
  const lines = [
    "# Reliability",
    "",
    "Measured by `npm run reliability`, which writes this page from `docs/reliability.json`; every section says when and where. `npm run reliability --",
    "--only=NAME` measures one again. Figures of a busy machine are worse: the load before each section is given. A percentile is a value that was measured.",
    "",
    ...verdict(kept),
    "",
  ];
  for (const [name, section] of Object.entries(sections)) {
    const found = kept[name];
    if (found === undefined) continue;
    lines.push(`## ${section.title}`, "", section.text, "", ...tableOf(rowsOf(name, found)));
    const told = found.lines ?? [];
    if (told.length > 0) lines.push(...(told.every(isTable) ? told : ["```", ...told, "```"]), "");
    for (const problem of found.problems) lines.push(`- **Complaint**: ${problem}`);
    if (found.problems.length > 0) lines.push("");
    lines.push(
      `*\`${name}\`, ${found.date}, ${formatMs(found.tookMs)}; ${found.version}; ${found.machine}; load before ${found.load}.*`,
      "",
    );
  }
  for (const { title, text, rows } of Object.values(elsewhere))
    lines.push(`## ${title}`, "", text, "", ...tableOf(rows()));
  return `${lines.join("\n").trimEnd()}\n`;
}

async function machine(): Promise<{ readonly machine: string; readonly version: string }> {
  const said = (await runSkein(binary, ["version"])).stdout.trim().replaceAll("\n", ", ");
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return {
    machine: `3 nodes and their clients on ${cpus().length} cores (${model}), ${memory}, Linux ${release()}`,
    version: said,
  };
}

function read(): Record<string, Kept> {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, Kept>) : {};
}

function write(kept: Readonly<Record<string, Kept>>): void {
  writeFileSync(file, `${JSON.stringify(kept, null, 2)}\n`);
  writeFileSync(page, render(kept));
  // As `npm run fix` would have it.
  execFileSync(path.join(root, "node_modules", ".bin", "oxfmt"), [file, page]);
}

/** A process for each section: what one leaves behind, as a network that is routed otherwise, is gone before the next. */
async function measureInTurn(names: readonly string[]): Promise<void> {
  for (const name of names) {
    // The first of two options is the one that counts.
    const words = [path.join(root, "scripts", "setup.mjs"), "reliability", `--only=${name}`, ...process.argv.slice(2)];
    const child = spawn(process.execPath, words, { stdio: "inherit" });
    onEnd.add(child);
    const code = await new Promise<number>((resolve) => child.on("exit", (status) => resolve(status ?? 1)));
    onEnd.delete(child);
    if (code !== 0) process.exitCode = 1;
  }
}

const onEnd = new Set<ChildProcess>();

async function measureHere(name: string): Promise<void> {
  const section = sections[name]!;
  const missing = await section.missing?.();
  if (missing !== undefined) {
    console.log(`${name}: cannot be measured here: ${missing}`);
    process.exitCode = 1;
    return;
  }
  const scale = numberOption("scale", 1);
  const here = await machine();
  const load = loadavg()
    .map((value) => value.toFixed(2))
    .join(" ");
  console.log(`${name}: ${section.title}`);
  const began = performance.now();
  try {
    const found = await section.measure((count) => Math.max(1, Math.round(count * scale)));
    const tookMs = Math.round(performance.now() - began);
    for (const row of found.rows) say(`${row.what}: ${row.measured}${row.met === false ? "  MISSED" : ""}`);
    for (const problem of found.problems) say(`COMPLAINT ${problem}`);
    if (missedIn(name, found.rows, found.problems.length).length > 0) process.exitCode = 1;
    write({ ...read(), [name]: { date: new Date().toISOString().slice(0, 16), load, tookMs, ...here, ...found } });
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
    await Mesh.stopAll();
    process.exitCode = 1;
  }
}

/** Writes the page again; whether all of it is as wanted is the exit code. */
function renderOnly(): void {
  const kept = read();
  write(kept);
  const all = allMissed(kept);
  for (const one of all) console.error(`reliability: missed: ${one.replaceAll("`", "")}`);
  process.exitCode = all.length === 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) {
  onlyOptions("reliability", ["only", "scale", "render", "sim-hours"]);
  const only = textOption("only")?.split(",");
  const names = only ?? Object.keys(sections).filter((name) => sections[name]!.onlyWhenNamed !== true);
  const wrong = names.find((name) => !(name in sections));
  if (wrong !== undefined) {
    console.error(`reliability: there is no section "${wrong}"; there are ${Object.keys(sections).join(", ")}`);
    process.exit(2);
  }
  onInterrupt(async () => {
    for (const child of onEnd) child.kill("SIGTERM");
    await Mesh.stopAll();
  });
  if (process.argv.includes("--render")) renderOnly();
  else {
    await buildIfChanged();
    if (names.length > 1) await measureInTurn(names);
    else {
      if (["partition", "soak", "jobs"].includes(names[0]!) && (await whyNot(["partition"])) === undefined)
        await enterOwnNetwork([
          process.execPath,
          path.join(root, "scripts", "setup.mjs"),
          "reliability",
          ...process.argv.slice(2),
        ]);
      await measureHere(names[0]!);
    }
  }
  process.exit();
}
