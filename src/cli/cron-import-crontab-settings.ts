import type { Setting } from "./cron-import-crontab-lines.ts";
import type { Gathering } from "./cron-import-types.ts";

const plainShell = "/bin/sh";
/** About cron's mail. */
const ofMail = new Set(["MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"]);
/** About sessions and contexts that the daemon gives to its commands. */
const ofTheDaemon = new Set(["MLS_LEVEL", "XDG_SESSION_CLASS", "START_HOURS_RANGE"]);
/** About when a command begins. */
const ofTime = new Set(["CRON_TZ", "RANDOM_DELAY"]);

/** Variables of a crontab as they stand at a line: each holds for what is below it. */
export class Settings {
  readonly #found: Gathering;
  readonly #values = new Map<string, { readonly value: string; readonly where: string }>();
  #zoneTold = false;

  constructor(found: Gathering) {
    this.#found = found;
  }

  set(where: string, { name, value }: Setting): void {
    const found = this.#found;
    if (name === "LOGNAME" || name === "USER")
      return found.note(where, `${name} cannot be set: cron gives it the user's name in any case`);
    this.#values.set(name, { value, where });
    if (name === "MAILTO" && value === "") return undefined;
    if (name === "MAILTO")
      found.note(
        where,
        `MAILTO=${value}: nobody is mailed what a run prints; \`skein logs\` has it, and the variable is not given to commands`,
      );
    else if (ofMail.has(name)) found.note(where, `${name} is about cron's mail, of which there is none: left out`);
    else if (ofTheDaemon.has(name)) found.note(where, `${name} has no counterpart: left out`);
    else if (name === "RANDOM_DELAY" && !/^\d{1,4}$/.test(value))
      found.problem(where, `RANDOM_DELAY="${value}" is not a number of minutes`);
    else if (name === "HOME" && !value.startsWith("/")) found.problem(where, `HOME="${value}" is not an absolute path`);
    return undefined;
  }

  /** The zone of the lines below; undefined: none is named. */
  zone(): string | undefined {
    const [cron, plain] = [this.#values.get("CRON_TZ"), this.#values.get("TZ")];
    if (cron === undefined && plain !== undefined && !this.#zoneTold) {
      this.#zoneTold = true;
      this.#found.note(
        plain.where,
        `TZ=${plain.value} is taken as the zone of the lines below too, where some crons give it to commands alone; CRON_TZ says it for certain`,
      );
    }
    const zone = cron?.value ?? plain?.value ?? "";
    return zone === "" ? undefined : zone;
  }

  /** In which a run begins at a moment of its own; undefined: at once. */
  jitter(): string | undefined {
    const minutes = Number(this.#values.get("RANDOM_DELAY")?.value ?? 0);
    return minutes > 0 ? `${minutes}m` : undefined;
  }

  /** How a command is run: what a job's spec says of it. */
  run(command: string): Record<string, unknown> {
    const env = Object.fromEntries(
      Array.from(this.#values, ([name, { value }]) => [name, value] as const).filter(
        ([name, value]) =>
          !ofMail.has(name) &&
          !ofTheDaemon.has(name) &&
          !ofTime.has(name) &&
          !(name === "SHELL" && value === plainShell),
      ),
    );
    const { SHELL: shell, HOME: home } = env;
    return {
      run: shell === undefined ? command : [shell, "-c", command],
      ...(Object.keys(env).length > 0 ? { env } : {}),
      // As cron does, whose commands begin there.
      ...(home === undefined ? {} : { dir: home }),
    };
  }
}
