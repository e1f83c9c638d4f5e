import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import type { ExplainView, NodeReasonView, ReasonView, WaitingView } from "../state/answers.ts";
import type { WaitingFacts } from "../state/explaining.ts";
import type { OpenJob, WaitingTask } from "../state/planning.ts";
import { amountText, type Asked, type Standing, standingOf } from "./lack.ts";

/**
 * Why a job waits, in words (`skein jobs explain`): what holds up the job as a whole, then for each group of its waiting tasks what these wait for, then how every
 * node stands to them, constraint by constraint. Asked of the leader, whose view knows what is free; nothing is planned by it.
 */

/** What the planner knows of the job beside its rows. */
export interface Queued {
  /** Attempts that run or are proposed. */
  readonly held: number;
  /** By node: tasks of units that it was given, and how many of them it runs at once, which is less. */
  readonly given: readonly { readonly node: number; readonly tasks: number; readonly lanes: number }[];
  /** Jobs that come before it; undefined: it is in no queue. */
  readonly ahead: number | undefined;
}

/** `now` is the plan's clock, epoch ms. */
export function explainJob(
  facts: WaitingFacts,
  queued: Queued | undefined,
  standings: readonly Standing[],
  now: number,
): ExplainView {
  const { job, open } = facts;
  const names = new Map<number, string>(standings.map(({ row }) => [row.id, row.name]));
  const given = (queued?.given ?? []).map(({ node, tasks, lanes }): ReasonView => {
    const message = `${tasks} of its tasks are given to node ${names.get(node) ?? node}, which runs ${lanes} of them at once`;
    return { code: "given", message };
  });
  const reasons = [...bundleReasons(facts), ...reasonsOfJob(facts, queued?.held ?? 0), ...given];
  const about = { job: job.id, name: job.name, state: job.state };
  const counts = { queued: job.counts.queued, running: job.counts.running };
  if (open === undefined || open.stopped || job.counts.queued === 0)
    return { ...about, ...counts, reasons, waiting: [], ahead: null };
  const waiting: WaitingView[] = [];
  for (const [first, tasks, task] of groupsOf(facts, now)) {
    const pinned = task?.pin;
    const nodes = nodeReasons(standings, askedOf(open), pinned);
    const own = [...reasonsOfTask(task, now), ...reasonsOfNodes(nodes, queued?.ahead, open)];
    waiting.push({
      tasks,
      first,
      ...(pinned === undefined ? {} : { pinned }),
      reasons: own,
      ...shown(nodes),
    });
  }
  if (facts.later > 0) waiting.push(laterBatches(facts));
  const looked = waiting.reduce((sum, group) => sum + group.tasks, 0);
  return {
    ...about,
    ...counts,
    reasons,
    waiting,
    ...(looked < job.counts.queued ? { waiting_more: job.counts.queued - looked } : {}),
    ahead: queued?.ahead ?? null,
  };
}

/** Tasks of batches that have not begun. */
function laterBatches({ job: { batch }, later }: WaitingFacts): WaitingView {
  const { now, of, first, tasks } = batch ?? { now: 1, of: 1, first: 0, tasks: 0 };
  const message = `they wait for the end of batch ${now} of ${of}, which has ${tasks === 1 ? `task ${first}` : `tasks ${first} to ${first + tasks - 1}`}`;
  return { tasks: later, first: first + tasks, reasons: [{ code: "batch", message }], nodes: [] };
}

/** What the planner compares with a node. */
export function askedOf({ io, slots, resources, terms }: Pick<OpenJob, "io" | "slots" | "resources" | "terms">): Asked {
  return { io, need: io ? 1 : slots, resources, terms };
}

/** Every node's word, those that could run it first. */
export function nodeReasons(standings: readonly Standing[], asked: Asked, pinned?: number): NodeReasonView[] {
  const order = { free: 0, full: 1, away: 2, never: 3 };
  return standings
    .filter(({ row }) => pinned === undefined || row.id === pinned)
    .map((standing) => standingOf(standing, asked))
    .sort((a, b) => order[a.state] - order[b.state] || a.node - b.node);
}

/** At most limits.explainNodes of them, and how many more there are. */
export function shown(nodes: readonly NodeReasonView[]): Pick<WaitingView, "nodes" | "nodes_more"> {
  if (nodes.length <= limits.explainNodes) return { nodes };
  return { nodes: nodes.slice(0, limits.explainNodes), nodes_more: nodes.length - limits.explainNodes };
}

/** What the nodes together say of a task. */
export function reasonsOfNodes(
  nodes: readonly NodeReasonView[],
  ahead: number | undefined,
  { on, io, slots, resources }: Pick<OpenJob, "on" | "io" | "slots" | "resources">,
): ReasonView[] {
  const able = nodes.filter(({ state }) => state !== "never");
  if (able.length === 0) {
    const selector = on === "" ? "" : ` and match "${on}"`;
    const room = io ? "take tasks without slots" : `have ${slots} slot${slots === 1 ? "" : "s"}`;
    const beside = resources.map((need) => `, ${amountText(need)}`).join("");
    return [{ code: "no-node", message: `no node there is can run it: it would have to ${room}${beside}${selector}` }];
  }
  if (able.some(({ state }) => state === "free")) {
    if (ahead !== undefined && ahead > 0)
      return [
        { code: "queue", message: `there is room, and ${ahead} job${ahead === 1 ? " comes" : "s come"} before it` },
      ];
    return [{ code: "next", message: "there is room: it starts with the next plan" }];
  }
  const full = able.filter(({ state }) => state === "full").length;
  const words = [
    ...(full > 0 ? [`${full} of them full`] : []),
    ...(able.length > full ? [`${able.length - full} taking no work`] : []),
  ];
  const queue: ReasonView[] =
    ahead === undefined || ahead === 0
      ? []
      : [{ code: "queue", message: `${ahead} job${ahead === 1 ? " comes" : "s come"} before it` }];
  const many = able.length === 1 ? "one node can run it" : `${able.length} nodes can run it`;
  return [{ code: "no-room", message: `${many}, ${words.join(" and ")}` }, ...queue];
}

/** What is assigned counts as running, and does not begin. */
function bundleReasons({ lostBundle }: WaitingFacts): ReasonView[] {
  if (lostBundle === undefined) return [];
  const message = `no member has all of bundle ${lostBundle} any more: tasks that have not begun in it wait for it. The logs of their nodes name the files; push it again, or cancel the job`;
  return [{ code: "bundle", message }];
}

function reasonsOfJob(facts: WaitingFacts, held: number): ReasonView[] {
  const { job, open } = facts;
  if (isTerminal(job.state)) {
    const why = job.reason === undefined ? "" : `: ${job.reason}`;
    return [{ code: "ended", message: `it has ended as ${job.state}${why}` }];
  }
  if (job.cancelling === true)
    return [{ code: "cancelling", message: "it is being cancelled: it ends when what runs of it has ended" }];
  if (job.counts.queued === 0) return [];
  if (job.waits !== undefined) return gateReasons(facts);
  if (open?.stopped === true)
    return [
      { code: "stopped", message: `nothing more of it is started${job.reason === undefined ? "" : `: ${job.reason}`}` },
    ];
  if (open !== undefined && held >= open.parallel)
    return [
      {
        code: "parallel",
        message: `${held} of its tasks run at once, as many as \`parallel: ${open.parallel}\` allows`,
      },
    ];
  return [];
}

/** The gates that are shut (state/gates.ts). */
function gateReasons({ job: { id, waits = {}, batch }, parents, holder }: WaitingFacts): ReasonView[] {
  const reasons: ReasonView[] = [];
  if (waits.held === true)
    reasons.push({ code: "held", message: `it is held: \`skein jobs release ${id}\` lets it go` });
  const { start_at: until, after, key, pause, approval } = waits;
  if (until !== undefined) reasons.push({ code: "start_at", message: `it starts no earlier than ${until}`, until });
  if (after !== undefined) {
    const named = parents.map(({ job, state }) => `${job} (${state})`).join(", ");
    const more = after > parents.length ? ` and ${after - parents.length} more` : "";
    const whom =
      named === "" ? `${after} job${after === 1 ? "" : "s"}` : `job${after === 1 ? "" : "s"} ${named}${more}`;
    reasons.push({ code: "after", message: `it waits for the end of ${whom}` });
  }
  if (key !== undefined) {
    const who = holder === undefined ? "" : `: job ${holder} has it`;
    reasons.push({ code: "key", message: `one job of the key ${key} runs at once${who}` });
  }
  const next = `batch ${(batch?.now ?? 0) + 1} of ${batch?.of ?? 1}`;
  if (pause !== undefined)
    reasons.push({ code: "pause", message: `${next} begins no earlier than ${pause}`, until: pause });
  if (approval !== undefined)
    reasons.push({
      code: "approval",
      message: `${next} waits for approval: \`skein jobs release ${id}\` lets it begin`,
    });
  return reasons;
}

function reasonsOfTask(task: WaitingTask | undefined, now: number): ReasonView[] {
  if (task === undefined || task.notBefore <= now) return [];
  const until = formatInstant(task.notBefore);
  return [
    { code: "backoff", message: `attempt ${task.attempt} has ended, and the next one waits until ${until}`, until },
  ];
}

/** [first task, how many, what tells them from those never started]: by their only node, or by whether they wait for their instant. */
function* groupsOf(
  { fresh, waiting, open }: WaitingFacts,
  now: number,
): Generator<readonly [first: number, tasks: number, task: WaitingTask | undefined]> {
  const groups = new Map<string, { tasks: number; task: WaitingTask }>();
  for (const task of waiting) {
    const isDelayed = task.notBefore > now;
    const key = `${task.pin ?? ""} ${isDelayed ? "later" : "now"}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { tasks: 1, task });
    else {
      group.tasks += 1;
      if (isDelayed && task.notBefore < group.task.notBefore) group.task = task; // the one that is due first speaks for all
    }
  }
  for (const { tasks, task } of groups.values()) yield [task.task, tasks, task];
  if (fresh > 0) yield [open?.next ?? 0, fresh, undefined];
}
