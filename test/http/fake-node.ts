import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { firstEpoch } from "../../src/lib/epoch.ts";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { accept, type Outcome, refuse, type Refusal } from "../../src/lib/outcome.ts";
import { type BackupManifest, encodeBackupHead } from "../../src/lib/backup-file.ts";
import { type Backup, digest } from "../../src/node/backup.ts";
import type { Survivor } from "../../src/lib/survivors.ts";
import { createApp } from "../../src/http/app.ts";
import type {
  LogPage,
  LogRequest,
  MadeToken,
  NewInventory,
  NewTokenOptions,
  NodeApi,
  NodeStatus,
  SetInventory,
  SetSecret,
} from "../../src/node/api.ts";
import { Bundles } from "../../src/node/bundles.ts";
import { Questions } from "../../src/node/questions.ts";
import { newApiToken } from "../../src/node/credentials.ts";
import type { TransferValue } from "../../src/node/transfer.ts";
import { setInventory } from "../../src/node/inventories.ts";
import { recoverToken } from "../../src/node/recover-token.ts";
import { Events } from "../../src/node/events.ts";
import { makeScheduledJob } from "../../src/node/schedule-jobs.ts";
import { PlacementView } from "../../src/scheduler/view.ts";
import type { CommandInput, CommandName, CommandValue } from "../../src/state/commands/index.ts";
import type { AuthorityView } from "../../src/state/answers.ts";
import { findTask } from "../../src/state/queries.ts";
import type { StoredSchedule } from "../../src/state/tables/schedule.ts";
import type { ReadTx } from "../../src/state/tx.ts";
import type { Principal } from "../../src/state/types.ts";
import { fingerprintOf } from "../../src/transport/certificate.ts";
import { Cluster } from "../state/support.ts";
import { authority } from "../transport/credentials.ts";

/**
 * Nodes as http sees them, over the real state: commands are applied at once, events and waiting are the node's own code.
 * Only consensus and the guard are left out; logs are kept in memory.
 */
export class Mesh {
  readonly cluster: Cluster;
  /** A test may put others in their place: of a node that was started again. */
  events = new Events(0);
  readonly logs = new Map<string, FakeLog>();
  #published = 0;

  constructor(nodes = 1) {
    this.cluster = Cluster.of(nodes);
    this.publish();
  }

  node(id = 1): FakeNode {
    return new FakeNode(this, nodeId(id));
  }

  /** Changes the state as the log would and tells watchers. */
  change<Value>(make: (cluster: Cluster) => Value): Value {
    const value = make(this.cluster);
    this.publish();
    return value;
  }

  publish(): void {
    const fresh = this.cluster.events.slice(this.#published);
    this.#published = this.cluster.events.length;
    this.events.publish(fresh, this.cluster.now);
  }

  /** Resolves at the next event, with `other`, or after a time. */
  async nextChange(other: Promise<void>, timeoutMs: number): Promise<void> {
    const changed = Promise.withResolvers<void>();
    const off = this.events.watch(() => changed.resolve());
    const timer = setTimeout(() => changed.resolve(), timeoutMs);
    await Promise.race([other, changed.promise]);
    clearTimeout(timer);
    off();
  }

  log(job: number, task = 0, attempt = 1): FakeLog {
    const key = `${job}/${task}.${attempt}`;
    const log = this.logs.get(key) ?? new FakeLog();
    this.logs.set(key, log);
    return log;
  }
}

/** The output of one attempt. */
export class FakeLog {
  readonly chunks: { readonly stream: "stdout" | "stderr"; readonly at: number; readonly bytes: Uint8Array }[] = [];
  #written = Promise.withResolvers<void>();

  write(content: string | Uint8Array, stream: "stdout" | "stderr" = "stdout"): this {
    this.chunks.push({
      stream,
      at: 1000,
      bytes: typeof content === "string" ? new TextEncoder().encode(content) : content,
    });
    this.#written.resolve();
    this.#written = Promise.withResolvers<void>();
    return this;
  }

  /** Resolves at the next write. */
  get written(): Promise<void> {
    return this.#written.promise;
  }
}

const principals: Readonly<Record<string, Principal>> = {
  skein_a_admin: { token: "a", name: "anna", role: "admin" },
  skein_o_operator: { token: "o", name: "otto", role: "operator" },
  skein_v_viewer: { token: "v", name: "vera", role: "viewer" },
};
/** Of the cluster that these nodes are in. */
export const adminToken = "skein_a_admin";
export const operatorToken = "skein_o_operator";
export const viewerToken = "skein_v_viewer";

export class FakeNode implements NodeApi {
  readonly id: NodeId;
  readonly name: string;
  readonly cluster = "c";
  readonly version = "0.1.0";
  readonly mesh: Mesh;
  /** Answers reads and writes with this refusal instead. */
  refusing: Refusal | undefined;
  /** Called before a command is applied. */
  onPropose: (() => void | Promise<void>) | undefined;
  ready = true;
  /** Where members are, as this node has heard. */
  addresses: NodeStatus["addresses"] = [];
  /** Attempts "JOB/TASK.ATTEMPT" whose node does not answer. */
  readonly unreachableLogs = new Set<string>();
  left = false;
  /** Who votes, and who did before while that changes. */
  voters: NodeStatus["voters"] = [nodeId(1)];
  outgoing: NodeStatus["outgoing"] = [];
  /** Who does not answer the leader. */
  silentNodes: readonly NodeId[] = [];
  diskFull = false;
  peers: NodeStatus["peers"] = [];
  /** Called before a status is given. */
  onStatus: (() => void) | undefined;
  /** How often status() was asked for: it reads the state. */
  statusAsked = 0;
  /** Looks at the state. */
  reads = 0;
  #waited = Promise.withResolvers<void>();

  constructor(mesh: Mesh, id: NodeId) {
    this.mesh = mesh;
    this.id = id;
    this.name = `n${id}`;
  }

  /** Resolves when the next request begins to wait for a job. */
  nextWait(): Promise<void> {
    return this.#waited.promise;
  }

  async propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>> {
    await this.onPropose?.();
    if (this.refusing !== undefined) return { ok: false, why: this.refusing };
    const outcome = this.mesh.change((cluster) => cluster.propose(name, input, by));
    return outcome.ok ? accept({ value: outcome.value, index: this.mesh.cluster.database.applied }) : outcome;
  }

  async read<Value>(
    query: (tx: ReadTx) => Value,
    options: { readonly consistency: "linearizable" | "stale"; readonly minIndex?: number | undefined },
  ): Promise<Outcome<{ readonly value: Value; readonly index: number }>> {
    this.reads += 1;
    await Promise.resolve();
    if (this.refusing !== undefined && options.consistency === "linearizable") return { ok: false, why: this.refusing };
    const index = this.mesh.cluster.database.applied;
    if ((options.minIndex ?? 0) > index)
      return refuse("unavailable", "this node has not applied that far", { retryAfterMs: 1500 });
    return accept({ value: query(this.mesh.cluster.database), index });
  }

  #bundles: Bundles | undefined;
  /** Secrets that this node can read. */
  readonly keys = new Map<string, string>();
  /** Of its bundles. */
  dataDir = "";

  /** The node's own, on a disk of its own; nobody else is there to keep copies. */
  get bundles(): Bundles {
    if (this.#bundles === undefined) {
      const dataDir = mkdtempSync(join(tmpdir(), "skein-fake-node-"));
      this.dataDir = dataDir;
      process.on("exit", () => rmSync(dataDir, { recursive: true, force: true }));
      this.#bundles = new Bundles({
        self: this.id,
        dataDir,
        level: () => this.mesh.cluster.level,
        leader: () => this.id,
        isLeading: () => true,
        view: (query) => query(this.mesh.cluster.database),
        transport: { request: () => Promise.reject(new Error("nobody else is asked")) },
        catchUp: () => Promise.resolve(accept(undefined)),
        propose: (name, input, by) => this.propose(name, input, by),
        secret: (name) =>
          Promise.resolve(
            this.keys.has(name) ? accept(this.keys.get(name)!) : refuse("not-found", `there is no secret ${name}`),
          ),
        readsSecrets: () => true,
        voters: () => [],
        principal: { token: "", name: this.name, role: "node" },
        random: () => 0.5,
        log: () => {},
      });
    }
    return this.#bundles;
  }

  /** The planner's answers, of a leader that has just begun. */
  readonly #questions = new Questions({
    self: nodeId(1),
    leader: () => nodeId(1),
    isLeading: () => true,
    duties: {
      inspect: (look) => {
        const { database, now } = this.mesh.cluster;
        const view = new PlacementView();
        view.reset(database);
        return look(
          view,
          view.standings(() => undefined),
          now,
        );
      },
    },
    level: () => this.mesh.cluster.level,
    view: (query) => query(this.mesh.cluster.database),
    catchUp: () => this.read(() => undefined, { consistency: "linearizable" }),
    ask: () => Promise.reject(new Error("this node leads")),
  });

  explain(job: number) {
    return this.#questions.explain(job);
  }

  plan(specs: Pick<CommandInput<"job.submit">, "jobs" | "lists">, by: Principal) {
    return this.#questions.plan(specs, by);
  }

  readonly stepsRefused = { early: 3, stale: 2, gone: 0 };

  /** Of a node that saw three fires, one of them very late. */
  readonly fireLags = {
    buckets: [
      [0.1, 1],
      [1, 2],
    ] as const,
    sum: 7201.2,
    count: 3,
  };

  scheduledJob(row: Pick<StoredSchedule, "name" | "definition">, at: number) {
    return makeScheduledJob(row, at, (query) => query(this.mesh.cluster.database));
  }

  get applied(): number {
    return this.mesh.cluster.database.applied;
  }

  authenticate(token: string): Principal | undefined {
    return principals[token];
  }

  /** What its backups hold, and how many have not been removed yet. */
  backupState = new TextEncoder().encode("the state");
  backupsOpen = 0;
  backupsMade = 0;
  #removed = Promise.withResolvers<void>();

  /** Resolves when a backup is removed the next time. */
  nextRemoval(): Promise<void> {
    return this.#removed.promise;
  }

  backup(stale: boolean): Promise<Outcome<Backup>> {
    if (!stale && this.refusing !== undefined) return Promise.resolve({ ok: false, why: this.refusing });
    const state = this.backupState;
    const { cluster, applied: index } = this;
    const manifest: BackupManifest = {
      format: 1,
      cluster,
      epoch: "0",
      index,
      term: 3,
      level: 1,
      hash: "00",
      configuration: { voters: [1], outgoing: [], learners: [] },
      made_at: "2026-01-01T00:00:00.000Z",
      made_by: { node: this.id, name: this.name, version: "0" },
      bytes: state.length,
      sha256: digest(state),
    };
    this.backupsOpen += 1;
    this.backupsMade += 1;
    let isRemoved = false;
    const remove = (): void => {
      if (!isRemoved) this.backupsOpen -= 1;
      isRemoved = true;
      this.#removed.resolve();
      this.#removed = Promise.withResolvers<void>();
    };
    function* pieces(): Generator<Uint8Array, void, undefined> {
      yield encodeBackupHead(manifest, digest);
      for (let at = 0; at < state.length; at += 4096) yield state.subarray(at, at + 4096);
    }
    return Promise.resolve(accept({ manifest, pieces, remove }));
  }

  survivor(): Survivor {
    const { cluster, epoch, term, commit, applied, lastIndex, voters, learners } = this.status();
    const log = { lastIndex, lastTerm: term, term, commit, applied, lastAt: 0, damagedFrom: null, quarantinedAt: null };
    const who = { cluster, epoch, node: this.id, name: this.name, level: 1, hash: "", members: [] };
    return { ...who, ...log, voters, outgoing: [], learners, configurationIndex: 0, leader: this.ready ? 1 : null };
  }

  async silent(): Promise<readonly NodeId[] | undefined> {
    await Promise.resolve();
    return this.ready ? this.silentNodes : undefined;
  }

  status(): NodeStatus {
    this.statusAsked += 1;
    this.onStatus?.();
    const { applied, voters, outgoing } = this;
    return {
      id: this.id,
      cluster: this.cluster,
      epoch: firstEpoch,
      level: 1,
      term: 3,
      leader: this.ready ? nodeId(1) : null,
      role: this.id === 1 ? "leader" : "follower",
      commit: applied,
      applied,
      lastIndex: applied,
      firstIndex: 1,
      voters,
      outgoing,
      learners: [],
      fedBy: null,
      feeds: [],
      ready: this.ready,
      addresses: this.addresses,
      peers: this.peers,
      clocks: new Map([[this.id, -120]]),
      quarantine: null,
      compared: 0,
      quarantines: 0,
      undecided: null,
      snapshotTrouble: null,
      diskFull: this.diskFull,
      tasksRunning: 0,
      schedulesOwned: 4,
      schedulesMoved: 2,
      transport: { sent: 1, received: 2, lost: 0 },
    };
  }

  watch(...listeners: Parameters<NodeApi["watch"]>): () => void {
    return this.mesh.events.watch(...listeners);
  }
  eventsAfter(from: number) {
    return this.mesh.events.after(from);
  }
  storedEvents(from: number) {
    return this.mesh.events.stored(from);
  }
  oldestEvent(): number {
    return this.mesh.events.oldest();
  }
  jobEnded(job: number, timeoutMs: number, signal?: AbortSignal) {
    this.#waited.resolve();
    this.#waited = Promise.withResolvers<void>();
    return this.mesh.events.jobEnded(job, timeoutMs, signal);
  }

  async readLog(request: LogRequest): Promise<Outcome<LogPage>> {
    const task = (): ReturnType<typeof findTask> => findTask(this.mesh.cluster.database, request.job, request.task);
    const attempt = request.attempt ?? task()?.attempt ?? 0;
    const key = `${request.job}/${request.task}.${attempt}`;
    const deadline = performance.now() + request.waitMs;
    while (true) {
      if (this.unreachableLogs.has(key)) return refuse("unavailable", "the node that has the log does not answer");
      const log = this.mesh.log(request.job, request.task, attempt);
      const now = task();
      const ended = now === undefined || now.attempt > attempt || (now.state !== "queued" && now.state !== "running");
      const chosen = log.chunks.filter((chunk) => request.stream === undefined || chunk.stream === request.stream);
      const total = chosen.reduce((sum, chunk) => sum + chunk.bytes.length, 0);
      const offset = request.offset < 0 ? Math.max(0, total + request.offset) : request.offset;
      let at = 0;
      let room = request.maxBytes;
      const chunks: LogPage["chunks"][number][] = [];
      for (const chunk of chosen) {
        const bytes = chunk.bytes.slice(Math.max(0, offset - at)).slice(0, room);
        at += chunk.bytes.length;
        if (bytes.length > 0) chunks.push({ ...chunk, bytes });
        room -= bytes.length;
      }
      const next = Math.max(offset, offset + chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0));
      const end = ended && next >= total;
      if (chunks.length > 0 || end || performance.now() >= deadline) return accept({ attempt, chunks, next, end });
      await this.mesh.nextChange(log.written, deadline - performance.now());
    }
  }

  readonly secretsSet: [name: string, value: string][] = [];

  async join(request: unknown): Promise<Outcome<unknown>> {
    await Promise.resolve();
    if ((request as { token?: unknown }).token !== "good")
      return refuse("unauthorized", "the join token is not known to this cluster");
    return accept({ joined: true });
  }
  async leave(): Promise<Outcome<{ readonly left: true }>> {
    await Promise.resolve();
    this.left = true;
    return accept({ left: true });
  }
  async transfer(to: string | number | undefined): Promise<Outcome<TransferValue>> {
    await Promise.resolve();
    return to === "nowhere" ? refuse("not-found", "there is no node nowhere") : accept({ from: 1, leader: 2 });
  }
  async createToken({ name, role, ttlMs }: NewTokenOptions, by: Principal): Promise<Outcome<MadeToken>> {
    const { id, text, hash } = newApiToken();
    const expiresAt = ttlMs === undefined ? null : Date.now() + ttlMs;
    const made = await this.propose("token.create", { id, hash, name, role, expiresAt, kind: "api", uses: null }, by);
    return made.ok ? accept({ id, token: text, expiresAt }) : made;
  }
  async setSecret(name: string, value: string, by: Principal): Promise<Outcome<SetSecret>> {
    this.secretsSet.push([name, value]);
    const made = await this.propose("secret.set", { name, key: "0".repeat(32), sealed: new Uint8Array(40) }, by);
    return made.ok ? accept({ ...made.value.value, index: made.value.index }) : made;
  }
  setInventory(wanted: NewInventory, by: Principal): Promise<Outcome<SetInventory>> {
    return setInventory(
      {
        read: (query) => this.read(query, { consistency: "linearizable" }),
        propose: (name, input) => this.propose(name, input, by),
      },
      wanted,
    );
  }
  recoverToken(request: unknown): Promise<Outcome<{ readonly id: string }>> {
    const create = (input: CommandInput<"token.create">, name: string) =>
      this.propose("token.create", input, { token: "", name, role: "node" });
    const trusted = [authority.certificate];
    const isMember = (node: NodeId): boolean => node === 1;
    return recoverToken(request, {
      cluster: this.cluster,
      trusted,
      isMember,
      isVoter: isMember,
      namesNode: () => true,
      now: () => Date.now(),
      create,
    });
  }
  formerAuthorities(): [] {
    return [];
  }

  authorities(): readonly AuthorityView[] {
    const { certificate } = authority;
    return [{ fingerprint: fingerprintOf(certificate), certificate, crossed: null, phase: "issuing" }];
  }
  async reissue(request: unknown): Promise<Outcome<string>> {
    await Promise.resolve();
    return request === null ? refuse("invalid", "this is not a request") : accept("a certificate");
  }
  async rotateAuthority(): Promise<Outcome<{ readonly authority: string }>> {
    await Promise.resolve();
    return accept({ authority: "f".repeat(32) });
  }
  async createJoinToken(options: {
    readonly ttlMs: number;
    readonly uses: number;
  }): Promise<Outcome<{ readonly token: string }>> {
    await Promise.resolve();
    return accept({ token: `skein1.h.${options.ttlMs}.${options.uses}` });
  }
}

/** Asks an app without a socket, as admin unless told otherwise. */
export function asking(node: NodeApi, options: Parameters<typeof createApp>[1] = {}) {
  const app = createApp(node, options);
  return async (method: string, path: string, body?: unknown, headers: Record<string, string | undefined> = {}) => {
    const all: Record<string, string> = { authorization: `Bearer ${adminToken}` };
    for (const [name, value] of Object.entries(headers)) {
      if (value === undefined) delete all[name];
      else all[name] = value;
    }
    return app.request(path, {
      method,
      headers: all,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  };
}

/** The error of a response. */
export async function errorIn(response: Response): Promise<{
  status: number;
  code: string;
  message: string;
  details: { path: string; message: string }[];
  retry?: string;
}> {
  const { error } = (await response.json()) as {
    error: { code: string; message: string; details: never; retry?: string };
  };
  return { status: response.status, ...error };
}

export async function jsonIn<Value = Record<string, unknown>>(response: Response): Promise<Value> {
  return (await response.json()) as Value;
}
