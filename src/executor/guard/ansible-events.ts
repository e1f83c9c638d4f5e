import { percentOf } from "../../lib/percent.ts";
import { unreachableMark } from "../../lib/unreachable.ts";
import type { PlaybookRecap, Report } from "../../state/types.ts";
import { eventsOfLine } from "./ansible-lines.ts";
import { withoutBanners } from "./ssh-words.ts";

/** What the callback plugin tells (drivers/ansible-plugin.ts), and what follows from it for each host. */

/** Of a result; what the plugin found in it. */
export interface Said {
  readonly rc?: number;
  readonly msg?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  /** All of it, as JSON. */
  readonly dump?: string;
  readonly diff?: string;
}

interface OnHost {
  readonly host: string;
  /** Of ansible's task. */
  readonly name: string;
}

interface Result extends OnHost, Said {
  readonly changed: boolean;
}

export type AnsibleEvent =
  /** The plugin is there. */
  | { readonly event: "hello" }
  /** It could not be used, and ansible.posix.jsonl is tried instead. */
  | { readonly event: "instead" }
  /** A task has begun, by that: on which hosts is not told. */
  | { readonly event: "begun"; readonly name: string }
  | { readonly event: "open"; readonly ansible: string }
  | { readonly event: "play"; readonly name: string }
  /** A play is for none of the hosts. */
  | { readonly event: "none" }
  | ({ readonly event: "start" } & OnHost)
  | ({ readonly event: "ok" | "skipped" | "unreachable" } & Result)
  | ({
      readonly event: "failed";
      readonly ignored: boolean;
      /** A block around it has a rescue. */
      readonly rescuable: boolean;
      /** It was ended because the host's time was over. */
      readonly overdue?: boolean;
    } & Result)
  | ({ readonly event: "item"; readonly what: "ok" | "failed" | "skipped"; readonly label: string } & Result)
  /** What ansible's setup has found, by its own names without "ansible_": comes before its end. */
  | { readonly event: "facts"; readonly host: string; readonly said: Readonly<Record<string, unknown>> }
  | ({ readonly event: "retry"; readonly attempt: number; readonly retries: number } & OnHost)
  | {
      readonly event: "stats";
      readonly hosts: Readonly<Record<string, Recap>>;
      /** Hosts that did not fail and were not done either: the playbook was broken off. */
      readonly unfinished?: readonly string[];
    };

/** A host in ansible's own recap. */
export interface Recap {
  readonly ok: number;
  readonly changed: number;
  readonly unreachable: number;
  readonly failures: number;
  readonly skipped: number;
  readonly rescued: number;
  readonly ignored: number;
  /** How many tasks the playbook has for it, as far as that can be told before it is run; absent: nobody has told. */
  readonly tasks?: number;
}

/** Cuts what comes into lines and reads them; what is no event is passed over. A line is kept until it is whole, up to `most` bytes: of a longer one nothing is known. */
export class EventReader {
  readonly #most: number;
  #pending: Buffer[] = [];
  #bytes = 0;
  #skipping = false;

  constructor(most: number) {
    this.#most = most;
  }

  push(bytes: Uint8Array): AnsibleEvent[] {
    const events: AnsibleEvent[] = [];
    const all = Buffer.from(bytes);
    let from = 0;
    for (let end = all.indexOf(10); end >= 0; end = all.indexOf(10, from)) {
      this.#keep(all.subarray(from, end));
      from = end + 1;
      if (!this.#skipping) events.push(...readEvents(Buffer.concat(this.#pending).toString()));
      this.#pending = [];
      this.#bytes = 0;
      this.#skipping = false;
    }
    this.#keep(all.subarray(from));
    return events;
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#bytes += piece.length;
    if (this.#bytes > this.#most) this.#skipping = true;
    if (this.#skipping) this.#pending = [];
    else this.#pending.push(piece);
  }
}

function readEvents(line: string): AnsibleEvent[] {
  try {
    const read = JSON.parse(line) as AnsibleEvent | null;
    if (typeof read !== "object" || read === null) return [];
    return typeof read.event === "string" ? [read] : (eventsOfLine(read) ?? []);
  } catch {
    return [];
  }
}

/** How it went on a host. */
export type Verdict = Pick<Report, "state" | "exitCode" | "reason">;

/** What is known of one host. */
export class HostBook {
  /** Since when a task runs there, on monotonicMs(); undefined: none does. */
  runningSince: number | undefined;
  /** Its name. */
  running: string | undefined;
  /** Something was told of it. */
  isSeen = false;
  /** Its time was over, and what ran there was broken off. */
  isOverdue = false;
  /** What ended there last has failed, or it could not be reached: it goes on only if that is rescued. */
  isFailing = false;
  #failure: (Result & { readonly isFinal: boolean }) | undefined;
  #unreachable: Result | undefined;
  #recap: Recap | undefined;
  #isCutOff = false;
  /** The task that ended last. */
  #last: string | undefined;

  note(event: Extract<AnsibleEvent, OnHost>, now: number): void {
    this.isSeen = true;
    if (event.event === "start") {
      this.runningSince = now;
      this.running = event.name;
      return;
    }
    if (event.event === "item" || event.event === "retry") return;
    this.#last = event.name;
    this.isFailing = event.event === "unreachable" || (event.event === "failed" && !event.ignored);
    this.runningSince = undefined;
    if (event.event === "unreachable") this.#unreachable = event;
    else if (event.event === "failed") {
      if (event.overdue === true) this.isOverdue = true;
      if (!event.ignored) this.#failure = { ...event, isFinal: !event.rescuable };
    }
  }

  recap(recap: Recap | undefined, isCutOff = false): void {
    this.#recap = recap;
    this.#isCutOff = isCutOff;
  }

  /** The recap in words; undefined: there is none. */
  get recapWords(): string | undefined {
    const { numbers } = this;
    return this.#recap === undefined || numbers === undefined ? undefined : recapWords(this.#recap, numbers);
  }

  /** The recap in numbers; undefined: there is none. */
  get numbers(): PlaybookRecap | undefined {
    return this.#recap === undefined ? undefined : numbersOf(this.#recap, this.#isCutOff);
  }

  /** What ansible's own recap says of it; undefined: nothing. `limit`: in words. */
  recapped(limit: string): Verdict | undefined {
    const recap = this.#recap;
    if (this.#isCutOff) return cutOff(recap === undefined ? undefined : this.#last);
    if (recap === undefined) return undefined;
    if (recap.unreachable > 0) return unreachable(this.#unreachable);
    if (recap.failures > 0) return failed(this.#failure, this.isOverdue, limit);
    return succeeded;
  }

  /** What its events alone say, when nothing more of it can come: of a play that was broken off, what is certain. undefined: nothing is. */
  certain(limit: string): Verdict | undefined {
    if (this.#failure?.isFinal === true) return failed(this.#failure, this.isOverdue, limit);
    return this.#unreachable === undefined ? undefined : unreachable(this.#unreachable);
  }

  /** The end of the only task there is; undefined: it has not ended. */
  only(event: AnsibleEvent, limit: string): Verdict | undefined {
    if (event.event === "ok" || event.event === "skipped") return succeeded;
    if (event.event === "unreachable") return unreachable(event);
    return event.event === "failed" ? failed(event, this.isOverdue, limit) : undefined;
  }
}

const succeeded: Verdict = { state: "succeeded", exitCode: 0, reason: undefined };

/** Tasks that were the host's to do. Skipped ones were not. Where the host did not come to the end, what it never reached is counted, too. */
function numbersOf(recap: Recap, isCutOff: boolean): PlaybookRecap {
  const { ok, changed, unreachable, failures, skipped, rescued, ignored, tasks = 0 } = recap;
  const done = ok + failures + unreachable + rescued;
  const isThrough = failures === 0 && unreachable === 0 && !isCutOff;
  return {
    tasks: isThrough ? done : Math.max(done, tasks - skipped),
    ok: ok - ignored,
    failed: failures + unreachable + rescued + ignored,
    changed,
  };
}

/** As ansible writes it, and how many in a hundred of its tasks went well. */
function recapWords(recap: Recap, numbers: PlaybookRecap): string {
  const { ok, changed, unreachable, failures, skipped, rescued, ignored } = recap;
  const percent = percentOf(numbers);
  return `recap: ok=${ok} changed=${changed} unreachable=${unreachable} failed=${failures} skipped=${skipped} rescued=${rescued} ignored=${ignored} success=${percent}%`;
}

/** It did nothing wrong, and not all that it should have: nobody would look after it if it counted as done. Ansible's own list of hosts to retry has it, too. */
function cutOff(last: string | undefined): Verdict {
  const where = last === undefined ? "not begun" : `not finished (after "${last}")`;
  const reason = `${where}: the playbook was broken off because of other hosts (any_errors_fatal, max_fail_percentage, or a batch that failed)`;
  return { state: "failed", exitCode: null, reason };
}

function unreachable(result: Result | undefined): Verdict {
  const said = withoutBanners(result?.msg ?? "nothing was said");
  return { state: "failed", exitCode: null, reason: `${unreachableMark}${firstWords(said)}` };
}

function failed(result: Result | undefined, isOverdue: boolean, limit: string): Verdict {
  if (isOverdue) return { state: "timeout", exitCode: null, reason: `ran longer than its timeout of ${limit}` };
  const code = result?.rc === undefined ? "" : ` with code ${result.rc}`;
  const said = firstWords(result?.msg ?? result?.stderr ?? "");
  const what = result === undefined ? "failed" : `"${result.name}" failed${code}`;
  return { state: "failed", exitCode: result?.rc ?? null, reason: said === "" ? what : `${what}: ${said}` };
}

function firstWords(text: string): string {
  const words = text.trim().replace(/\s*\n\s*/g, "; ");
  return words.length > 500 ? `${words.slice(0, 499)}…` : words;
}
