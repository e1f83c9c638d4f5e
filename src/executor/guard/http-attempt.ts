import { monotonicMs, wallMs } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { formatDuration, formatSize } from "../../lib/units.ts";
import type { Report } from "../../state/types.ts";
import { nameOf } from "../names.ts";
import type { LogStream } from "../pack-record.ts";
import { Redactor, redactText } from "../redact.ts";
import type { LogSink } from "../stream.ts";
import { Tail } from "../tail.ts";
import type { AttemptName } from "../types.ts";
import type { AttemptContext, Ending, RunningAttempt } from "./attempt.ts";
import { Countdown } from "./countdown.ts";
import type { HttpRequest, Start } from "./frames.ts";

/**
 * An attempt of driver http: one request, its answer's body as the output, and a line about each answer on standard error. A lease that ends breaks it off as it
 * kills a process (J3); whether the other side has done it by then, nobody knows here, and the reason says so.
 */
export class HttpAttempt implements RunningAttempt {
  readonly name: AttemptName;
  readonly startedAt = wallMs();
  readonly pid = undefined;
  readonly ended: Promise<Report | undefined>;
  readonly #start: Start;
  readonly #log: LogSink;
  readonly #tail: Tail;
  readonly #abort = new AbortController();
  readonly #countdown: Countdown;
  #ending: Ending | undefined;
  #isOver = false;
  #lastByte = 10;

  /** Sends it. Never throws: what goes wrong is its result. */
  constructor(start: Start, request: HttpRequest, context: AttemptContext) {
    this.#start = start;
    this.name = nameOf(start);
    this.#log = context.packs.open(start, start.keepBytes);
    this.#tail = new Tail(start.tailBytes);
    this.#countdown = new Countdown(start.timeoutMs, () => this.stop("timeout"));
    this.ended = this.#live(request);
  }

  stop(ending: "timeout" | "cancelled"): void {
    if (this.#isOver || this.#ending !== undefined) return;
    this.#ending = ending;
    this.#abort.abort();
  }

  kill(ending: "lost" | "dropped"): void {
    if (this.#ending !== "dropped" && (!this.#isOver || ending === "dropped")) this.#ending = ending;
    this.#abort.abort();
  }

  extend(timeoutMs: number): void {
    this.#countdown.move(timeoutMs);
  }

  async #live(request: HttpRequest): Promise<Report | undefined> {
    const result = await this.#ask(request).catch((error: unknown) => unanswered(request, error));
    this.#isOver = true;
    this.#countdown.stop();
    const log = this.#log.close();
    if (this.#ending === "dropped") return undefined;
    const reason = [this.#brokenOff() ?? result.reason, this.#truncation()]
      .filter((text) => text !== undefined)
      .join("; ");
    return {
      ...this.name,
      state: this.#ending ?? (result.reason === undefined ? "succeeded" : "failed"),
      exitCode: this.#ending === undefined ? result.exitCode : null,
      signal: null,
      startedAt: this.startedAt,
      finishedAt: wallMs(),
      tail: this.#tail.bytes(),
      reason: reason === "" ? undefined : redactText(this.#start.redact, reason).slice(0, limits.reasonLength),
      log,
    };
  }

  async #ask(first: HttpRequest): Promise<Result> {
    let request = first;
    for (let redirects = 0; ; redirects++) {
      const since = monotonicMs();
      const response = await fetch(request.url, {
        method: request.method,
        headers: request.headers.map(([name, value]) => [name, value] as [string, string]),
        ...(request.body === undefined ? {} : { body: request.body }),
        redirect: "manual",
        // One that was kept open may be closed by the other side in the very moment of the next request.
        keepalive: false,
        signal: this.#abort.signal,
        ...noTimeout,
      });
      const isExpected = first.expect.some((one) => isOf(response.status, one));
      const next = isExpected ? undefined : redirected(request, response);
      if (next === undefined) {
        const bytes = await this.#read(response);
        this.#say(request, response, `, ${formatSize(bytes)} in ${formatDuration(Math.round(monotonicMs() - since))}`);
        return isExpected ? { exitCode: 0, reason: undefined } : { exitCode: 1, reason: unexpected(response, first) };
      }
      await response.body?.cancel();
      if (typeof next === "string") {
        this.#say(request, response, "");
        return { exitCode: 1, reason: next };
      }
      this.#say(request, response, `, to ${next.url}`);
      if (redirects === limits.httpRedirects)
        return { exitCode: 1, reason: `was led on more than ${limits.httpRedirects} times, last to ${next.url}` };
      request = next;
    }
  }

  /** The body into the log and the tail, up to what is kept; gives how much there was of it. */
  async #read(response: Response): Promise<number> {
    const { body } = response;
    if (body === null) return 0;
    const { redact, keepBytes } = this.#start;
    const redactor = redact === undefined || redact.length === 0 ? undefined : new Redactor(redact);
    let bytes = 0;
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      bytes += piece.length;
      this.#write("stdout", redactor === undefined ? piece : redactor.push(piece));
      // An answer may have no end; nothing after this would be seen.
      if (bytes > keepBytes) break;
    }
    if (redactor !== undefined) this.#write("stdout", redactor.end());
    return bytes;
  }

  #say({ method, url }: HttpRequest, { status, statusText }: Response, more: string): void {
    const line = `${method} ${url}: ${status} ${statusText}`.trimEnd() + more;
    const text = redactText(this.#start.redact, line);
    this.#write("stderr", Buffer.from(`${this.#lastByte === 10 ? "" : "\n"}${text}\n`));
  }

  #write(stream: LogStream, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#log.write(stream, wallMs(), bytes);
    this.#tail.push(bytes);
    this.#lastByte = bytes.at(-1)!;
  }

  #brokenOff(): string | undefined {
    const unknown = "the request was broken off, and may have been done all the same";
    if (this.#ending === "timeout")
      return `ran longer than its timeout of ${formatDuration(this.#countdown.timeoutMs ?? 0)}: ${unknown}`;
    if (this.#ending === "lost") return `the lease of its node ended while it ran: ${unknown}`;
    return this.#ending === "cancelled" ? unknown : undefined;
  }

  #truncation(): string | undefined {
    if (this.#log.dropped === 0) return undefined;
    return this.#log.fault === undefined
      ? `the answer was read up to output.keep (${formatSize(this.#start.keepBytes)})`
      : `the log is truncated (${this.#log.fault})`;
  }
}

interface Result {
  readonly exitCode: number | null;
  /** undefined: it is what was expected. */
  readonly reason: string | undefined;
}

/** The task has a timeout of its own; that of the runtime would end a slow answer without one. */
const noTimeout = { timeout: false } as object;

function isOf(status: number, expected: number | string): boolean {
  return typeof expected === "number" ? status === expected : String(status)[0] === expected[0];
}

function unexpected({ status, statusText }: Response, { expect }: HttpRequest): string {
  return `answered ${`${status} ${statusText}`.trim()}, and ${expect.join(" or ")} was expected`;
}

function unanswered({ method, url }: HttpRequest, error: unknown): Result {
  const { code } = error as { code?: unknown };
  const what = `${method} ${url}: ${messageOf(error)}`;
  return { exitCode: null, reason: typeof code === "string" && !what.includes(code) ? `${what} (${code})` : what };
}

/** Where an answer leads; undefined: nowhere; a text: why it is not followed. */
function redirected(request: HttpRequest, response: Response): HttpRequest | string | undefined {
  const { status } = response;
  const location = response.headers.get("location");
  if (![301, 302, 303, 307, 308].includes(status) || location === null) return undefined;
  if (!URL.canParse(location, request.url)) return `was led to "${location}", which is no URL`;
  const [from, to] = [new URL(request.url), new URL(location, request.url)];
  if (to.protocol !== "https:" && (to.protocol !== "http:" || from.protocol === "https:"))
    return `was led from ${from.protocol}// to ${to.protocol}//, and is not followed there`;
  const becomesGet = status === 303 ? request.method !== "HEAD" : status < 303 && request.method === "POST";
  const isElsewhere = from.origin !== to.origin;
  if (isElsewhere && request.isSecretBody && !becomesGet)
    return `was led to ${to.origin}, which is not given a body that is a secret`;
  // Who was trusted with what proves who asks is the host that was named.
  const isKept = ([name, , isSecret]: HttpRequest["headers"][number]): boolean => {
    const lower = name.toLowerCase();
    if (becomesGet && lower.startsWith("content-")) return false;
    return !isElsewhere || (!isSecret && !["authorization", "cookie", "proxy-authorization"].includes(lower));
  };
  const { body, ...rest } = request;
  return {
    ...rest,
    method: becomesGet ? "GET" : request.method,
    url: to.href,
    headers: request.headers.filter(isKept),
    ...(becomesGet || body === undefined ? {} : { body }),
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
