import type { Resources } from "../lib/resources.ts";
import type { HostPort } from "../lib/host-port.ts";
import type { Labels } from "../lib/selector.ts";
import type { OutputFormat } from "./output.ts";

/** What `skein up` was asked to do, from flags, environment and configuration file, checked and complete. */
export interface UpOptions {
  readonly dataDir: string;
  /** undefined: the host's name. */
  readonly name: string | undefined;
  /** Where the API listens, at least one; the first is what others are told. undefined: as last time, else 127.0.0.1:7400. */
  readonly api: readonly ApiAddress[] | undefined;
  /** undefined: as last time, else 127.0.0.1:7401. */
  readonly peer: HostPort | undefined;
  /** The address that others are told; undefined: the one that is listened on. */
  readonly advertise: string | undefined;
  /** Files with a certificate for the API's TLS and its key; undefined: the cluster's own. */
  readonly apiCertificate: { readonly certificate: string; readonly key: string } | undefined;
  /** Of pages that browsers may let read the API's answers; "*": any. */
  readonly origins: readonly string[];
  /** Distribute's own API is answered, too; where its projects are, and the secret with the key for them. */
  readonly distribute: { readonly git: string | undefined; readonly gitKey: string | undefined } | undefined;
  /** Where heartbeats go; undefined: nowhere. `host` undefined: the node's name. */
  readonly zabbix:
    | {
        readonly servers: readonly HostPort[];
        readonly host: string | undefined;
        readonly meshHost: string | undefined;
      }
    | undefined;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
  readonly resources: Resources;
  /** API addresses of members, HOST:PORT; empty: no join. Ignored with data of a cluster. */
  readonly join: readonly string[];
  /** How long addresses that do not answer are tried; 0: each once. */
  readonly joinTimeoutMs: number;
  /** As it was typed; whoever uses it says what is wrong with it. */
  readonly joinToken: string | undefined;
  /** undefined: as the cluster has it, 5 for a new one. */
  readonly voters: number | undefined;
  readonly learner: boolean;
  readonly output: OutputFormat;
  /** Colours may be used where a terminal is. */
  readonly colours: boolean;
}

export interface ApiAddress extends HostPort {
  readonly scheme: "http" | "https";
  /** Plain HTTP off loopback, written out by the user: it is worth a warning. */
  readonly exposed: boolean;
}
