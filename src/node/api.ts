import type { BundleFile, Manifest } from "../lib/bundle-manifest.ts";
import type { Epoch } from "../lib/epoch.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Inventory } from "../lib/inventory.ts";
import type { Differences } from "../lib/inventory-pieces.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { Survivor } from "../lib/survivors.ts";
import type { CommandName, CommandInput, CommandValue } from "../state/commands/index.ts";
import type { MadeJob, StepRefusal } from "../state/firing.ts";
import type { StoredSchedule } from "../state/tables/schedule.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Vouched } from "./pinned.ts";
import type { AuthorityView, ExplainView, PlanView } from "../state/answers.ts";
import type { Change, JobState, Principal, Role } from "../state/types.ts";
import type { KnownAddress } from "./address-book.ts";
import type { Backup } from "./backup.ts";
import type { TransferValue } from "./transfer.ts";
import type { HeartbeatCounts } from "./zabbix.ts";

/**
 * The node as its HTTP side sees it: the only interface between the two. Everything that can fail for the caller is an
 * Outcome; thrown errors are bugs.
 */
export interface NodeApi {
  readonly id: NodeId;
  readonly name: string;
  readonly cluster: string;
  readonly version: string;
  /** The heartbeats that this process sends to Zabbix; undefined: none are wanted. */
  readonly heartbeat?: { readonly counts: HeartbeatCounts } | undefined;
  /** How late schedules fire, since this process began. */
  readonly fireLags: FireLagCounts;
  /** Steps of schedules that this process proposed and the log refused. */
  readonly stepsRefused: Readonly<Record<StepRefusal, number>>;
  /** Index of the newest entry in the local state. Free to ask. */
  readonly applied: number;

  /**
   * Logs one command and gives its outcome once it is committed and applied here. `input` has been checked against the
   * command's schema. Refusals besides the command's own: busy (429), unavailable (503; when the write may have
   * happened the message says so), too-large (413).
   */
  propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>>;

  /**
   * Runs a query on a read-only view of the state. linearizable: at least as new as every write acknowledged before the call,
   * on any node; stale: at once. `minIndex`: the caller's last write (R1). Gives the index the view had.
   */
  read<Value>(
    query: (tx: ReadTx) => Value,
    options: { readonly consistency: "linearizable" | "stale"; readonly minIndex?: number | undefined },
  ): Promise<Outcome<{ readonly value: Value; readonly index: number }>>;

  /** The job that a schedule makes now, where it alone does not say it: its template, targets and bundle as the local state has them. */
  scheduledJob(row: Pick<StoredSchedule, "name" | "definition">, at: number): Promise<MadeJob>;

  /** Why a job waits, as the leader's planner knows it. */
  explain(job: number): Promise<Outcome<{ readonly value: ExplainView; readonly index: number }>>;
  /** What these specs would become if they were submitted now; nothing is stored. */
  plan(
    specs: Pick<CommandInput<"job.submit">, "jobs" | "lists">,
    by: Principal,
  ): Promise<Outcome<{ readonly value: PlanView; readonly index: number }>>;

  /** The principal of a bearer token, from the local state (cached until tokens change); undefined: unknown, expired or revoked. */
  authenticate(token: string): Principal | undefined;

  /** Local knowledge, never blocks. */
  status(): NodeStatus;
  /** Members that do not answer the leader now; undefined: no leader has said so in time (limits.silenceAskMs). */
  silent(): Promise<readonly NodeId[] | undefined>;
  /** A copy of the state as one file (lib/backup-file.ts), as new as every write acknowledged before unless `stale`. Remove it in any case. */
  backup(stale: boolean): Promise<Outcome<Backup>>;
  /** What this node has, for a decision about a lost quorum; from its own disk and state alone. */
  survivor(): Survivor;

  /** Events of applied entries, in order. `onJump`: the state became another one at once, and what happened in between nobody here knows. */
  watch(listener: (event: AppliedEvent) => void, onJump?: () => void): () => void;
  /** Events in memory after `from` (exclusive), or undefined when some of them are there no more. */
  eventsAfter(from: number): readonly AppliedEvent[] | undefined;
  /**
   * Events on the disk after `from` (exclusive), oldest first, also of before this start; undefined: some are kept no more. They end about where memory begins: ask
   * {@link eventsAfter} again then.
   */
  storedEvents(from: number): AsyncGenerator<PastEvents, void, undefined> | undefined;
  /** The first index that can still be resumed from. */
  oldestEvent(): number;
  /**
   * How this job ends, as soon as it does; undefined when it is time to look: it is forgotten, the state jumped, the time is up, or the signal fired. Cheap: one map
   * entry.
   */
  jobEnded(job: number, timeoutMs: number, signal?: AbortSignal): Promise<JobState | undefined>;

  /** Bytes of an attempt's log, from this node's disk or through the node that has it. */
  readLog(request: LogRequest): Promise<Outcome<LogPage>>;

  /** Join: see node/join.ts. `request` is the untrusted body of POST /v1/join. */
  join(request: unknown): Promise<Outcome<unknown>>;
  /** Removes this node from the cluster and stops it when its work is done. */
  leave(timeoutMs: number, by: Principal): Promise<Outcome<{ readonly left: true }>>;
  /** Hands the leadership over, to the node that is named or the closest voter, and answers when it leads. */
  transfer(to: string | number | undefined, by: Principal): Promise<Outcome<TransferValue>>;
  /** Makes an API token, shown once. `ttlMs` undefined: it has no end. */
  createToken(options: NewTokenOptions, by: Principal): Promise<Outcome<MadeToken>>;
  /** Trees of files that the mesh keeps. */
  readonly bundles: BundleApi;
  /** Keeps a value that only tasks are given (K1): encrypted at a voter before anything is logged. */
  setSecret(name: string, value: string, by: Principal): Promise<Outcome<SetSecret>>;
  /** Makes an inventory a new version of what is known under its name; the same again changes nothing. */
  setInventory(wanted: NewInventory, by: Principal): Promise<Outcome<SetInventory>>;
  /** A token for whoever proves that a member's key is theirs to read; `request` is the untrusted body of POST /v1/tokens/recover. */
  recoverToken(request: unknown): Promise<Outcome<{ readonly id: string }>>;
  /** The authorities whose certificates are believed: public. */
  authorities(): readonly AuthorityView[];
  /** Those of before, the oldest first: public. */
  formerAuthorities(): readonly Vouched[];
  /** Another certificate for a member whose own has expired; `request` is the untrusted body of POST /v1/certificate. */
  reissue(request: unknown): Promise<Outcome<string>>;
  /** Begins to replace the authority; gives the new one's fingerprint. */
  rotateAuthority(by: Principal): Promise<Outcome<{ readonly authority: string }>>;
  /** Makes a join token, shown once. */
  createJoinToken(
    options: { readonly ttlMs: number; readonly uses: number },
    by: Principal,
  ): Promise<Outcome<{ readonly token: string }>>;
}

/** Of a histogram, seconds: each bucket has those of the smaller ones as well. */
export interface FireLagCounts {
  readonly buckets: readonly (readonly [upTo: number, count: number])[];
  readonly sum: number;
  readonly count: number;
}

/** Bundles as the API sees them (node/bundles.ts). */
export interface BundleApi {
  /** The files of a bundle that the mesh lacks, each once: what is to be sent to this node. */
  lacking(manifest: Manifest): Promise<Outcome<readonly Pick<BundleFile, "sha256" | "size">[]>>;
  /** Takes files (lib/bundle-upload.ts). */
  receive(body: Uint8Array): Promise<Outcome<UploadedFiles>>;
  /** A name stands for the bundle, which enough members have on their disks then. "conflict": files of it are lacking here. */
  keep(bundle: KeepBundle, by: Principal): Promise<Outcome<KeptBundle>>;
  /** The same of what a repository has, by this node's own git. */
  git(bundle: GitBundle, by: Principal): Promise<Outcome<KeptGitBundle>>;
  /** Whether who tells of a push has the secret of that bundle's webhook; the ref that the bundle is of then ("": the repository's own branch). undefined: they have not, or there is no such thing. */
  told(push: PushTold): Promise<Outcome<{ readonly ref: string } | undefined>>;
  /** Has the repository that it is pinned from looked at soon, in the name of its webhook. */
  fetchSoon(name: string): Promise<Outcome<unknown>>;
  /** What is in a bundle; all of it is on this node then. */
  manifest(digest: string): Promise<Outcome<Manifest>>;
  /** A file of a bundle that is on this node. Throws Fault. */
  file(file: Pick<BundleFile, "sha256" | "size">): AsyncGenerator<Uint8Array, void, undefined>;
  /** Bytes of files that went to other members, and came from them, since this process began. */
  readonly traffic: { readonly sent: number; readonly received: number };
}

export interface KeepBundle {
  readonly name: string;
  readonly manifest: Manifest;
  /** On how many members. */
  readonly copies: number;
  /** Where it comes from, for people. */
  readonly source: string | null;
}

export interface GitBundle {
  readonly name: string;
  /** As git takes it. */
  readonly url: string;
  /** A branch, a tag or a commit; undefined: what the repository has as its own. */
  readonly ref?: string | undefined;
  readonly subdir?: string | undefined;
  /** The name of a secret: the private key for ssh. */
  readonly key?: string | undefined;
  readonly copies: number;
  readonly timeoutMs: number;
}

/** Somebody tells of a push to a repository. */
export interface PushTold {
  /** Of the bundle. */
  readonly name: string;
  readonly service: "github" | "gitlab";
  /** Of GitHub the signature (sha256=…), of GitLab the secret itself. */
  readonly proof: string;
  /** As it came, byte by byte: that is what GitHub signs. */
  readonly message: Uint8Array;
}

export interface KeptGitBundle extends KeptBundle {
  readonly commit: string;
  readonly files: number;
  readonly bytes: number;
}

export interface KeptBundle {
  readonly name: string;
  readonly version: number;
  /** False: the name stood for the very same before. */
  readonly isNew: boolean;
  readonly digest: string;
  readonly holders: readonly NodeId[];
  /** Of its entry. */
  readonly index: number;
}

/** What an inventory is to be: as it was read, or as it was. */
export type NewInventory = {
  readonly name: string;
  /** Where it comes from, for its history: "file", "job 17". */
  readonly origin: string;
  /** The job whose output it is; refused when that is not awaited any more. */
  readonly job?: number;
} & ({ readonly inventory: Inventory } | { readonly fromVersion: number });

export interface SetInventory {
  readonly name: string;
  /** Which is in force now. */
  readonly version: number;
  /** False: it was as it is. */
  readonly changed: boolean;
  readonly hosts: number;
  readonly groups: number;
  readonly differences: Differences;
  /** Of its entry. */
  readonly index: number;
}

export interface UploadedFiles {
  /** That are whole. */
  readonly files: number;
  /** Of large files: how much of each there is. */
  readonly parts: Readonly<Record<string, number>>;
}

export interface NewTokenOptions {
  readonly name: string;
  readonly role: Role;
  readonly ttlMs?: number | undefined;
}

export interface SetSecret {
  readonly name: string;
  readonly revision: number;
  /** Of its entry. */
  readonly index: number;
}

export interface MadeToken {
  readonly id: string;
  readonly token: string;
  /** Epoch ms; null: it has no end. */
  readonly expiresAt: number | null;
}

export interface AppliedEvent {
  readonly index: number;
  readonly at: number;
  readonly changes: readonly Change[];
}

/** A stretch of the past. */
export interface PastEvents {
  /** All events up to this index are in it or were in those before it. */
  readonly through: number;
  readonly events: readonly AppliedEvent[];
}

export interface NodeStatus {
  readonly id: NodeId;
  readonly cluster: string;
  readonly epoch: Epoch;
  readonly level: number;
  readonly term: number;
  readonly leader: NodeId | null;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  /** Newest index known to be committed. */
  readonly commit: number;
  readonly applied: number;
  readonly lastIndex: number;
  /** Oldest index that the log still has; what came before is in the state alone. */
  readonly firstIndex: number;
  readonly voters: readonly NodeId[];
  /** While the voters change: those of before, a majority of whom is needed as well. */
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** The member that feeds this learner with the log; null: the leader itself, or nobody yet. */
  readonly fedBy: NodeId | null;
  /** The learners that this node feeds. */
  readonly feeds: readonly NodeId[];
  /** This node could serve a write now: it leads with a quorum, or knows a leader that it has a socket to. */
  readonly ready: boolean;
  /** Where the members are, this one too: news that the log may not have yet. */
  readonly addresses: readonly KnownAddress[];
  /** Peers as seen from here; lag in entries, known to the leader only. */
  readonly peers: readonly {
    readonly node: NodeId;
    readonly connected: boolean;
    readonly lag: number | null;
    readonly leaseMs: number | null;
  }[];
  /** Wall clocks less the median of all (ms): the leader's of everybody, the others' own and those that are off (J4). */
  readonly clocks: ReadonlyMap<NodeId, number>;
  readonly tasksRunning: number;
  /** Schedules that this node works out; null: they have not been counted yet. */
  readonly schedulesOwned: number | null;
  /** Schedules that went from one member to another, as this process has counted. */
  readonly schedulesMoved: number;
  /** The entry at which this node's state was found to differ from a quorum's; null: it is not in quarantine (S1). */
  readonly quarantine: number | null;
  /** The newest entry after which this node, leading, found another one's state to be the same; 0: none. */
  readonly compared: number;
  /** How often this process went into quarantine. */
  readonly quarantines: number;
  /** States differ and no quorum says which one is right: the entry, and the nodes that agree with each other. */
  readonly undecided: { readonly index: number; readonly groups: readonly (readonly NodeId[])[] } | null;
  /** Why it can make no copy of its state for a member that asks for one; null: it can, or none asks. */
  readonly snapshotTrouble: string | null;
  /** Its disk is full: it does not lead, and refuses writes and reads until there is room (D4). */
  readonly diskFull: boolean;
  readonly transport: { readonly sent: number; readonly received: number; readonly lost: number };
}

export interface LogRequest {
  readonly job: number;
  readonly task: number;
  /** Default: the newest attempt. */
  readonly attempt?: number | undefined;
  readonly stream?: "stdout" | "stderr" | undefined;
  /** Bytes of output (of the chosen streams) to skip; negative: the last -offset bytes. */
  readonly offset: number;
  readonly maxBytes: number;
  /** Wait this long for more when there is nothing after offset and the attempt has not ended. */
  readonly waitMs: number;
}

export interface LogPage {
  readonly attempt: number;
  readonly chunks: readonly { readonly stream: "stdout" | "stderr"; readonly at: number; readonly bytes: Uint8Array }[];
  /** Offset to ask for next. */
  readonly next: number;
  /** Nothing more will come: the attempt has ended and all was read. */
  readonly end: boolean;
}
