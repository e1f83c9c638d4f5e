import { limits } from "../lib/limits.ts";
import type { JobSpec } from "./job-spec.ts";
import { randomKey, type Submitted, submitText } from "./submit.ts";
import type { Transport } from "./transport.ts";

export interface SubmitManyOptions {
  /** Jobs in one request, 1 to 10,000; fewer where their specs are long. Default 500. */
  readonly batch?: number | undefined;
  /** Requests under way at once, 1 to 32. Default 4. */
  readonly inFlight?: number | undefined;
  /** At most 100 characters: the same key, source and `batch` again give the same jobs, also when the first time ended in the middle. Default: one of its own. */
  readonly key?: string | undefined;
  /** How long each batch is tried when no node takes it, or all say that they are busy. Default 2 min. */
  readonly patienceMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What became of one batch. */
export interface SubmittedBatch extends Submitted {
  /** The place of its first spec in the source, from 0 on. */
  readonly first: number;
}

/** A batch was not taken; `cause` says why. What was before it was submitted; what came after may be. */
export class PartlySubmitted extends Error {
  override readonly name = "PartlySubmitted";
  /** Specs of the source that were submitted before: the place of the refused batch's first one. Paths of problems count from there. */
  readonly first: number;
  /** With it, the same source and the same `batch` again submit what is missing, and nothing twice. */
  readonly key: string;

  constructor(cause: unknown, first: number, key: string) {
    super(
      `the batch of jobs that begins with number ${first} of the source was not submitted: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
    this.first = first;
    this.key = key;
  }
}

/** A request with room for its head and for what UTF-8 takes. */
const batchBytes = limits.bodyBytes / 2;
const batchDefault = 500;
const inFlightMax = 32;
const patienceDefaultMs = 120_000;
/** `key`, a stroke and a number are a key. */
const keyLength = limits.idempotencyKeyLength - 28;

interface Batch {
  readonly number: number;
  readonly first: number;
  readonly body: string;
}

/** Specs -> batches -> requests, of which a few are under way; see SkeinClient.submitMany. */
export async function* submitMany(
  transport: Transport,
  specs: Iterable<JobSpec> | AsyncIterable<JobSpec>,
  options: SubmitManyOptions,
): AsyncGenerator<SubmittedBatch, void, undefined> {
  const size = within("batch", options.batch ?? batchDefault, limits.specsPerRequest);
  const inFlight = within("inFlight", options.inFlight ?? 4, inFlightMax);
  const base = options.key ?? randomKey();
  if (base.length > keyLength) throw new TypeError(`key must be at most ${keyLength} characters`);
  const { patienceMs = patienceDefaultMs } = options;
  // Whoever leaves in the middle leaves no request behind.
  const left = new AbortController();
  const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
  const underWay: { readonly batch: Batch; readonly answer: Promise<Submitted> }[] = [];
  const batches = batchesOf(specs, size);
  try {
    for (let isOver = false; ;) {
      while (!isOver && underWay.length < inFlight) {
        const { done, value: batch } = await batches.next();
        if (done === true) isOver = true;
        else {
          const answer = submitText(transport, batch.body, { key: `${base}/${batch.number}`, patienceMs, signal });
          answer.catch(() => {}); // told when its turn comes
          underWay.push({ batch, answer });
        }
      }
      const oldest = underWay.shift();
      if (oldest === undefined) return;
      let submitted: Submitted;
      try {
        submitted = await oldest.answer;
      } catch (error) {
        options.signal?.throwIfAborted();
        throw new PartlySubmitted(error, oldest.batch.first, base);
      }
      yield { ...submitted, first: oldest.batch.first };
    }
  } finally {
    left.abort(new Error("nobody takes the answers any more"));
    await batches.return();
  }
}

/** Where batches are cut depends on the source alone, so that the same source again has the same batches under the same keys. */
async function* batchesOf(
  specs: Iterable<JobSpec> | AsyncIterable<JobSpec>,
  size: number,
): AsyncGenerator<Batch, void, undefined> {
  let texts: string[] = [];
  let bytes = 0;
  let number = 0;
  let first = 0;
  const cut = (): Batch => {
    const batch = { number, first, body: `{"jobs":[${texts.join(",")}]}` };
    number += 1;
    first += texts.length;
    texts = [];
    bytes = 0;
    return batch;
  };
  for await (const spec of specs) {
    const text = JSON.stringify(spec);
    // No character takes more than three bytes for its one or two units.
    const most = text.length * 3;
    if (texts.length > 0 && bytes + most > batchBytes) yield cut();
    texts.push(text);
    bytes += most;
    if (texts.length === size) yield cut();
  }
  if (texts.length > 0) yield cut();
}

function within(name: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new TypeError(`${name} must be a whole number from 1 to ${most}`);
}
