import type { Epoch } from "../lib/epoch.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Message } from "../raft/types.ts";
import type { NodeCredentials } from "./certificate.ts";

/**
 * Peers as the node sees them. What A says to B travels on sockets that A opened, one per channel; answers to an rpc come back on the socket
 * that asked. So a dead process is noticed by all of its sockets.
 */
export type Channel = "raft" | "rpc" | "bulk";

/**
 * Which of its sockets to a peer a node keeps open: all of them, only raft's, or none. The others are dialed when there is something to ask and
 * closed when nothing was asked for a while. A full mesh of three sockets each way would be 30,000 for a hundred nodes.
 */
export type Kept = "all" | "raft" | "none";

/** A member and how it is reached. `address` "": not known yet, the member is let in when it dials. */
export interface Peer {
  readonly node: NodeId;
  readonly address: string;
  /** "all" when absent. */
  readonly kept?: Kept | undefined;
}

/** Who this process is; stated in every handshake and proven with the key of the node's certificate. */
export interface PeerIdentity {
  readonly cluster: string;
  /** Those of another epoch have another history: they are let in neither here nor there. */
  readonly epoch: Epoch;
  readonly node: NodeId;
  readonly incarnation: string;
  readonly level: number;
  /** As they are now: certificates are renewed while the node runs, and the authorities that are believed change. */
  credentials(): NodeCredentials;
}

/** Why this node is let in no more. */
export interface PeerRefusal {
  readonly reason: string;
  /** It is no member any more, or must not be one with the data that it has. */
  readonly removed: boolean;
  /** Its data was put back from a copy, as the one that refuses knows by a later start. */
  readonly isOldCopy: boolean;
  /** The cluster goes on in this epoch, which is newer than this node's. */
  readonly newer: Epoch | undefined;
}

export interface TransportOptions {
  readonly identity: PeerIdentity;
  /**
   * What this node has was made in its epoch, or later. Until then the epoch is only what it was told, perhaps by mistake, and nobody is to end by its word.
   */
  hasReachedEpoch(): boolean;
  /** A raft message of an authenticated peer. `from` is the node that the handshake proved; a message that claims another one is dropped and counted. */
  onMessage(message: Message): void;
  /** A raft socket from or to this peer closed after it had been open: news for the core. */
  onDisconnected(peer: NodeId): void;
  onConnected(peer: NodeId): void;
  /** Answers an rpc of `peer` (channels rpc and bulk). A thrown Fault or Error travels back as peer-refused with its message. */
  onRequest(peer: NodeId, method: string, body: unknown): Promise<unknown>;
  /** A handshake was refused for good (other cluster, removed node, level too high). */
  onRefused(peer: NodeId, refusal: PeerRefusal): void;
  /** This node was a member once and is none any more, as the log has it; ids are never given twice. */
  wasRemoved(node: NodeId): boolean;
  /** That id was given, if it was, after all that this node knows of: whose certificate proves it is let in. */
  mayBeNewer(node: NodeId): boolean;
  /** The log knows of a later start of that node: its data is a copy from before it, and has forgotten what was promised since. */
  isOldCopy(node: NodeId, incarnation: string): boolean;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

export interface Transport {
  /** Binds the peer port (0: any free one). Throws Fault "port"; may then be called again. Gives the address really bound. */
  listen(at: {
    readonly host: string;
    readonly port: number;
  }): Promise<{ readonly host: string; readonly port: number }>;
  /** The members (without this node); called again on every change. The sockets of others are closed. */
  setPeers(peers: readonly Peer[]): void;
  /** Fire and forget. Past the backpressure limit, or without a socket, the message is lost, and that is counted. */
  send(message: Message): void;
  /**
   * Asks a peer. Fails with Fault peer-unreachable (retry "safe": nothing was sent), peer-timeout or a socket closed after sending
   * (retry "unknown"), peer-refused.
   */
  request(
    peer: NodeId,
    method: string,
    body: unknown,
    options?: { channel?: "rpc" | "bulk"; timeoutMs?: number },
  ): Promise<unknown>;
  /** The raft socket to that peer is open. */
  isConnected(peer: NodeId): boolean;
  /** The credentials changed: whoever dials from now on is shown, and judged by, the new ones. Sockets that are open stay. */
  renewed(): void;
  /** Raft messages; `rejected`: what peers sent that made no sense, claimed another sender, or was not let in. */
  stats(): { readonly sent: number; readonly received: number; readonly lost: number; readonly rejected: number };
  close(): Promise<void>;
}
