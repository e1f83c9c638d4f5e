/**
 * The three forms of failure: a *refusal* is a value (this file), a *fault* of the outside is an error that
 * carries its retry policy (fault.ts), a *bug* is an assertion that stops the node (assert.ts).
 */

/** Why a command or request was refused. Each code maps to one HTTP status (http/errors.ts) and one exit code (cli/exit.ts). */
export type RefusalCode =
  | "bad-json" // 400: the body is not JSON
  | "unauthorized" // 401: no or an unknown token
  | "forbidden" // 403: the token's role does not allow it
  | "not-found" // 404
  | "conflict" // 409: the state says no (name taken, key reused for another body, attempt out of date)
  | "too-large" // 413
  | "invalid" // 422: every problem is listed in details, each with its path
  | "gone" // 410: events older than what is kept
  | "busy" // 429: a limit; repeat after retryAfterMs
  | "unavailable" // 503: no leader or no quorum; repeat after retryAfterMs
  | "no-room" // 507: the disk of the node that was asked; nothing was done
  | "bug"; // 500: apply of the command threw (S4)

/** One problem of an input: where ("jobs[0].retries.max") and what is wrong. The root's path is "". */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

/** All unfinished jobs together, those of one submitter, or what is under way at this moment. */
export type LimitKind = "jobs" | "submitter" | "room";

export interface Refusal {
  readonly code: RefusalCode;
  /** For people: what is wrong and what to do. */
  readonly message: string;
  readonly details?: readonly Problem[] | undefined;
  /** With "busy" and "unavailable": when a repeat makes sense. */
  readonly retryAfterMs?: number | undefined;
  /** With "busy": which limit it is. More of "room" may be had at another node; whoever else is asked says the same of the others. */
  readonly limit?: LimitKind | undefined;
  /** With "unavailable": "safe" says that nothing was or will be done, so any write may be repeated; absent: unknown. */
  readonly retry?: "safe" | undefined;
}

export type Outcome<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly why: Refusal };

export function accept<Value>(value: Value): Outcome<Value> {
  return { ok: true, value };
}

/** A refusal with its code and words; `more` carries problems and when a repeat makes sense. */
export function refuse(
  code: RefusalCode,
  message: string,
  more: { details?: readonly Problem[]; retryAfterMs?: number; retry?: "safe"; limit?: LimitKind } = {},
): { readonly ok: false; readonly why: Refusal } {
  return { ok: false, why: { code, message, ...more } };
}
