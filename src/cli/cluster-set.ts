import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { formatDuration, parseDuration } from "../lib/units.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { toleranceText } from "./tolerance.ts";
import { noteVoters, timeoutOption, waitMsOf } from "./voters-note.ts";

const names = ["voters", "heartbeat", "election-timeout"] as const;
type Name = (typeof names)[number];

interface Settings {
  readonly voters?: number;
  readonly heartbeatMs?: number;
  readonly electionTimeoutMs?: number;
}

/** `skein cluster set NAME=VALUE...` */
export function addSet(cluster: Command, cli: Cli): void {
  const set = cluster
    .command("set")
    .description(
      "settings of the cluster: voters=N, how many nodes vote (an even number counts as the odd one below it); heartbeat=50ms, election-timeout=600ms (at least 8 heartbeats), for members that are far apart",
    )
    .argument("<settings...>", "voters=5 heartbeat=100ms election-timeout=1s")
    .option(...timeoutOption);
  cli.verb<{ readonly timeout?: string }, [string[]]>(set, async (session, { timeout }, texts) => {
    const settings = settingsOf(texts);
    const waitMs = waitMsOf(session, timeout);
    // First what can be refused.
    const isTimed = settings.heartbeatMs !== undefined || settings.electionTimeoutMs !== undefined;
    const timing = isTimed ? await setTiming(session, settings) : undefined;
    const voters = settings.voters === undefined ? undefined : await setVoters(session, settings.voters);
    const effect =
      voters === undefined || voters.in_effect === voters.voters
        ? ""
        : `, ${voters.in_effect} in effect: an even number bears no more than the odd one below it`;
    session.output.result({
      value: { ...voters, ...timing },
      ids: voters === undefined ? [] : [voters.voters],
      table: (out) => {
        if (voters !== undefined) out.line(`voters: ${voters.voters}${effect}`);
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
  const voters = given.get("voters");
  if (voters !== undefined && !(/^[1-9]\d{0,8}$/.test(voters) && Number(voters) <= limits.votersWanted))
    throw new CliError(exit.usage, `voters "${voters}" is not a whole number from 1 to ${limits.votersWanted}`);
  return {
    ...(voters !== undefined && { voters: Number(voters) }),
    ...(given.has("heartbeat") && { heartbeatMs: durationOf("heartbeat", given) }),
    ...(given.has("election-timeout") && { electionTimeoutMs: durationOf("election-timeout", given) }),
  };
}

function durationOf(name: Name, given: ReadonlyMap<Name, string>): number {
  const text = given.get(name) ?? "";
  const durationMs = parseDuration(text);
  if (durationMs === undefined)
    throw new CliError(exit.usage, `${name} "${text}" is not a duration: write 100ms or 1s`);
  return durationMs;
}
