import type { JobSpec } from "./job-spec.ts";
import type { Transport } from "./transport.ts";

export interface SubmitOptions {
  /** At most 128 characters: the same key and the same specs give the same jobs, for a day and as long as they are remembered. Default: one of its own. */
  readonly key?: string | undefined;
  /** How long to go on trying when no node takes it. Default 10 s. */
  readonly patienceMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Submitted {
  readonly ids: readonly number[];
  /** The key was known: these are the jobs of the first submit. */
  readonly repeated: boolean;
}

/** POST /v1/jobs, under a key in any case. */
export async function submitSpecs(
  transport: Transport,
  specs: JobSpec | readonly JobSpec[],
  options: SubmitOptions,
): Promise<Submitted> {
  return submitText(transport, bodyOf(specs), { ...options, key: options.key ?? ownKey(specs) ?? randomKey() });
}

/** The same with a body that is made. */
export async function submitText(
  transport: Transport,
  body: string,
  { key, patienceMs, signal }: SubmitOptions & { readonly key: string },
): Promise<Submitted> {
  const { status, value } = await transport.json<{ id: number } | { ids: number[] }>({
    method: "POST",
    path: "/v1/jobs",
    body,
    headers: { "idempotency-key": key },
    repeat: "freely",
    timeoutMs: 30_000,
    patienceMs,
    signal,
  });
  return { ids: "ids" in value ? value.ids : [value.id], repeated: status === 200 };
}

/** One spec, or {jobs: […]}. */
export function bodyOf(specs: JobSpec | readonly JobSpec[]): string {
  return JSON.stringify(Array.isArray(specs) ? { jobs: specs as readonly JobSpec[] } : specs);
}

/** The key that a single spec brings itself. */
function ownKey(specs: object): string | undefined {
  const key = (specs as { idempotency_key?: unknown }).idempotency_key;
  return typeof key === "string" ? key : undefined;
}

/** 128 random bits; crypto.randomUUID is not there on pages that came over plain HTTP. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
