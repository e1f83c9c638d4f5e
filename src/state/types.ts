import type { JobId, NodeId } from "../lib/ids.ts";
import type { Resources } from "../lib/resources.ts";
import type { Labels } from "../lib/selector.ts";

/**
 * The words of the replicated state, as rows hold them and as the API shows them. Types only: every layer may
 * import this file.
 */

export type Role = "viewer" | "operator" | "admin";

/** What a command or a route needs; roles grant sets of rights (state/rights.ts). */
export type Right =
  | "read"
  | "jobs:write"
  | "nodes:write"
  | "cluster:write"
  | "tokens:write"
  | "secrets:write"
  | "audit:read"
  | "internal";

/** Who asks. `token` is the id of the API token; "local" principals are the node itself. */
export interface Principal {
  readonly token: string;
  readonly name: string;
  readonly role: Role | "node";
}

export type JobState = "queued" | "running" | "succeeded" | "failed" | "cancelled" | "skipped";
export type TaskState = "queued" | "running" | "succeeded" | "failed" | "timeout" | "lost" | "cancelled" | "skipped";

export const taskStates = [
  "queued",
  "running",
  "succeeded",
  "failed",
  "timeout",
  "lost",
  "cancelled",
  "skipped",
] as const satisfies readonly TaskState[];

/** What lists of tasks are asked for: "unreachable" is a part of "failed" (lib/unreachable.ts). */
export type AskedState = TaskState | "unreachable";

export const askedStates = [...taskStates, "unreachable"] as const satisfies readonly AskedState[];

export type TaskCounts = { readonly [State in TaskState]: number };

export type Driver = "shell" | "ssh" | "ansible" | "noop" | "http";

export type MatrixValue = string | number | boolean;
export type MatrixPoint = Readonly<Record<string, MatrixValue>>;

/** A task per combination of the keys' values; see state/matrix.ts. */
export interface Matrix {
  /** The first key is the slowest. */
  readonly keys: Readonly<Record<string, readonly MatrixValue[]>>;
  readonly exclude?: readonly MatrixPoint[];
  readonly include?: readonly MatrixPoint[];
}

/** What tells a task of an array, a matrix or a list of targets from the others. */
export interface Point {
  /** Not of targets. */
  readonly index?: number;
  readonly matrix?: MatrixPoint;
  readonly target?: string;
}

/** A task per name. The names themselves are kept apart from the spec (tables/target.ts). */
export interface Targets {
  /** What was written for them; absent: it was too long to be kept with every job. */
  readonly from?: readonly string[];
  /** The list's digest, and how many names it has. "" and 0: nobody has looked yet what the expressions stand for, as where a request is read. */
  readonly list: string;
  readonly count: number;
  /** Contents of the inventories that were named (tables/inventory.ts), as they were then: what each target has for variables is there, and what was named last is in force. */
  readonly inventories?: readonly string[];
}

/**
 * A job spec after validation: defaults are left out (absent means default, see state/spec.ts), durations are
 * milliseconds and sizes bytes, so that no later reader parses again. This object, as JSON text, is what a job row
 * stores and what the API shows (rendered back with durations and sizes as text).
 */
export interface Spec {
  readonly name?: string;
  readonly driver?: Driver;
  /** A string runs under /bin/sh -c; a list is argv. */
  readonly run?: string | readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What of the spec is a secret's value, by the secret's name. One key for all of them: that a text holds it says that its job uses secrets. */
  readonly secrets?: SpecSecrets;
  readonly dir?: string;
  readonly stdin?: string;
  /** Whom its processes run as. */
  readonly user?: string;
  /** What one task may take of its node. */
  readonly limits?: {
    readonly cpuMs?: number;
    readonly memoryBytes?: number;
    readonly files?: number;
    readonly processes?: number;
  };
  readonly count?: number;
  /** Ranges of indices, in ascending order (lib/ranges.ts). */
  readonly array?: string;
  readonly matrix?: Matrix;
  readonly targets?: Targets;
  readonly eachNode?: boolean;
  readonly on?: string;
  readonly slots?: number;
  /** By name, in order; memory in bytes. */
  readonly resources?: Resources;
  readonly parallel?: number;
  readonly batch?: Rolling;
  /** Tasks handed to a node together. */
  readonly unit?: number;
  readonly priority?: number;
  readonly after?: readonly After[];
  readonly key?: string;
  readonly onConflict?: "refuse" | "replace";
  /** Epoch ms. */
  readonly startAt?: number;
  readonly timeoutMs?: number;
  readonly graceMs?: number;
  readonly deadlineMs?: number;
  readonly retries?: {
    readonly max: number;
    readonly backoffMs?: number;
    readonly factor?: number;
    readonly capMs?: number;
    readonly jitter?: number;
    readonly on?: readonly ("failed" | "timeout")[];
  };
  readonly onLost?: "retry" | "fail";
  /** A count, or a share written as "10%". */
  readonly maxFailures?: number | string;
  readonly output?: {
    readonly tailBytes?: number;
    readonly keepBytes?: number;
    readonly copies?: number;
    readonly sync?: boolean;
  };
  readonly noop?: { readonly forMs?: number; readonly outputBytes?: number; readonly exit?: number };
  /** The request of driver http; headers and body that are secrets are under `secrets`. */
  readonly http?: {
    readonly method: string;
    readonly url: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    /** The body was written as a map or list, and is its JSON. */
    readonly json?: boolean;
    /** Statuses that are a success: numbers, or classes like "2xx". */
    readonly expect?: readonly (number | string)[];
  };
  readonly labels?: Labels;
  readonly ttlMs?: number;
  readonly ssh?: SshSpec;
  readonly ansible?: AnsibleSpec;
  readonly bundle?: BundleSpec;
}

/** What driver ansible runs: a module, or a playbook. How its hosts are reached says {@link SshSpec}. */
export interface AnsibleSpec {
  readonly module?: string;
  /** Text as on ansible's command line, or the module's parameters. */
  readonly args?: string | Readonly<Record<string, unknown>>;
  /** A path on the node; what has several lines is the playbook itself. */
  readonly playbook?: string;
  /** Extra variables. */
  readonly vars?: Readonly<Record<string, unknown>>;
  /** Groups of the inventory, which all targets are in. */
  readonly groups?: readonly string[];
  readonly check?: true;
  readonly diff?: true;
  readonly tags?: readonly string[];
  readonly skipTags?: readonly string[];
  /** The path of a vault's password on the node; a secret's name stands in {@link SpecSecrets.vault}. */
  readonly vault?: string;
  readonly forks?: number;
  /** Of ansible's; ssh where it is absent. */
  readonly connection?: string;
}

/** The tree that an attempt runs in (lib/bundle-manifest.ts). */
export interface BundleSpec {
  readonly name: string;
  /** "": the name is a reference as it was written, and what it stands for is not looked up yet (state/bundles.ts). */
  readonly digest: string;
  /** One tree for all attempts of a node, without permission to write; absent: each has its own. */
  readonly readOnly?: true;
}

/** Tasks in groups, one after the other (state/rolling.ts). */
export interface Rolling {
  /** Counts, or shares written as "10%"; the last one is that of all that follow. */
  readonly sizes: readonly (number | string)[];
  /** Between the end of a batch and the next one. */
  readonly pauseMs?: number;
  /** A person lets each batch begin, but for the first. */
  readonly approve?: true;
}

/** How drivers ssh and ansible reach a target. What is absent is for the ssh configuration of the executing node to say. */
export interface SshSpec {
  readonly user?: string;
  readonly port?: number;
  /** A path on the node; a secret's name stands in {@link SpecSecrets.sshKey}. */
  readonly key?: string;
  /** accept-new (the default): a host's first key is taken and kept by the node, another one is refused later; strict; off; or a path on the node. */
  readonly knownHosts?: string;
  /** [user@]host[:port], one or several with commas between them. */
  readonly jump?: string;
  /** By sudo: with the password that {@link SpecSecrets.becomePassword} names, or one that must not ask. */
  readonly become?: string;
  readonly connectMs?: number;
  /** Given out before the command, fetched after it. */
  readonly put?: readonly SshCopy[];
  readonly fetch?: readonly SshCopy[];
  /** A later attempt begins only when it is sure that nothing of an earlier one is left. */
  readonly strict?: true;
}

/** A file or a directory. Paths on the node are absolute; a relative one on the target is of its user's home. What is fetched goes to `to`/TARGET/ on the node. */
export interface SshCopy {
  readonly from: string;
  readonly to: string;
}

/** Names of secrets, by the place where the value goes. */
export interface SpecSecrets {
  readonly env?: Readonly<Record<string, string>>;
  /** Of the request of driver http. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The private key of drivers ssh and ansible. */
  readonly sshKey?: string;
  /** What sudo asks for, where drivers ssh and ansible are another user. */
  readonly becomePassword?: string;
  /** The password of a vault of driver ansible's. */
  readonly vault?: string;
}

/** A job that another one waits for. A name is of a job of the same request, and is the job's id once it is in the state. */
export interface After {
  readonly job: number | string;
  /** How that one has to end: well, unless it says otherwise. */
  readonly when?: "failed" | "done";
}

/** What keeps a job from starting, nodes and room aside; what it does not wait for is left out. */
export interface WaitsView {
  readonly held?: true;
  readonly start_at?: string;
  /** So many jobs that it waits for have not ended yet. */
  readonly after?: number;
  readonly key?: string;
  /** Its next batch begins no earlier. */
  readonly pause?: string;
  /** The number of the batch that somebody has to let begin. */
  readonly approval?: number;
}

/** A job as the API shows it. Times are RFC 3339, ids integers. */
export interface JobView {
  readonly id: number;
  readonly name: string;
  readonly state: JobState;
  readonly cancelling?: boolean;
  readonly held?: true;
  readonly waits?: WaitsView;
  readonly partial?: boolean;
  readonly reason?: string;
  readonly counts: TaskCounts;
  /** Of an unfinished one with batches: the one that runs, or that ran last, how many there are, and its tasks [first, first + tasks). */
  readonly batch?: { readonly now: number; readonly of: number; readonly first: number; readonly tasks: number };
  /** Of a playbook, of the hosts that have ended. */
  readonly recap?: RecapView;
  readonly submitted_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly submitted_by: string;
  /** The job whose tasks this one runs again. */
  readonly retry_of?: number;
  readonly inventory?: string;
  /** Of one that had failed: the job that ran it again. */
  readonly retried_as?: number;
  /** The template that it was made of: NAME@REVISION. */
  readonly template?: string;
  /** The schedule that made it, and the instant of that. */
  readonly schedule?: string;
  readonly fire_at?: string;
  readonly labels: Labels;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** What became of a playbook, over all of its hosts. */
export interface RecapView {
  /** changed: of those that are ok. unreachable: none of those that failed. */
  readonly hosts: {
    readonly ok: number;
    readonly changed: number;
    readonly failed: number;
    readonly unreachable: number;
  };
  /** Of the hosts that have told: see PlaybookRecap. */
  readonly tasks: { readonly total: number; readonly ok: number; readonly failed: number };
  /** How many in a hundred of those tasks went well. */
  readonly success_percent: number;
}

export interface AttemptView {
  readonly attempt: number;
  readonly node: number | null;
  readonly state: TaskState;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly reason?: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly log: LogView | null;
}

export interface LogView {
  readonly bytes: number;
  readonly sha256: string;
  readonly nodes: readonly number[];
}

export interface TaskView {
  readonly job: number;
  readonly task: number;
  /** Of an array or a matrix: SKEIN_INDEX. */
  readonly index?: number;
  /** The task's point of the matrix. */
  readonly matrix?: MatrixPoint;
  /** What it is about: one of the job's targets, or with each_node the node's name. */
  readonly target?: string;
  readonly state: TaskState;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly reason?: string;
  readonly node: number | null;
  readonly attempt: number;
  readonly attempts: readonly AttemptView[];
  readonly queued_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  /** The end of the output, both streams in order of arrival; bytes that are not UTF-8 are shown as U+FFFD. */
  readonly tail: string;
  /** The job's tails together were too large to keep this one. */
  readonly tail_dropped?: boolean;
  /** Of a playbook: how many in a hundred of the tasks that were this host's to do went well. */
  readonly success_percent?: number;
  readonly log: LogView | null;
}

/** A task as GET /v1/results shows it: with the name of its job. */
export interface ResultView extends TaskView {
  readonly name: string;
  /** Facts of the target that the job found to be other than before: what each was, and what it is; null: it was not there. */
  readonly facts_changed?: Readonly<Record<string, readonly [string | null, string | null]>>;
}

/** A node's row: what the log knows of it. Whether it votes is the configuration's to say, whether it answers the leader's. */
export interface NodeRow {
  readonly id: NodeId;
  readonly name: string;
  /** Random text made at each start of the process. */
  readonly incarnation: string;
  /** host:port of the API and of the peer port. */
  readonly api: string;
  readonly peer: string;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
  /** What it has beside; undefined: it has not said so. */
  readonly resources?: Resources | undefined;
  /** The zones' data that it works schedules out by; undefined: it has not said so. */
  readonly zones?: string | undefined;
  readonly level: number;
  readonly version: string;
  readonly state: NodeState;
  readonly joinedAt: number;
  readonly seenAt: number;
  /** What a person asked for with promote or demote. */
  readonly wish?: Wish | undefined;
  /** Its state was found to differ from the others' at this entry: it is being replaced by theirs (S1). */
  readonly quarantine?: number | undefined;
}

/** Whether a node is to vote, where that is not left to the leader. */
export type Wish = "voter" | "learner";

/** `lost`: declared by an entry, its attempts were given away; `node.seen` of the next start makes it `up` again, or `draining` if it was. */
export type NodeState = "up" | "draining" | "lost";

/** What one applied entry changed, for watchers, waiters and the scheduler's view. Small; details are read from the state. */
export type Change =
  | { readonly topic: "job"; readonly kind: "added"; readonly first: JobId; readonly count: number }
  | {
      readonly topic: "job";
      readonly kind: "state";
      readonly job: JobId;
      readonly state: JobState;
      readonly cancelling: boolean;
      /** A person holds it from now on: what has not begun of it is not to begin, wherever it waits. */
      readonly held?: true;
    }
  | {
      /** A batch of the job begins: tasks [first, first + count) may be given out. Of the first one nothing is told. */
      readonly topic: "job";
      readonly kind: "batch";
      readonly job: JobId;
      readonly batch: number;
      readonly first: number;
      readonly count: number;
    }
  | { readonly topic: "job"; readonly kind: "removed"; readonly job: JobId }
  | {
      readonly topic: "task";
      readonly kind: "assigned";
      readonly job: JobId;
      readonly task: number;
      readonly attempt: number;
      readonly node: NodeId;
    }
  | {
      readonly topic: "task";
      readonly kind: "started";
      readonly job: JobId;
      readonly task: number;
      readonly attempt: number;
      readonly node: NodeId;
    }
  | {
      /** An attempt ended. `state` "queued" means that it will be tried again, not before `notBefore` (epoch ms). */
      readonly topic: "task";
      readonly kind: "ended";
      readonly job: JobId;
      readonly task: number;
      readonly attempt: number;
      readonly node: NodeId;
      readonly state: TaskState;
      readonly notBefore: number;
      /** The first task of the unit that it was in. */
      readonly unit?: number;
      /** How long it ran, if it did. */
      readonly ms?: number;
    }
  | {
      /** The first attempts of tasks [first, first + count) were given to the node together, `width` of them to run at once (tables/unit.ts). */
      readonly topic: "task";
      readonly kind: "unit-assigned";
      readonly job: JobId;
      readonly first: number;
      readonly count: number;
      readonly width: number;
      readonly node: NodeId;
    }
  | {
      /** Tasks of the unit that begins at `first` succeeded, and nothing else is to be told of them. */
      readonly topic: "task";
      readonly kind: "unit-ended";
      readonly job: JobId;
      readonly first: number;
      readonly node: NodeId;
      readonly tasks: readonly (readonly [first: number, count: number])[];
      /** How long they ran, all together. */
      readonly ms: number;
    }
  | {
      /** What runs of the unit is to be stopped by its node. */
      readonly topic: "task";
      readonly kind: "unit-stop";
      readonly job: JobId;
      readonly first: number;
      readonly node: NodeId;
    }
  | {
      /** The attempt is to be stopped by the node that runs it (its job is cancelled, or past its deadline). */
      readonly topic: "task";
      readonly kind: "stop";
      readonly job: JobId;
      readonly task: number;
      readonly attempt: number;
      readonly node: NodeId;
    }
  | {
      /** The attempt may run so much longer than its timeout, all in all. */
      readonly topic: "task";
      readonly kind: "extended";
      readonly job: JobId;
      readonly task: number;
      readonly attempt: number;
      readonly node: NodeId;
      readonly ms: number;
    }
  /** `announced`: the node itself has spoken (it was let in, started, or came back), and not somebody about it. */
  | {
      readonly topic: "node";
      readonly kind: "changed" | "removed";
      readonly node: NodeId;
      readonly announced?: true;
    }
  | { readonly topic: "cluster"; readonly kind: "changed" }
  | { readonly topic: "token"; readonly kind: "changed" }
  | { readonly topic: "secret"; readonly kind: "changed" }
  /** For the leader's duty alone: there is an instant to wait for, or something that a command left to later ones. */
  | { readonly topic: "gate"; readonly kind: "changed" }
  | {
      readonly topic: "inventory";
      readonly kind: "set";
      readonly name: string;
      readonly version: number;
      readonly hosts: number;
    }
  | { readonly topic: "inventory"; readonly kind: "source" | "removed"; readonly name: string }
  /** Its command gave nothing good, for the so-manieth time since it last did. */
  | {
      readonly topic: "inventory";
      readonly kind: "failed";
      readonly name: string;
      readonly job: number;
      readonly failures: number;
      readonly reason: string;
    }
  /** What a bundle is pinned from by itself is another repository, or none. */
  | { readonly topic: "bundle"; readonly kind: "source" | "unsourced"; readonly name: string }
  /** The ref of its repository stands for another commit, and the bundle has a new version. */
  | {
      readonly topic: "bundle";
      readonly kind: "pinned";
      readonly name: string;
      readonly version: number;
      readonly commit: string;
    }
  /** It could not be had, for the so-manieth time since it last could: the newest version stays. */
  | {
      readonly topic: "bundle";
      readonly kind: "failed";
      readonly name: string;
      readonly failures: number;
      readonly reason: string;
    }
  /** A schedule is other than before, by somebody's wish. */
  | { readonly topic: "schedule"; readonly kind: "set" | "paused" | "resumed" | "removed"; readonly name: string }
  /** All schedules together. */
  | { readonly topic: "schedule"; readonly kind: "all-paused" | "all-resumed" }
  /** An instant of it made a job. */
  | {
      readonly topic: "schedule";
      readonly kind: "fired";
      readonly name: string;
      readonly at: number;
      readonly job: number;
      /** How much later than its instant and its jitter it was. */
      readonly lagMs: number;
    }
  /** Instants of it made none: `count` from `at` to `until`; negative: that many at least. */
  | {
      readonly topic: "schedule";
      readonly kind: "skipped";
      readonly name: string;
      readonly at: number;
      readonly until: number;
      readonly count: number;
      readonly reason: string;
    }
  | ({ readonly topic: "audit"; readonly kind: "added" } & AuditFacts);

/** Who asked for what, and what became of it; see tables/audit.ts. */
export interface AuditFacts {
  /** Id of the API token, "" for a node itself; its name and role. */
  readonly token: string;
  readonly by: string;
  readonly role: Role | "node";
  /** The node that was asked; nobody: the leader changed the voters (voters-audit.ts). */
  readonly node: NodeId;
  readonly command: string;
  readonly what: string;
  /** "ok", or the code of the refusal. */
  readonly outcome: string;
  /** How many alike, one after the other in the same entry, this stands for. */
  readonly times: number;
}

/** An attempt as its executor needs it: self-contained, so that the guard needs nothing else. */
export interface Assignment {
  readonly job: JobId;
  readonly task: number;
  readonly attempt: number;
  /** Log index of the entry that assigned it; only grows (SKEIN_FENCE). */
  readonly fence: number;
  readonly spec: Spec;
  /** Of an array, a matrix or a list of targets. */
  readonly point?: Point | undefined;
  /** One of the job's targets, or with each_node the node's name: shown as SKEIN_TARGET. */
  readonly target: string | undefined;
  /** What was added to its timeout; absent: nothing. */
  readonly extendedMs?: number | undefined;
}

/** Tasks that a node was given together, as their executor needs them (tables/unit.ts). All are first attempts. */
export interface UnitAssignment {
  readonly job: JobId;
  readonly first: number;
  readonly count: number;
  /** How many of them run at once. */
  readonly width: number;
  readonly fence: number;
  readonly spec: Spec;
  /** Its tasks that have not ended. */
  readonly running: readonly { readonly first: number; readonly count: number }[];
  /** What was added to their timeouts. */
  readonly extended: readonly (readonly [task: number, ms: number])[];
  /** One of them by itself. */
  at(task: number): Assignment;
}

/** What the executor says of an attempt that ended. Payload of task.finish. */
export interface Report {
  readonly job: JobId;
  readonly task: number;
  readonly attempt: number;
  /** `lost`: this node does not know what became of it (its guard died). */
  readonly state: "succeeded" | "failed" | "timeout" | "cancelled" | "lost";
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** For people: why, where exit code and signal do not say it ("no such command: foo"). */
  readonly reason: string | undefined;
  /** Wall time of the executor, epoch ms; never used for decisions. */
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly tail: Uint8Array;
  readonly log: { readonly bytes: number; readonly sha256: string } | undefined;
  /** Of a playbook that has told it of its host. */
  readonly recap?: PlaybookRecap;
  /** What driver ansible has found the target to be (lib/facts.ts). */
  readonly facts?: Readonly<Record<string, string>>;
}

/** Tasks of a playbook on a host, or on several. */
export interface PlaybookRecap {
  /** Those that were the host's to do: skipped ones are none, what was never reached because it was broken off is. */
  readonly tasks: number;
  readonly ok: number;
  /** Ignored and rescued ones too. */
  readonly failed: number;
  /** That have changed something. */
  readonly changed: number;
}
