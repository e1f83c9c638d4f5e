import { isTerminal } from "../lib/states.ts";
import { formatDuration } from "../lib/units.ts";
import type { SurvivorView } from "../lib/survivors.ts";
import type { CommandInput, CommandName, CommandValue } from "../state/commands/index.ts";
import type { JobState, JobView, Role, TaskState, TaskView } from "../state/types.ts";
import type {
  AuditView,
  AuthoritiesView,
  ClusterView,
  EventView,
  ExplainView,
  NewTokenView,
  NodeView,
  PlanView,
  SecretView,
  SubmitterView,
  TemplateView,
  TokenView,
  WaitView,
} from "../state/answers.ts";
import { followEvents, followLogs, type LogPiece } from "./follow.ts";
import { Transport, type TransportOptions } from "./transport.ts";

/** A long poll ends after this long and is asked again, so that no proxy between us cuts it. */
const pollMs = 25_000;
/** Waiting goes on for this long when no node answers. */
const waitPatienceMs = 30_000;
const backupHeadMs = 30 * 60_000;
const jobsPerWait = 10_000;

export interface JobQuery {
  readonly state?: JobState | undefined;
  readonly name?: string | undefined;
  /** A label selector: "team=docs". */
  readonly label?: string | undefined;
  /** RFC 3339, or a duration back from now: "2h". */
  readonly since?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface TaskQuery {
  readonly state?: TaskState | undefined;
  readonly target?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface RetryOptions {
  /** "failed": those that failed, timed out or were lost; "unfinished": all that did not succeed. Default: all. */
  readonly only?: "all" | "failed" | "unfinished" | undefined;
  /** Tasks by their numbers: "1,3,5-8". */
  readonly tasks?: string | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RunOptions {
  /** Values of the template's parameters; text does for any type ("a,b" for a list). */
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  /** Refused when the template is another one by now. */
  readonly revision?: number | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TokenQuery {
  readonly kind?: "api" | "join" | undefined;
  /** Those that cannot be used any more as well. */
  readonly all?: boolean | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface AuditQuery {
  /** RFC 3339, or a duration back from now: "2h". */
  readonly since?: string | undefined;
  /** A token's id or name, or a node's name. */
  readonly by?: string | undefined;
  /** A command ("token.revoke"), or its first word. */
  readonly what?: string | undefined;
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

export interface LogQuery {
  /** Default: all tasks, in order. */
  readonly task?: number | undefined;
  /** Stay until the task has ended, over its retries too. */
  readonly follow?: boolean | undefined;
  readonly stream?: "stdout" | "stderr" | undefined;
  /** Only the last so many lines of each task. */
  readonly tail?: number | undefined;
  /** Bytes of the task's output to skip; needs `task` unless the job has one task. */
  readonly offset?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Typed calls to a mesh; give it several addresses and it survives the loss of nodes. Runs in Bun, Node and browsers.
 * Every method throws ApiError when a node says no, Unreachable when none answers, the signal's reason when aborted.
 */
export class SkeinClient {
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#transport = new Transport(options);
  }

  /**
   * One command by name (jobs are submitted with {@link submit}). Repeated by itself only when the node certainly did nothing, or with `idempotent`: the caller knows
   * that doing it twice is doing it once.
   */
  async call<Name extends Exclude<CommandName, "job.submit">>(
    name: Name,
    input: CommandInput<Name>,
    options: { readonly idempotent?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<CommandValue<Name>> {
    const { value } = await this.#transport.json<CommandValue<Name>>({
      method: "POST",
      path: `/v1/commands/${name}`,
      body: JSON.stringify(input),
      repeat: options.idempotent === true ? "freely" : "unless-sent",
      signal: options.signal,
    });
    return value;
  }

  /**
   * Submits one spec (an object) or many (an array: all or none), as people write them. Always under a key, so that it is
   * done once whatever happens on the way; `repeated`: the key was known, the ids are the first submit's. Where there is no room for them (429) they are submitted again
   * when the answer says so, for `patienceMs` (default 10 s).
   */
  async submit(
    specs: object | readonly object[],
    options: {
      readonly key?: string | undefined;
      readonly patienceMs?: number | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<{ readonly ids: readonly number[]; readonly repeated: boolean }> {
    const { status, value } = await this.#transport.json<{ id: number } | { ids: number[] }>({
      method: "POST",
      path: "/v1/jobs",
      body: JSON.stringify(Array.isArray(specs) ? { jobs: specs as readonly object[] } : specs),
      headers: { "idempotency-key": options.key ?? ownKey(specs) ?? randomKey() },
      repeat: "freely",
      timeoutMs: 30_000,
      patienceMs: options.patienceMs,
      signal: options.signal,
    });
    return { ids: "ids" in value ? value.ids : [value.id], repeated: status === 200 };
  }

  /**
   * Runs a finished job again, as a new job of the same spec: all of its tasks, only those that failed or did not succeed, or some by number ("1,3,5-8"). Always
   * under a key, as {@link submit}.
   */
  async retry(job: number, options: RetryOptions = {}): Promise<{ readonly id: number; readonly repeated: boolean }> {
    const { only, tasks, key, signal } = options;
    const { status, value } = await this.#transport.json<{ id: number }>({
      method: "POST",
      path: `/v1/jobs/${job}/retry`,
      body: JSON.stringify({ only, tasks }),
      headers: { "idempotency-key": key ?? randomKey() },
      repeat: "freely",
      timeoutMs: 60_000,
      signal,
    });
    return { id: value.id, repeated: status === 200 };
  }

  /** One page of templates, by name, without their specs. */
  templates(query: { readonly limit?: number | undefined; readonly next?: string | undefined } = {}): Promise<{
    readonly templates: readonly Omit<TemplateView, "spec">[];
    readonly next?: string;
  }> {
    return this.#get(`/v1/templates${queryText(query)}`);
  }

  template(name: string): Promise<TemplateView> {
    return this.#get(`/v1/templates/${encodeURIComponent(name)}`);
  }

  /** Keeps a template ({name, description, parameters, spec}), or a new revision of it; doing it twice is doing it once. */
  async setTemplate(template: object): Promise<{ readonly name: string; readonly revision: number }> {
    const { value } = await this.#transport.json<{ name: string; revision: number }>({
      method: "POST",
      path: "/v1/templates",
      body: JSON.stringify(template),
      repeat: "freely",
    });
    return value;
  }

  /** Forgets a template. */
  async removeTemplate(name: string): Promise<void> {
    const path = `/v1/templates/${encodeURIComponent(name)}`;
    await this.#transport.json({ method: "DELETE", path, repeat: "unless-sent" });
  }

  /** Submits a job of a template. Always under a key, as {@link submit}. */
  async runTemplate(
    name: string,
    options: RunOptions = {},
  ): Promise<{ readonly id: number; readonly template: string; readonly repeated: boolean }> {
    const { params, revision, key, signal } = options;
    const { status, value } = await this.#transport.json<{ id: number; template: string }>({
      method: "POST",
      path: `/v1/templates/${encodeURIComponent(name)}/run`,
      body: JSON.stringify({ params, revision }),
      headers: { "idempotency-key": key ?? randomKey() },
      repeat: "freely",
      timeoutMs: 30_000,
      signal,
    });
    return { ...value, repeated: status === 200 };
  }

  /** Forgets a finished job at once. */
  async remove(job: number): Promise<void> {
    await this.#transport.json({ method: "DELETE", path: `/v1/jobs/${job}`, repeat: "unless-sent" });
  }

  /** What specs would become if they were submitted now: tasks, placement, refusals. Nothing is stored. */
  async plan(specs: object | readonly object[]): Promise<PlanView> {
    const { value } = await this.#transport.json<PlanView>({
      method: "POST",
      path: "/v1/plan",
      body: JSON.stringify(Array.isArray(specs) ? { jobs: specs as readonly object[] } : specs),
      repeat: "freely",
      timeoutMs: 30_000,
    });
    return value;
  }

  /** Why a job waits: what holds it up, and how every node stands to its tasks. */
  explain(job: number): Promise<ExplainView> {
    return this.#get(`/v1/jobs/${job}/explain`);
  }

  /** One page of jobs, newest first. */
  jobs(query: JobQuery = {}): Promise<{ readonly jobs: readonly JobView[]; readonly next?: string }> {
    return this.#get(`/v1/jobs${queryText(query)}`);
  }

  /** A job; with `waitMs` (at most 10 min) once it is terminal or the time is up. */
  job(id: number, options: { readonly waitMs?: number; readonly signal?: AbortSignal } = {}): Promise<JobView> {
    const wait = options.waitMs === undefined ? undefined : formatDuration(options.waitMs);
    return this.#get(`/v1/jobs/${id}${queryText({ wait })}`, options.signal, options.waitMs);
  }

  /** One page of a job's tasks, in order. */
  tasks(job: number, query: TaskQuery = {}): Promise<{ readonly tasks: readonly TaskView[]; readonly next?: string }> {
    return this.#get(`/v1/jobs/${job}/tasks${queryText(query)}`);
  }

  /** All tasks of a job, page by page. */
  async *everyTask(job: number, query: Omit<TaskQuery, "next"> = {}): AsyncGenerator<TaskView, void, undefined> {
    let next: string | undefined;
    do {
      const page = await this.tasks(job, { limit: 1000, ...query, next });
      yield* page.tasks;
      next = page.next;
    } while (next !== undefined);
  }

  task(job: number, task: number): Promise<TaskView> {
    return this.#get(`/v1/jobs/${job}/tasks/${task}`);
  }

  /**
   * Until all jobs are terminal (`finished`), or the time is up. Survives the death of the node that it asked. An unknown id is
   * an ApiError "not-found".
   */
  async wait(
    ids: readonly number[],
    options: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<WaitView> {
    const deadline = performance.now() + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
    const jobs: WaitView["jobs"][number][] = [];
    for (let at = 0; at < ids.length;) {
      const some = ids.slice(at, at + jobsPerWait);
      const timeoutMs = Math.max(0, Math.min(pollMs, deadline - performance.now()));
      const { value } = await this.#transport.json<WaitView>({
        method: "POST",
        path: "/v1/jobs/wait",
        body: JSON.stringify({ ids: some, timeout: formatDuration(timeoutMs) }),
        repeat: "freely",
        timeoutMs: timeoutMs + 10_000,
        patienceMs: timeoutMs + waitPatienceMs,
        signal: options.signal,
      });
      const finished = value.finished;
      if (!finished && performance.now() < deadline) continue;
      jobs.push(...value.jobs);
      at += some.length;
    }
    return { finished: jobs.every((job) => isTerminal(job.state)), jobs };
  }

  /** Output as it arrives, over the loss of nodes without gap or repeat. Ends with the tasks when `follow` is set. */
  logs(job: number, query: LogQuery = {}): AsyncGenerator<LogPiece, void, undefined> {
    const { signal, ...rest } = query;
    return followLogs(this.#transport, `/v1/jobs/${job}/logs${queryText(rest)}`, signal);
  }

  /** Events of these topics (default all) after `from` (an index, or an event's id), or from now on; never ends by itself. */
  events(
    query: {
      readonly topics?: readonly EventView["topic"][];
      readonly from?: string | number;
      readonly signal?: AbortSignal;
    } = {},
  ): AsyncGenerator<EventView, void, undefined> {
    const path = `/v1/events${queryText({ topic: query.topics?.join(","), from: query.from })}`;
    return followEvents(this.#transport, path, query.signal);
  }

  async nodes(): Promise<readonly NodeView[]> {
    return (await this.#get<{ nodes: readonly NodeView[] }>("/v1/nodes")).nodes;
  }

  node(idOrName: string | number): Promise<NodeView> {
    return this.#get(`/v1/nodes/${encodeURIComponent(String(idOrName))}`);
  }

  /** A copy of the whole state as one file (lib/backup-file.ts), to be read to its end. `stale`: also from a node without a leader. */
  async backup(
    options: { readonly stale?: boolean | undefined; readonly signal?: AbortSignal } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#transport.stream({
      method: "GET",
      path: `/v1/backup${options.stale === true ? "?consistency=stale" : ""}`,
      repeat: "freely",
      // The state is copied before the first byte comes.
      timeoutMs: backupHeadMs,
      signal: options.signal,
    });
    return response.body ?? new ReadableStream();
  }

  /** What the node at the first address has, as it knows by itself. */
  survivor(): Promise<SurvivorView> {
    return this.#get("/v1/survivor");
  }

  cluster(signal?: AbortSignal): Promise<ClusterView> {
    return this.#get("/v1/cluster", signal);
  }

  /** Nothing more of the job starts until it is released; what runs goes on. */
  async hold(job: number): Promise<void> {
    await this.#transport.json({ method: "POST", path: `/v1/jobs/${job}/hold`, body: "{}", repeat: "freely" });
  }

  /** Lets a held job go on. */
  async release(job: number): Promise<void> {
    await this.#transport.json({ method: "POST", path: `/v1/jobs/${job}/release`, body: "{}", repeat: "freely" });
  }

  /** Asks for the end of a job; it stays "running" with `cancelling` until every attempt has ended. */
  async cancel(job: number): Promise<void> {
    await this.#transport.json({ method: "POST", path: `/v1/jobs/${job}/cancel`, body: "{}", repeat: "freely" });
  }

  /** Gives running tasks of a job, or one of them, more time than their timeout: "10m". */
  async extend(job: number, by: string, task?: number): Promise<{ readonly id: number; readonly tasks: number }> {
    const { value } = await this.#transport.json<{ id: number; tasks: number }>({
      method: "POST",
      path: `/v1/jobs/${job}/extend`,
      body: JSON.stringify({ by, task }),
      repeat: "unless-sent",
    });
    return value;
  }

  /** The authorities that the cluster believes. */
  async authorities(): Promise<AuthoritiesView> {
    const { value } = await this.#transport.json<AuthoritiesView>({ method: "GET", path: "/v1/ca", repeat: "freely" });
    return value;
  }

  /** Begins to replace the authority; gives the new one's fingerprint. */
  async rotateAuthority(): Promise<{ readonly authority: string }> {
    const { value } = await this.#transport.json<{ authority: string }>({
      method: "POST",
      path: "/v1/cluster/authority",
      body: "{}",
      repeat: "unless-sent",
    });
    return value;
  }

  /** Hands the leadership over, to this node or the closest voter; gives who leads. */
  async transfer(to: string | undefined): Promise<{ readonly from: number; readonly leader: number }> {
    const { value } = await this.#transport.json<{ from: number; leader: number }>({
      method: "POST",
      path: "/v1/cluster/transfer",
      body: JSON.stringify({ to }),
      repeat: "unless-sent",
      timeoutMs: 20_000,
    });
    return value;
  }

  /** Who has a share of their own, by name. */
  async submitters(): Promise<readonly SubmitterView[]> {
    return (await this.#get<{ submitters: readonly SubmitterView[] }>("/v1/submitters")).submitters;
  }

  /** One page of tokens, by id, without their secrets. */
  tokens(query: TokenQuery = {}): Promise<{ readonly tokens: readonly TokenView[]; readonly next?: string }> {
    return this.#get(`/v1/tokens${queryText(query)}`);
  }

  /** Makes an API token. It is shown once. */
  async createToken(wanted: {
    readonly name: string;
    readonly role: Role;
    readonly ttlMs?: number | undefined;
  }): Promise<NewTokenView> {
    const { name, role, ttlMs } = wanted;
    const { value } = await this.#transport.json<NewTokenView>({
      method: "POST",
      path: "/v1/tokens",
      body: JSON.stringify({ name, role, ttl: ttlMs === undefined ? undefined : formatDuration(ttlMs) }),
      repeat: "unless-sent",
    });
    return value;
  }

  /** Has a token taken that was made on a member's host; doing it twice is doing it once. */
  async recoverToken(request: object): Promise<void> {
    await this.#transport.json({
      method: "POST",
      path: "/v1/tokens/recover",
      body: JSON.stringify(request),
      repeat: "unless-sent",
    });
  }

  /** Keeps a value that only tasks are given; doing it twice is doing it once, but for the revision. */
  async setSecret(name: string, value: string): Promise<{ readonly name: string; readonly revision: number }> {
    const { value: made } = await this.#transport.json<{ name: string; revision: number }>({
      method: "POST",
      path: "/v1/secrets",
      body: JSON.stringify({ name, value }),
      repeat: "unless-sent",
    });
    return made;
  }

  /** One page of secrets, by name, without their values. */
  secrets(
    query: { readonly limit?: number | undefined; readonly next?: string | undefined } = {},
  ): Promise<{ readonly secrets: readonly SecretView[]; readonly next?: string }> {
    return this.#get(`/v1/secrets${queryText(query)}`);
  }

  /** One page of what people and nodes asked for, newest first. */
  audit(query: AuditQuery = {}): Promise<{ readonly audit: readonly AuditView[]; readonly next?: string }> {
    return this.#get(`/v1/audit${queryText(query)}`);
  }

  /** Makes a join token. It is shown once. */
  async joinToken(options: { readonly ttlMs?: number; readonly uses?: number } = {}): Promise<string> {
    const ttl = options.ttlMs === undefined ? undefined : formatDuration(options.ttlMs);
    const { value } = await this.#transport.json<{ token: string }>({
      method: "POST",
      path: "/v1/cluster/tokens",
      body: JSON.stringify({ ttl, uses: options.uses }),
      repeat: "unless-sent",
    });
    return value.token;
  }

  /** Removes the node at the first address from the cluster once its work is done. Give this client one address. */
  async leave(timeoutMs: number): Promise<void> {
    await this.#transport.json({
      method: "POST",
      path: "/v1/nodes/self/leave",
      body: JSON.stringify({ timeout: formatDuration(timeoutMs) }),
      repeat: "unless-sent",
      timeoutMs: timeoutMs + 15_000,
    });
  }

  async #get<Value>(path: string, signal?: AbortSignal, waitMs = 0): Promise<Value> {
    const { value } = await this.#transport.json<Value>({
      method: "GET",
      path,
      repeat: "freely",
      timeoutMs: waitMs + 10_000,
      patienceMs: waitMs === 0 ? undefined : waitMs + waitPatienceMs,
      signal,
    });
    return value;
  }
}

function queryText(query: object): string {
  const set = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) set.set(name, String(value));
  return set.size === 0 ? "" : `?${set.toString()}`;
}

/** The key that a single spec brings itself. */
function ownKey(specs: object): string | undefined {
  const key = (specs as { idempotency_key?: unknown }).idempotency_key;
  return typeof key === "string" ? key : undefined;
}

/** 128 random bits; crypto.randomUUID is not there on pages that came over plain HTTP. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
