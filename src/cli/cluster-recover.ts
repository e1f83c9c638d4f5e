import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { CommandClient } from "../client/command-client.ts";
import { urlOf } from "../lib/host-port.ts";
import { type Epoch, formatEpoch, parseEpoch, sameEpoch } from "../lib/epoch.ts";
import { limits } from "../lib/limits.ts";
import {
  type Judgement,
  judgeSurvivors,
  parseSurvivor,
  type Survivor,
  type SurvivorMember,
  unfinishedRecovery,
  viewSurvivor,
} from "../lib/survivors.ts";
import type { Cli, GlobalFlags, StoppedNode } from "./cli.ts";
import { addOutputFlags } from "./cli.ts";
import { defaultDataDir, expandHome, findTarget } from "./context.ts";
import { CliError, exit } from "./exit.ts";
import { collect } from "./flags.ts";
import type { Output } from "./output.ts";

interface RecoverFlags {
  readonly data?: string | readonly string[];
  readonly survivor?: readonly string[];
  readonly report?: boolean;
  readonly rejoin?: string;
  readonly gone?: readonly string[];
  readonly wrongState?: boolean;
  readonly yes?: boolean;
}

/** `skein cluster recover`: the one verb of the cluster that needs no cluster. It works on data directories of nodes that are stopped. */
export function addClusterRecover(cluster: Command, cli: Cli): void {
  const command = cluster
    .command("recover")
    .description("the quorum is lost for good: show what is left, and go on from it in a new epoch")
    .option("--data <dir>", "data directory of a stopped survivor on this host (repeatable)", collect)
    .option("--survivor <where>", "another one: the file that --report made there, or the address of its API", collect)
    .option("--report", "only print what the survivors on this host have, to be carried to another one (-o json)")
    .option("--rejoin <epoch>", "go on as a member of the epoch that was made on another host, as it was printed there")
    .option("--gone <node>", "what answers where that node was is something else by now (repeatable)", collect)
    .option("--wrong-state", "go on with a state that was found wrong, where nobody has a right one")
    .option("--token <token>", "API token for addresses (default: that of the data directory)")
    .option("--yes", "do not ask");
  addOutputFlags(command);
  cli.local<RecoverFlags>(command, async (flags, global) => {
    const startedAt = performance.now();
    const nodes = openAll(cli, flags);
    try {
      const output = cli.output(global);
      // Where it goes on with another node's data its own does not count.
      if (flags.rejoin !== undefined) return await rejoin(output, nodes, flags.rejoin);
      const unfit = nodes.flatMap((one) => unfitness(one, nodes) ?? []);
      if (unfit.length > 0) throw new CliError(exit.refused, unfit.join("\n"));
      if (flags.report === true) return report(output, nodes);
      const others = await Promise.all((flags.survivor ?? []).map((where) => readSurvivor(cli, global, where, nodes)));
      return await recover({ cli, output, nodes, others, flags, startedAt });
    } finally {
      for (const node of nodes) node.close();
    }
  });
}

/** Why nothing is to be made of that one's data. What it was told of may be here as well: then it is what it goes on with. */
function unfitness({ unfit, fence }: StoppedNode, nodes: readonly StoppedNode[]): string | undefined {
  if (unfit !== undefined || fence === undefined) return unfit;
  const isHere = nodes.some(({ survivor }) => sameEpoch(survivor.epoch, fence.epoch));
  return isHere ? undefined : fence.words;
}

function openAll(cli: Cli, { data }: RecoverFlags): StoppedNode[] {
  const given = data === undefined ? [defaultDataDir(cli.env)] : [data].flat();
  const nodes: StoppedNode[] = [];
  try {
    for (const path of given) nodes.push(cli.actions.openStopped(expandHome(path, cli.env)));
  } catch (error) {
    for (const node of nodes) node.close();
    throw error;
  }
  return nodes;
}

function report(output: Output, nodes: readonly StoppedNode[]): number {
  const views = nodes.map(({ survivor }) => viewSurvivor(survivor));
  output.result({
    value: views.length === 1 ? views[0] : views,
    ids: views.map(({ node }) => node),
    table: (out) =>
      showSurvivors(
        out,
        nodes.map(({ survivor }) => survivor),
        undefined,
      ),
  });
  return exit.done;
}

/** A file with one or several reports, or an address. */
async function readSurvivor(
  cli: Cli,
  global: GlobalFlags,
  where: string,
  nodes: readonly StoppedNode[],
): Promise<Survivor> {
  const isAddress = /^https?:\/\//.test(where) || /^[^/]+:\d+$/.test(where);
  const value: unknown = isAddress ? await askSurvivor(cli, global, where, nodes) : readReport(where);
  const survivor = parseSurvivor(value);
  if (survivor !== undefined) return survivor;
  throw new CliError(
    exit.usage,
    `${where} is no report of a survivor: make one there with 'skein cluster recover --report --data DIR -o json'`,
  );
}

function askSurvivor(cli: Cli, global: GlobalFlags, addr: string, nodes: readonly StoppedNode[]): Promise<unknown> {
  const data = nodes[0]?.dataDir;
  const own = data === undefined ? undefined : contextToken(data);
  const from = own === undefined ? global.data : data;
  const { addrs, token, ca } = findTarget({ addr, token: global.token ?? own, data: from, ca: global.ca }, cli.env);
  return new CommandClient({ addrs, token, ca }).survivor();
}

function readReport(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError(exit.usage, `${path} cannot be read: ${(error as Error).message}`);
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Recovery {
  readonly cli: Cli;
  readonly output: Output;
  readonly nodes: readonly StoppedNode[];
  readonly others: readonly Survivor[];
  readonly flags: RecoverFlags;
  /** performance.now() */
  readonly startedAt: number;
}

async function recover(recovery: Recovery): Promise<number> {
  const { cli, output, nodes, others, flags, startedAt } = recovery;
  const survivors = [...nodes.map(({ survivor }) => survivor), ...others];
  if (hasFinished(output, nodes, survivors)) return exit.done;
  const judged = judgeSurvivors(survivors);
  const people = { line: (text: string) => output.note(text) };
  if ("problem" in judged) throw new CliError(exit.refused, judged.problem);
  showSurvivors(output.forMachines ? undefined : output, survivors, judged.head);
  for (const words of judged.words) people.line(`- ${words}.`);
  const { best, head } = findHere(nodes, judged);
  if (judged.best.quarantinedAt !== null && flags.wrongState !== true)
    throw new CliError(
      exit.refused,
      `the state of node ${judged.best.node} is wrong from entry ${judged.best.quarantinedAt} on, and no survivor has a right one. A backup of before may be what you want ('skein restore'). ` +
        "With --wrong-state the new epoch begins with it all the same",
    );
  await expectSilence({ best, head }, judged, survivors, goneByWord(flags));
  await confirm(cli, flags, judged);
  await outlastLeases(output, startedAt);
  const going = survivors.filter(
    ({ node }) => node !== best.survivor.node && judged.best.members.some((member) => member.node === node),
  );
  const epoch = best.recover(going, auditText(judged), head);
  rejoinHere(nodes, best, epoch, going);
  tell(output, nodes, best, epoch, going, judged);
  return exit.done;
}

/** The data that the new epoch is made of is on this host. Throws CliError. */
function findHere(
  nodes: readonly StoppedNode[],
  judged: Judgement,
): { readonly best: StoppedNode; readonly head: StoppedNode } {
  const here = (one: Survivor): StoppedNode | undefined => nodes.find(({ survivor }) => survivor.node === one.node);
  const [best, head] = [here(judged.best), here(judged.head)];
  if (best !== undefined && head !== undefined) return { best, head };
  const [{ node, name }, other] = [judged.head, judged.best];
  throw new CliError(
    exit.refused,
    node === other.node
      ? `node ${node} (${name}) is the most advanced, and its data directory is not on this host: run the command there, with this one as --survivor`
      : `the new epoch needs the state of node ${other.node} (${other.name}) and the log of node ${node} (${name}), whose own state is wrong: stop both, copy one data directory to the other's host, and give both with --data. ` +
          `Where what node ${node} alone has may be lost, leave it out`,
  );
}

/** Those whose data is on this host go on in the new epoch at once. */
function rejoinHere(nodes: readonly StoppedNode[], best: StoppedNode, epoch: Epoch, going: readonly Survivor[]): void {
  for (const node of nodes) {
    if (going.some((one) => one.node === node.survivor.node))
      node.rejoin(epoch, { node: best.survivor.node, peer: best.peer });
  }
}

/** The command was run before and broke off after the decision: what is left to do is done, and nothing is decided again. */
function hasFinished(output: Output, nodes: readonly StoppedNode[], survivors: readonly Survivor[]): boolean {
  const unfinished = unfinishedRecovery(survivors);
  const goneOn = nodes.find((node) => node.hasGoneOn);
  const head = nodes.find(({ survivor }) => survivor.node === (unfinished?.head.node ?? goneOn?.survivor.node));
  if (head === undefined || head.survivor.epoch.number === 0) return false;
  output.note(`epoch ${formatEpoch(head.survivor.epoch)} had been decided already: going on with it`);
  const { members, learners, epoch } = head.survivor;
  rejoinHere(nodes, head, epoch, unfinished?.behind ?? []);
  const going = members.filter(({ node }) => learners.includes(node));
  tell(output, nodes, head, epoch, going, undefined);
  return true;
}

function tell(
  output: Output,
  nodes: readonly StoppedNode[],
  best: StoppedNode,
  epoch: Epoch,
  going: readonly { readonly node: number; readonly name: string }[],
  judged: Judgement | undefined,
): void {
  const { cluster, node } = best.survivor;
  const left = going.filter((one) => !nodes.some(({ survivor }) => survivor.node === one.node));
  const gone = judged?.gone ?? [];
  const text = rejoinText(best, epoch);
  output.result({
    value: {
      cluster,
      epoch: formatEpoch(epoch),
      node,
      survivors: [node, ...going.map((one) => one.node)],
      gone: gone.map((one) => one.node),
      words: judged?.words ?? [],
      rejoin: text,
      rejoin_on: left.map((one) => one.node),
    },
    ids: [formatEpoch(epoch)],
    table: (out) => {
      out.line(
        `epoch ${formatEpoch(epoch)} is made of what node ${node} has; what was there before is kept in ${best.dataDir}`,
      );
      printNext(out, best, text, left, gone);
    },
  });
}

function printNext(
  out: Output,
  best: StoppedNode,
  text: string,
  left: readonly { readonly node: number; readonly name: string }[],
  gone: readonly SurvivorMember[],
): void {
  out.line("");
  out.line("next:");
  out.line(`  skein up --data ${best.dataDir}      # node ${best.survivor.node} leads alone, and runs work`);
  for (const { node, name } of left) {
    out.line(`  on the host of node ${node} (${name}), while it is stopped:`);
    out.line(`    skein cluster recover --data DIR --rejoin ${text}`);
    out.line(`    skein up --data DIR`);
  }
  if (gone.length > 0) {
    const names = gone.map(({ node, name }) => `${node} (${name})`).join(", ");
    out.line(`  gone are ${names}: should one come back it is told so and stops; it joins again as a new node,`);
    out.line(`    with a token of 'skein cluster token' and an empty data directory`);
  }
}

/** Of nodes whose address is somebody else's by now, as a person says. */
function goneByWord({ gone = [] }: RecoverFlags): ReadonlySet<number> {
  const bad = gone.find((text) => !/^\d{1,15}$/.test(text));
  if (bad !== undefined) throw new CliError(exit.usage, `--gone "${bad}" is not the number of a node`);
  return new Set(gone.map(Number));
}

/** Who answered where a member was that is to be given up. */
interface Answering {
  readonly node: number;
  /** Who and where, in words. */
  readonly text: string;
  /** undefined: something answers, and it is not known whether it is the member. */
  readonly epoch: Epoch | undefined;
  readonly leader: number | null;
}

/**
 * A member that still answers is not gone: what it has may be more, and the cluster may be well without this node. Silent is only whose ports take no
 * connections: no answer that was refused, broke off or was not understood is silence.
 */
async function expectSilence(
  { best, head }: { readonly best: StoppedNode; readonly head: StoppedNode },
  { gone, best: { epoch } }: Judgement,
  survivors: readonly Survivor[],
  isSaidToBeGone: ReadonlySet<number>,
): Promise<void> {
  const named = new Set(survivors.map(({ node }) => node));
  const found = await Promise.all(
    gone.map((member) => {
      // One that joined in what no state has applied yet has its address from those who were in touch with it.
      const peer = member.peer || (head.knownPeer(member.node) ?? best.knownPeer(member.node) ?? "");
      return askMember(best, { ...member, peer });
    }),
  );
  const there = found.filter((one) => one !== undefined).filter(({ node }) => !named.has(node));
  // One of an epoch before is no member of this one: it has nothing that this one lacks.
  const alive = there.filter((one) => one.epoch !== undefined && one.epoch.number >= epoch.number);
  const other = alive.find((one) => !sameEpoch(one.epoch!, epoch));
  if (other !== undefined)
    throw new CliError(
      exit.refused,
      `${other.text} answers and is of epoch ${formatEpoch(other.epoch!)}: the cluster was recovered already, and goes on without ${best.dataDir}, which is of epoch ${formatEpoch(epoch)}. ` +
        "A second one beside it would do the same work again: see 'skein cluster recover --rejoin', or join as a new node with an empty data directory",
    );
  if (alive.length > 0) throw new CliError(exit.refused, aliveWords(best, alive));
  const unknown = there.filter((one) => one.epoch === undefined && !isSaidToBeGone.has(one.node));
  if (unknown.length === 0) return;
  throw new CliError(
    exit.refused,
    `${unknown.map((one) => one.text).join("; ")}. A member that answers is not gone: stop what is there, or name it with --survivor. ` +
      `Only where it is certainly gone, or that is something else by now: ${unknown.map(({ node }) => `--gone ${node}`).join(" ")}`,
  );
}

function aliveWords(best: StoppedNode, alive: readonly Answering[]): string {
  const leader = alive.map((one) => one.leader).find((one) => one !== null);
  const texts = alive.map((one) => one.text).join(" and ");
  const isOne = alive.length === 1;
  return leader === undefined
    ? `${texts} ${isOne ? "answers, so it is" : "answer, so they are"} not gone: name ${isOne ? "it" : "each of them"} with --survivor ADDRESS, or stop ${isOne ? "it" : "them"} and name ${isOne ? "its report" : "their reports"}. Nodes that are too few to elect a leader may only lack this one: start it first ('skein up --data ${best.dataDir}')`
    : `${texts} ${isOne ? "answers" : "answer"}, and the cluster has a leader (node ${leader}): nothing is lost and there is nothing to recover. Start this node again, and it catches up: skein up --data ${best.dataDir}`;
}

/** By its report, which says whether there is a leader, where a token is known; else by its certificate; else by what is to be seen from outside. */
async function askMember(best: StoppedNode, member: SurvivorMember): Promise<Answering | undefined> {
  const { node, name, api, peer } = member;
  if (api === "" && peer === "")
    return {
      node,
      text: `node ${node} joined in what no state here has applied yet, and where it is nobody here knows`,
      epoch: undefined,
      leader: null,
    };
  const [survivor, presence] = await Promise.all([askReport(best, member), best.ask(member)]);
  if (survivor?.cluster === best.survivor.cluster)
    return answering(survivor.node, member, api, { epoch: survivor.epoch, leader: survivor.leader });
  if (presence.kind === "silent") return undefined;
  if (presence.kind === "member")
    return answering(presence.node, member, peer, { epoch: presence.epoch, leader: null });
  const text = `where node ${node} (${name}) was, something answers: ${presence.what}`;
  return { node, text, epoch: undefined, leader: null };
}

function answering(
  node: number,
  member: SurvivorMember,
  at: string,
  more: { readonly epoch: Epoch; readonly leader: number | null },
): Answering {
  const who = node === member.node ? `node ${node} (${member.name})` : `node ${node}`;
  return { node, text: `${who} at ${at}`, ...more };
}

async function askReport(best: StoppedNode, { api }: SurvivorMember): Promise<Survivor | undefined> {
  const token = contextToken(best.dataDir);
  if (api === "" || token === undefined) return undefined;
  try {
    const { addrs, ca } = findTarget({ addr: urlOf(api), data: best.dataDir }, {});
    return parseSurvivor(await new CommandClient({ addrs, token, ca }).survivor());
  } catch {
    return undefined; // silent, or somebody who does not know the token: the certificate finds out
  }
}

async function confirm(cli: Cli, { yes }: RecoverFlags, { best }: Judgement): Promise<void> {
  if (yes === true) return;
  const answer = await cli.io.ask(
    `go on from node ${best.node} in a new epoch, without the members that are gone, for good? Type yes: `,
  );
  if (answer === undefined)
    throw new CliError(exit.usage, "this changes who the cluster is, and nobody can be asked here: add --yes");
  if (answer.trim().toLowerCase() !== "yes") throw new CliError(exit.refused, "nothing was changed");
}

/** Work of those who are gone starts elsewhere at once: no lease of theirs may be good any more (J1). They were gone when the command began. */
async function outlastLeases(output: Output, startedAt: number): Promise<void> {
  const leftMs = limits.lostAfterMs - (performance.now() - startedAt);
  if (leftMs <= 0) return;
  output.note(
    `waiting ${Math.ceil(leftMs / 1000)} s, until no lease of those who are gone can be good any more`,
    "dim",
  );
  await new Promise((resolve) => setTimeout(resolve, leftMs));
}

function auditText({ best, head, gone, words }: Judgement): string {
  const names = gone.map(({ node }) => node).join(", ") || "nobody";
  const on = head === best ? "" : ` on the state of node ${best.node}`;
  const wrong = best.quarantinedAt === null ? "" : `, whose state was found wrong at entry ${best.quarantinedAt}`;
  return `from entry ${head.lastIndex} of term ${head.lastTerm} of node ${head.node}${on}${wrong}; gone: ${names}; ${words[1]}`;
}

function rejoinText({ survivor: { cluster, node }, peer }: StoppedNode, epoch: Epoch): string {
  return `${cluster}/${formatEpoch(epoch)}@${node}@${peer}`;
}

async function rejoin(output: Output, nodes: readonly StoppedNode[], text: string): Promise<number> {
  const match = /^([^/@]+)\/([^@]+)@(\d{1,15})@([^@]+)$/.exec(text);
  const epoch = match === null ? undefined : parseEpoch(match[2]!);
  if (match === null || epoch === undefined) {
    throw new CliError(
      exit.usage,
      `--rejoin "${text}" is not what 'skein cluster recover' prints: CLUSTER/EPOCH@NODE@HOST:PORT`,
    );
  }
  const [cluster, node, peer] = [match[1]!, Number(match[3]), match[4]!];
  for (const { survivor, dataDir } of nodes) {
    if (survivor.cluster !== cluster)
      throw new CliError(exit.refused, `${dataDir} is of cluster ${survivor.cluster}, not of ${cluster}`);
    if (survivor.node === node)
      throw new CliError(exit.refused, `${dataDir} is node ${node}'s, of which epoch ${match[2]} was made: start it`);
    if (formatEpoch(survivor.epoch) === match[2]) continue;
    if (survivor.epoch.number >= epoch.number) {
      throw new CliError(
        exit.refused,
        `${dataDir} is of epoch ${formatEpoch(survivor.epoch)}, which is not before ${match[2]}: it can only join again as a new node`,
      );
    }
  }
  const left = nodes.filter(({ survivor }) => !sameEpoch(survivor.epoch, epoch));
  for (const one of left) await expectEpoch(one, epoch, { node, peer });
  for (const one of left) one.rejoin(epoch, { node, peer });
  output.result({
    value: { cluster, epoch: match[2], nodes: nodes.map(({ survivor }) => survivor.node) },
    ids: nodes.map(({ survivor }) => survivor.node),
    table: (out) => {
      for (const { survivor, dataDir } of nodes)
        out.line(
          `node ${survivor.node} goes on in epoch ${match[2]} with what node ${node} has: skein up --data ${dataDir}`,
        );
    },
  });
  return exit.done;
}

/** What is here is put aside for an epoch that somebody is in, and not for a word that was mistyped. Throws CliError. */
async function expectEpoch(
  one: StoppedNode,
  epoch: Epoch,
  at: { readonly node: number; readonly peer: string },
): Promise<void> {
  const found = await one.ask({ ...at, api: "" });
  const who = `node ${at.node} at ${at.peer}`;
  if (found.kind === "silent")
    throw new CliError(
      exit.unreachable,
      `${who} does not answer, and it is to say that it is of epoch ${formatEpoch(epoch)}: start it first ('skein up'), then repeat this`,
    );
  if (found.epoch !== undefined && sameEpoch(found.epoch, epoch)) return;
  const is =
    found.epoch === undefined
      ? `cannot be asked (${found.kind === "unproven" ? found.what : ""})`
      : `is of epoch ${formatEpoch(found.epoch)}`;
  throw new CliError(
    exit.refused,
    `${who} ${is}, and not known to be of ${formatEpoch(epoch)}: nothing was changed. Give what 'skein cluster recover' printed there`,
  );
}

function showSurvivors(out: Output | undefined, survivors: readonly Survivor[], best: Survivor | undefined): void {
  out?.rows(
    [
      { title: "NODE", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "ROLE" },
      { title: "EPOCH" },
      { title: "LAST", align: "right" },
      { title: "TERM", align: "right" },
      { title: "COMMITTED", align: "right" },
      { title: "APPLIED", align: "right" },
      { title: "HASH" },
      { title: "LEADER'S CLOCK" },
      { title: "" },
    ],
    survivors.map((one) => {
      const {
        node,
        name,
        voters,
        outgoing,
        epoch,
        lastIndex,
        lastTerm,
        commit,
        applied,
        hash,
        damagedFrom,
        quarantinedAt,
      } = one;
      const marks = [
        ...(one === best ? ["most advanced"] : []),
        ...(damagedFrom === null ? [] : [`damaged from ${damagedFrom}`]),
        ...(quarantinedAt === null ? [] : [`wrong state from ${quarantinedAt}`]),
      ];
      return [
        String(node),
        name,
        voters.includes(node) || outgoing.includes(node) ? "voter" : "learner",
        formatEpoch(epoch),
        String(lastIndex),
        String(lastTerm),
        String(commit),
        String(applied),
        hash,
        viewSurvivor(one).last_at ?? "-",
        marks.join(", "),
      ];
    }),
  );
}

/** The token in a node's own context. */
function contextToken(dataDir: string): string | undefined {
  try {
    return findTarget({ data: dataDir }, {}).token;
  } catch {
    return undefined;
  }
}
