import type { Resources } from "../lib/resources.ts";
import type { HostPort } from "../lib/host-port.ts";
import type { ApiAddress } from "./listening.ts";
import type { Labels } from "../lib/selector.ts";
import type { Node } from "./node.ts";

/** What a node is started with, and what a started one is. */

export interface BootOptions {
  readonly dataDir: string;
  /** undefined: the host's name. */
  readonly name: string | undefined;
  /** undefined: as last time, else the contract's default. Port 0: any, preferably that of last time. */
  readonly api: readonly ApiAddress[] | undefined;
  readonly peer: HostPort | undefined;
  /** The host name that others are told; undefined: the one that is listened on. */
  readonly advertise: string | undefined;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
  /** What it has beside; default: nothing. */
  readonly resources?: Resources | undefined;
  readonly zones?: string | undefined;
  /** API addresses to join at; empty: a new cluster, unless the data says otherwise. */
  readonly join: readonly string[];
  /** How long addresses that do not answer are tried; 0: each once. */
  readonly joinTimeoutMs: number;
  readonly joinToken: string | undefined;
  readonly voters: number | undefined;
  readonly version: string;
  /** The newest level to understand (S2); undefined: this binary's. */
  readonly level?: number | undefined;
  /** Epoch ms, for what the node says of its clock (J4); undefined: the system's. */
  readonly wallClock?: (() => number) | undefined;
  readonly guardCommand: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The API is served under a certificate of the user's own: clients are not told to believe the cluster's authority for it. */
  readonly ownCertificate?: { readonly isSelfSigned: boolean; readonly certificate: string } | undefined;
  /** Serves the API; given from outside because http imports the node, not the other way round. */
  serve(node: Node, at: readonly ApiAddress[]): Promise<Served>;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** The process is to end with this code (of the contract's table); the message has been logged. */
  onEnd(code: number): void;
}

export interface Served {
  /** As bound, in the order in which they were asked for. */
  readonly apis: readonly ApiAddress[];
  stop(): Promise<void>;
}

export interface Booted {
  readonly node: Node;
  readonly api: string;
  readonly peer: string;
  readonly kind: "created" | "joined" | "resumed";
  stop(): Promise<void>;
}
