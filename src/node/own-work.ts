import type { BundleTree } from "../executor/bundle-trees.ts";
import { PackShelf } from "../executor/pack-shelf.ts";
import type { AttemptName, Executor, UnitEnds, UnitPart } from "../executor/types.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { CommandInput } from "../state/commands/index.ts";
import { aheadLevel } from "../state/levels.ts";
import { hostInAll } from "../state/inventories.ts";
import { unwantedOn } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Report, Spec } from "../state/types.ts";
import type { Transport } from "../transport/types.ts";
import type { AppliedEvent } from "./api.ts";
import type { Leading } from "./leading.ts";
import { LeaseHolder } from "./lease.ts";
import { LogRetention } from "./log-retention.ts";
import type { LogPorts } from "./logs.ts";
import type { NodeParts } from "./parts.ts";
import { PackCopies } from "./pack-copies.ts";
import { PackHolder } from "./pack-holder.ts";
import { leaseGrant, packHeld } from "./peer-answers.ts";
import type { Reader } from "./read.ts";
import { Work } from "./work.ts";

/** What running work needs of its surroundings. */
export interface OwnWorkPorts {
  readonly self: NodeId;
  /** Of this process. */
  readonly incarnation: string;
  /** The cluster's. */
  level(): number;
  readonly dataDir: string;
  readonly openExecutor: NodeParts["openExecutor"];
  readonly copiesLogs: NodeParts["copiesLogs"];
  readonly transport: Pick<Transport, "request">;
  readonly reader: Pick<Reader, "waitApplied">;
  readonly leading: Pick<Leading, "grant" | "clocks">;
  /** Where questions for the leader go. */
  leader(): NodeId;
  isLeading(): boolean;
  /** Of the state here. */
  applied(): number;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Logs it in this node's name. */
  propose<Name extends "task.finish" | "range.finish" | "task.start" | "unit.return" | "pack.placed" | "pack.gone">(
    name: Name,
    input: CommandInput<Name>,
  ): Promise<Outcome<unknown>>;
  /** Epoch ms. */
  wallClock(): number;
  /** The state says that this node was declared lost, or does not know it. */
  onDeclaredLost(): void;
  /** The values that an attempt of this node needs. */
  secrets(attempt: AttemptName): Promise<Outcome<Readonly<Record<string, string>>>>;
  /** The tree that an attempt of this node is to run in. */
  bundle(attempt: AttemptName, spec: Spec): Promise<Outcome<BundleTree>>;
  readonly log: (level: "warn", message: string) => void;
}

/**
 * What runs on this node: the executor that runs it, the lease under which it may (lease.ts), what the state says that it is to run (work.ts), what is told
 * of it to the log, and its output, which goes when the job goes (log-retention.ts).
 */
export class OwnWork {
  readonly #ports: OwnWorkPorts;
  readonly executor: Executor;
  readonly lease: LeaseHolder;
  /** Output is read here, and asked for where it is. */
  readonly logs: LogPorts;
  readonly #work: Work;
  /** Takes copies of the packs of others. */
  readonly holder: PackHolder;
  readonly #copies: PackCopies | undefined;
  readonly #retention: LogRetention;

  constructor(ports: OwnWorkPorts) {
    const { self, dataDir, transport, reader, leading } = ports;
    this.#ports = ports;
    this.executor = ports.openExecutor({
      report: (reports, units) => this.#report(reports, units),
      started: (attempts) => this.#started(attempts),
      secrets: (attempt) => ports.secrets(attempt),
      bundle: (attempt, spec) => ports.bundle(attempt, spec),
      hostFacts: ({ spec, target }) => {
        const { inventories } = spec.targets ?? {};
        if (inventories === undefined || target === undefined) return undefined;
        return ports.view((tx) => hostInAll(tx, inventories, target));
      },
      mayGiveBack: () => ports.level() >= aheadLevel,
      giveBack: (attempts) => this.#giveBack(attempts),
      unwanted: (jobs) => ports.view((tx) => unwantedOn(tx, self, jobs)),
      copied: (attempt, bytes, withinMs) => this.#copies?.copied(attempt, bytes, withinMs) ?? Promise.resolve(false),
    });
    this.lease = new LeaseHolder({
      leader: () => ports.leader(),
      isLeading: () => ports.isLeading(),
      askLeader: async (to) => {
        const grant = leaseGrant(await transport.request(to, "lease", ports.wallClock()));
        if (grant?.kind === "granted") leading.clocks.tell(grant.clock);
        return grant;
      },
      grantSelf: () => leading.grant(self),
      waitApplied: (index, deadline) => reader.waitApplied(index, deadline),
      applied: () => ports.applied(),
      // While the work is paused what entries take away is not told to the executor: what runs goes on, and nothing of them begins before reconcile().
      granted: (endsAt, index) => this.executor.lease(endsAt, this.#work.isPaused ? 0 : index),
      covered: (index) => {
        if (!this.#work.isPaused) this.executor.covers(index);
      },
      onDeclaredLost: () => ports.onDeclaredLost(),
    });
    this.executor.onLeaseWanted(() => this.lease.want());
    this.#work = new Work(self, this.executor, (query) => ports.view(query));
    const shelf = new PackShelf(dataDir, self);
    this.logs = {
      self,
      shelf,
      away: new Map(),
      view: (query) => ports.view(query),
      askCopy: (holder, request) => transport.request(holder, "pack.read", request, { channel: "bulk" }),
      ask: (node, request) =>
        transport.request(node, "log.read", request, {
          channel: "bulk",
          timeoutMs: request.waitMs + limits.rpcTimeoutMs,
        }),
    };
    this.#retention = new LogRetention({
      dataDir,
      shelf,
      view: (query) => ports.view(query),
      onRemoved: (packs) => this.#copies?.removed(packs),
      log: ports.log,
    });
    this.holder = new PackHolder(shelf);
    if (ports.copiesLogs)
      this.#copies = new PackCopies({
        self,
        shelf,
        view: (query) => ports.view(query),
        append: async (holder, piece) =>
          packHeld(await transport.request(holder, "pack.append", piece, { channel: "bulk" })),
        placed: (packs) =>
          ports.propose("pack.placed", { node: self, packs: packs.map(([pack, to]): [string, NodeId] => [pack, to]) }),
        gone: (packs) =>
          ports.propose("pack.gone", { node: self, packs: packs.map(([of, pack]): [NodeId, string] => [of, pack]) }),
        sweep: () => this.#retention.sweep(),
        log: ports.log,
      });
  }

  /** The state is as new as the cluster's: what runs here, and whose output is kept, is made what it says. */
  reconcile(): void {
    this.#work.reconcile();
    this.#retention.sweep();
    this.#copies?.start();
  }

  /** The leader would have so many tasks of these units elsewhere. */
  relieve(units: readonly UnitPart[]): void {
    if (!this.#work.isPaused) this.executor.relieve(units);
  }

  /** No more copies are made. */
  stop(): void {
    this.lease.stop();
    this.#copies?.stop();
  }

  /** The state was replaced by an older one: nothing is begun or ended by it before reconcile(). */
  pause(): void {
    this.#work.pause();
  }

  onApplied(events: readonly AppliedEvent[]): void {
    this.lease.onApplied(() => this.#work.onApplied(events));
    this.#retention.onApplied(events);
  }

  /** task.finish and range.finish: settles when the reports are in the log; the executor keeps and repeats what was not. */
  async #report(reports: readonly Report[], units: readonly UnitEnds[]): Promise<void> {
    const { self } = this.#ports;
    const outcomes = await Promise.all([
      ...(reports.length === 0 ? [] : [this.#ports.propose("task.finish", { node: self, reports: [...reports] })]),
      ...(units.length === 0 ? [] : [this.#ports.propose("range.finish", { node: self, units: [...units] })]),
    ]);
    const outcome = outcomes.find((one) => !one.ok);
    if (outcome === undefined || outcome.ok) return;
    // Reports are fenced by their attempt: what may have been logged is repeated freely.
    const { code, message } = outcome.why;
    throw new Fault("peer-refused", message, code === "unavailable" || code === "busy" ? "safe" : "never");
  }

  /** Said twice it is done once. */
  #giveBack(attempts: readonly AttemptName[]): Promise<unknown> {
    const { self, incarnation } = this.#ports;
    const names = attempts.map(({ job, task, attempt }): [typeof job, number, number] => [job, task, attempt]);
    return this.#ports.propose("unit.return", { node: self, incarnation, attempts: names });
  }

  /** In pieces that an entry holds; what is lost of it is only shown late. */
  #started(attempts: readonly (AttemptName & { readonly startedAt: number })[]): void {
    const { self } = this.#ports;
    for (let at = 0; at < attempts.length; at += limits.assignmentsPerEntry) {
      const tasks = attempts.slice(at, at + limits.assignmentsPerEntry);
      void this.#ports.propose("task.start", { node: self, tasks });
    }
  }
}
