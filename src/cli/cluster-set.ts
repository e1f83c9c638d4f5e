import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { type Placement, placements } from "../lib/placement.ts";
import { formatDuration, parseDuration } from "../lib/units.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { toleranceText } from "./tolerance.ts";
import { noteVoters, timeoutOption, waitMsOf } from "./voters-note.ts";

const names = ["voters", "heartbeat", "election-timeout", "unfinished-jobs", "finished-jobs", "placement"] as const;
type Name = (typeof names)[number];

interface Settings {
  readonly voters?: number;
  readonly heartbeatMs?: number;
  readonly electionTimeoutMs?: number;
  readonly unfinishedJobs?: number;
  readonly finishedJobs?: number;
  readonly placement?: Placement;
}

/** `skein cluster set NAME=VALUE...` */
export function addSet(cluster: Command, cli: Cli): void {
  const set = cluster
    .command("set")
    .description(
      "settings of the cluster: voters=N, how many nodes vote (an even number counts as the odd one below it); heartbeat=50ms, election-timeout=600ms (at least 8 heartbeats), for members that are far apart; unfinished-jobs=N, how many are taken, and finished-jobs=N, how many are kept; placement=spread|pack, whether a task goes to the emptiest or the fullest of the nodes with room",
    )
    .argument("<settings...>", "voters=5 heartbeat=100ms election-timeout=1s")
    .option(...timeoutOption);
  cli.verb<{ readonly timeout?: string }, [string[]]>(set, async (session, { timeout }, texts) => {
    const settings = settingsOf(texts);
    const waitMs = waitMsOf(session, timeout);
    // First what can be refused.
    const isTimed = settings.heartbeatMs !== undefined || settings.electionTimeoutMs !== undefined;
    const timing = isTimed ? await setTiming(session, settings) : undefined;
    const bounds = await setBounds(session, settings);
    const { placement } = settings;
    if (placement !== undefined) await session.client.call("cluster.placement", { placement }, { idempotent: true });
    const voters = settings.voters === undefined ? undefined : await setVoters(session, settings.voters);
    const effect =
      voters === undefined || voters.in_effect === voters.voters
        ? ""
        : `, ${voters.in_effect} in effect: an even number bears no more than the odd one below it`;
    session.output.result({
      value: { ...voters, ...timing, ...bounds, ...(placement !== undefined && { placement }) },
      ids: voters === undefined ? [] : [voters.voters],
      table: (out) => {
        if (voters !== undefined) out.line(`voters: ${voters.voters}${effect}`);
        if (bounds !== undefined)
          out.line(
            `jobs: ${bounds.unfinished_jobs} unfinished ones are taken, ${bounds.finished_jobs} finished ones kept`,
          );
        if (placement !== undefined) out.line(`placement: ${placement}`);
        if (timing === undefined) return;
        out.line(`heartbeat: ${formatDuration(timing.heartbeat_ms)}`);
        out.line(`election timeout: ${formatDuration(timing.election_timeout_ms)}`);
      },
    });
    if (voters !== undefined) {
      session.output.note(
        `${voters.in_effect === 1 ? "1 voter" : `${voters.in_effect} voters`}, once there are as many: the cluster ${toleranceText(voters.in_effect)}`,
        "dim",
      );
      const { in_effect } = voters;
      await noteVoters(
        session,
        {
          isReached: (view) => view.voters.length === in_effect,
          // Too many become fewer at once; for more there must be members that can vote.
          isAwaited: (view) => view.voters.length > in_effect,
        },
        waitMs,
      );
    }
    return exit.done;
  });
}

function setVoters(session: Session, voters: number) {
  return session.client.call("cluster.set", { voters }, { idempotent: true });
}

/** What is not given stays as it is. */
async function setTiming(session: Session, { heartbeatMs, electionTimeoutMs }: Settings) {
  const present = await session.client.cluster();
  const timing = {
    heartbeat_ms: heartbeatMs ?? present.heartbeat_ms,
    election_timeout_ms: electionTimeoutMs ?? present.election_timeout_ms,
  };
  return session.client.call("cluster.timing", timing, { idempotent: true });
}

/** What is not given stays as it is; undefined: neither is. */
async function setBounds(session: Session, { unfinishedJobs, finishedJobs }: Settings) {
  if (unfinishedJobs === undefined && finishedJobs === undefined) return undefined;
  const bounds = {
    ...(unfinishedJobs === undefined ? {} : { unfinished_jobs: unfinishedJobs }),
    ...(finishedJobs === undefined ? {} : { finished_jobs: finishedJobs }),
  };
  return session.client.call("cluster.bounds", bounds, { idempotent: true });
}

function settingsOf(texts: readonly string[]): Settings {
  const given = new Map<Name, string>();
  for (const text of texts) {
    const at = text.indexOf("=");
    if (at < 0) throw new CliError(exit.usage, `"${text}" is not of the form name=value`);
    const name = names.find((one) => one === text.slice(0, at));
    if (name === undefined)
      throw new CliError(exit.usage, `there is no setting "${text.slice(0, at)}": ${names.join(", ")}`);
    if (given.has(name)) throw new CliError(exit.usage, `${name} is given twice`);
    given.set(name, text.slice(at + 1));
  }
  return {
    ...(given.has("placement") && { placement: placementOf(given.get("placement") ?? "") }),
    ...(given.has("voters") && { voters: numberOf("voters", given, 1, limits.votersWanted) }),
    ...(given.has("unfinished-jobs") && {
      unfinishedJobs: numberOf("unfinished-jobs", given, 1, limits.unfinishedJobs),
    }),
    ...(given.has("finished-jobs") && {
      finishedJobs: numberOf("finished-jobs", given, limits.finishedJobsMin, limits.finishedJobs),
    }),
    ...(given.has("heartbeat") && { heartbeatMs: durationOf("heartbeat", given) }),
    ...(given.has("election-timeout") && { electionTimeoutMs: durationOf("election-timeout", given) }),
  };
}

function numberOf(name: Name, given: ReadonlyMap<Name, string>, low: number, high: number): number {
  const text = given.get(name) ?? "";
  const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (value >= low && value <= high) return value;
  throw new CliError(exit.usage, `${name} "${text}" is not a whole number from ${low} to ${high}`);
}

function placementOf(text: string): Placement {
  const placement = placements.find((one) => one === text);
  if (placement === undefined)
    throw new CliError(exit.usage, `placement "${text}" is not one of ${placements.join(", ")}`);
  return placement;
}

function durationOf(name: Name, given: ReadonlyMap<Name, string>): number {
  const text = given.get(name) ?? "";
  const durationMs = parseDuration(text);
  if (durationMs === undefined)
    throw new CliError(exit.usage, `${name} "${text}" is not a duration: write 100ms or 1s`);
  return durationMs;
}
