import { createHash } from "node:crypto";
import { repeatedKey } from "../lib/json-keys.ts";
import { limits } from "../lib/limits.ts";
import { inTurns } from "../lib/turns.ts";
import { accept, type Outcome, type Problem, type Refusal } from "../lib/outcome.ts";
import type { CommandInput } from "../state/commands/index.ts";
import { jobSubmit } from "../state/commands/job-submit.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { readAhead } from "../state/commands/spec-schema.ts";
import { jobsUnderKey } from "../state/queries.ts";
import { groupsNamed } from "../state/targets.ts";
import type { Principal } from "../state/types.ts";
import { parseJson, readText, refuseRepeated, repeated } from "./body.ts";
import { check, invalid } from "./problems.ts";
import type { Exchange, HttpParts } from "./route.ts";
import { proposeSubmit, withTargets } from "./targets.ts";

/** What a body of POST /v1/jobs says, before the specs are checked. */
interface Submitted {
  readonly shape: "one" | "many";
  readonly jobs: unknown;
  /** The request's key and the name under which it was given. */
  readonly key: unknown;
  readonly keyName: string;
  readonly problems: readonly Problem[];
}

/**
 * POST /v1/jobs: one spec -> 201 {id}; {"jobs": [...]} or NDJSON -> 201 {ids}. Under an Idempotency-Key that was seen with the
 * same body: 200 and the first ids. The hot path: the body is read, parsed and checked once.
 */
export async function serveSubmit(parts: HttpParts, exchange: Exchange, by: Principal): Promise<Response> {
  const { reply } = parts;
  const specs = await readSpecs(exchange);
  if (!specs.ok) return reply.refusal(specs.why);
  const earlier = await earlierOf(parts, specs.value.input, by);
  const read = earlier === undefined ? await withNames(parts, exchange, specs.value) : specs;
  if (!read.ok) return reply.refusal(read.why);
  const { shape, input } = read.value;
  const answer = ({ first, count }: { first: number; count: number }, index: number, status: number): Response =>
    shape === "one"
      ? reply.json({ id: first }, index, status)
      : reply.json({ ids: Array.from({ length: count }, (_, at) => first + at) }, index, status);
  if (earlier !== undefined) return answer(earlier.value, earlier.index, 200);
  const outcome = await proposeSubmit(parts, input, by);
  if (!outcome.ok) return reply.refusal(shape === "one" ? aboutOne(outcome.why) : outcome.why);
  const { value, index } = outcome.value;
  return answer(value, index, value.repeated ? 200 : 201);
}

/**
 * What a request under its key made before, where its targets name groups: the first jobs are its answer whatever has become of those since. All others hear it from the
 * command itself, without a look beforehand.
 */
async function earlierOf(
  { node }: HttpParts,
  { jobs, key, digest }: Submit,
  by: Principal,
): Promise<{ readonly value: { readonly first: number; readonly count: number }; readonly index: number } | undefined> {
  if (key === undefined || groupsNamed(jobs).length === 0) return undefined;
  const read = await node.read((tx) => jobsUnderKey(tx, by.token, key), { consistency: "linearizable" });
  if (!read.ok || read.value.value === undefined || read.value.value.digest !== digest) return undefined;
  return { value: read.value.value, index: read.value.index };
}

type Submit = CommandInput<"job.submit">;

interface Read {
  readonly shape: "one" | "many";
  readonly input: Submit;
}

/** The jobs of a body, checked, and what their targets stand for: of what a plan is asked for. */
export async function readJobs(parts: HttpParts, exchange: Exchange): Promise<Outcome<Read>> {
  const specs = await readSpecs(exchange);
  return specs.ok ? withNames(parts, exchange, specs.value) : specs;
}

async function readSpecs(exchange: Exchange): Promise<Outcome<Read>> {
  const request = exchange.req.raw;
  const text = await readText(request);
  if (!text.ok) return text;
  const submitted = readSubmitted(text.value, request.headers);
  if (!submitted.ok) return submitted;
  if (text.value.length > limits.atOnceBytes) {
    const twice = await inTurns(repeatedKey(text.value));
    if (twice !== undefined) return repeated(twice);
    const wrong = await inTurns(readSpecsAhead(submitted.value.jobs));
    if (wrong !== undefined) return wrong;
  }
  const checked = checkSubmitted(submitted.value, text.value);
  if (!checked.ok) return checked;
  return accept({ shape: submitted.value.shape, input: checked.value });
}

async function withNames(parts: HttpParts, exchange: Exchange, { shape, input: before }: Read): Promise<Outcome<Read>> {
  const pathOf = (path: string): string => (shape === "one" ? path.replace(ofOnly, "") : path);
  const input = await withTargets(parts, exchange, before, whatOf(shape), pathOf);
  return input.ok ? accept({ shape, input: input.value }) : input;
}

/** Of a large request: its specs one by one, before the request is read. A refusal only where so much is wrong that the rest is not worth a look. */
function* readSpecsAhead(jobs: unknown): Generator<undefined, Outcome<never> | undefined, undefined> {
  if (!Array.isArray(jobs) || jobs.length < 2 || jobs.length > limits.specsPerRequest) return undefined;
  const problems: Problem[] = [];
  for (const [at, raw] of jobs.entries()) {
    for (const problem of problemsOf({ issues: readAhead(raw) }, `jobs[${at}]`)) problems.push(problem);
    if (problems.length >= limits.problemsPerRequest && at + 1 < jobs.length) {
      problems.push({
        path: `jobs[${at + 1}]`,
        message: "and what follows was not looked at: mend those before it first",
      });
      return invalid(problems, "the request");
    }
    yield;
  }
  return undefined;
}

function readSubmitted(text: string, headers: Headers): Outcome<Submitted> {
  const header = headers.get("idempotency-key") ?? undefined;
  // Others are looked through in turns.
  const isShort = text.length <= limits.atOnceBytes;
  const ofHeader = { key: header, keyName: "Idempotency-Key", problems: [] };
  if (isLines(headers.get("content-type"))) {
    const jobs: unknown[] = [];
    for (const [at, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      const spec = parseJson(line, at + 1);
      if (!spec.ok) return spec;
      const twice = isShort ? refuseRepeated(line, spec.value, at + 1) : undefined;
      if (twice !== undefined) return twice;
      jobs.push(spec.value);
    }
    return accept({ shape: "many", jobs, ...ofHeader });
  }
  const parsed = parseJson(text);
  if (!parsed.ok) return parsed;
  const body = parsed.value;
  const twice = isShort ? refuseRepeated(text, body) : undefined;
  if (twice !== undefined) return twice;
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    const message = 'must be an object: a spec, or {"jobs": [...]} for many';
    return invalid([{ path: "", message }], "the body");
  }
  if ("jobs" in body) {
    const { jobs, ...others } = body;
    const problems = Object.keys(others).map((path) => ({ path, message: "no such key beside jobs" }));
    return accept({ shape: "many", jobs, ...ofHeader, problems });
  }
  if (!("idempotency_key" in body)) return accept({ shape: "one", jobs: [body], ...ofHeader });
  const { idempotency_key: key, ...spec } = body;
  const differs = header !== undefined && header !== key;
  const problems = differs ? [{ path: "idempotency_key", message: "differs from the header Idempotency-Key" }] : [];
  return accept({ shape: "one", jobs: [spec], key, keyName: "idempotency_key", problems });
}

function isLines(contentType: string | null): boolean {
  if (contentType === null || contentType === "application/json") return false;
  return /^application\/(?:x-)?(?:ndjson|jsonl|json-lines)\b/i.test(contentType);
}

function checkSubmitted(submitted: Submitted, text: string): Outcome<CommandInput<"job.submit">> {
  const { shape, jobs, key, keyName } = submitted;
  const own = [...submitted.problems, ...(shape === "many" ? keysWithin(jobs) : [])];
  const digest = key === undefined ? undefined : createHash("sha256").update(text).digest("base64url");
  const checked = check(jobSubmit.input, { jobs, key, digest }, whatOf(shape), (path) => {
    if (path[0] === "key") return [keyName];
    return shape === "one" && path[0] === "jobs" ? path.slice(2) : path;
  });
  if (own.length === 0) return checked;
  return invalid([...own, ...(checked.ok ? [] : (checked.why.details ?? []))], "the request");
}

function whatOf(shape: Submitted["shape"]): string {
  return shape === "one" ? "the spec" : "the request";
}

/** Keys of single specs in a batch would be ignored: the batch has one. */
function keysWithin(jobs: unknown): Problem[] {
  if (!Array.isArray(jobs)) return [];
  return jobs.flatMap((spec, at) =>
    typeof spec === "object" && spec !== null && "idempotency_key" in spec
      ? [
          {
            path: `jobs[${at}].idempotency_key`,
            message: "many jobs have one key together: send the header Idempotency-Key",
          },
        ]
      : [],
  );
}

/** The state knows batches only; who wrote one spec reads paths of that spec. */
export function aboutOne<Why extends Pick<Refusal, "details">>(why: Why): Why {
  return { ...why, details: why.details?.map((one) => ({ ...one, path: one.path.replace(ofOnly, "") })) };
}

/** What paths of the only spec begin with. */
export const ofOnly = /^jobs\[0\]\.?/;
