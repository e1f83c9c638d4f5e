import type { Configuration } from "../lib/configuration.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { isVoter } from "../raft/configuration.ts";
import { tooEarly } from "../state/commands/check.ts";
import { ownLevel } from "../state/levels.ts";
import { type CommandInput, type CommandName, type CommandValue, commandByName } from "../state/commands/index.ts";
import type { CommandRecord } from "../state/entry.ts";
import { findNode, findToken } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal } from "../state/types.ts";
import type { Proposer } from "./propose.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Settings } from "./settings.ts";
import { voterProblem, type VoterRightsPorts } from "./voter-rights.ts";
import { votesAlready } from "./votes-already.ts";

/** What a logged command came to, and the entry that it is in. */
export type Committed<Name extends CommandName> = Outcome<{
  readonly value: CommandValue<Name>;
  readonly index: number;
}>;

/** What a command meets on its way to the log. */
export interface CommandsPorts {
  readonly proposer: Pick<Proposer, "submit" | "submitAsLeader">;
  readonly quarantine: Pick<Quarantine, "refusal">;
  /** Of the cluster (S2). */
  readonly settings: Pick<Settings, "level">;
  /** In whose name the leader's duties are logged. */
  readonly name: string;
  applied(): number;
  configuration(): Configuration;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Resolves when this node has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  /** Why that node must not be removed now; hands over before it is, when it leads. */
  prepareRemoval(reference: string | number): Promise<Outcome<undefined>>;
}

/**
 * A command before it is in the log: what only this node can say to it is said here, by what it knows besides the state (who votes), and never in apply
 * (S1). What the state says to it is said where it is applied. Batches and leaders are the business of propose.ts, and whether there is room is the leader's to say (job-admission.ts).
 */
export class Commands {
  readonly #ports: CommandsPorts;
  readonly #voterRights: VoterRightsPorts;

  constructor(ports: CommandsPorts) {
    this.#ports = ports;
    this.#voterRights = {
      find: (reference) => ports.view((tx) => findNode(tx, reference)),
      isVoter: (node) => isVoter(ports.configuration(), node),
      nodeOfToken: (id) => ports.view((tx) => findToken(tx, id))?.node,
    };
  }

  /** Whether it would take a voter's voice from one who may not; undefined: nothing is against it. Asked of forwarded commands as well. */
  voterProblem(record: CommandRecord): string | undefined {
    return voterProblem(record, this.#voterRights);
  }

  /** The same of a command that has not been prepared. */
  rightsProblem<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): string | undefined {
    return voterProblem([commandByName(name).tag, by.token, by.name, by.role, input], this.#voterRights);
  }

  /** Logs it in that name, and gives what came of it once this node has applied it. */
  async propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Committed<Name>> {
    const problem = this.rightsProblem(name, input, by);
    if (problem !== undefined) return refuse("forbidden", problem);
    if (name === "node.promote") {
      const already = await votesAlready(input as CommandInput<"node.promote">, {
        ...this.#voterRights,
        catchUp: () => this.#ports.catchUp(),
      });
      if (already !== undefined) return accept({ value: already as CommandValue<Name>, index: this.#ports.applied() });
    }
    if (name === "node.remove") {
      const prepared = await this.#ports.prepareRemoval((input as CommandInput<"node.remove">).node);
      if (!prepared.ok) return prepared;
    }
    return this.#submit(name, input, by);
  }

  /** A duty's, in this node's own name: void unless this very leader logs it in this very term. */
  proposeAsLeader<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Committed<Name>> {
    const definition = commandByName(name);
    const payload = definition.prepare(input as never, by);
    const record: CommandRecord = [definition.tag, "", this.#ports.name, "node", payload];
    return this.#ports.proposer.submitAsLeader(record) as Promise<Committed<Name>>;
  }

  #submit<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): Promise<Committed<Name>> {
    const refusal = this.#ports.quarantine.refusal();
    if (refusal !== undefined) return Promise.resolve(refusal);
    const definition = commandByName(name);
    const { level } = this.#ports.settings;
    if (definition.since > level) return Promise.resolve(tooEarly(definition, level));
    const payload = definition.prepare(input as never, by);
    const needed = level < ownLevel ? (definition.needs?.(payload as never) ?? 0) : 0;
    if (needed > level) return Promise.resolve(tooEarly({ name: `what this ${name} asks for`, since: needed }, level));
    const record: CommandRecord = [definition.tag, by.token, by.name, by.role, payload];
    return this.#ports.proposer.submit(record) as Promise<Committed<Name>>;
  }
}
