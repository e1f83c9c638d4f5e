import type { Epoch } from "../lib/epoch.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { isVoter } from "../raft/configuration.ts";
import type { Configuration } from "../raft/types.ts";
import { type CommandInput, commandByName } from "../state/commands/index.ts";
import { entryProblem } from "../state/join-token.ts";
import { clusterRow, listNodes, type TokenRow } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import { askVoters } from "./ask-voters.ts";
import type { Certification } from "./certification.ts";
import type { Committed } from "./commands.ts";
import { admitJoiner, type JoinAnswer, type JoinRequest } from "./join.ts";

/** What letting a new member in needs of its surroundings. */
export interface AdmissionPorts {
  readonly cluster: string;
  /** Absent: the first one. */
  readonly epoch: Epoch | undefined;
  readonly self: NodeId;
  readonly certification: Pick<
    Certification,
    "authority" | "credentials" | "pins" | "authorities" | "formerAuthorities"
  >;
  /** Where other members reach this one. */
  address(): string;
  configuration(): Configuration;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** As new as whatever was acknowledged before. */
  findToken(id: string): Promise<Outcome<TokenRow | undefined>>;
  /** Logs it. */
  join(input: CommandInput<"node.join">): Promise<Committed<"node.join">>;
  /** Passes a request for admission on. Throws Fault. */
  ask(voter: NodeId, body: unknown): Promise<unknown>;
}

/** Lets new members in: the proof and the sealed answer are in join.ts, what the answer says and what is logged is here. */
export class Admission {
  readonly #ports: AdmissionPorts;

  constructor(ports: AdmissionPorts) {
    this.#ports = ports;
  }

  /** `body` is not trusted. A node that cannot issue certificates passes it on to a voter, which checks it as if it had come there. */
  join(body: unknown): Promise<Outcome<unknown>> {
    const { certification } = this.#ports;
    if (certification.authority.signer === undefined) return this.#joinElsewhere(body);
    return admitJoiner(body, {
      fingerprints: () => certification.pins(),
      findToken: (id) => this.#ports.findToken(id),
      votersWanted: () => this.#ports.view(clusterRow)?.votersWanted ?? 0,
      admit: (joinToken, request) => this.#admit(joinToken, request),
      entryProblem: (node, joinToken) => this.#ports.view((tx) => entryProblem(tx, node, joinToken, Date.now())),
      issue: (request, node) => certification.authority.issue(request, node),
      answer: (node, certificate) => this.#answer(node, certificate),
    });
  }

  async #joinElsewhere(body: unknown): Promise<Outcome<unknown>> {
    const configuration = this.#ports.configuration();
    if (isVoter(configuration, this.#ports.self))
      return refuse("unavailable", "this node has only just begun to vote: try again", {
        retryAfterMs: 500,
        retry: "safe",
      });
    return askVoters(configuration.voters, (voter) => this.#ports.ask(voter, body));
  }

  async #admit(joinToken: string, request: JoinRequest): Promise<Outcome<NodeId>> {
    const { apiToken, votersWanted: _, certificate: __, ...rest } = request;
    const input = commandByName("node.join").input.safeParse({
      ...rest,
      api: "",
      peer: "",
      joinToken,
      askedAt: Date.now(),
      token: { ...apiToken, name: `node ${rest.name}`.slice(0, limits.nameLength) },
    });
    if (!input.success)
      return refuse("invalid", "the join request is not complete: use the same version of skein on all hosts");
    const outcome = await this.#ports.join(input.data);
    return outcome.ok ? accept(outcome.value.value.node) : outcome;
  }

  #answer(node: NodeId, certificate: string): JoinAnswer {
    const { cluster, epoch, self, certification } = this.#ports;
    const rows = this.#ports.view(listNodes);
    const others = rows.filter((row) => row.id !== self && row.id !== node && row.peer !== "");
    return {
      cluster,
      epoch,
      node,
      certificate,
      trusted: certification.credentials().trusted,
      authorities: certification.authorities(),
      former: certification.formerAuthorities(),
      peers: [
        { node: self, address: this.#ports.address() },
        ...others.map((row) => ({ node: row.id, address: row.peer })),
      ],
    };
  }
}
