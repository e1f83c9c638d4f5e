import type { JobState, NodeState } from "./types.ts";
import type { Labels } from "../lib/selector.ts";

/** What the API shows beside jobs and tasks (those are in types.ts). Types only: http fills them, client reads them. */

export interface NodeView {
  readonly id: number;
  readonly name: string;
  readonly role: "voter" | "learner";
  readonly leader: boolean;
  readonly state: NodeState;
  /** host:port of the HTTP API and of the peer port. */
  readonly api: string;
  readonly peer: string;
  readonly labels: Labels;
  readonly slots: number;
  /** Attempts that the state gives to this node now. */
  readonly running: number;
  /** Entries behind the leader; null where it is not known (only the leader knows it of others). */
  readonly lag: number | null;
  /** What is left of the node's lease, in milliseconds; known to the leader only. */
  readonly lease_ms: number | null;
  readonly version: string;
  readonly level: number;
  readonly seen_at: string;
}

export interface ClusterView {
  readonly cluster: string;
  readonly level: number;
  readonly term: number;
  readonly leader: number | null;
  /** Newest index known to be committed, and what the answering node has applied. */
  readonly index: number;
  readonly applied: number;
  readonly voters: readonly number[];
  readonly voters_wanted: number | null;
  readonly nodes: readonly NodeView[];
}

/** Answer of POST /v1/jobs/wait: the states of all jobs, in the order asked for. */
export interface WaitView {
  readonly finished: boolean;
  readonly jobs: readonly { readonly id: number; readonly state: JobState }[];
}

/** One event of GET /v1/events. Members beyond these depend on topic and kind. */
export interface EventView {
  /** INDEX.N: resume after it. */
  readonly id: string;
  readonly topic: "job" | "task" | "node" | "cluster";
  readonly kind: string;
  readonly at: string;
  readonly [member: string]: unknown;
}

/** A piece of output as the log stream carries it: `text` when its bytes are UTF-8, else `base64`. */
export interface LogPieceView {
  readonly task: number;
  readonly attempt: number;
  readonly stream: "stdout" | "stderr";
  readonly at: string;
  readonly text?: string;
  readonly base64?: string;
}
