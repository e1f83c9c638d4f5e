import type { EventTopic, FireView, ScheduleRing, ScheduleState } from "../state/answers.ts";
import type { AskedState, JobState, Role } from "../state/types.ts";

/** What the client's methods take. */

export interface JobQuery {
  readonly state?: JobState | undefined;
  readonly name?: string | undefined;
  /** A label selector: "team=docs". */
  readonly label?: string | undefined;
  /** The schedule that made them. */
  readonly schedule?: string | undefined;
  /** RFC 3339, or a duration back from now: "2h". */
  readonly since?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface TaskQuery {
  readonly state?: AskedState | undefined;
  readonly target?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface RetryOptions {
  /** "failed": those that failed, timed out or were lost; "unreachable": whose host could not be reached; "unfinished": all that did not succeed. Default: all. */
  readonly only?: "all" | "failed" | "unreachable" | "unfinished" | undefined;
  /** Tasks by their numbers: "1,3,5-8". */
  readonly tasks?: string | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DeadQuery {
  readonly name?: string | undefined;
  /** A label selector: "team=docs". */
  readonly label?: string | undefined;
  /** Who submitted them. */
  readonly by?: string | undefined;
  /** Failed since: RFC 3339, or a duration back from now: "2h". */
  readonly since?: string | undefined;
}

export interface RunOptions {
  /** Values of the template's parameters; text does for any type ("a,b" for a list). */
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  /** Refused when the template is another one by now. */
  readonly revision?: number | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface EventQuery {
  /** Default: all that the token may see. */
  readonly topics?: readonly EventTopic[] | undefined;
  /** Only changes of these jobs and of their tasks; at most 1,000. */
  readonly jobs?: readonly number[] | undefined;
  /** An index (the Skein-Index of an answer), or the id of an event. */
  readonly from?: string | number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PageQuery {
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface NewToken {
  readonly name: string;
  readonly role: Role;
  readonly ttlMs?: number | undefined;
}

export interface ResultQuery {
  /** Names or node sets: "web1", "web[01-30]". */
  readonly target?: string | readonly string[] | undefined;
  readonly job?: number | undefined;
  readonly state?: AskedState | undefined;
  /** RFC 3339, or a duration back from now: "2h". Of the time at which the job was submitted. */
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface ScheduleQuery {
  /** What names begin with. */
  readonly name?: string | undefined;
  /** A label selector: "team=docs". */
  readonly label?: string | undefined;
  readonly tag?: string | undefined;
  readonly state?: ScheduleState | undefined;
  /** Whose last job failed. */
  readonly failing?: boolean | undefined;
  /** Names, separated by commas, 100 at most: of these alone those that are there. */
  readonly names?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface FireQuery {
  /** What the instants came to: a job, or why to none. */
  readonly reason?: "fired" | FireView["reason"] | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

/** A change of the members that schedules are worked out by, and the rule to ask about. */
export interface ScheduleOwnersQuery {
  readonly ring?: ScheduleRing | undefined;
  /** Ids or names, separated by commas. */
  readonly without?: string | undefined;
  /** So many new ones. */
  readonly with?: number | undefined;
}

export interface TokenQuery {
  readonly kind?: "api" | "join" | undefined;
  /** Those that cannot be used any more as well. */
  readonly all?: boolean | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface AuditQuery {
  /** RFC 3339, or a duration back from now: "2h". */
  readonly since?: string | undefined;
  /** A token's id or name, or a node's name. */
  readonly by?: string | undefined;
  /** A command ("token.revoke"), or its first word. */
  readonly what?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface LogQuery {
  /** Default: all tasks, in order. */
  readonly task?: number | undefined;
  /** Of one task: that attempt; default: the present or last one. */
  readonly attempt?: number | undefined;
  /** Stay until the task has ended, over its retries too. */
  readonly follow?: boolean | undefined;
  readonly stream?: "stdout" | "stderr" | undefined;
  /** Only the last so many lines of each task. */
  readonly tail?: number | undefined;
  /** Bytes of the task's output to skip; needs `task` unless the job has one task. */
  readonly offset?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** "?a=1&b=2" of what is there, a list as often as it has items; "" of nothing. */
export function queryText(query: object): string {
  const set = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const one of value) set.append(name, String(one));
    else if (value !== undefined) set.set(name, String(value));
  }
  return set.size === 0 ? "" : `?${set.toString()}`;
}
