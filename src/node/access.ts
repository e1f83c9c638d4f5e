import type { Configuration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";
import { isVoter } from "../raft/configuration.ts";
import { type CommandInput, type CommandName, commandByName } from "../state/commands/index.ts";
import { principalLevel } from "../state/levels.ts";
import { findNode, findToken, listNodes, type TokenRow } from "../state/queries.ts";
import type { Principal } from "../state/types.ts";
import type { Transport } from "../transport/types.ts";
import { Admission } from "./admission.ts";
import { postReissue } from "./api-tls.ts";
import { Certification } from "./certification.ts";
import type { Committed } from "./commands.ts";
import type { NodeParts } from "./parts.ts";
import { Principals } from "./principals.ts";
import type { Proposer } from "./propose.ts";
import { recoverToken } from "./recover-token.ts";
import { Secrets } from "./secrets.ts";
import type { Settings } from "./settings.ts";
import { Tokens } from "./tokens.ts";

/** What judging who comes in needs of its surroundings. */
export interface AccessPorts {
  readonly parts: Pick<
    NodeParts,
    | "identity"
    | "certificate"
    | "authority"
    | "lifetimes"
    | "storeCertificate"
    | "storeAuthority"
    | "hosts"
    | "view"
    | "log"
  >;
  /** This node itself, as the one who asks. */
  readonly principal: Principal;
  readonly settings: Pick<Settings, "level">;
  readonly transport: Pick<Transport, "request" | "isConnected" | "renewed">;
  readonly proposer: Pick<Proposer, "submitAsLeader">;
  /** Where other members reach this one. */
  address(): string;
  /** Whom this node has heard of as the leader. */
  heardLeader(): NodeId;
  isLeading(): boolean;
  /** The log has this start of this node. */
  takesPart(): boolean;
  configuration(): Configuration;
  propose<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): Promise<Committed<Name>>;
  /** Resolves when this node has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  /** As new as whatever was acknowledged before. */
  findToken(id: string): Promise<Outcome<TokenRow | undefined>>;
}

/**
 * Who is let in, and as whom: people by tokens (tokens.ts), peers that speak for people (principals.ts), members by certificates (certification.ts), new
 * members by join tokens (admission.ts), and who holds a member's key when every token is lost (recover-token.ts).
 */
export class Access {
  readonly #ports: AccessPorts;
  readonly tokens: Tokens;
  readonly principals: Principals;
  readonly certification: Certification;
  readonly admission: Admission;
  readonly secrets: Secrets;
  /** Told when the credentials change: the listener of the API. */
  readonly #renewedListeners = new Set<() => void>();

  constructor(ports: AccessPorts) {
    const { parts } = ports;
    this.#ports = ports;
    this.principals = new Principals((id) => parts.view((tx) => findToken(tx, id)));
    this.tokens = new Tokens({
      findToken: (id) => parts.view((tx) => findToken(tx, id)),
      authority: () => this.certification.issuing,
      create: (input, by) => ports.propose("token.create", input, by),
      now: () => Date.now(),
    });
    this.certification = this.#certify();
    this.secrets = new Secrets({
      self: parts.identity.node,
      keyOf: (fingerprint) => this.certification.authority.keyOf(fingerprint),
      voters: () => this.certification.otherVoters(),
      ask: (peer, method, body) => ports.transport.request(peer, method, body),
      view: (query) => parts.view(query),
      catchUp: () => ports.catchUp(),
      propose: (name, input, by) => ports.propose(name, input, by),
      log: parts.log,
    });
    this.admission = new Admission({
      cluster: parts.identity.cluster,
      epoch: parts.identity.epoch,
      self: parts.identity.node,
      certification: this.certification,
      address: () => ports.address(),
      configuration: () => ports.configuration(),
      view: (query) => parts.view(query),
      findToken: (id) => ports.findToken(id),
      join: (input) => ports.propose("node.join", input, ports.principal),
      ask: (voter, body) => ports.transport.request(voter, "join", body),
    });
  }

  #certify(): Certification {
    const ports = this.#ports;
    const { parts, transport } = ports;
    const { cluster, node } = parts.identity;
    return new Certification(
      {
        cluster,
        self: node,
        principal: ports.principal,
        lifetimes: parts.lifetimes,
        view: (query) => parts.view(query),
        propose: (name, input, by) => ports.propose(name, input, by),
        isLogged: () => ports.settings.level >= commandByName("authority.begin").since && ports.takesPart(),
        askedBy: (body) => this.principals.personOf(body, "cluster:write", Date.now()),
        isVoter: (one) => isVoter(ports.configuration(), one),
        voters: () => ports.configuration().voters,
        isConnected: (one) => transport.isConnected(one),
        isLeading: () => ports.isLeading(),
        ask: (peer, method, body) => transport.request(peer, method, body),
        askApi: (request) => {
          const others = parts.view(listNodes).filter((row) => row.id !== node && row.api !== "");
          return postReissue(
            others.map((row) => row.api),
            request,
            this.certification.bundle(),
          );
        },
        hosts: () => parts.hosts(),
        renewed: () => {
          transport.renewed();
          for (const tell of this.#renewedListeners) tell();
        },
        rekeySecrets: (leaving) => this.secrets.rekey(leaving, ports.principal),
        storeCertificate: (certificate) => parts.storeCertificate(certificate),
        storeKeys: (keys) => parts.storeAuthority(keys),
        now: () => Date.now(),
        log: parts.log,
      },
      parts.certificate,
      parts.authority,
    );
  }

  /** Calls the listener whenever what this node shows, or whom it believes, has changed. */
  onRenewed(listener: () => void): void {
    this.#renewedListeners.add(listener);
  }

  /** The log changed a token, or a node whose tokens end with it. */
  forget(): void {
    this.tokens.forget();
    this.principals.forget();
  }

  /** A token for whoever holds a member's key. The leader judges the proof itself: it would not take another node's word for it. */
  async recoverToken(request: unknown): Promise<Outcome<{ readonly id: string }>> {
    const leader = this.#ports.heardLeader();
    if (leader === this.#ports.parts.identity.node || leader === nobody) return this.judgeRecovery(request);
    try {
      const answer = await this.#ports.transport.request(leader, "token.recover", request);
      return answer as Outcome<{ readonly id: string }>;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return refuse("unavailable", `the leader, node ${leader}, gave no answer: ${error.message}`);
    }
  }

  /** Leader: the same, of whoever asks. */
  judgeRecovery(request: unknown): Promise<Outcome<{ readonly id: string }>> {
    const { parts, proposer, settings } = this.#ports;
    const { tag } = commandByName("token.create");
    return recoverToken(request, {
      cluster: parts.identity.cluster,
      trusted: this.certification.credentials().trusted,
      isMember: (node) => parts.view((tx) => findNode(tx, node)) !== undefined,
      isVoter: (node) => isVoter(this.#ports.configuration(), node),
      namesNode: () => settings.level >= principalLevel,
      now: () => Date.now(),
      create: (input, by) => proposer.submitAsLeader([tag, "", by, "node", input]),
    });
  }
}
