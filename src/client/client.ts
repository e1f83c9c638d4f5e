import { formatDuration } from "../lib/units.ts";
import type { SurvivorView } from "../lib/survivors.ts";
import type { JobView, ResultView, TaskView } from "../state/types.ts";
import type {
  AuditView,
  AuthoritiesView,
  BundleContentView,
  BundleSourceInput,
  BundleSourceView,
  BundleVersionsView,
  BundleView,
  CalendarView,
  ClusterView,
  DeadLetterView,
  EventView,
  ExplainView,
  FactsView,
  FireView,
  GitBundleInput,
  GitBundleView,
  KeptBundleInput,
  KeptBundleView,
  InventoryDetailView,
  InventoryHostView,
  InventoryVersionView,
  InventoryView,
  NewTokenView,
  NodeView,
  PlanView,
  ReplayView,
  ScheduleDetailView,
  ScheduleOwnersView,
  ScheduleView,
  SecretView,
  SetCalendarView,
  SetInventoryView,
  SetScheduleView,
  SubmitterView,
  TemplateView,
  TokenView,
  WaitView,
} from "../state/answers.ts";
import { replayDeadLetters } from "./dead-letters.ts";
import { followEvents, followLogs, type LogPiece } from "./follow.ts";
import type { JobSpec } from "./job-spec.ts";
import {
  type AuditQuery,
  type DeadQuery,
  type EventQuery,
  type FireQuery,
  type JobQuery,
  type LogQuery,
  type NewToken,
  type PageQuery,
  queryText,
  type ResultQuery,
  type RetryOptions,
  type RunOptions,
  type ScheduleOwnersQuery,
  type ScheduleQuery,
  type TaskQuery,
  type TokenQuery,
} from "./queries.ts";
import type { ScheduleSpec } from "./schedule-spec.ts";
import { changeSchedules, everySchedule, schedulesNamed, setSchedules } from "./schedules.ts";
import { bodyOf, randomKey, submitSpecs, type SubmitOptions, type Submitted } from "./submit.ts";
import { submitMany, type SubmitManyOptions, type SubmittedBatch } from "./submit-many.ts";
import { type AddressHealth, Transport, type TransportOptions } from "./transport.ts";
import { waitForJobs, type WaitOptions, waitPatienceMs } from "./wait.ts";

/** Millions of schedules are counted, in turns with whatever else the node does. */
const ownersWaitMs = 60_000;
const backupHeadMs = 30 * 60_000;
/** Members bring a bundle to each other meanwhile. */
const bundleWaitMs = 11 * 60_000;
/** And it may be told to take an hour for git before that. */
const gitWaitMs = 72 * 60_000;

/**
 * Typed calls to a mesh; give it several addresses and it survives the loss of nodes. Runs in Bun, Node and browsers.
 * Every method throws ApiError when a node says no, Unreachable when none answers, the signal's reason when aborted.
 */
export class SkeinClient {
  protected readonly transport: Transport;

  constructor(options: TransportOptions) {
    this.transport = new Transport(options);
  }

  /**
   * Submits one spec (an object) or many (an array: all or none, at most 10,000), as people write them. Always under a key, so that it is
   * done once whatever happens on the way; `repeated`: the key was known, the ids are the first submit's. Where there is no room for them (429) they are submitted again
   * when the answer says so, for `patienceMs`.
   */
  submit(specs: JobSpec | readonly JobSpec[], options: SubmitOptions = {}): Promise<Submitted> {
    return submitSpecs(this.transport, specs, options);
  }

  /**
   * Submits as many specs as the source gives, in batches, each once. The source is read only as far as batches are under way and their answers are taken from
   * here, so neither side holds more than a few of them. Gives what became of each batch, in the order of the source. Throws {@link PartlySubmitted}.
   */
  submitMany(
    specs: Iterable<JobSpec> | AsyncIterable<JobSpec>,
    options: SubmitManyOptions = {},
  ): AsyncGenerator<SubmittedBatch, void, undefined> {
    return submitMany(this.transport, specs, options);
  }

  /**
   * Runs a finished job again, as a new job of the same spec: all of its tasks, only those that failed or did not succeed, or some by number ("1,3,5-8"). Always
   * under a key, as {@link submit}.
   */
  async retry(job: number, options: RetryOptions = {}): Promise<{ readonly id: number; readonly repeated: boolean }> {
    const { only, tasks, key, signal } = options;
    const { status, value } = await this.transport.json<{ id: number }>({
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

  /** One page of dead letters: jobs that have failed, with all their retries, and were not run again; newest first. */
  deadLetters(
    query: DeadQuery & PageQuery = {},
  ): Promise<{ readonly dead_letters: readonly DeadLetterView[]; readonly next?: string }> {
    return this.#get(`/v1/dead-letters${queryText(query)}`);
  }

  /**
   * Runs dead letters again, each once: those that are named, or all that the query fits ({}: all there are), oldest first and in as many requests as it takes. What cannot be is
   * in `refused`, and keeps nobody else. Jobs that fail again meanwhile are left for the next time.
   */
  replay(
    which: DeadQuery | { readonly ids: readonly number[] },
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Omit<ReplayView, "next">> {
    return replayDeadLetters(this.transport, which, options.signal);
  }

  /** One page of templates, by name, without their specs. */
  templates(query: PageQuery = {}): Promise<{
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
    const { value } = await this.transport.json<{ name: string; revision: number }>({
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
    await this.transport.json({ method: "DELETE", path, repeat: "unless-sent" });
  }

  /** One page of calendars, by name, without their spans. */
  calendars(query: PageQuery = {}): Promise<{
    readonly calendars: readonly Omit<CalendarView, "span_list" | "schedules">[];
    readonly next?: string;
  }> {
    return this.#get(`/v1/calendars${queryText(query)}`);
  }

  calendar(name: string): Promise<CalendarView> {
    return this.#get(`/v1/calendars/${encodeURIComponent(name)}`);
  }

  /** Sets a calendar ({name, description, spans, windows, ics, tz}); doing it twice is doing it once. */
  async setCalendar(calendar: object): Promise<SetCalendarView> {
    const { value } = await this.transport.json<SetCalendarView>({
      method: "POST",
      path: "/v1/calendars",
      body: JSON.stringify(calendar),
      repeat: "freely",
    });
    return value;
  }

  /** Forgets a calendar, unless a schedule goes by it. */
  async removeCalendar(name: string): Promise<void> {
    const path = `/v1/calendars/${encodeURIComponent(name)}`;
    await this.transport.json({ method: "DELETE", path, repeat: "unless-sent" });
  }

  /** One page of inventories, by name. */
  inventories(
    query: PageQuery = {},
  ): Promise<{ readonly inventories: readonly InventoryView[]; readonly next?: string }> {
    return this.#get(`/v1/inventories${queryText(query)}`);
  }

  /** An inventory with its groups, as it is or as a version had them. */
  inventory(name: string, version?: number): Promise<InventoryDetailView> {
    return this.#get(`${inventoryPath(name)}${queryText({ version })}`);
  }

  /** Its versions that can be put back, newest first. */
  inventoryHistory(name: string): Promise<{ readonly versions: readonly InventoryVersionView[] }> {
    return this.#get(`${inventoryPath(name)}/history`);
  }

  /** One page of its hosts, of a group or all. */
  inventoryHosts(
    name: string,
    query: PageQuery & { readonly group?: string | undefined; readonly version?: number | undefined } = {},
  ): Promise<{ readonly hosts: readonly string[]; readonly next?: string }> {
    return this.#get(`${inventoryPath(name)}/hosts${queryText(query)}`);
  }

  /** What it says of one host. */
  inventoryHost(name: string, host: string, version?: number): Promise<InventoryHostView> {
    return this.#get(`${inventoryPath(name)}/hosts/${encodeURIComponent(host)}${queryText({ version })}`);
  }

  /** Sets it: text with its format, a map of groups, or a version of before. The same again changes nothing. */
  setInventory(
    name: string,
    what:
      | { readonly text: string; readonly format: "json" | "ini" | "list" }
      | { readonly inventory: object }
      | { readonly from_version: number },
  ): Promise<SetInventoryView> {
    return this.#post("/v1/inventories", { name, ...what }, "freely");
  }

  /** Has it set by what a command prints, run every so often; command null: no more. */
  async setInventorySource(
    name: string,
    source: {
      readonly command: string | readonly string[] | null;
      readonly every?: string | undefined;
      readonly format?: string | undefined;
      readonly on?: string | undefined;
      readonly timeout?: string | undefined;
    },
  ): Promise<void> {
    await this.#post(`${inventoryPath(name)}/source`, source, "freely");
  }

  /** Runs the command that gives it now; gives the job that does. */
  refreshInventory(name: string): Promise<{ readonly name: string; readonly job: number }> {
    return this.#post(`${inventoryPath(name)}/refresh`, {}, "freely");
  }

  /** Forgets it, with its history. */
  async removeInventory(name: string): Promise<void> {
    await this.transport.json({ method: "DELETE", path: inventoryPath(name), repeat: "unless-sent" });
  }

  /** Submits a job that asks targets what they are; what they say is kept when it has ended. */
  gatherFacts(whom: {
    readonly driver?: string | undefined;
    readonly targets?: readonly string[] | undefined;
    readonly ssh?: object | undefined;
    readonly on?: string | undefined;
    readonly timeout?: string | undefined;
    readonly each_node?: boolean | undefined;
  }): Promise<{ readonly id: number }> {
    return this.#post("/v1/facts/gather", whom, "unless-sent");
  }

  /** Whether all that a job of {@link gatherFacts} has printed is kept: it has ended a moment before. */
  async factsKept(job: number): Promise<boolean> {
    const { kept } = await this.#get<{ readonly kept: boolean }>(`/v1/facts/gather/${job}`);
    return kept;
  }

  /** One page of what is known of targets, by name. */
  facts(query: PageQuery = {}): Promise<{ readonly facts: readonly FactsView[]; readonly next?: string }> {
    return this.#get(`/v1/facts${queryText(query)}`);
  }

  /** What is known of one. */
  factsOf(target: string): Promise<FactsView> {
    return this.#get(`/v1/facts/${encodeURIComponent(target)}`);
  }

  /** Submits a job of a template. Always under a key, as {@link submit}. */
  async runTemplate(
    name: string,
    options: RunOptions = {},
  ): Promise<{ readonly id: number; readonly template: string; readonly repeated: boolean }> {
    const { params, revision, key, signal } = options;
    const { status, value } = await this.transport.json<{ id: number; template: string }>({
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
    await this.transport.json({ method: "DELETE", path: `/v1/jobs/${job}`, repeat: "unless-sent" });
  }

  /** What specs would become if they were submitted now: tasks, placement, refusals. Nothing is stored. */
  async plan(specs: JobSpec | readonly JobSpec[]): Promise<PlanView> {
    const { value } = await this.transport.json<PlanView>({
      method: "POST",
      path: "/v1/plan",
      body: bodyOf(specs),
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
  tasks(
    job: number,
    query: TaskQuery = {},
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly tasks: readonly TaskView[]; readonly next?: string }> {
    return this.#get(`/v1/jobs/${job}/tasks${queryText(query)}`, options.signal);
  }

  /** What was run on targets, over all jobs, newest first. Without a target and a job: on whichever. */
  results(query: ResultQuery = {}): Promise<{ readonly results: readonly ResultView[]; readonly next?: string }> {
    return this.#get(`/v1/results${queryText(query)}`);
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
   * Until these jobs are terminal (`finished`), or the time is up. Survives the death of the node that it asked. An unknown id is
   * an ApiError "not-found"; of one that is forgotten meanwhile the last that was seen is told.
   */
  wait(ids: number | readonly number[], options: WaitOptions = {}): Promise<WaitView> {
    return waitForJobs(this.transport, typeof ids === "number" ? [ids] : ids, options);
  }

  /** Output as it arrives, over the loss of nodes without gap or repeat. Ends with the tasks when `follow` is set. */
  logs(job: number, query: LogQuery = {}): AsyncGenerator<LogPiece, void, undefined> {
    const { signal, ...rest } = query;
    return followLogs(this.transport, `/v1/jobs/${job}/logs${queryText(rest)}`, signal);
  }

  /**
   * What changes, after `from` (an index, or an event's id) or from now on, over the loss of nodes without gap or repeat; never ends by itself. Throws ApiError
   * "gone" when no node has the past that was asked for: list again then.
   */
  events(query: EventQuery = {}): AsyncGenerator<EventView, void, undefined> {
    const { topics, jobs, from, signal } = query;
    const path = `/v1/events${queryText({ topic: topics?.join(","), job: jobs?.join(","), from })}`;
    return followEvents(this.transport, path, signal);
  }

  /** The nodes that this client knows, and how they answered last, the next to be asked first. */
  get addresses(): readonly AddressHealth[] {
    return this.transport.addresses;
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
    const response = await this.transport.stream({
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
    await this.transport.json({ method: "POST", path: `/v1/jobs/${job}/hold`, body: "{}", repeat: "freely" });
  }

  /** Lets a held job go on; or, where a batch of it waits for approval, lets that one begin. Said again it does nothing more: a batch is called by its number. */
  async release(job: number, batch?: number): Promise<void> {
    const body = batch === undefined ? "{}" : JSON.stringify({ batch });
    await this.transport.json({ method: "POST", path: `/v1/jobs/${job}/release`, body, repeat: "freely" });
  }

  /** Asks for the end of a job; it stays "running" with `cancelling` until every attempt has ended. */
  async cancel(job: number): Promise<void> {
    await this.transport.json({ method: "POST", path: `/v1/jobs/${job}/cancel`, body: "{}", repeat: "freely" });
  }

  /** Gives running tasks of a job, or one of them, more time than their timeout: "10m". */
  async extend(job: number, by: string, task?: number): Promise<{ readonly id: number; readonly tasks: number }> {
    const { value } = await this.transport.json<{ id: number; tasks: number }>({
      method: "POST",
      path: `/v1/jobs/${job}/extend`,
      body: JSON.stringify({ by, task }),
      repeat: "unless-sent",
    });
    return value;
  }

  /** The authorities that the cluster believes. */
  async authorities(): Promise<AuthoritiesView> {
    const { value } = await this.transport.json<AuthoritiesView>({ method: "GET", path: "/v1/ca", repeat: "freely" });
    return value;
  }

  /** Begins to replace the authority; gives the new one's fingerprint. */
  async rotateAuthority(): Promise<{ readonly authority: string }> {
    const { value } = await this.transport.json<{ authority: string }>({
      method: "POST",
      path: "/v1/cluster/authority",
      body: "{}",
      repeat: "unless-sent",
    });
    return value;
  }

  /** Hands the leadership over, to this node or the closest voter; gives who leads. */
  async transfer(to: string | undefined): Promise<{ readonly from: number; readonly leader: number }> {
    const { value } = await this.transport.json<{ from: number; leader: number }>({
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

  /** One page of schedules, by name, without their jobs. It may be short of what was asked and still have a `next`. */
  schedules(query: ScheduleQuery = {}): Promise<{
    readonly schedules: readonly Omit<ScheduleView, "job">[];
    readonly next?: string;
  }> {
    return this.#get(`/v1/schedules${queryText(query)}`);
  }

  /** All schedules that fit, by name, with their jobs, page by page. */
  everySchedule(query: Omit<ScheduleQuery, "next"> = {}): AsyncGenerator<ScheduleView, void, undefined> {
    return everySchedule(this.transport, query);
  }

  /** Of schedules by their names those that are there, with their jobs. */
  schedulesNamed(names: readonly string[]): Promise<readonly ScheduleView[]> {
    return schedulesNamed(this.transport, names);
  }

  /** A schedule, by its name or id, with the next instants that it fires at. */
  schedule(name: string | number): Promise<ScheduleDetailView> {
    return this.#get(schedulePath(name));
  }

  /** Sets a schedule: a new one, or what is other about it; the same again changes nothing. `onlyNew`: refused where it is there. */
  async setSchedule(spec: ScheduleSpec, options: { readonly onlyNew?: boolean } = {}): Promise<SetScheduleView> {
    const onlyNew = options.onlyNew === true;
    const { value } = await this.transport.json<SetScheduleView>({
      method: "POST",
      path: `/v1/schedules${onlyNew ? "?only_new=true" : ""}`,
      body: JSON.stringify(spec),
      repeat: onlyNew ? "unless-sent" : "freely",
    });
    return value;
  }

  /** Sets schedules, each 1,000 of them all or none. `onlyNew`: refused where one is there. */
  setSchedules(
    specs: readonly ScheduleSpec[],
    options: { readonly onlyNew?: boolean } = {},
  ): Promise<readonly SetScheduleView[]> {
    return setSchedules(this.transport, specs, options.onlyNew === true);
  }

  /** Forgets schedules and their history, each 1,000 of them all or none; jobs that they have made stay. */
  removeSchedules(names: readonly string[]): Promise<number> {
    return changeSchedules(this.transport, "remove", names);
  }

  /** Pauses schedules, or has them go on, each 1,000 of them all or none; gives how many were not so before. */
  pauseSchedules(names: readonly string[], paused: boolean): Promise<number> {
    return changeSchedules(this.transport, paused ? "pause" : "resume", names);
  }

  /** Pauses all schedules of the mesh together, or ends that; gives whether it was not so before. */
  async pauseAllSchedules(paused: boolean): Promise<boolean> {
    return (await this.#post<{ changed: boolean }>("/v1/schedules-pause", { paused }, "freely")).changed;
  }

  /** Makes a job of a schedule now. `force`: also while a job of it is unfinished and overlap is skip. Always under a key, as {@link submit}. */
  async fireSchedule(
    name: string | number,
    options: { readonly force?: boolean; readonly key?: string } = {},
  ): Promise<{ readonly name: string; readonly job: number }> {
    const { value } = await this.transport.json<{ name: string; job: number }>({
      method: "POST",
      path: `${schedulePath(name)}/fire`,
      body: JSON.stringify({ force: options.force }),
      headers: { "idempotency-key": options.key ?? randomKey() },
      repeat: "freely",
      timeoutMs: 60_000,
    });
    return value;
  }

  /** One page of a schedule's history, newest first: what its instants came to. */
  scheduleFires(
    name: string | number,
    query: FireQuery = {},
  ): Promise<{ readonly fires: readonly FireView[]; readonly next?: string }> {
    return this.#get(`${schedulePath(name)}/fires${queryText(query)}`);
  }

  /** Who works out how many schedules, and what a change of the members would move. */
  scheduleOwners(query: ScheduleOwnersQuery = {}): Promise<ScheduleOwnersView> {
    return this.#get(`/v1/schedule-owners${queryText(query)}`, undefined, ownersWaitMs);
  }

  /** One page of tokens, by id, without their secrets. */
  tokens(query: TokenQuery = {}): Promise<{ readonly tokens: readonly TokenView[]; readonly next?: string }> {
    return this.#get(`/v1/tokens${queryText(query)}`);
  }

  /** Makes an API token. It is shown once. */
  async createToken(wanted: NewToken): Promise<NewTokenView> {
    const { name, role, ttlMs } = wanted;
    const { value } = await this.transport.json<NewTokenView>({
      method: "POST",
      path: "/v1/tokens",
      body: JSON.stringify({ name, role, ttl: ttlMs === undefined ? undefined : formatDuration(ttlMs) }),
      repeat: "unless-sent",
    });
    return value;
  }

  /** Has a token taken that was made on a member's host; doing it twice is doing it once. */
  async recoverToken(request: object): Promise<void> {
    await this.transport.json({
      method: "POST",
      path: "/v1/tokens/recover",
      body: JSON.stringify(request),
      repeat: "unless-sent",
    });
  }

  /** Keeps a value that only tasks are given; doing it twice is doing it once, but for the revision. */
  async setSecret(name: string, value: string): Promise<{ readonly name: string; readonly revision: number }> {
    const { value: made } = await this.transport.json<{ name: string; revision: number }>({
      method: "POST",
      path: "/v1/secrets",
      body: JSON.stringify({ name, value }),
      repeat: "unless-sent",
    });
    return made;
  }

  /** One page of secrets, by name, without their values. */
  secrets(query: PageQuery = {}): Promise<{ readonly secrets: readonly SecretView[]; readonly next?: string }> {
    return this.#get(`/v1/secrets${queryText(query)}`);
  }

  /** One page of bundles, by name: their newest versions. */
  bundles(query: PageQuery = {}): Promise<{ readonly bundles: readonly BundleView[]; readonly next?: string }> {
    return this.#get(`/v1/bundles${queryText(query)}`);
  }

  /** A bundle with the versions that are kept, newest first. */
  bundle(name: string): Promise<BundleVersionsView> {
    return this.#get(`/v1/bundles/${encodeURIComponent(name)}`);
  }

  /** What is in a bundle: "site", "site@3" or "site@sha256:…". Entries are as {@link missingFiles} takes them. */
  bundleContent(reference: string): Promise<BundleContentView> {
    return this.#get(`/v1/bundles/${encodeURIComponent(reference)}/manifest`, undefined, bundleWaitMs);
  }

  /** A file of a bundle. */
  async bundleFile(reference: string, sha256: string, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const path = `/v1/bundles/${encodeURIComponent(reference)}/files/${sha256}`;
    const response = await this.transport.stream({ method: "GET", path, repeat: "freely", timeoutMs: 60_000, signal });
    return response.body ?? new ReadableStream();
  }

  /** Which files of a tree the mesh lacks, by their SHA-256: files [path, permissions in octal, size, SHA-256], directories [path, permissions], links [path, 0, target]. */
  async missingFiles(entries: readonly unknown[], signal?: AbortSignal): Promise<readonly string[]> {
    const { value } = await this.transport.json<{ readonly missing: readonly string[] }>({
      method: "POST",
      path: "/v1/bundles/missing",
      body: JSON.stringify({ entries }),
      repeat: "freely",
      timeoutMs: bundleWaitMs,
      signal,
    });
    return value.missing;
  }

  /** Sends files of a tree, or pieces of them (lib/bundle-upload.ts); of large files it says how much there is. */
  async sendFiles(
    body: Uint8Array<ArrayBuffer>,
    signal?: AbortSignal,
  ): Promise<{ readonly files: number; readonly parts: Readonly<Record<string, number>> }> {
    const { value } = await this.transport.json<{
      readonly files: number;
      readonly parts: Readonly<Record<string, number>>;
    }>({
      method: "POST",
      path: "/v1/bundles/files",
      body,
      headers: { "content-type": "application/vnd.skein.files" },
      repeat: "freely",
      timeoutMs: 120_000,
      signal,
    });
    return value;
  }

  /** A name stands for what is in a git repository, by the git of the node that is asked. Doing it twice is doing it once. */
  async gitBundle(bundle: GitBundleInput, signal?: AbortSignal): Promise<GitBundleView> {
    const { value } = await this.transport.json<GitBundleView>({
      method: "POST",
      path: "/v1/bundles/git",
      body: JSON.stringify(bundle),
      repeat: "freely",
      timeoutMs: gitWaitMs,
      signal,
    });
    return value;
  }

  /** One page of the repositories that bundles are pinned from by themselves, by the bundle's name. */
  bundleSources(
    query: PageQuery = {},
  ): Promise<{ readonly sources: readonly BundleSourceView[]; readonly next?: string }> {
    return this.#get(`/v1/bundle-sources${queryText(query)}`);
  }

  /** The bundle is pinned from there by itself. Doing it twice is doing it once. */
  async setBundleSource(source: BundleSourceInput): Promise<void> {
    await this.#post("/v1/bundle-sources", source, "freely");
  }

  /** It is looked at now. */
  async fetchBundleSource(name: string): Promise<void> {
    await this.#post(`/v1/bundle-sources/${encodeURIComponent(name)}/fetch`, {}, "freely");
  }

  /** The bundle is pinned by itself no more; its versions stay. */
  async removeBundleSource(name: string): Promise<void> {
    const path = `/v1/bundle-sources/${encodeURIComponent(name)}`;
    await this.transport.json({ method: "DELETE", path, repeat: "unless-sent" });
  }

  /** The name stands for the tree, once enough members have it. Doing it twice is doing it once. */
  async keepBundle(bundle: KeptBundleInput, signal?: AbortSignal): Promise<KeptBundleView> {
    const { value } = await this.transport.json<KeptBundleView>({
      method: "POST",
      path: "/v1/bundles",
      body: JSON.stringify(bundle),
      repeat: "freely",
      timeoutMs: bundleWaitMs,
      signal,
    });
    return value;
  }

  /** One page of what people and nodes asked for, newest first. */
  audit(query: AuditQuery = {}): Promise<{ readonly audit: readonly AuditView[]; readonly next?: string }> {
    return this.#get(`/v1/audit${queryText(query)}`);
  }

  /** Makes a join token. It is shown once. */
  async joinToken(options: { readonly ttlMs?: number; readonly uses?: number } = {}): Promise<string> {
    const ttl = options.ttlMs === undefined ? undefined : formatDuration(options.ttlMs);
    const { value } = await this.transport.json<{ token: string }>({
      method: "POST",
      path: "/v1/cluster/tokens",
      body: JSON.stringify({ ttl, uses: options.uses }),
      repeat: "unless-sent",
    });
    return value.token;
  }

  /** Removes the node at the first address from the cluster once its work is done. Give this client one address. */
  async leave(timeoutMs: number): Promise<void> {
    await this.transport.json({
      method: "POST",
      path: "/v1/nodes/self/leave",
      body: JSON.stringify({ timeout: formatDuration(timeoutMs) }),
      repeat: "unless-sent",
      timeoutMs: timeoutMs + 15_000,
    });
  }

  async #post<Value>(path: string, body: object, repeat: "freely" | "unless-sent"): Promise<Value> {
    const { value } = await this.transport.json<Value>({ method: "POST", path, body: JSON.stringify(body), repeat });
    return value;
  }

  async #get<Value>(path: string, signal?: AbortSignal, waitMs = 0): Promise<Value> {
    const { value } = await this.transport.json<Value>({
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

function schedulePath(name: string | number): string {
  return `/v1/schedules/${encodeURIComponent(String(name))}`;
}

function inventoryPath(name: string): string {
  return `/v1/inventories/${encodeURIComponent(name)}`;
}
