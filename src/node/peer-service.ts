import { nobody, type NodeId } from "../lib/ids.ts";
import type { Access } from "./access.ts";
import type { Bundles } from "./bundles.ts";
import type { KnownPeers } from "./known-peers.ts";
import type { Leading } from "./leading.ts";
import { readCopy, readLocalLog } from "./logs.ts";
import type { OwnWork } from "./own-work.ts";
import { PeerRequests } from "./peer-requests.ts";
import type { Proposer } from "./propose.ts";
import type { Questions } from "./questions.ts";
import type { Reader } from "./read.ts";
import type { Relay } from "./relay.ts";
import type { WholeState } from "./whole-state.ts";

/** Who answers what members ask. */
export interface PeerServicePorts {
  readonly proposer: Pick<Proposer, "onForwarded">;
  readonly reader: Pick<Reader, "confirm">;
  readonly questions: Pick<Questions, "explainHere" | "planHere">;
  readonly leading: Pick<Leading, "clocks" | "grant" | "handOver" | "silent">;
  readonly peers: Pick<KnownPeers, "learn" | "addresses">;
  readonly relay: Pick<Relay, "onPull" | "onReport">;
  readonly state: Pick<WholeState, "divergence" | "sender" | "receiver" | "onAccused" | "onWanted">;
  readonly access: Pick<Access, "admission" | "certification" | "judgeRecovery" | "secrets">;
  readonly work: Pick<OwnWork, "logs" | "holder" | "lease" | "relieve">;
  readonly bundles: Pick<Bundles, "server" | "take" | "lookAtSource" | "webhook">;
  /** Whom this node has heard of as the leader. */
  leader(): NodeId;
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
        ports.leading.clocks.heard(peer, request.body);
        const grant = await ports.leading.grant(peer);
        return grant?.kind === "granted" ? { ...grant, clock: ports.leading.clocks.newsFor(peer) } : grant;
      }
      case "lease.cover":
        if (peer === ports.leader()) ports.work.lease.cover(request.body);
        return null;
      case "unit.relieve":
        if (peer === ports.leader()) ports.work.relieve(request.body);
        return null;
      case "transfer":
        return ports.leading.handOver.to(request.body === nobody ? undefined : request.body);
      case "token.recover":
        return ports.access.judgeRecovery(request.body);
      // What the leader's planner has to say.
      case "job.explain":
        return ports.questions.explainHere(request.body);
      case "job.plan":
        return ports.questions.planHere(request.body);
      // Who is there.
      case "leader":
        return ports.leader();
      case "silent":
        return ports.leading.silent() ?? null;
      case "addresses":
        ports.peers.learn(request.body);
        return ports.peers.addresses();
      case "removed":
        ports.onRemoved(`node ${peer} says that it was removed`);
        return null;
      case "join":
        return ports.access.admission.join(request.body);
      // The log for learners, and the output of attempts.
      case "relay.pull":
        return ports.relay.onPull(peer, request.body);
      case "relay.report":
        return ports.relay.onReport(request.body);
      case "log.read":
        return readLocalLog(request.body, ports.work.logs);
      case "pack.append":
        return ports.work.holder.append(peer, request.body);
      case "pack.read":
        return readCopy(request.body, ports.work.logs);
      // Bundles: whole or by file.
      case "bundle.manifest":
        return ports.bundles.server.manifest(request.body);
      case "bundle.have":
        return ports.bundles.server.have(request.body);
      case "bundle.files":
        return ports.bundles.server.files(peer, request.body);
      case "bundle.piece":
        return ports.bundles.server.piece(peer, request.body.sha256, request.body.offset);
      case "bundle.suspect":
        return ports.bundles.server.suspect(request.body);
      case "bundle.take":
        return ports.bundles.take(peer, request.body);
      // What bundles are pinned from by themselves: for the leader, and for who may not read secrets.
      case "bundle.look":
        return ports.bundles.lookAtSource(request.body);
      case "bundle.told":
        return ports.bundles.webhook.judge(request.body);
      // Secrets: encrypted for who cannot, and their values for what runs there.
      case "secret.seal":
        return ports.access.secrets.seal(request.body.name, request.body.value);
      case "secret.values":
        return ports.access.secrets.reveal(peer, request.body);
      // States: whether they are equal, and copies of them.
      case "hash.report":
        return ports.state.divergence.heard(peer, request.body) ?? null;
      case "hash.at":
        return ports.state.divergence.hashAt(request.body) ?? null;
      case "hash.odd":
        ports.state.onAccused(peer, request.body);
        return null;
      case "snapshot.want":
        ports.state.onWanted(peer, request.body);
        return null;
      case "snapshot.offer":
        ports.state.receiver.offered(peer, request.body);
        return null;
      case "snapshot.chunk":
        return ports.state.sender.chunk(peer, request.body.id, request.body.number);
      case "snapshot.done":
        return ports.state.sender.done(peer, request.body.id, request.body.ok) ?? null;
      default:
        return ports.access.certification.onRequest(peer, request);
    }
  }
}
