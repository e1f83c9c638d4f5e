import { ApiError, Unreachable } from "../client/errors.ts";
import { CheckoutFailure, type CheckoutFailureKind } from "../checkout/failure.ts";
import { Fault, type FaultCode } from "../lib/fault.ts";
import type { Problem, RefusalCode } from "../lib/outcome.ts";

/** The exit codes of the contract; `run --propagate` may give any other. */
export const exit = {
  done: 0,
  jobFailed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  unreachable: 5,
  refused: 6,
  host: 7,
  timedOut: 124,
  interrupted: 130,
} as const;

const ofRefusal = {
  "bad-json": exit.usage,
  invalid: exit.usage,
  unauthorized: exit.notAllowed,
  forbidden: exit.notAllowed,
  "not-found": exit.notFound,
  conflict: exit.refused,
  "too-large": exit.refused,
  gone: exit.refused,
  busy: exit.refused,
  unavailable: exit.unreachable,
  "no-room": exit.host,
  bug: exit.jobFailed,
} as const satisfies Record<RefusalCode, number>;

const ofCheckout = {
  invalid: exit.usage,
  host: exit.host,
  late: exit.timedOut,
} as const satisfies Record<CheckoutFailureKind, number>;

const ofFault = {
  "peer-unreachable": exit.unreachable,
  "peer-timeout": exit.unreachable,
  "peer-refused": exit.unreachable,
  protocol: exit.unreachable,
  disk: exit.host,
  "disk-full": exit.host,
  data: exit.host,
  port: exit.host,
  guard: exit.host,
} as const satisfies Record<FaultCode, number>;

/** What a verb, or `up`, ends with when it cannot go on: the text that the person sees, and the exit code. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exit: number;
  readonly problems: readonly Problem[];

  constructor(exitCode: number, message: string, problems: readonly Problem[] = []) {
    super(message);
    this.exit = exitCode;
    this.problems = problems;
  }
}

/** Ctrl-C or SIGTERM while a verb waited. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The reader of standard output went away: nothing more is wanted. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** How a verb that threw ends: lines for standard error (none: nothing to say) and the exit code. */
export interface Ending {
  readonly code: number;
  readonly lines: readonly string[];
}

/** The one table from errors to exit codes and texts. */
export function endingOf(error: unknown): Ending {
  if (error instanceof CliError) return { code: error.exit, lines: [error.message, ...problemLines(error.problems)] };
  if (error instanceof CheckoutFailure)
    return { code: ofCheckout[error.kind], lines: [error.message, ...problemLines(error.problems)] };
  if (error instanceof ApiError) return { code: exitOfRefusal(error.code), lines: apiLines(error) };
  if (error instanceof Unreachable) return { code: exit.unreachable, lines: [error.message] };
  if (error instanceof Fault) return { code: ofFault[error.code], lines: [error.message] };
  if (error instanceof Interrupted) return { code: exit.interrupted, lines: [] };
  if (error instanceof OutputClosed) return { code: exit.done, lines: [] };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: exit.jobFailed, lines: [`this is a bug in skein, please report it: ${stack}`] };
}

/** The exit code of a refusal. A newer node may know more codes than we do. */
export function exitOfRefusal(code: string): number {
  return (ofRefusal as Readonly<Record<string, number>>)[code] ?? exit.jobFailed;
}

function apiLines(error: ApiError): string[] {
  const lines = [error.message, ...problemLines(error.problems)];
  if (error.code === "unauthorized")
    lines.push("  give a token with --token or SKEIN_TOKEN, or use the context of a local node");
  if (error.code === "busy" && error.retryAfterMs !== undefined) {
    lines.push(`  repeat it in ${Math.ceil(error.retryAfterMs / 1000)} s`);
  }
  return lines;
}

function problemLines(problems: readonly Problem[]): string[] {
  return problems.map(
    ({ path, message }) => `  ${path === "" ? "" : `${path}: `}${message.replaceAll("\n", "\n    ")}`,
  );
}
