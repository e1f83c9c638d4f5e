import { Fault } from "../lib/fault.ts";
import { type NodeId, nobody } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { silentNodes } from "./peer-answers.ts";

/** What it takes to tell who does not answer. */
export interface SilencePorts {
  readonly leading: {
    /** Members that this node, as the leader, is not connected to or has not heard lately; undefined: it does not lead. */
    silent(): readonly NodeId[] | undefined;
  };
  /** {@link nobody} when unknown. */
  leader(): NodeId;
  /** Throws Fault. */
  ask(leader: NodeId): Promise<unknown>;
}

/**
 * Who does not answer the leader now. Only the leader hears from everybody, all the time: of a voter that has died it knows in milliseconds, of one that is frozen or
 * cut off within two election timeouts, while the state shows it as up until it is held for lost. Whoever else is asked has the leader say it.
 */
export class Silence {
  readonly #ports: SilencePorts;

  constructor(ports: SilencePorts) {
    this.#ports = ports;
  }

  /** undefined: nobody leads, or who does has not said so in time. A look at the cluster waits no longer for it, since it is for cases of trouble. */
  async nodes(): Promise<readonly NodeId[] | undefined> {
    const known = this.#ports.leading.silent();
    if (known !== undefined) return known;
    const leader = this.#ports.leader();
    if (leader === nobody) return undefined;
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), limits.silenceAskMs);
    try {
      return await Promise.race([this.#askLeader(leader), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #askLeader(leader: NodeId): Promise<readonly NodeId[] | undefined> {
    try {
      return silentNodes(await this.#ports.ask(leader));
    } catch (error) {
      // Not reached, of a release that does not know the question, or wrong: it did not say.
      if (error instanceof Fault) return undefined;
      throw error;
    }
  }
}
