/**
 * A job as people write it, in TypeScript: what POST /v1/jobs takes. The mesh checks it and says every problem with its path; docs/contract.md says what each key
 * means and its default.
 */
export interface JobSpec {
  readonly name?: string | undefined;
  /** Default: shell. */
  readonly driver?: "shell" | "ssh" | "ansible" | "noop" | "http" | undefined;
  /** Text runs under /bin/sh -c; a list is argv. */
  readonly run?: string | readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string | number | boolean | SecretReference>> | undefined;
  /** Default: a scratch directory of the attempt's own, removed after. */
  readonly dir?: string | undefined;
  readonly stdin?: string | undefined;
  /** Run as; the node must be root. */
  readonly user?: string | undefined;
  readonly limits?: TaskLimits | undefined;
  /** An array: tasks 0 to count - 1. */
  readonly count?: number | undefined;
  /** The indices of an array: "0-99:2", "1,3,5-8". */
  readonly array?: string | undefined;
  /** A task per combination of the keys' values, the first key slowest. */
  readonly matrix?: MatrixSpec | undefined;
  readonly exclude?: readonly MatrixRule[] | undefined;
  readonly include?: readonly MatrixRule[] | undefined;
  /** A task per name, which is its SKEIN_TARGET: "web[01-30]", ["10.0.0.1-50", "db1,db2!db2"]. */
  readonly targets?: string | readonly string[] | undefined;
  /** A task on every node that matches `on`. */
  readonly each_node?: boolean | undefined;
  /** Which nodes may run it: "zone=eu,gpu!=none". */
  readonly on?: string | undefined;
  readonly slots?: number | undefined;
  readonly resources?: Readonly<Record<string, number | string>> | undefined;
  /** Tasks running at once. */
  readonly parallel?: number | undefined;
  /** Tasks in groups, each begun when those before it have ended: 10, "10%", [1, "10%", "50%"], or these as `sizes` with what is between two of them. */
  readonly batch?: BatchSize | readonly BatchSize[] | BatchSpec | undefined;
  /** Tasks of an array or of targets that a node is given together; by default that follows from how long they take. */
  readonly unit?: number | undefined;
  /** 0 to 100, default 50; higher first. */
  readonly priority?: number | undefined;
  /** Starts when these are done: ids, or names of jobs of the same request. */
  readonly after?: readonly (number | string | AfterJob)[] | undefined;
  /** One running job per key. */
  readonly key?: string | undefined;
  readonly on_conflict?: "queue" | "refuse" | "replace" | undefined;
  /** RFC 3339, with its zone. */
  readonly start_at?: string | undefined;
  /** Of a task. */
  readonly timeout?: Duration | undefined;
  /** From TERM to KILL. */
  readonly grace?: Duration | undefined;
  /** Of the job, waiting included. */
  readonly deadline?: Duration | undefined;
  readonly retries?: RetriesSpec | undefined;
  /** When the node that ran it is gone. */
  readonly on_lost?: "retry" | "fail" | undefined;
  /** A number of tasks, or a share: "10%". */
  readonly max_failures?: number | string | undefined;
  readonly output?: OutputSpec | undefined;
  readonly noop?: NoopSpec | undefined;
  readonly http?: HttpSpec | undefined;
  readonly ssh?: SshSpec | undefined;
  readonly ansible?: AnsibleSpec | undefined;
  /** The tree that tasks run in: "site", "site@3" or "site@sha256:…", each task in a copy of its own unless it only reads. */
  readonly bundle?: string | { readonly name: string; readonly read_only?: boolean | undefined } | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** How long the finished job is remembered. */
  readonly ttl?: Duration | undefined;
  /** The same as the key of the request that submits it. */
  readonly idempotency_key?: string | undefined;
}

/** "90s", "1h30m", "7d", "250ms". */
export type Duration = string;
/** Bytes, or "64MiB". */
export type Size = number | string;

/** The value of a secret that the mesh keeps. */
export interface SecretReference {
  readonly secret: string;
}

export interface TaskLimits {
  /** Processor time. */
  readonly cpu?: Duration | undefined;
  readonly memory?: Size | undefined;
  readonly files?: number | undefined;
  readonly processes?: number | undefined;
}

export type MatrixRule = Readonly<Record<string, string | number | boolean>>;
/** Keys with their values, and `exclude` and `include` lists of rules. */
export type MatrixSpec = Readonly<Record<string, readonly (string | number | boolean)[] | readonly MatrixRule[]>>;

/** A number of tasks, or a share of all: "10%". */
export type BatchSize = number | string;

export interface BatchSpec {
  /** The last one is that of all batches that follow. */
  readonly sizes: readonly BatchSize[];
  /** Between the end of a batch and the next one. */
  readonly pause?: Duration | undefined;
  /** Each batch but the first waits until somebody lets it begin. */
  readonly approve?: boolean | undefined;
}

export interface AfterJob {
  readonly job: number | string;
  /** Default: succeeded. */
  readonly when?: "succeeded" | "failed" | "done" | undefined;
}

export interface RetriesSpec {
  readonly max: number;
  readonly backoff?: Duration | undefined;
  readonly factor?: number | undefined;
  readonly cap?: Duration | undefined;
  /** 0 to 1: the share of a backoff that is left to chance. */
  readonly jitter?: number | undefined;
  readonly on?: readonly ("failed" | "timeout")[] | undefined;
}

export interface OutputSpec {
  /** Of it, in the replicated result. */
  readonly tail?: Size | undefined;
  /** Of the log. */
  readonly keep?: Size | undefined;
  readonly copies?: number | undefined;
  /** Finished only when the log is on a second disk; with copies: 2. */
  readonly sync?: boolean | undefined;
}

export interface NoopSpec {
  readonly for?: Duration | undefined;
  readonly output?: Size | undefined;
  readonly exit?: number | undefined;
}

export interface HttpSpec {
  readonly method?: string | undefined;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string | number | SecretReference>> | undefined;
  /** Text, a secret, or what is sent as JSON. */
  readonly body?: unknown;
  /** Statuses that are a success: 200, "2xx", or a list of them. */
  readonly expect?: number | string | readonly (number | string)[] | undefined;
}

/** What driver ansible runs: a module or a playbook. */
export interface AnsibleSpec {
  readonly module?: string | undefined;
  /** As on ansible's command line, or the module's parameters. */
  readonly args?: string | Readonly<Record<string, unknown>> | undefined;
  /** An absolute path on the node, the text of a playbook, or its list of plays. */
  readonly playbook?: string | readonly unknown[] | undefined;
  /** Extra variables. */
  readonly vars?: Readonly<Record<string, unknown>> | undefined;
  /** Groups that all targets are in. */
  readonly groups?: string | readonly string[] | undefined;
  readonly check?: boolean | undefined;
  readonly diff?: boolean | undefined;
  readonly tags?: string | readonly string[] | undefined;
  readonly skip_tags?: string | readonly string[] | undefined;
  /** The password of a vault: a path on the node, or a secret. */
  readonly vault?: string | { readonly secret: string } | undefined;
  /** Hosts at once, of one process. Default: by the node's cores and free memory. */
  readonly forks?: number | undefined;
  /** Default: ssh. */
  readonly connection?: string | undefined;
}

/** How drivers ssh and ansible reach their targets; what is absent is for the ssh configuration of the executing node to say. */
export interface SshSpec {
  readonly user?: string | undefined;
  readonly port?: number | undefined;
  /** A path on the node, or a secret. */
  readonly key?: string | { readonly secret: string } | undefined;
  /** accept-new (the default), strict, off, or a path on the node. */
  readonly known_hosts?: string | undefined;
  readonly jump?: string | undefined;
  /** By sudo. */
  readonly become?: string | undefined;
  /** What sudo asks for, or a playbook's own `become`. Absent: it must not ask. */
  readonly become_password?: { readonly secret: string } | undefined;
  /** Until a target's command begins: 10s. */
  readonly connect?: string | undefined;
  readonly put?: readonly SshCopy[] | undefined;
  readonly fetch?: readonly SshCopy[] | undefined;
  /** A later attempt begins only when nothing of an earlier one is left, for sure. */
  readonly strict?: boolean | undefined;
}

/** A file or a directory. Of what is fetched, `to` is a directory on the node, in which each target has its own. */
export interface SshCopy {
  readonly from: string;
  readonly to: string;
}
