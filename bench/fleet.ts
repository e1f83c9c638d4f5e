/**
 * What do bad hosts cost the others? A command on a thousand ssh targets by three nodes: all of them well; then some of them mute, frozen, refusing or flooding, spread
 * over the units; then the same while an executor and the leader are killed with all they run. Every verdict is looked at, and that nothing is left on either side.
 *
 * `npm run bench -- fleet [--hosts=1000] [--parallel=30] [--rounds=1] [--write]`
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Mesh, type MeshNode, until } from "../scripts/mesh.ts";
import { finished, submit } from "../scripts/mesh-jobs.ts";
import { killAtOnce, markedProcesses, treeBelow } from "../scripts/processes.ts";
import { freePort, muteHost, Sshd } from "../scripts/sshd.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { conclude } from "./page/conclude.ts";
import { atMostTimes, exactly, shown } from "./page/rows.ts";

const count = option("hosts", 1000);
const parallel = option("parallel", 30);
const patienceMs = 1_800_000;
/** One of each kind in every hundred, never two next to each other. */
const kinds: Readonly<Record<number, Kind>> = { 7: "mute", 29: "frozen", 53: "refusing", 71: "flooding" };
type Kind = "well" | "mute" | "frozen" | "refusing" | "flooding";

interface Host {
  readonly name: string;
  readonly kind: Kind;
}

/** As GET /v1/results gives it. */
interface Result {
  readonly target: string;
  readonly state: string;
  readonly reason?: string;
  readonly node: number | null;
  readonly finished_at: string | null;
}

const conditions = await printMachine();
const directory = mkdtempSync(path.join(tmpdir(), "skein-bench-fleet-"));
const sshd = await Sshd.start();
const [mutePort, closedPort] = [await freePort(), await freePort()];
const mute = await muteHost(mutePort, "0.0.0.0");
const names = Array.from({ length: count }, (_, at) => `127.${1 + (at >> 14)}.${(at >> 7) & 127}.${(at & 127) + 1}`);
const wellHosts: readonly Host[] = names.map((name) => ({ name, kind: "well" }));
const mixedHosts: readonly Host[] = names.map((name, at) => ({ name, kind: kinds[at % 100] ?? "well" }));
let runs = 0;
const nobodyKilled: Killed = { committed: new Map(), met: new Map() };
try {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const figures = await measureInTurns(
    [
      { name: "well", measure: () => fanOut(mesh, wellHosts, false) },
      { name: "mixed", measure: () => fanOut(mesh, mixedHosts, false) },
      { name: "killed", measure: () => fanOut(mesh, mixedHosts, true) },
    ],
    option("rounds", 1),
    { warmUp: false },
  );
  const of = (name: string, figure: string): readonly number[] => figures[name]![figure]!;
  const bad = mixedHosts.filter(({ kind }) => kind !== "well").length;
  const rowsOf = (name: string, title: string): ReturnType<typeof exactly>[] => [
    exactly(`${title}: targets without a verdict, or with another one than they must have`, 0, of(name, "wrong")),
    exactly(`${title}: processes left on either side`, 0, of(name, "left")),
  ];
  conclude("fleet", conditions, {
    rows: [
      shown(`${count} hosts, all well: until the last of them has ended`, " s", of("well", "seconds")),
      shown(`the same with ${bad} bad ones: until the last that is well has ended`, " s", of("mixed", "seconds")),
      atMostTimes("the well ones beside bad ones, to all well", 1.1, of("mixed", "seconds"), of("well", "seconds")),
      ...rowsOf("well", "all well"),
      ...rowsOf("mixed", `${bad} bad ones`),
      ...rowsOf("killed", "an executor killed, then the leader"),
      shown(
        "an executor killed, then the leader: until the last that is well has ended",
        " s",
        of("killed", "seconds"),
      ),
      exactly("hosts that ran again though their result was committed", 0, of("killed", "again")),
      exactly("hosts that ran more than once more for each kill that met them", 0, of("killed", "often")),
      shown("hosts that ran more than once", "", of("killed", "more")),
    ],
    figures,
  });
} finally {
  mute.stop();
  await sshd.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function fanOut(mesh: Mesh, hosts: readonly Host[], kills: boolean): Promise<Record<string, number>> {
  const began = path.join(directory, `began-${++runs}`);
  const inventory = path.join(directory, `fleet-${runs}`);
  writeFileSync(began, "");
  writeFileSync(inventory, `${hosts.map(({ name, kind }) => `${name} ansible_port=${portOf(kind)}`).join("\n")}\n`);
  const set = await mesh.skein(["inventory", "set", `fleet-${runs}`, inventory, "--format", "ini"]);
  if (set.code !== 0) throw new Error(set.stderr);
  const at = Date.now();
  const job = await submit(mesh.nodes[0]!, {
    driver: "ssh",
    run: commandOf(hosts, began),
    targets: [`@fleet-${runs}`],
    parallel,
    timeout: "20s",
    grace: "2s",
    output: { keep: "1MiB" },
    ssh: { key: sshd.key },
    unit: 30,
  });
  const killed = kills ? await killInTheMiddle(mesh, job) : nobodyKilled;
  const seen = await finished(mesh, job, patienceMs);
  const results = await resultsOf(mesh, job);
  const verdicts = new Map(results.map((one) => [one.target, one]));
  const wrong = hosts.filter(({ name, kind }) => !isRight(kind, verdicts.get(name)));
  for (const { name, kind } of wrong.slice(0, 10)) {
    const { state, reason } = verdicts.get(name) ?? {};
    console.log(`  ${name} (${kind}): ${state}, ${reason}`);
  }
  if (results.length !== count || verdicts.size !== count)
    console.log(`  ${results.length} results of ${verdicts.size} targets; the job: ${JSON.stringify(seen.counts)}`);
  const last = Math.max(
    ...hosts.filter(({ kind }) => kind === "well").map(({ name }) => Date.parse(verdicts.get(name)?.finished_at ?? "")),
  );
  const starts = startsIn(began);
  const moreThan = (most: (name: string) => number): number =>
    names.filter((name) => (starts.get(name) ?? 0) > most(name)).length;
  return {
    seconds: (last - at) / 1000,
    wrong: wrong.length + Math.abs(results.length - count),
    left: await leftOver(mesh.nodes[0]!.ready.cluster),
    again: [...killed.committed].filter(([name, times]) => (starts.get(name) ?? 0) > times).length,
    more: moreThan(() => 1),
    often: moreThan((name) => 1 + (killed.met.get(name) ?? 0)),
  };
}

function portOf(kind: Kind): number {
  return kind === "mute" ? mutePort : kind === "refusing" ? closedPort : sshd.port;
}

/** The same on all of them: it says that it began, and is as bad as its host. */
function commandOf(hosts: readonly Host[], began: string): string {
  const namesOf = (kind: Kind): string =>
    hosts
      .filter((host) => host.kind === kind)
      .map(({ name }) => name)
      .join("|");
  const branch = (kind: Kind, does: string): string[] => (namesOf(kind) === "" ? [] : [`${namesOf(kind)}) ${does};;`]);
  // The server's own process of this session is above its shell.
  const freeze = `p=$$; while [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(cut -d' ' -f4 /proc/$p/stat); done; kill -STOP $p; exec sleep 600`;
  return [
    `echo "$SKEIN_TARGET" >> ${began}`,
    'case "$SKEIN_TARGET" in',
    ...branch("frozen", freeze),
    ...branch("flooding", "exec yes flood"),
    "*) echo well;;",
    "esac",
  ].join("\n");
}

function isRight(kind: Kind, result: Result | undefined): boolean {
  if (result === undefined) return false;
  const { state, reason = "" } = result;
  if (kind === "well") return state === "succeeded";
  if (kind === "mute" || kind === "refusing") return state === "failed" && reason.startsWith("unreachable");
  if (kind === "frozen") return state === "timeout" || (state === "failed" && reason.startsWith("unreachable"));
  return state === "timeout";
}

/** By target: how often it had begun when its result was committed before the first kill, and how many kills met it while it was with the node that died. */
interface Killed {
  readonly committed: ReadonlyMap<string, number>;
  readonly met: ReadonlyMap<string, number>;
}

/** An executor that does not lead dies with all it runs, and comes back; then the leader does. */
async function killInTheMiddle(mesh: Mesh, job: number): Promise<Killed> {
  const met = new Map<string, number>();
  const kill = async (node: MeshNode): Promise<void> => {
    await die(node);
    for (const { target, node: at, finished_at: ended } of await resultsOf(mesh, job))
      if (at === node.ready.node && ended === null) met.set(target, (met.get(target) ?? 0) + 1);
  };
  await share(mesh, job, 0.3);
  const leader = await mesh.leader({ voters: 3 });
  const executor = mesh.nodes.find((node) => node !== leader)!;
  const before = (await resultsOf(mesh, job)).filter(({ finished_at: at }) => at !== null);
  const starts = startsIn(path.join(directory, `began-${runs}`));
  const committed = new Map(before.map(({ target }) => [target, starts.get(target) ?? 0]));
  await kill(executor);
  await share(mesh, job, 0.5);
  await executor.start();
  await mesh.leader({ voters: 3 });
  await share(mesh, job, 0.6);
  const second = await mesh.leader({ voters: 3 });
  await kill(second);
  await mesh.leader();
  await second.start();
  return { committed, met };
}

/** As when its host does: nothing of it is left. */
async function die(node: MeshNode): Promise<void> {
  await killAtOnce([...treeBelow([node.pid, ...node.guards()])]);
  await node.exited;
}

/** Until so many of the targets have a verdict. */
async function share(mesh: Mesh, job: number, wanted: number): Promise<void> {
  await until(
    async () => {
      const node = mesh.nodes.find((each) => each.running)!;
      const answer = await node.api("GET", `/v1/jobs/${job}`).catch(() => undefined);
      if (answer?.status !== 200) return undefined;
      const { counts } = answer.body as { counts: Record<string, number> };
      return count - counts["queued"]! - counts["running"]! >= wanted * count ? true : undefined;
    },
    patienceMs,
    () => `job ${job} does not come to ${wanted} of its targets`,
  );
}

async function resultsOf(mesh: Mesh, job: number): Promise<Result[]> {
  const node = mesh.nodes.find((each) => each.running)!;
  const found: Result[] = [];
  for (let next = ""; ;) {
    const answer = await node.api(
      "GET",
      `/v1/results?job=${job}&limit=1000&consistency=stale${next === "" ? "" : `&next=${next}`}`,
    );
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    const page = answer.body as { results: Result[]; next?: string | null };
    found.push(...page.results);
    if (page.next === undefined || page.next === null) return found;
    next = page.next;
  }
}

function startsIn(file: string): ReadonlyMap<string, number> {
  const starts = new Map<string, number>();
  for (const name of readFileSync(file, "utf8").split("\n"))
    if (name !== "") starts.set(name, (starts.get(name) ?? 0) + 1);
  return starts;
}

/** Clients, and what commands have left on their hosts, once those that are frozen may go on: a host that nobody can reach keeps what it has until then. */
async function leftOver(cluster: string): Promise<number> {
  for (const pid of treeBelow([sshd.pid])) {
    try {
      process.kill(pid, "SIGCONT");
    } catch {
      // It has ended meanwhile.
    }
  }
  const left = (): number => [...markedProcesses(sshd.key), ...markedProcesses(`SKEIN_SSH=${cluster}:`)].length;
  await until(
    () => Promise.resolve(left() === 0 ? true : undefined),
    60_000,
    () => "",
  ).catch(() => undefined);
  return left();
}
