import type { Executor, ExecutorOptions } from "../executor/types.ts";
import type { Epoch } from "../lib/epoch.ts";
import type { Resources } from "../lib/resources.ts";
import type { Labels } from "../lib/selector.ts";
import type { Restored } from "../raft/types.ts";
import type { ReadTx } from "../state/tx.ts";
import type { JudgedState } from "../storage/snapshot-task.ts";
import type { AuthorityKeys, Certificate, Identity, LogStore } from "../storage/types.ts";
import type { NodeCredentials } from "../transport/certificate.ts";
import type { Transport, TransportOptions } from "../transport/types.ts";
import type { Lifetimes } from "./certificates.ts";
import type { LogBudget } from "./compaction.ts";
import type { StoredEvents } from "./events.ts";
import type { RelayLimits } from "./relay-tree.ts";
import type { MadeSnapshot } from "./snapshot-send.ts";
import type { StateWriter } from "./state-writer.ts";

/** What a node is made of, and whom it tells what: all that touches disk, sockets, processes and chance (boot.ts opens them, and the simulator its own). */
export interface NodeParts {
  readonly identity: Identity;
  readonly certificate: Certificate;
  readonly authority: AuthorityKeys | undefined;
  readonly lifetimes: Lifetimes;
  storeCertificate(certificate: Certificate): void;
  storeAuthority(keys: AuthorityKeys | undefined): void;
  /** The names that a certificate of this node is to hold. */
  hosts(): readonly string[];
  readonly version: string;
  readonly dataDir: string;
  readonly incarnation: string;
  /** The newest level that it understands (S2). */
  readonly level: number;
  /** Epoch ms, for what it says of its clock (J4); absent: the system's. */
  readonly wallClock?: (() => number) | undefined;
  readonly capacity: { readonly slots: number; readonly ioTasks: number };
  readonly resources: Resources;
  /** The zones' data of this host's runtime (lib/zone-data.ts); undefined: it is not told of. */
  readonly zones: string | undefined;
  readonly labels: Labels;
  readonly restored: Restored;
  /** What state.db had applied at start, and its rolling hash. */
  readonly applied: number;
  readonly stateHash: string;
  readonly logStore: LogStore;
  /** Events on the disk, of before this start too; absent: there are none. */
  readonly storedEvents?: StoredEvents;
  /** Runs a query in one read transaction of a read-only connection. */
  view<Value>(query: (tx: ReadTx) => Value): Value;
  readonly writer: Pick<StateWriter, "apply" | "install">;
  /** A copy of the state as it is now, in a file for sending. Throws Fault. */
  copyState(purpose: "snapshot" | "backup"): Promise<MadeSnapshot>;
  /** Views are of that file from now on; undefined: of state.db. */
  viewState(path: string | undefined): void;
  /** How much of the log is kept. */
  readonly logBudget: LogBudget;
  /** Gets the steps of consensus, if somebody wants to check them (raft/trace.ts). */
  readonly trace?: ((line: string) => void) | undefined;
  /** From when on, and how wide, learners feed each other. */
  readonly relay: RelayLimits;
  openTransport(hooks: TransportHooks): Transport;
  openExecutor(hooks: ExecutorHooks): Executor;
  /** Whether its packs of logs are copied to other members (the simulator has no disks for that). */
  readonly copiesLogs: boolean;
  /** Reads a state file whole and says what it is. Throws Fault. */
  checkState(path: string): Promise<JudgedState>;
  /** Numbers in [0, 1) for elections. */
  random(): number;
  randomBytes(count: number): Uint8Array;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** The node has left the cluster and is to stop. */
  onLeft(): void;
  /** This node was removed by others. */
  onRemoved(reason: string): void;
  /** The cluster goes on in this newer epoch, without this node. */
  onFenced(newer: Epoch): void;
  /** The log ends at `last`, and the leader counts on entries up to `until` that this node had acknowledged: what else is gone nobody knows. */
  onLogLost(last: number, until: number): void;
  /** Its data is an older copy, as another member knows. */
  onOldCopy(): void;
}

/** What the sockets ask this node, and tell it. */
export type TransportHooks = Pick<
  TransportOptions,
  | "onMessage"
  | "onDisconnected"
  | "onConnected"
  | "onRequest"
  | "onRefused"
  | "hasReachedEpoch"
  | "wasRemoved"
  | "mayBeNewer"
  | "isOldCopy"
> & {
  credentials(): NodeCredentials;
};
/** What the executor tells this node. */
export type ExecutorHooks = Pick<
  ExecutorOptions,
  "report" | "started" | "secrets" | "bundle" | "copied" | "mayGiveBack" | "giveBack" | "unwanted" | "hostFacts"
>;
