import { readEntry, readSetting, splitUser } from "./cron-import-crontab-lines.ts";
import type { Gathering } from "./cron-import-types.ts";

/** Which of the two forms a crontab has. */
export interface CrontabForm {
  /** The sixth field is a user. */
  readonly isSystem: boolean;
  /** Whose it is, by its place. */
  readonly owner: string | undefined;
}

/** The form of a file: as it is said, by its place, or, which is then told, as it looks. */
export function formOf(
  lines: readonly string[],
  file: string,
  system: boolean | undefined,
  found: Gathering,
): CrontabForm {
  const owner = /\/var\/spool\/cron\/(?:crontabs\/|tabs\/)?([^/]+)$/.exec(file)?.[1];
  if (system !== undefined) return { isSystem: system, owner };
  if (owner !== undefined) return { isSystem: false, owner };
  if (/(^|\/)etc\/crontab$|(^|\/)cron\.d\/[^/]+$/.test(file)) return { isSystem: true, owner };
  const rests = lines.flatMap((text) => {
    const entry = text === "" || text.startsWith("#") || readSetting(text) !== undefined ? "" : readEntry(text);
    return typeof entry === "string" ? [] : [entry.rest];
  });
  if (rests.length === 0) return { isSystem: false, owner };
  const isSystem = looksLikeSystem(rests);
  found.note(
    file,
    isSystem
      ? "is read as a crontab of the system, whose sixth field is the user; --no-system reads it as a user's"
      : "is read as a user's crontab; --system reads the sixth field as the user",
  );
  return { isSystem, owner };
}

/** Users that programs of a system have, and that are no commands. */
const systemUsers = new Set([
  "root",
  "daemon",
  "nobody",
  "www-data",
  "apache",
  "nginx",
  "postgres",
  "zabbix",
  "nagios",
  "logcheck",
  "smmsp",
]);

/** The sixth word is a user in every line, as far as one can see. */
function looksLikeSystem(rests: readonly string[]): boolean {
  const users = rests.map((rest) => splitUser(rest)?.user ?? "");
  return users.every((user) => /^[a-z_][a-z0-9_-]*\$?$/.test(user)) && users.some((user) => systemUsers.has(user));
}
