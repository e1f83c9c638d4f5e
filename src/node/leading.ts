import { monotonicMs } from "../lib/clock.ts";
import type { Configuration } from "../lib/configuration.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Raft } from "../raft/raft.ts";
import type { Leadership } from "../raft/types.ts";
import type { Wanted } from "../scheduler/relief.ts";
import { stateClock, stateOfNode } from "../state/queries.ts";
import type { SourceLook } from "../state/sourcing.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Transport } from "../transport/types.ts";
import type { Looked } from "./bundle-looks.ts";
import { Clocks } from "./clocks.ts";
import { Coverage } from "./coverage.ts";
import { Duties, type DutyPorts } from "./duties.ts";
import { grantLease } from "./grant.ts";
import { HandOver } from "./hand-over.ts";
import { type LeaseGrant, LeaseTable } from "./lease.ts";
import { LogClock } from "./log-clock.ts";
import { sourceLooked } from "./peer-answers.ts";
import type { Reader } from "./read.ts";
import type { Relay } from "./relay.ts";

/** What leading needs of its surroundings. */
export interface LeadingPorts {
  readonly self: NodeId;
  readonly raft: Pick<Raft, "role" | "commit" | "progress" | "lag" | "lastIndex" | "transfer" | "proposeConfiguration">;
  readonly transport: Pick<Transport, "isConnected" | "request">;
  readonly relay: Pick<Relay, "lead" | "lag" | "wantDirect">;
  readonly reader: Pick<Reader, "confirm" | "waitApplied">;
  /** As it was last told to this node. */
  leadership(): Leadership;
  configuration(): Configuration;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Logs a duty's command: void when another one leads by then. */
  readonly propose: DutyPorts["propose"];
  readonly readLog: DutyPorts["readLog"];
  /** This node itself looks at the repository that a bundle is pinned from. */
  lookAtSource(look: SourceLook): Promise<Looked>;
  /** Epoch ms. */
  wallClock(): number;
  /** What consensus has to say leaves now. */
  drain(): void;
  /** The lease of this node names that as well. */
  cover(index: number): void;
  /** The same as is asked of others: so many tasks of this node's units are wanted elsewhere. */
  relieve(units: readonly Wanted[]): void;
  /** The same at the end of this turn. */
  schedule(): void;
  readonly log: DutyPorts["log"];
}

const retryMs = 100;

/**
 * What a node has and does as the leader, and gives up with it: its duties (duties.ts), the leases that it grants and the time that it stamps entries with,
 * how far it knows the others to be, and the hand-over to another voter.
 */
export class Leading {
  readonly #ports: LeadingPorts;
  readonly clocks: Clocks;
  readonly logClock: LogClock;
  readonly leases = new LeaseTable();
  readonly coverage: Coverage;
  readonly duties: Duties;
  readonly handOver: HandOver;
  #stopped = false;

  constructor(ports: LeadingPorts) {
    const { self, raft, transport } = ports;
    this.#ports = ports;
    this.clocks = new Clocks(self, () => ports.wallClock());
    this.logClock = new LogClock({
      wall: () => ports.wallClock(),
      monotonic: monotonicMs,
      isConfirmed: () => this.clocks.isConfirmed(ports.configuration()),
    });
    this.logClock.seen(ports.view(stateClock));
    this.handOver = new HandOver({
      self,
      raft,
      clocks: this.clocks,
      leader: () => ports.leadership().leader,
      voters: () => ports.configuration().voters,
      isConnected: (node) => transport.isConnected(node),
      drain: () => ports.drain(),
      ask: (leader, to) => transport.request(leader, "transfer", to),
    });
    this.coverage = new Coverage({
      self,
      leases: this.leases,
      isLeading: () => raft.role === "leader",
      lastIndex: () => raft.lastIndex,
      committed: () => raft.commit,
      stored: (node) => {
        const progress = raft.progress(node);
        return progress?.mode === "relay" ? undefined : progress?.match;
      },
      isLosing: (node) => this.duties.isLosing(node),
      ceiling: (node, index) => this.duties.recalls.ceiling(node, index),
      tell: async (node, index) => {
        if (node === self) ports.cover(index);
        else await transport.request(node, "lease.cover", index);
      },
    });
    this.duties = new Duties({
      self,
      leases: this.leases,
      clocks: this.clocks,
      now: () => this.logClock.now(),
      handOver: () => void this.handOver.to(),
      view: (query) => ports.view(query),
      propose: (name, input) => ports.propose(name, input),
      readLog: (request) => ports.readLog(request),
      lookAtSource: async (node, look, timeoutMs) =>
        node === self
          ? await ports.lookAtSource(look)
          : sourceLooked(await transport.request(node, "bundle.look", look, { channel: "bulk", timeoutMs })),
      drain: () => ports.drain(),
      assigns: (nodes) => this.coverage.expect(nodes),
      relieve: (node, units) => {
        if (node === self) ports.relieve(units);
        else transport.request(node, "unit.relieve", units).catch(() => {}); // it is asked again, if that is still wanted
      },
      configuration: () => ports.configuration(),
      proposeConfiguration: (change, basedOn) => {
        if (change.kind === "replace") ports.relay.wantDirect(change.voters);
        const proposed = raft.proposeConfiguration(change, basedOn);
        if (proposed.ok) ports.log("info", "the members change", { ...change, index: proposed.index });
        else if (proposed.why === "quorum-absent")
          ports.log("warn", "the members do not change yet: most of those that would vote are not heard", {
            ...change,
          });
        ports.schedule();
      },
      lag: (node) => this.lag(node),
      isHere: (node) => this.#isHere(node),
      lastIndex: () => raft.lastIndex,
      log: ports.log,
    });
  }

  /**
   * This node was elected. What it judges by is begun anew before it judges: no lease of an earlier term counts (J3), no clock that was heard in one does,
   * and stamps go on from the state's (J4).
   */
  begin({ term }: Leadership): void {
    this.#ports.log("info", `leading in term ${term}`);
    this.leases.elected(this.#ports.raft.lastIndex);
    this.coverage.clear();
    this.clocks.lead(true);
    this.logClock.lead();
    this.logClock.seen(this.#ports.view(stateClock));
    this.#ports.relay.lead(true);
    void this.#startDuties(term);
  }

  /** It leads no longer. */
  end({ term }: Leadership): void {
    this.#ports.log("info", `leading no longer, term ${term}`);
    this.duties.stop();
    this.coverage.clear();
    this.clocks.lead(false);
    this.#ports.relay.lead(false);
  }

  stop(): void {
    this.#stopped = true;
    this.duties.stop();
  }

  /** Duties begin once the state has everything that earlier leaders committed. */
  async #startDuties(term: number): Promise<void> {
    const { raft, reader } = this.#ports;
    const isDue = (): boolean => raft.role === "leader" && this.#ports.leadership().term === term && !this.#stopped;
    while (isDue()) {
      const index = await reader.confirm();
      const reached = index !== undefined && (await reader.waitApplied(index, monotonicMs() + limits.readWaitMs));
      if (!isDue()) return;
      if (reached) return this.duties.start();
      // Too many reads wait, or the state is far behind: without duties nothing would be started in this whole term.
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  /** Gives the node its lease; undefined: this node may not, now. */
  grant(node: NodeId): Promise<LeaseGrant | undefined> {
    return grantLease(node, {
      confirm: () => this.#ports.reader.confirm(),
      isLeading: () => this.#ports.raft.role === "leader",
      committed: () => this.#ports.raft.commit,
      isLosing: (one) => this.duties.isLosing(one),
      stateOf: (one) => this.#ports.view((tx) => stateOfNode(tx, one)),
      ceiling: (one, index) => this.duties.recalls.ceiling(one, index),
      granted: (one, index) => {
        this.leases.grant(one, index);
        this.duties.onLease();
      },
    });
  }

  /** Connected, and heard lately: a learner by whoever feeds it. */
  #isHere(node: NodeId): boolean {
    const { raft, relay, transport } = this.#ports;
    const progress = raft.progress(node);
    if (progress?.mode === "relay") return relay.lag(node) !== undefined;
    return transport.isConnected(node) && progress?.isHeard === true;
  }

  /** Members that are not connected, or were not heard for an election timeout; undefined: this node does not lead. */
  silent(): readonly NodeId[] | undefined {
    const { self, raft, relay, transport } = this.#ports;
    if (raft.role !== "leader") return undefined;
    const { voters, outgoing, learners } = this.#ports.configuration();
    return [...new Set([...voters, ...outgoing, ...learners])].filter((node) => {
      if (node === self) return false;
      const progress = raft.progress(node);
      const isSilent = progress?.isSilent === true;
      if (progress?.mode === "relay") return isSilent && relay.lag(node) === undefined;
      return isSilent || !transport.isConnected(node);
    });
  }

  /** Entries that the node is not known to have; undefined: it is not there. */
  lag(node: NodeId): number | undefined {
    const { raft, relay, transport } = this.#ports;
    if (raft.progress(node)?.mode === "relay") return relay.lag(node);
    return transport.isConnected(node) ? raft.lag(node) : undefined;
  }
}
