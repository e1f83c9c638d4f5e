import { monotonicMs, timerMsMax, wallMs } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { formatDuration } from "../../lib/units.ts";
import { unreachableMark } from "../../lib/unreachable.ts";
import type { Report } from "../../state/types.ts";
import type { AttemptName } from "../types.ts";
import { Attempt, type AttemptContext, type RunningAttempt } from "./attempt.ts";
import { fetchFailed, type SshStart, type Start } from "./frames.ts";
import { killThere, localOf } from "./ssh-kill.ts";
import { RemoteMarks, type RemoteNews } from "./ssh-marks.ts";
import { tellingLine, unreached } from "./ssh-words.ts";

/**
 * An attempt of driver ssh: a process on this host, which is ssh, and a command on another one. The target keeps the limit itself (drivers/ssh-script.ts); what is
 * here sees to what the target cannot: a host that never answers, that freezes after it has, a connection that breaks. Nothing of the process
 * is left when `ended` resolves, and where the command may go on (it was cut off, and has not said that it ended) the target was asked to
 * end it, and the reason tells what it answered.
 *
 *   connectMs            from the start until the target has said what it is: ssh's own limit
 *   connectMs + login    from the start until the command begins; where files are given out before it, their time is that of a command
 *   limit + grace + late from the command's beginning until the connection is broken off
 */
export class SshAttempt implements RunningAttempt {
  readonly name: AttemptName;
  readonly startedAt: number;
  readonly pid: number | undefined;
  readonly ended: Promise<Report | undefined>;
  readonly #ssh: SshStart;
  readonly #start: Start;
  readonly #context: AttemptContext;
  readonly #inner: Attempt;
  readonly #marks: RemoteMarks;
  #watch: ReturnType<typeof setTimeout> | undefined;
  readonly #beginsMs: number;
  /** Why it was broken off here. */
  #brokenOff: "silent" | "overdue" | undefined;
  #ending: "timeout" | "cancelled" | "lost" | "dropped" | undefined;
  #startedSince: number | undefined;

  /** Starts it. Never throws: what goes wrong is its result. */
  constructor(start: Start, ssh: SshStart, context: AttemptContext) {
    this.#start = start;
    this.#ssh = ssh;
    this.#context = context;
    this.#marks = new RemoteMarks(ssh.word, wallMs, (what) =>
      what === "started" ? this.#onStarted() : this.#onExit(),
    );
    this.#inner = new Attempt(localOf(start, ssh, context), context, {
      filter: (stream) => this.#marks.filter(stream),
    });
    ({ name: this.name, startedAt: this.startedAt, pid: this.pid } = this.#inner);
    const beginsMs = beginsWithinMs(ssh, start.attempt);
    this.#beginsMs = beginsMs ?? 0;
    this.#watchFor("silent", beginsMs);
    this.ended = this.#inner.ended.then((report) => this.#judge(report));
  }

  stop(ending: "timeout" | "cancelled"): void {
    this.#ending ??= ending;
    this.#inner.stop(ending);
  }

  kill(ending: "lost" | "dropped"): void {
    if (this.#ending !== "dropped") this.#ending = ending;
    this.#inner.kill(ending);
  }

  /** The limit is the target's, and stands. */
  extend(): void {}

  #onStarted(): void {
    clearTimeout(this.#watch);
    this.#startedSince = monotonicMs();
    this.#watchFor("overdue", this.#overdueMs);
  }

  /** What it left in the background may hold its output open, and ssh waits for that for ever. What still comes shortly after is taken. */
  #onExit(): void {
    clearTimeout(this.#watch);
    // What is fetched has as much time as the command had.
    if (this.#ssh.isCopying === true) this.#watchFor("overdue", this.#overdueMs);
    else this.#watch = setTimeout(() => this.#inner.stop("timeout"), limits.pipeSilentMs);
  }

  /** undefined: it has no limit. */
  get #overdueMs(): number | undefined {
    const { limitMs } = this.#ssh;
    return limitMs === undefined ? undefined : limitMs + this.#start.graceMs + limits.sshLateMs;
  }

  #watchFor(why: "silent" | "overdue", ms: number | undefined): void {
    if (ms !== undefined) this.#watch = setTimeout(() => this.#breakOff(why), Math.min(ms, timerMsMax));
  }

  #breakOff(why: "silent" | "overdue"): void {
    this.#brokenOff = why;
    this.#inner.stop("timeout");
  }

  async #judge(report: Report | undefined): Promise<Report | undefined> {
    clearTimeout(this.#watch);
    const { news } = this.#marks;
    // What has not begun leaves nothing, and what has ended has been waited for on the target; what escaped its limit there has the marker still.
    const mayBeLeft = news.startedAt !== undefined && (news.exitCode === undefined || this.#isOverLimit());
    const left = mayBeLeft ? await killThere(this.#start, this.#ssh, this.#context) : undefined;
    if (report === undefined) return undefined;
    const verdict = await this.#verdict(report);
    const unlimited = news.isUnlimited
      ? "the target has neither timeout(1) nor perl: its limit was kept from here"
      : undefined;
    const words = [verdict.reason, earlierWords(news.killed), left, unlimited, this.#inner.truncation()].filter(
      (one) => one !== undefined,
    );
    const reason = words.join("; ").slice(0, limits.reasonLength);
    return { ...report, ...verdict, reason: reason === "" ? undefined : reason };
  }

  /** What became of the command, by what the target said of it. */
  async #verdict(report: Report): Promise<Verdict> {
    const { news } = this.#marks;
    const is = (state: Report["state"], reason?: string, exitCode: number | null = null): Verdict => ({
      state,
      exitCode,
      signal: null,
      reason,
    });
    if (this.#ending === "cancelled") return is("cancelled");
    if (this.#ending === "lost")
      return is("lost", "the lease of its node ended while it ran: the connection was broken off");
    const { startedAt, exitCode } = news;
    const limit = formatDuration(this.#ssh.limitMs ?? 0);
    if (startedAt === undefined && exitCode !== undefined) return is("failed", exitWords(exitCode), exitCode);
    if (startedAt === undefined) return is("failed", await this.#unreached(report));
    if (this.#brokenOff === "overdue" || (exitCode !== undefined && this.#isOverLimit()))
      return is("timeout", `ran longer than its timeout of ${limit}`);
    if (exitCode === undefined) return is("failed", `${unreachableMark}the connection broke while the command ran`);
    if (exitCode === 0 && report.exitCode === fetchFailed)
      return is("failed", "it succeeded, and a file could not be fetched: see the end of the output", 0);
    return is(exitCode === 0 ? "succeeded" : "failed", exitWords(exitCode), exitCode);
  }

  /** timeout(1) says 124, or 137 when it had to use KILL; so may the command itself, but hardly just then. */
  #isOverLimit(): boolean {
    const { limitMs } = this.#ssh;
    const { exitCode, ranSeconds } = this.#marks.news;
    if (limitMs === undefined || this.#startedSince === undefined) return false;
    if (exitCode !== 124 && exitCode !== 137) return false;
    // By our own clock only where there is no other: where much comes at once, its beginning is read late.
    return ranSeconds === undefined
      ? monotonicMs() - this.#startedSince >= limitMs
      : ranSeconds >= Math.ceil(limitMs / 1000);
  }

  async #unreached(report: Report): Promise<string> {
    const { before, killed } = this.#marks.news;
    if (killed !== undefined) return "did not begin: what an earlier attempt left on the target could not be ended";
    if (this.#brokenOff === "silent")
      return `${unreachableMark}no command began within ${formatDuration(this.#beginsMs)}${before.trim() === "" ? ", and the target said nothing" : `: ${tellingLine(before)}`}`;
    if (report.reason !== undefined && report.exitCode !== 255 && before.trim() === "") return report.reason;
    return await unreached(
      before.trim() === "" ? `ssh ended with code ${report.exitCode ?? "none"}` : before,
      this.#ssh,
    );
  }
}

type Verdict = Pick<Report, "state" | "exitCode" | "signal" | "reason">;

/**
 * How long the command may take to begin, counted from the start of the attempt; undefined: ssh's own limits alone hold, on the connection and on its silence. A first attempt has one exchange to make, a later
 * one ends what was left before it; files that are given out before the command take their time, as the command may.
 */
export function beginsWithinMs(
  { connectMs, isCopying, limitMs }: Pick<SshStart, "connectMs" | "isCopying" | "limitMs">,
  attempt: number,
): number | undefined {
  const answerMs = connectMs + limits.sshLoginMs + (attempt > 1 ? limits.sshKillMs : 0);
  if (isCopying !== true) return answerMs;
  return limitMs === undefined ? undefined : answerMs + limitMs;
}

/** What became of what earlier attempts had left on a target; undefined: there was nothing. */
export function earlierWords(killed: RemoteNews["killed"]): string | undefined {
  if (killed === undefined) return undefined;
  const { processes, left } = killed;
  if (left === undefined)
    return "what earlier attempts left there: not confirmed, the target does not show its processes";
  if (left > 0) return `what earlier attempts left there: not confirmed, ${left} processes go on`;
  return processes === 0 ? undefined : `what earlier attempts left there: killed, ${processes} processes`;
}

function exitWords(exitCode: number): string | undefined {
  if (exitCode === 127) return "the shell found no such command: see the end of the output";
  if (exitCode === 126) return "it could not be executed, or its directory is not there: see the end of the output";
  return undefined;
}
