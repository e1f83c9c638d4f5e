import { join } from "node:path";
import { monotonicMs, wallMs } from "../../lib/clock.ts";
import { type Facts, factsOfAnsible } from "../../lib/facts.ts";
import { limits } from "../../lib/limits.ts";
import { formatDuration } from "../../lib/units.ts";
import { isUnreachable } from "../../lib/unreachable.ts";
import type { PlaybookRecap, Report } from "../../state/types.ts";
import { attemptKey, nameOf } from "../names.ts";
import type { LogStream } from "../pack-record.ts";
import { redactText } from "../redact.ts";
import type { LogSink } from "../stream.ts";
import { Tail } from "../tail.ts";
import type { AttemptName } from "../types.ts";
import { type AnsibleEvent, EventReader, HostBook, type Verdict } from "./ansible-events.ts";
import { wordsOf } from "./ansible-words.ts";
import { Attempt, type AttemptContext, type RunningAttempt, truncationWords } from "./attempt.ts";
import type { AnsibleMember, AnsibleStart, SshStart, Start } from "./frames.ts";
import type { Child } from "./spawn.ts";
import { earlierWords } from "./ssh-attempt.ts";
import { killThere } from "./ssh-kill.ts";
import { RemoteMarks } from "./ssh-marks.ts";
import { unreachedByAnsible } from "./ssh-words.ts";

/** Why the guard ends the process, whatever is left to do: for the first reason that there is. */
type GroupEnding = "cancelled" | "lost" | "dropped" | "overdue" | "silent";

/**
 * One process of ansible for several attempts, each about a host. They begin together and end one by one, as the process tells of their hosts: its exit code is nobody's verdict.
 * Of a module that runs alone a host is done when its task is; of a playbook when ansible's recap is there, since until then a rescue, a handler or another play may
 * follow. Whatever ends the process early, the hosts of which the end is known keep it, and the others are lost: to be tried alone, each by itself.
 *
 * The last attempt ends when nothing of the process is left (J3), so that a guard with a process always has an attempt. What belongs to one cannot be ended alone:
 *
 *   cancelled     the attempt is; its host's part of the process is ended with those of the others, when all that are left are cancelled
 *   not wanted    (lost, dropped) the process is killed at once: somebody else may have the host already
 */
export class AnsibleGroup {
  readonly members: readonly RunningAttempt[];
  /** Head and number of its process group; undefined: it could not be started. */
  readonly pid: number | undefined;
  /** Nothing of the process is left. */
  readonly over: Promise<void>;
  readonly #start: Start;
  readonly #ansible: AnsibleStart;
  readonly #context: AttemptContext;
  readonly #inner: Attempt;
  readonly #events = new EventReader(eventBytesMost);
  readonly #members: readonly Member[];
  readonly #byHost: ReadonlyMap<string, Member>;
  readonly #since = monotonicMs();
  readonly #watch: ReturnType<typeof setInterval>;
  /** What became of what earlier attempts left. */
  readonly #marks: RemoteMarks | undefined;
  #eventsEnded: Promise<void> = Promise.resolve();
  #isOpen = false;
  /** Told by ansible.posix.jsonl, since our plugin could not be used. */
  #isByLines = false;
  /** The playbook came to its recap. */
  #isRecapped = false;
  #ending: GroupEnding | undefined;
  #undecided: number;

  /** Starts it. Never throws: what goes wrong is the result of all. */
  constructor(start: Start, ansible: AnsibleStart, context: AttemptContext) {
    this.#start = start;
    this.#ansible = ansible;
    this.#context = context;
    this.#members = ansible.members.map((member) => new Member(member, start, context, this));
    this.#byHost = new Map(this.#members.map((member) => [member.host, member]));
    this.#undecided = this.#members.length;
    const marks = (this.#marks = ansible.word === undefined ? undefined : new RemoteMarks(ansible.word, wallMs));
    const { timeoutMs: _, ...rest } = start;
    const agent = context.inherited["SSH_AUTH_SOCK"];
    const env = agent === undefined ? start.env : { SSH_AUTH_SOCK: agent, ...start.env };
    this.#inner = new Attempt(
      { ...rest, run: ansible.argv, env, tailBytes: limits.tailMaxBytes },
      { ...context, packs: nowhere },
      {
        onChild: (child) => this.#listen(child),
        ...(marks === undefined ? {} : { filter: (stream) => marks.filter(stream) }),
      },
    );
    this.pid = this.#inner.pid;
    for (const member of this.#members) member.pid = this.pid;
    this.members = this.#members;
    this.#watch = setInterval(() => this.#look(), limits.ansibleWatchMs);
    this.over = this.#inner.ended.then((report) => this.#onOver(report));
  }

  /** See the class. */
  stop(member: Member): void {
    if (member.isDecided) return;
    member.ending ??= "cancelled";
    if (this.#members.every((one) => one.isDecided || one.ending === "cancelled")) this.#end("cancelled");
  }

  /** See the class. */
  kill(member: Member, ending: "lost" | "dropped"): void {
    if (member.ending !== "dropped" && (!member.isDecided || ending === "dropped")) member.ending = ending;
    this.#ending ??= ending;
    this.#inner.kill("lost");
  }

  #end(why: Exclude<GroupEnding, "lost" | "dropped">): void {
    if (this.#ending !== undefined) return;
    this.#ending = why;
    this.#inner.stop("cancelled");
  }

  /** What ansible itself does not end: its tasks have the limit, and what it takes beyond that is not theirs. */
  #look(): void {
    const now = monotonicMs();
    if (!this.#isOpen && now - this.#since > limits.ansibleStartMs) this.#end("silent");
    const { limitMs } = this.#ansible;
    if (limitMs === undefined) return;
    const before = now - limitMs - this.#start.graceMs - limits.sshLateMs;
    const overdue = this.#members.filter(({ isDecided, book }) => !isDecided && (book.runningSince ?? now) < before);
    for (const { book } of overdue) book.isOverdue = true;
    if (overdue.length > 0) this.#end("overdue");
  }

  #listen(child: Child): void {
    const fd = child.stdio[3];
    if (typeof fd !== "number") return;
    this.#eventsEnded = new Promise((resolve) => {
      const socket = {
        data: (_: unknown, bytes: Uint8Array) => this.#onBytes(bytes),
        end: () => resolve(),
        close: () => resolve(),
        error: () => resolve(),
      };
      // The runtime takes a descriptor, which its types do not say.
      const connecting = Bun.connect({ fd, socket } as unknown as Bun.UnixSocketOptions);
      connecting.catch(() => resolve());
    });
  }

  #onBytes(bytes: Uint8Array): void {
    for (const event of this.#events.push(bytes)) this.#onEvent(event);
  }

  #onEvent(event: AnsibleEvent): void {
    if (event.event === "open") this.#isOpen = true;
    else if (event.event === "instead") this.#isByLines = true;
    else if (event.event === "begun") this.#onBegun(event.name);
    else if (event.event === "stats") {
      const unfinished = new Set(event.unfinished);
      this.#isRecapped = true;
      for (const member of this.#members) {
        const { host, book, isDecided } = member;
        book.recap(event.hosts[host], unfinished.has(host));
        const words = book.recapWords;
        // The last line of its log, which is read again (state/success.ts).
        if (words !== undefined && !isDecided && !this.#ansible.isAdHoc) member.write("stdout", `${words}\n`);
      }
    } else if (event.event === "facts") {
      const member = this.#byHost.get(event.host);
      if (member !== undefined) member.facts = factsOfAnsible(event.said) ?? member.facts;
    } else if ("host" in event) {
      const member = this.#byHost.get(event.host);
      if (member === undefined || member.isDecided) return; // a host that the playbook brought in
      if (this.#isByLines && event.event === "failed" && this.#isOfLimit(event.msg)) member.book.isOverdue = true;
      member.book.note(event, monotonicMs());
      for (const { stream, text } of wordsOf(event, this.#ansible.isAdHoc)) member.write(stream, this.#named(text));
      const verdict = this.#ansible.isAdHoc ? member.book.only(event, this.#limitWords) : undefined;
      if (verdict !== undefined) this.#decide(member, verdict);
    }
  }

  /** Ansible's words about a task that took longer than it might, with how long that was. */
  #isOfLimit(msg: string | undefined): boolean {
    const { limitMs } = this.#ansible;
    return limitMs !== undefined && msg?.includes(`time frame (${Math.ceil(limitMs / 1000)})`) === true;
  }

  /** Of all that may be at it: who has ended the one before, or waits for a fork, has its time counted with the others. */
  #onBegun(name: string): void {
    for (const { book, host, isDecided } of this.#members)
      if (!isDecided && !book.isFailing) book.note({ event: "start", host, name }, monotonicMs());
  }

  /** What becomes of it is known. What runs on its host may have to be ended still, and the last one stays as long as the process does. */
  #decide(member: Member, verdict: Verdict): void {
    if (member.isDecided) return;
    member.isDecided = true;
    this.#undecided -= 1;
    const isLast = this.#undecided === 0;
    const left = this.#isLeftOf(member) ? this.#killAt(member) : undefined;
    const finishedAt = wallMs();
    void Promise.all([explained(verdict, member.ssh), left, isLast ? this.over : undefined]).then(([why, killed]) =>
      member.finish(
        this.#forPeople(why),
        finishedAt,
        [earlierWords(this.#marks?.news.killed), killed, this.#isByLines && this.#isOpen ? byLinesWords : undefined],
        this.#ansible.isAdHoc ? undefined : member.book.numbers,
      ),
    );
  }

  async #killAt({ start, ssh }: Member): Promise<string> {
    try {
      return await killThere(start, ssh!, this.#context);
    } catch (error) {
      return `not confirmed: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Something was begun on its host and has not ended, as far as is known, and there is a way to look. */
  #isLeftOf({ book, ssh }: Member): boolean {
    return ssh !== undefined && !this.#isByLines && (book.runningSince !== undefined || book.isOverdue);
  }

  async #onOver(report: Report | undefined): Promise<void> {
    clearInterval(this.#watch);
    // The process is gone with all that it started: the end of its events is there, or on its way.
    await Promise.race([this.#eventsEnded, Bun.sleep(limits.pipeSilentMs)]);
    const open = this.#members.filter(({ isDecided }) => !isDecided);
    const said = report === undefined ? "" : this.#named(new TextDecoder().decode(report.tail));
    for (const member of open) {
      const verdict = this.#endOf(member, report, said);
      if (verdict.state !== "succeeded" && !member.book.isSeen && said !== "") member.write("stderr", said);
      // Not before this has resolved: the last one waits for it.
      queueMicrotask(() => this.#decide(member, verdict));
    }
  }

  /** Files of the process by their names: it lies in a directory that nobody knows and that goes with it. */
  #named(text: string): string {
    const { dir } = this.#start;
    return text.replaceAll(`${dir ?? join(this.#context.places.scratch, attemptKey(this.#start))}/`, "");
  }

  /** What a reason tells nobody who sent a playbook by itself. */
  #forPeople(verdict: Verdict): Verdict {
    const { reason } = verdict;
    if (reason === undefined) return verdict;
    const isAlone = !this.#ansible.isAdHoc && this.#ansible.files.some(({ name }) => name === alonePlaybook);
    const advice = isAlone && verdict.state === "failed" && missesFile.test(reason) ? aloneWords : "";
    return { ...verdict, reason: `${this.#named(reason)}${advice}` };
  }

  get #limitWords(): string {
    return formatDuration(this.#ansible.limitMs ?? 0);
  }

  /** What becomes of a host of which the process has told no end. */
  #endOf({ book, ending, host }: Member, report: Report | undefined, said: string): Verdict {
    const is = (state: Verdict["state"], reason: string | undefined): Verdict => ({ state, exitCode: null, reason });
    const known =
      book.recapped(this.#limitWords) ?? (this.#ansible.isAdHoc ? undefined : book.certain(this.#limitWords));
    if (known !== undefined) return known;
    if (ending === "cancelled") return is("cancelled", undefined);
    const running = book.running === undefined || book.runningSince === undefined ? "" : ` (at "${book.running}")`;
    switch (this.#ending) {
      case "lost":
        return is("lost", `the lease of its node ended while it ran: ansible was ended${running}`);
      case "dropped":
        return is("lost", `ansible was ended, since one of the hosts that it ran for is another node's now${running}`);
      case "overdue":
        return book.isOverdue
          ? is("timeout", `ran longer than its timeout of ${this.#limitWords}${running}`)
          : is("lost", `ansible was ended because of another host, which held it up past its timeout${running}`);
      case "silent":
        return is(
          "failed",
          `ansible did not begin within ${formatDuration(limits.ansibleStartMs)}: ${lastError(said)}`,
        );
      default:
        break;
    }
    if (report === undefined || report.signal !== null)
      return is("lost", `ansible was ended by ${report?.signal ?? "somebody"}${running}`);
    if (said.includes("found in a dead state"))
      return is("lost", `ansible lost one of its own processes, and with it the whole run${running}`);
    if (report.exitCode === null || report.exitCode === 127) return is("failed", report.reason);
    // Other hosts' failures make the code another one than 0.
    if (this.#isRecapped)
      return is("failed", `nothing was done on this host: ${this.#isByLines ? unknownWords : noPlayFor(host)}`);
    if (this.#isByLines && !this.#isOpen && said.includes("ansible.posix.jsonl"))
      return is(
        "failed",
        `ansible cannot tell what it does here: it took neither the plugin of skein (${firstError(said)}) nor ansible.posix.jsonl, which is of the collection ansible.posix: install that ('ansible-galaxy collection install ansible.posix', or Debian's package ansible)`,
      );
    return is("failed", `ansible failed with code ${report.exitCode}: ${lastError(said)}`);
  }
}

/** One attempt of a group. */
class Member implements RunningAttempt {
  readonly name: AttemptName;
  readonly host: string;
  /** Of what is started for it alone, to end what is left on its host. Under a name of its own: what has the name of an attempt ends with that, and this one may end before the process. */
  readonly start: Start;
  readonly ssh: SshStart | undefined;
  readonly startedAt = wallMs();
  readonly ended: Promise<Report | undefined>;
  readonly book = new HostBook();
  pid: number | undefined;
  ending: "cancelled" | "lost" | "dropped" | undefined;
  isDecided = false;
  /** What ansible has found its host to be. */
  facts: Facts | undefined;
  readonly #group: AnsibleGroup;
  readonly #log: LogSink;
  readonly #tail: Tail;
  #resolve: (report: Report | undefined) => void = () => {};

  constructor(member: AnsibleMember, start: Start, context: AttemptContext, group: AnsibleGroup) {
    this.name = nameOf(member);
    this.host = member.host;
    this.ssh = member.ssh;
    const { ansible: _group, ...rest } = start;
    this.start = { ...rest, ...this.name, attempt: -this.name.attempt };
    this.#group = group;
    this.#log = context.packs.open(this.name, start.keepBytes);
    this.#tail = new Tail(start.tailBytes);
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  stop(): void {
    this.#group.stop(this);
  }

  kill(ending: "lost" | "dropped"): void {
    this.#group.kill(this, ending);
  }

  /** The limit was given to ansible, and stands. */
  extend(): void {}

  write(stream: LogStream, text: string): void {
    const bytes = Buffer.from(redactText(this.start.redact, text));
    this.#log.write(stream, wallMs(), bytes);
    this.#tail.push(bytes);
  }

  /** `left`: what became of what was left on its host. `recap`: of a playbook. */
  finish(
    verdict: Verdict,
    finishedAt: number,
    left: readonly (string | undefined)[],
    recap: PlaybookRecap | undefined,
  ): void {
    const log = this.#log.close();
    if (this.ending === "dropped") return this.#resolve(undefined);
    const words = [verdict.reason, ...left, truncationWords(this.#log, this.start.keepBytes)].filter(
      (one) => one !== undefined,
    );
    const reason = redactText(this.start.redact, words.join("; ")).slice(0, limits.reasonLength);
    return this.#resolve({
      ...this.name,
      ...verdict,
      signal: null,
      startedAt: this.startedAt,
      finishedAt,
      tail: this.#tail.bytes(),
      reason: reason === "" ? undefined : reason,
      log,
      ...(recap === undefined ? {} : { recap }),
      ...(this.facts === undefined ? {} : { facts: this.facts }),
    });
  }
}

/** Of a host that was not reached: what ssh said, and whether it is this node's fault. */
async function explained(verdict: Verdict, ssh: SshStart | undefined): Promise<Verdict> {
  const { reason } = verdict;
  if (ssh === undefined || reason === undefined || !isUnreachable(verdict)) return verdict;
  return { ...verdict, reason: await unreachedByAnsible(reason, ssh) };
}

/** As drivers/ansible.ts calls a playbook that was given as text, and lies in no tree. */
const alonePlaybook = "playbook.yml";

/** Ansible's words for roles, files of variables, tasks and playbooks, and sources of copies. */
const missesFile =
  /could not find or access|unable to retrieve file contents|role '[^']*' was not found|vars file .* was not found/i;

const aloneWords =
  " (only the playbook itself was sent: push its directory with `skein bundle push DIR`, and name it with --bundle)";

/** Said with every result: what a person would wonder about later. */
const byLinesWords =
  "told by ansible.posix.jsonl, since ansible did not take the plugin of skein: the limit was each task's, and what was left on the host cannot be found";

const noPlayFor = (host: string): string => `no play is for ${host} (see hosts: in the playbook)`;

/** Its recap has no host on which no task ended, and its plays have no hosts: as succeeded nobody would look after a playbook that is for others. */
const unknownWords =
  "either no play is for it (see hosts: in the playbook) or none had anything to do there (run_once, tags), which is not known";

/** What ansible says is wrong, without what it says before. */
function lastError(said: string): string {
  const at = said.lastIndexOf("ERROR");
  const text = (at < 0 ? said : said.slice(said.lastIndexOf("\n", at) + 1)).trim();
  return text === "" ? "it said nothing" : text.replace(/\s*\n\s*/g, "; ").slice(0, 1000);
}

/** Of two tries the former one's. */
function firstError(said: string): string {
  const [line = ""] = said.slice(Math.max(0, said.indexOf("ERROR"))).split("\n");
  return line.slice(0, 300);
}

/** What the process itself prints goes to the logs of those that nothing else is known of. */
const nowhere: AttemptContext["packs"] = {
  open: () => ({ write: () => {}, close: () => undefined, dropped: 0, fault: undefined }),
};

/** Of one event: longer ones the plugin cuts short. */
const eventBytesMost = 64 * 1024 * 1024;
