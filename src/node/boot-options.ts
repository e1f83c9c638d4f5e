import type { HostPort } from "../lib/host-port.ts";
import type { Labels } from "../lib/selector.ts";
import type { Node } from "./node.ts";

/** What a node is started with, and what a started one is. */

export interface BootOptions {
  readonly dataDir: string;
  /** undefined: the host's name. */
  readonly name: string | undefined;
  /** undefined: as last time, else the contract's default. Port 0: any, preferably that of last time. */
  readonly api: HostPort | undefined;
  readonly peer: HostPort | undefined;
  /** The host name that others are told; undefined: the one that is listened on. */
  readonly advertise: string | undefined;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
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
  /** Serves the API; given from outside because http imports the node, not the other way round. */
  serve(node: Node, at: HostPort): Promise<Served>;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** The process is to end with this code (of the contract's table); the message has been logged. */
  onEnd(code: number): void;
}

export interface Served extends HostPort {
  stop(): Promise<void>;
}

export interface Booted {
  readonly node: Node;
  readonly api: string;
  readonly peer: string;
  readonly kind: "created" | "joined" | "resumed";
  stop(): Promise<void>;
}

/** Where a node listens that was told nothing, and has not listened before. */
export const defaultApi: HostPort = { host: "127.0.0.1", port: 7400 };
export const defaultPeer: HostPort = { host: "127.0.0.1", port: 7401 };
