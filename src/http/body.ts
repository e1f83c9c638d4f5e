import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { formatSize } from "../lib/units.ts";
import { findJsonFault } from "./json-position.ts";

/**
 * The body as text. One that is too large is refused by its announced length before a byte is read, and one of unknown length
 * as soon as it has passed the limit: it never stands in memory whole (L1).
 */
export async function readText(request: Request, maxBytes: number = limits.bodyBytes): Promise<Outcome<string>> {
  const announced = request.headers.get("content-length");
  try {
    if (announced !== null) return Number(announced) > maxBytes ? tooLarge(maxBytes) : accept(await request.text());
    return await readCounted(request, maxBytes);
  } catch {
    // The client went away in the middle: nobody is left to read this.
    return refuse("bad-json", "the body ended before all of it had arrived");
  }
}

async function readCounted(request: Request, maxBytes: number): Promise<Outcome<string>> {
  if (request.body === null) return accept("");
  const reader = request.body.getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return accept(Buffer.concat(parts, bytes).toString("utf8"));
    bytes += value.length;
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => {}); // the answer is the same whether the rest can be stopped or not
      return tooLarge(maxBytes);
    }
    parts.push(value);
  }
}

function tooLarge(maxBytes: number) {
  return refuse("too-large", `the body is larger than ${formatSize(maxBytes)}: send the jobs in several requests`);
}

/** A key that JavaScript keeps for itself: what is under it would be left out of a map without a word. */
const ownKey = /"__proto__"\s*:/;

/** The JSON of a text. `line`: of an NDJSON body, counted from 1. */
export function parseJson(text: string, line?: number): Outcome<unknown> {
  if (text.includes("__proto__") && ownKey.test(text))
    return refuse("bad-json", 'the body has the key "__proto__", which nothing here can have: name it otherwise');
  try {
    return accept(JSON.parse(text) as unknown);
  } catch {
    const where = line === undefined ? "the body" : `line ${line} of the body`;
    if (text.trim() === "") return refuse("bad-json", `${where} is empty: send JSON`);
    const fault = findJsonFault(text);
    if (fault === undefined) return refuse("bad-json", `${where} is nested too deeply`);
    const position = `line ${fault.line + (line ?? 1) - 1}, column ${fault.column}`;
    return refuse("bad-json", `${where} is not JSON: at ${position}: ${fault.message}`, {
      details: [{ path: position, message: fault.message }],
    });
  }
}
