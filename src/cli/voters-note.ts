import { learnerLabel } from "../lib/selector.ts";
import { CommandClient } from "../client/command-client.ts";
import { ApiError, Unreachable } from "../client/errors.ts";
import { sleep } from "../client/transport.ts";
import type { ClusterView, NodeView } from "../state/answers.ts";
import type { Session } from "./cli.ts";
import { clusterTolerance } from "./tolerance.ts";
import { durationFlag } from "./wait.ts";

/** How long a change of who votes is waited for, unless --timeout says it: some round trips, or the 10 s after which a dead voter is replaced. */
const defaultWaitMs = 15_000;
/** Between two looks at who votes. */
const lookMs = 100;
/** For the answer to a look beyond the time that there is for the change: a node that hangs is not waited for as patiently as with a request. */
const answerMs = 2000;

/** What a change of who votes is to come to, as the leader sees to it once the request is in the log. */
export interface VotersGoal {
  isReached(view: ClusterView): boolean;
  /** Whether it is to be expected of the members that there are; without it: yes. */
  isAwaited?(view: ClusterView): boolean;
  /** What to do where it is not. */
  readonly instead?: string;
}

/** These nodes are members no more; these vote; these do not. */
export const goals = {
  removed: (gone: readonly number[]): VotersGoal => ({
    isReached: ({ voters, nodes }) =>
      !gone.some((node) => voters.includes(node) || nodes.some(({ id }) => id === node)),
  }),
  promoted: (wanted: readonly number[]): VotersGoal => ({
    isReached: ({ voters }) => wanted.every((node) => voters.includes(node)),
  }),
  demoted: (unwanted: readonly number[]): VotersGoal => ({
    isReached: ({ voters }) => !unwanted.some((node) => voters.includes(node)),
    // It loses its vote to another one, or because fewer are to vote than do (scheduler/voters.ts).
    isAwaited: ({ voters, voters_wanted, nodes }) =>
      voters.length % 2 === 0 ||
      (voters_wanted !== null && voters.length > voters_wanted) ||
      nodes.some((node) => !voters.includes(node.id) && couldVote(node)),
    instead: "nobody can vote in its place, so it votes on until somebody can: join a node, or have fewer vote",
  }),
} as const;

function couldVote({ state, wish, labels }: NodeView): boolean {
  return state === "up" && (wish === "voter" || (wish === null && labels[learnerLabel] !== "true"));
}

/** The words of --timeout, where a verb changes who votes. */
export const timeoutOption = [
  "--timeout <duration>",
  "how long to wait until the leader has changed who votes (default 15s, with -o json, yaml and quiet 0)",
] as const;

/** How long this invocation waits for the change. Throws CliError for what is no duration. */
export function waitMsOf({ output }: Session, timeout: string | undefined): number {
  return durationFlag("--timeout", timeout) ?? (output.forMachines ? 0 : defaultWaitMs);
}

/**
 * Where members are, before a request that may take away the one that answers us: the context of a node knows that node alone. None where nobody says so, or for
 * machines, which do not wait.
 */
export async function membersOf({ client, output }: Session): Promise<readonly string[]> {
  if (output.forMachines) return [];
  try {
    return apisOf(await lookOnce(client, answerMs, new AbortController().signal));
  } catch {
    return []; // the request itself says what is wrong
  }
}

const apisOf = ({ nodes }: ClusterView): readonly string[] => nodes.map(({ api }) => api);

/**
 * After a request that changes who votes, on standard error: what the cluster bears. The request is done when it is in the log, and the leader changes
 * the configuration after that: what is told before it has would be wrong a moment later. So it is waited for, and when it does not come that is told.
 * `members` are asked when those that this session knows answer no more.
 */
export async function noteVoters(
  session: Session,
  goal: VotersGoal,
  waitMs: number,
  members: readonly string[] = [],
): Promise<void> {
  const { output } = session;
  let view: ClusterView;
  try {
    view = await session.interruptible((signal) => lookUntil(session, goal, waitMs, members, signal));
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof Unreachable || error instanceof NoLook)) throw error;
    output.note(`what the cluster bears now is not known: ${error.message}`, "dim");
    return;
  }
  const { voters, voters_outgoing } = view;
  const bears = clusterTolerance(view);
  if (isSettled(view, goal)) output.note(`the cluster has ${countText(voters.length)} now: it ${bears}`, "dim");
  else {
    const count = countText(voters_outgoing.length || voters.length);
    const isVain = goal.instead !== undefined && goal.isAwaited?.(view) === false && voters_outgoing.length === 0;
    const rest = isVain
      ? goal.instead
      : "the leader sees to the change when the others allow it, see `skein cluster status`";
    output.note(`the cluster has ${count} yet, and ${bears}: ${rest}`, "dim");
  }
}

/** No node told in time who votes. */
class NoLook extends Error {}

const countText = (voters: number): string => (voters === 1 ? "1 voter" : `${voters} voters`);

/** Not in the middle of a change, where those of before are needed too. */
const isSettled = (view: ClusterView, goal: VotersGoal): boolean =>
  view.voters_outgoing.length === 0 && goal.isReached(view);

/** How it is once the goal is reached, or the time is up. A terminal shows that it is waited for. */
async function lookUntil(
  { client, io, target }: Session,
  goal: VotersGoal,
  waitMs: number,
  members: readonly string[],
  signal: AbortSignal,
): Promise<ClusterView> {
  const beganAt = performance.now();
  let asked = client;
  let isDrawn = false;
  try {
    for (;;) {
      const restMs = Math.max(0, waitMs - (performance.now() - beganAt));
      let view: ClusterView;
      try {
        view = await lookOnce(asked, restMs + answerMs, signal);
      } catch (error) {
        const isGone = !(error instanceof ApiError) || error.code === "unavailable";
        if (signal.aborted || !isGone || asked !== client || members.length === 0) throw error;
        // Addresses that a member gave, so they may be shown the token that it was shown.
        asked = new CommandClient({ ...target, addrs: members });
        continue;
      }
      const waitedMs = performance.now() - beganAt;
      const isAwaited = view.voters_outgoing.length > 0 || (goal.isAwaited?.(view) ?? true);
      if (isSettled(view, goal) || !isAwaited || waitedMs >= waitMs) return view;
      if (io.stderr.isTty) {
        const count = countText(view.voters_outgoing.length || view.voters.length);
        io.stderr.write(`\r\u001b[K${count} yet, waiting for the leader, ${Math.floor(waitedMs / 1000)} s`);
        isDrawn = true;
      }
      await sleep(Math.min(lookMs, waitMs - waitedMs), signal);
    }
  } finally {
    if (isDrawn) io.stderr.write("\r\u001b[K");
  }
}

async function lookOnce(client: Session["client"], patienceMs: number, signal: AbortSignal): Promise<ClusterView> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new NoLook("no node answered in time")), patienceMs);
  try {
    return await client.cluster(AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
