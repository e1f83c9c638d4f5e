import type { LimitKind, Problem, RefusalCode } from "../lib/outcome.ts";

/** A node answered, and the answer is no. `message` is for people and says what to do. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: RefusalCode;
  /** Problems of an input, or what else the answer carried ({oldest} of a 410). */
  readonly details: unknown;
  readonly retryAfterMs: number | undefined;
  /** With "busy": which limit it is. */
  readonly limit: LimitKind | undefined;
  /** The node says that nothing was done: any write may be repeated. */
  readonly safeToRepeat: boolean;

  constructor(status: number, body: ErrorBody, retryAfterMs: number | undefined) {
    super(body.message);
    this.status = status;
    this.code = body.code;
    this.details = body.details;
    this.retryAfterMs = retryAfterMs;
    this.limit = body.limit;
    this.safeToRepeat = body.code === "busy" || body.retry === "safe";
  }

  /** The problems of an invalid input, each with its path; empty for other errors. */
  get problems(): readonly Problem[] {
    return this.code === "invalid" && Array.isArray(this.details) ? (this.details as Problem[]) : [];
  }
}

export interface ErrorBody {
  readonly code: RefusalCode;
  readonly message: string;
  readonly details?: unknown;
  readonly retry?: "safe";
  readonly limit?: LimitKind;
}

/** No node answered. `tried` says of each address why. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
  readonly tried: readonly { readonly address: string; readonly cause: string }[];
  /** A write was sent and its answer was lost: look before repeating it. */
  readonly mayHaveHappened: boolean;

  constructor(tried: readonly { readonly address: string; readonly cause: string }[], mayHaveHappened: boolean) {
    const each = tried.map((one) => `${one.address}: ${one.cause}`).join("; ");
    super(
      mayHaveHappened
        ? `the answer was lost and the request may have been carried out: look before you repeat it (${each})`
        : `no node answered (${each}): is one running, and is the address right?`,
    );
    this.tried = tried;
    this.mayHaveHappened = mayHaveHappened;
  }
}

/** The error of a response that is not 2xx. A body that is not ours (a proxy's page) still gives a readable error. */
export async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  const retryAfterMs = afterMs(response.headers.get("retry-after"));
  try {
    const { error } = JSON.parse(text) as { error: ErrorBody };
    if (typeof error.code === "string" && typeof error.message === "string") {
      return new ApiError(response.status, error, retryAfterMs);
    }
  } catch {
    // Not ours: said below.
  }
  const code = response.status >= 502 && response.status <= 504 ? "unavailable" : "bug";
  const message = `${response.url} answered ${response.status} with something that is no answer of skein`;
  return new ApiError(response.status, { code, message }, retryAfterMs);
}

/** Seconds, as nodes say it, or the instant that a proxy between us names. */
function afterMs(text: string | null): number | undefined {
  if (text === null || text.trim() === "") return undefined;
  const ms = Number.isNaN(Number(text)) ? Date.parse(text) - Date.now() : Number(text) * 1000;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
