import type { Refusal, RefusalCode } from "../lib/outcome.ts";

/** The one table from a refusal to its HTTP status. */
export const statusOf: Readonly<Record<RefusalCode, number>> = {
  "bad-json": 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  gone: 410,
  "too-large": 413,
  invalid: 422,
  busy: 429,
  bug: 500,
  unavailable: 503,
  "no-room": 507,
};

/** What cures by itself has a time to come back even when the refusal names none. */
const retryAfterDefaultMs = 1000;

/** The error body of the contract. `details` of a refusal may be replaced by what the route knows ({oldest} of a 410). */
export function errorBody(why: Refusal, details: unknown = why.details): string {
  return JSON.stringify({
    error: { code: why.code, message: why.message, details, retry: why.retry, limit: why.limit },
  });
}

/** Headers that an error carries beside those of every response. */
export function errorHeaders(why: Refusal): Record<string, string> {
  switch (why.code) {
    case "busy":
    case "unavailable":
      return { "retry-after": String(Math.max(1, Math.ceil((why.retryAfterMs ?? retryAfterDefaultMs) / 1000))) };
    case "unauthorized":
      return { "www-authenticate": "Bearer" };
    default:
      return {};
  }
}
