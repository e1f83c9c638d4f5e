import { basename } from "node:path";
import { nameInComment } from "./cron-crontab-comment.ts";
import { type CrontabForm, formOf } from "./cron-import-crontab-form.ts";
import { readEntry, readSetting, splitInput, splitOptions, splitUser } from "./cron-import-crontab-lines.ts";
import { Settings } from "./cron-import-crontab-settings.ts";
import { timingOfCrontab } from "./cron-import-expression.ts";
import { nameOfCommand } from "./cron-import-names.ts";
import { nameLines, type UnnamedLine } from "./cron-import-naming.ts";
import {
  Gathering,
  type ImportedSchedule,
  type ImportOptions,
  type ImportRead,
  type WrittenSchedule,
} from "./cron-import-types.ts";

/** What is said about a crontab besides. */
export interface CrontabOptions extends ImportOptions {
  /** The sixth field is a user; undefined: by the file's name, else guessed. */
  readonly system?: boolean | undefined;
}

/** Reads a crontab of cron, cronie or OpenBSD, of a user or of the system. */
export function readCrontab(text: string, options: CrontabOptions): ImportRead {
  return new Crontab(text, options).read();
}

interface Line {
  /** "FILE:LINE" */
  readonly where: string;
  readonly text: string;
}

/** Comments above an entry, for its description. */
const descriptionLength = 200;
/** A line of names for the fields, or of the drawing that Debian puts there. */
const legend = /^(?:m(?:in(?:ute)?)?\s+h(?:our)?\b|[|.*]|\*\s)/i;
const ruler = /^[\s#=*_~+-]*$/;
const entryLike = /^(?:[\d*][\d*/,~-]*\s+){2}/;

class Crontab {
  readonly #options: CrontabOptions;
  readonly #lines: readonly Line[];
  readonly #found = new Gathering();
  readonly #unnamed = new Map<ImportedSchedule, UnnamedLine>();
  readonly #settings = new Settings(this.#found);
  readonly #form: CrontabForm;
  #comments: string[] = [];
  /** Of a comment as an export writes it. */
  #said: string | undefined;
  /** The line before ended with a backslash. */
  #isBroken = false;

  constructor(text: string, options: CrontabOptions) {
    const { file, system } = options;
    const lines = text.split("\n").map((line) => line.trim());
    this.#options = options;
    this.#lines = lines.map((line, at) => ({ where: `${file}:${at + 1}`, text: line }));
    this.#form = formOf(lines, file, system, this.#found);
    const last = this.#lines.at(-1)!;
    if (last.text !== "" && !last.text.startsWith("#"))
      this.#found.note(
        last.where,
        "has no newline at its end, for which cron leaves such a line out: it is taken here",
      );
  }

  read(): ImportRead {
    if (basename(this.#options.file) === "anacrontab") {
      this.#found.problem(
        this.#options.file,
        "is of anacron, whose lines begin with days and minutes: write its jobs with `every` and `jitter`",
      );
      return this.#found;
    }
    for (const line of this.#lines) this.#line(line);
    const { schedules } = this.#found;
    for (const [at, one] of nameLines(schedules.map((one) => this.#unnamed.get(one)!)).entries()) schedules[at] = one;
    if (this.#found.schedules.length > 0) this.#remarks();
    return this.#found;
  }

  #line({ where, text }: Line): void {
    if (text === "") this.#forgetComments();
    else if (text.startsWith("#")) this.#comment(text.replace(/^#+\s*/, ""));
    else {
      const setting = readSetting(text);
      if (setting === undefined) this.#found.one(() => this.#entry(where, text));
      else if (typeof setting === "string") this.#found.problem(where, setting);
      else this.#settings.set(where, setting);
      this.#forgetComments();
    }
    this.#isBroken = text.endsWith("\\");
  }

  #forgetComments(): void {
    this.#comments = [];
    this.#said = undefined;
  }

  #comment(text: string): void {
    const said = nameInComment(text);
    if (said !== undefined) this.#said = said;
    else if (legend.test(text) || entryLike.test(text)) this.#comments = [];
    else if (!ruler.test(text)) this.#comments.push(text.trim());
  }

  #entry(where: string, text: string): ImportedSchedule | undefined {
    const found = this.#found;
    const { prefix = "", overlap, missed, tz, on } = this.#options;
    const entry = readEntry(text);
    if (typeof entry === "string") {
      const why = this.#isBroken ? "; the line before ends with a backslash, behind which cron reads no line on" : "";
      found.problem(where, `${entry}${why}`);
      return undefined;
    }
    const timing = timingOfCrontab(entry.time);
    if ("problem" in timing) found.problem(where, timing.problem);
    else for (const note of timing.notes) found.note(where, note);
    const split = this.#split(where, entry.rest);
    if (split === undefined || "problem" in timing) return undefined;
    const { options, command: whole } = splitOptions(split.command);
    const { command, stdin } = splitInput(whole);
    if (command.trim() === "") found.problem(where, "the command is empty: what stands behind % is its standard input");
    const zone = this.#settings.zone() ?? tz;
    const jitter = this.#settings.jitter();
    const spec: WrittenSchedule = {
      name: `${prefix}${this.#said ?? nameOfCommand(command)}`,
      ...(this.#comments.length > 0 ? { description: shortened(this.#comments.join(" ")) } : {}),
      ...timing.timing,
      ...(zone === undefined ? {} : { tz: zone }),
      ...(jitter === undefined ? {} : { jitter }),
      overlap: overlap ?? (options.includes("s") ? "skip" : "allow"),
      missed: missed ?? "skip",
      job: {
        ...this.#settings.run(command),
        ...(stdin === undefined || stdin === "" ? {} : { stdin }),
        ...(split.user === undefined ? {} : { user: split.user }),
        ...(on === undefined ? {} : { on }),
      },
    };
    const imported = { spec, where };
    this.#unnamed.set(imported, { imported, name: spec.name, isSaid: this.#said !== undefined });
    return imported;
  }

  /** Who runs what. */
  #split(where: string, rest: string): { readonly user: string | undefined; readonly command: string } | undefined {
    if (!this.#form.isSystem) return { user: this.#form.owner, command: rest };
    const split = splitUser(rest);
    if (split === undefined) {
      this.#found.problem(
        where,
        `has no command behind "${rest}": the sixth field of this form is the user (--no-system reads it as the command)`,
      );
      return undefined;
    }
    return { user: this.#user(where, split.user), command: split.command };
  }

  /** FreeBSD's `user:group` and `user/class` are more than a user. */
  #user(where: string, text: string): string {
    const user = text.replace(/[:/].*$/s, "");
    if (user !== text) this.#found.note(where, `"${text}": of it the user is taken, not the group or class`);
    if (!/^[A-Za-z_][A-Za-z0-9_.-]*\$?$/.test(user))
      this.#found.problem(
        where,
        `"${text}" is not a user's name: the sixth field of this form is the user (--no-system reads it as the command)`,
      );
    return user;
  }

  #remarks(): void {
    const { file, on, overlap, missed, tz } = this.#options;
    const { schedules } = this.#found;
    if (overlap === undefined || missed === undefined)
      this.#found.note(
        file,
        "as cron does it, runs may overlap and missed ones are not made up for (overlap: allow, missed: skip): --overlap skip and --missed latest say otherwise",
      );
    if (tz === undefined && schedules.some(({ spec }) => spec.tz === undefined))
      this.#found.note(
        file,
        "times without a zone are in UTC, and not in the zone of the host where cron ran: --tz names another one",
      );
    if (on === undefined)
      this.#found.note(
        file,
        "runs go to any node that has room, each to one: --on LABELS keeps them to hosts that have what they need",
      );
    if (schedules.some(({ spec }) => spec.job!["dir"] === undefined))
      this.#found.note(
        file,
        "commands begin in a directory of their own, and not in the user's home: HOME=… in the crontab, or `dir` of the job, names one",
      );
    if (schedules.some(({ spec }) => spec.job!["user"] === undefined))
      this.#found.note(
        file,
        "commands run as the user of the node, which is not said here: `user` of the job names one",
      );
  }
}

function shortened(text: string): string {
  return text.length <= descriptionLength ? text : `${text.slice(0, descriptionLength - 1)}…`;
}
