import type { Append, LogReader, Restored, SnapshotMeta } from "../raft/types.ts";
import type { Epoch } from "../lib/epoch.ts";
import type { Index, NodeId } from "../lib/ids.ts";

/**
 * log.db behind its Worker (D1, D4). The worker drains its inbox into one FULL-sync transaction: the group commit.
 */
export interface LogStore extends LogReader {
  /**
   * Opens or creates log.db, makes it agree with the state, and reads what raft needs. Every entry is checked against its checksum: damaged
   * ones that the state contains are not needed any more; from the first other one on the log is cut, and Restored.repair remembers what
   * had been promised (D3). Throws Fault "data" or "disk".
   */
  open(state?: StateBeside): Promise<Restored>;
  /** Queues a write; onDurable is called with its token once it is synced, in order. */
  append(append: Append): void;
  /**
   * Drops entries up to `base.index`, in small steps between appends, and makes `base` the entry before the first one kept. The caller sees to
   * D3: base.index <= what is durable in state.db. Never read below it again.
   */
  compact(base: SnapshotMeta): void;
  /** Bytes handed over and not durable yet. */
  pendingBytes(): number;
  close(): Promise<void>;
}

export interface LogStoreOptions {
  readonly path: string;
  /** Called once per transaction with the newest token that it made durable. */
  onDurable(token: number): void;
  /**
   * A write failed. "disk-full" was rolled back before the sync: it may be tried again later (D4), the store does so by itself and
   * reports durable when it succeeds. "disk": the process must end.
   */
  onFault(code: "disk" | "disk-full", message: string): void;
  /** An entry was asked for and cannot be read any more. The first time it is asked for. */
  onDamagedEntry?(at: Index): void;
  /** What was found damaged, or begun anew, when the log was opened; in words for people. */
  onDamage?(message: string): void;
}

/** The state that the log belongs to, as its own file says. */
export interface StateBeside {
  readonly applied: number;
  /** Where a log may begin after; undefined: not known (nothing applied, or written by the first version). */
  readonly meta: SnapshotMeta | undefined;
  /** A snapshot of that entry was taking the state's place when the node ended: where log and state differ there, the state is right. */
  readonly installing: number | undefined;
}

/** identity.json: who this data directory is. Written once at creation or join, `starts` at every start; synced with its directory. */
export interface Identity {
  readonly version: 2;
  readonly cluster: string;
  readonly node: NodeId;
  readonly name: string;
  /** Absent: the first one (lib/epoch.ts). */
  readonly epoch?: Epoch | undefined;
  /** How often this node was started: incarnation and block of serials. */
  readonly starts: number;
  /** Of the newest start: its number and what tells it from another one of that number. Absent before the first. */
  readonly incarnation?: string | undefined;
  /** As others are told: host:port, or https://host:port. */
  readonly api: string;
  readonly peer: string;
  /** What was listened on last time, taken again unless flags say otherwise; absent before the first time. */
  readonly listen?: { readonly apis: readonly string[]; readonly peer: string; readonly advertise?: string };
  /** Peers known at last write, to find the cluster again. */
  readonly peers: readonly { readonly node: NodeId; readonly address: string }[];
}

/** certificate.json: with what a node shows who it is, and whom it believes. Beside identity.json; neither is of use without the other. */
export interface Certificate {
  readonly version: 1;
  /** Private key, PEM. */
  readonly key: string;
  /** PEM; behind it, in a cluster whose authority was replaced, the new authority as the one before vouches for it. */
  readonly certificate: string;
  /** Certificates of the authorities that are believed, PEM. */
  readonly trusted: readonly string[];
}

/** authority.json, on voters only (K1): the keys of the authorities that the cluster has, by the fingerprints of their certificates. */
export interface AuthorityKeys {
  readonly version: 1;
  readonly keys: Readonly<Record<string, { readonly certificate: string; readonly key: string }>>;
}
