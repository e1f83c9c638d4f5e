import { isUtf8 } from "node:buffer";
import { repeatedKey, type RepeatedKey } from "../lib/json-keys.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { atOnce } from "../lib/turns.ts";
import { formatSize } from "../lib/units.ts";
import { findBadUtf8, placeOfByte } from "../lib/utf8.ts";
import { findJsonFault } from "./json-position.ts";

/**
 * The body as text. One that is too large is refused by its announced length before a byte is read, and one of unknown length
 * as soon as it has passed the limit: it never stands in memory whole (L1). Bytes that are no UTF-8 are refused: they would become other characters.
 */
export async function readText(request: Request, maxBytes: number = limits.bodyBytes): Promise<Outcome<string>> {
  const read = await readBytes(request, maxBytes);
  return read.ok ? decode(read.value) : read;
}

/** The body as bytes, bounded in the same way; with `withinMs` in time as well: of who sends it more slowly nothing is kept. */
export async function readBytes(
  request: Request,
  maxBytes: number = limits.bodyBytes,
  withinMs?: number,
): Promise<Outcome<Buffer>> {
  const announced = request.headers.get("content-length");
  try {
    if (announced !== null && Number(announced) > maxBytes) return tooLarge(maxBytes);
    if (announced === null || withinMs !== undefined) return await readCounted(request, maxBytes, withinMs);
    return accept(Buffer.from(await request.arrayBuffer()));
  } catch {
    // The client went away in the middle: nobody is left to read this.
    return refuse("bad-json", "the body ended before all of it had arrived");
  }
}

async function readCounted(request: Request, maxBytes: number, withinMs?: number): Promise<Outcome<Buffer>> {
  if (request.body === null) return accept(Buffer.alloc(0));
  const reader = request.body.getReader();
  // The answer is the same whether the rest can be stopped or not.
  const leave = (): Promise<void> => reader.cancel().catch(() => {});
  let isLate = false;
  const timer =
    withinMs === undefined
      ? undefined
      : setTimeout(() => {
          isLate = true;
          void leave(); // which ends the read that is under way
        }, withinMs);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) return refuse("bad-json", "the body did not arrive in time");
      if (done) return accept(Buffer.concat(parts, bytes));
      bytes += value.length;
      if (bytes > maxBytes) {
        await leave();
        return tooLarge(maxBytes);
      }
      parts.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge(maxBytes: number) {
  return refuse("too-large", `the body is larger than ${formatSize(maxBytes)}: send it in several requests`);
}

function decode(bytes: Buffer): Outcome<string> {
  if (isUtf8(bytes)) {
    const text = bytes.toString("utf8");
    return accept(text.startsWith("\uFEFF") ? text.slice(1) : text);
  }
  const offset = findBadUtf8(bytes) ?? 0;
  const { line, column } = placeOfByte(bytes, offset);
  const path = `line ${line}, byte ${column}`;
  const byte = bytes[offset]?.toString(16).padStart(2, "0");
  const message = `the byte 0x${byte} is no UTF-8`;
  return refuse("bad-json", `the body is not UTF-8: at ${path}: ${message}: send text as UTF-8`, {
    details: [{ path, message }],
  });
}

/** A key that JavaScript keeps for itself: what is under it would be left out of a map without a word. */
const ownKey = /"__proto__"\s*:/;

/** The JSON of a text. `line`: of an NDJSON body, counted from 1. */
export function parseJson(text: string, line?: number): Outcome<unknown> {
  if (text.includes("__proto__") && ownKey.test(text))
    return refuse("bad-json", 'the body has the key "__proto__", which nothing here can have: name it otherwise');
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    return faultOf(text, line);
  }
  if (surrogate.test(text) && hasHalf(value)) {
    const where = line === undefined ? "the body" : `line ${line} of the body`;
    const message = "holds half of a surrogate pair (\\ud800 to \\udfff alone), which is no character";
    return refuse("bad-json", `${where} ${message}`);
  }
  return accept(value);
}

/** The escape of one: what stands alone cannot be written as UTF-8, and would become another character. */
const surrogate = /\\u[dD][89a-fA-F]/;
/** As the engine writes a value back, only those that stand alone are escaped. */
const half = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

function hasHalf(value: unknown): boolean {
  try {
    return half.test(JSON.stringify(value));
  } catch {
    return false; // nested too deeply for that, which no input may be
  }
}

/**
 * A refusal where an object of the text has a key twice: the engine keeps the last one without a word. What a program has written is most often written back
 * the same, which is found out faster than by a look at every key; a text of {@link limits.atOnceBytes} and more is to be gone through in turns instead.
 */
export function refuseRepeated(text: string, value: unknown, line = 1): Outcome<never> | undefined {
  if (isWrittenAlike(text, value)) return undefined;
  const found = atOnce(repeatedKey(text));
  return found === undefined ? undefined : repeated(found, line);
}

function isWrittenAlike(text: string, value: unknown): boolean {
  try {
    return JSON.stringify(value) === text;
  } catch {
    return false; // nested too deeply for that
  }
}

/** `line`: where the text begins in the body. */
export function repeated({ key, line, column }: RepeatedKey, begins = 1): Outcome<never> {
  const path = `line ${line + begins - 1}, column ${column}`;
  const message = `the key ${JSON.stringify(key)} is there twice`;
  return refuse("bad-json", `the body is ambiguous: at ${path}: ${message}: leave one of them out`, {
    details: [{ path, message }],
  });
}

function faultOf(text: string, line: number | undefined): Outcome<never> {
  const where = line === undefined ? "the body" : `line ${line} of the body`;
  if (text.trim() === "") return refuse("bad-json", `${where} is empty: send JSON`);
  const fault = findJsonFault(text);
  if (fault === undefined) return refuse("bad-json", `${where} is nested too deeply`);
  const position = `line ${fault.line + (line ?? 1) - 1}, column ${fault.column}`;
  return refuse("bad-json", `${where} is not JSON: at ${position}: ${fault.message}`, {
    details: [{ path: position, message: fault.message }],
  });
}
