import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { Certification } from "./certification.ts";
import type { Clocks } from "./clocks.ts";
import type { Divergence, Finding } from "./divergence.ts";
import type { HandOver } from "./hand-over.ts";
import type { KnownPeers } from "./known-peers.ts";
import type { LeaseGrant } from "./lease.ts";
import { type LogPorts, readLocalLog } from "./logs.ts";
import { PeerRequests } from "./peer-requests.ts";
import type { Proposer } from "./propose.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Reader } from "./read.ts";
import type { Relay } from "./relay.ts";
import type { Snapshots } from "./snapshots.ts";

/** Who answers what members ask. */
export interface PeerServicePorts {
  readonly proposer: Pick<Proposer, "onForwarded">;
  readonly reader: Pick<Reader, "confirm">;
  readonly handOver: Pick<HandOver, "to">;
  readonly peers: Pick<KnownPeers, "learn" | "addresses">;
  readonly clocks: Pick<Clocks, "heard" | "newsFor">;
  readonly relay: Pick<Relay, "onPull" | "onReport">;
  readonly divergence: Pick<Divergence, "heard" | "hashAt" | "isOddBy">;
  readonly quarantine: Pick<Quarantine, "begin">;
  readonly snapshots: Pick<Snapshots, "sender" | "receiver" | "onWanted">;
  readonly certification: Pick<Certification, "onRequest">;
  readonly logs: LogPorts;
  /** Whom this node has heard of as the leader. */
  leader(): NodeId;
  /** Leader: gives the node its lease. */
  grant(node: NodeId): Promise<LeaseGrant | undefined>;
  /** `body` is not trusted. */
  join(body: unknown): Promise<Outcome<unknown>>;
  /** `body` is not trusted. */
  recoverToken(body: unknown): Promise<Outcome<unknown>>;
  /** A member says that this node is none any more. */
  onRemoved(reason: string): void;
  readonly log: (level: "warn", message: string) => void;
}

/** What members may ask of this node: the one place where a question, whose shape has been checked (peer-requests.ts), meets who answers it. */
export class PeerService {
  readonly #ports: PeerServicePorts;
  readonly #requests: PeerRequests;

  constructor(ports: PeerServicePorts) {
    this.#ports = ports;
    this.#requests = new PeerRequests((message) => ports.log("warn", message));
  }

  /** Answers an authenticated peer. Throws Fault, which travels back to it. */
  async onRequest(peer: NodeId, method: string, body: unknown): Promise<unknown> {
    const ports = this.#ports;
    const request = this.#requests.parse(peer, method, body);
    switch (request.method) {
      // Commands and reads that are for the leader.
      case "propose":
        return ports.proposer.onForwarded(peer, request.body);
      case "read-index":
        return ports.reader.confirm();
      case "lease": {
        // With it a member tells what its clock shows, and is told how far that is off (J4).
        ports.clocks.heard(peer, request.body);
        const grant = await ports.grant(peer);
        return grant?.kind === "granted" ? { ...grant, clock: ports.clocks.newsFor(peer) } : grant;
      }
      case "transfer":
        return ports.handOver.to(request.body === nobody ? undefined : request.body);
      case "token.recover":
        return ports.recoverToken(request.body);
      // Who is there.
      case "leader":
        return ports.leader();
      case "addresses":
        ports.peers.learn(request.body);
        return ports.peers.addresses();
      case "removed":
        ports.onRemoved(`node ${peer} says that it was removed`);
        return null;
      case "join":
        return ports.join(request.body);
      // The log for learners, and the output of attempts.
      case "relay.pull":
        return ports.relay.onPull(peer, request.body);
      case "relay.report":
        return ports.relay.onReport(request.body);
      case "log.read":
        return readLocalLog(request.body, ports.logs);
      // States: whether they are equal, and copies of them.
      case "hash.report":
        return ports.divergence.heard(peer, request.body) ?? null;
      case "hash.at":
        return ports.divergence.hashAt(request.body) ?? null;
      case "hash.odd":
        this.#accused(peer, request.body);
        return null;
      case "snapshot.want":
        ports.snapshots.onWanted(peer, request.body);
        return null;
      case "snapshot.offer":
        ports.snapshots.receiver.offered(peer, request.body);
        return null;
      case "snapshot.chunk":
        return ports.snapshots.sender.chunk(peer, request.body.id, request.body.number);
      case "snapshot.done":
        return ports.snapshots.sender.done(peer, request.body.id, request.body.ok) ?? null;
      default:
        return ports.certification.onRequest(peer, request);
    }
  }

  /** A quorum's hash is the leader's to tell, and nobody else's. Throws Fault: told again, once it is known here who leads. */
  #accused(peer: NodeId, finding: Finding): void {
    if (peer !== this.#ports.leader())
      throw new Fault("peer-refused", `node ${peer} does not lead, as far as this node knows`, "safe");
    if (this.#ports.divergence.isOddBy(finding)) this.#ports.quarantine.begin(finding);
  }
}
