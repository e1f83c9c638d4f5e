import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openExecutor } from "../../src/executor/run.ts";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { logBudget } from "../../src/node/compaction.ts";
import { Node } from "../../src/node/node.ts";
import type { MadeSnapshot } from "../../src/node/snapshot-send.ts";
import { installingIndex, newSnapshotPath, tidySnapshots } from "../../src/node/snapshot-receive.ts";
import { bootstrap, bootstrapToken } from "../../src/raft/configuration.ts";
import { metaOf } from "../../src/storage/snapshot-file.ts";
import type { AuthorityKeys, Identity } from "../../src/storage/types.ts";
import type { Cluster } from "./cluster.ts";
import { SimDisk } from "./disk.ts";
import { SimGuard } from "./guard.ts";
import { SimTransport } from "./network.ts";
import { RealLog } from "./real-log.ts";
import { authorityKeys, certificate } from "./papers.ts";
import { stream, roomOf } from "./plan.ts";
import { SimState } from "./state.ts";
import { countAhead } from "./ahead.ts";
import { judgeChange } from "./change-judge.ts";
import { judgeQuarantined, judgeWords, mayBeContradicted } from "./odd-judge.ts";
import { seekOthers } from "./seek.ts";
import { StoredLog } from "./stored-log.ts";
import type { Runner } from "./virtual-time.ts";

/** One process of a node. */
export interface SimProcess {
  readonly runner: Runner;
  readonly node: Node;
  readonly transport: SimTransport;
  /** It leaves or stops in good order. */
  stopping: boolean;
}

/** How a process ends. */
export type Ending =
  /** SIGKILL: the machine goes on, and so do its file cache and its guard. */
  | "killed"
  /** The machine loses its power: what was not synced is gone. */
  | "power-loss"
  /** It stopped by itself. */
  | "stopped";

/**
 * One machine: its disk, clock and guard, and the process of its node while there is one. A machine whose disk is wiped becomes a
 * new Host under a new id.
 */
export class Host {
  readonly number: number;
  readonly cluster: Cluster;
  readonly disk: SimDisk;
  readonly state: SimState;
  readonly guard: SimGuard;
  readonly dataDir: string;
  identity: Identity;
  level: number;
  process: SimProcess | undefined;
  /** It never comes back: wiped, removed, or broken for good. */
  gone = false;
  removed = false;
  /** µs; the machine has been dead for good since then, and nobody was told. */
  deadSince: number | undefined;
  /** Nothing can start from what is on its disk. */
  isLost = false;
  /** Bits flipped here, and what they hit was not all repaired: it may stop because of that. */
  damaged = false;
  #authority: AuthorityKeys | undefined;
  #address: string;
  #moves = 0;
  #copies = 0;
  #rate: number;
  wallOffsetMs: number;
  /** What is to happen once its state was found to be wrong. */
  onQuarantined: () => void = () => {};
  /** The process ends before the so-many-th thing that it does to the outside (crash-in-step). */
  crashAfter = Infinity;

  constructor(cluster: Cluster, number: number, identity: Identity, level: number) {
    const { plan, time, judge } = cluster;
    this.number = number;
    this.cluster = cluster;
    this.identity = identity;
    this.level = level;
    this.#authority = number === 0 ? authorityKeys : undefined;
    this.#rate = plan.rates[number % plan.rates.length]!;
    this.wallOffsetMs = plan.wallOffsets[number % plan.wallOffsets.length]!;
    this.#address = `host${number}.0:7401`;
    this.dataDir = join(cluster.directory, `host${number}`);
    mkdirSync(this.dataDir, { recursive: true });
    const random = stream(plan.seed, `disk of ${number}`);
    const profile = plan.disks[number % plan.disks.length]!;
    const file = plan.realFiles
      ? new RealLog(join(this.dataDir, "log.db"), stream(plan.seed, `files of ${number}`), (problem) => {
          cluster.fail(`node ${this.id}: ${problem}`);
        })
      : new StoredLog();
    this.disk = new SimDisk(time, random, file, profile, () => {});
    this.state = new SimState(
      time,
      stream(plan.seed, `state of ${number}`),
      { applyMean: plan.applyMean, path: plan.realFiles ? join(this.dataDir, "state.db") : undefined },
      () => this.level,
      (place, odd) => judge.onState(this.id, place, odd),
    );
    const guardRandom = stream(plan.seed, `guard of ${number}`);
    this.guard = new SimGuard(number, time, guardRandom, this.#runner("guard"), cluster.effects);
    judge.watch({
      node: this.id,
      file: this.disk.file,
      pending: () => this.disk.pending,
      durableApplied: () => this.state.durableApplied,
    });
  }

  get id(): NodeId {
    return this.identity.node;
  }

  get address(): string {
    return this.#address;
  }

  get name(): string {
    return this.identity.name;
  }

  get isUp(): boolean {
    return this.process !== undefined;
  }

  /** The node says of itself that its state is not to be trusted (S1). */
  get isQuarantined(): boolean {
    return this.state.wasOdd && existsSync(join(this.dataDir, "quarantine.json"));
  }

  /** Its state is not known to be a right one: of a quorum of right states it is no part. */
  get isOdd(): boolean {
    return this.state.odd !== undefined || this.state.isToFail || this.isQuarantined;
  }

  #runner(what: string): Runner {
    return {
      name: `${what} of node ${this.identity.node}`,
      alive: true,
      frozenUntil: 0,
      rate: this.#rate,
      wallOffsetMs: this.wallOffsetMs,
      bornAt: this.cluster.time.now,
    };
  }

  get hasMoved(): boolean {
    return this.#moves > 0;
  }

  /** It has another address from its next start on. */
  move(): void {
    this.#moves += 1;
    this.#address = `host${this.number}.${this.#moves}:7401`;
  }

  // -------------------------------------------------------------------------------------------------- life

  /** Starts a process from what is on disk, as boot.ts does. */
  start(): void {
    const { cluster } = this;
    if (this.gone || this.process !== undefined) return;
    const runner = this.#runner("process");
    cluster.byRunner.set(runner, this);
    cluster.time.as(runner, () => this.#start(runner));
  }

  #start(runner: Runner): void {
    const { cluster } = this;
    const { judge } = cluster;
    this.identity = { ...this.identity, starts: this.identity.starts + 1 };
    const { identity } = this;
    const running: { node?: Node } = {};
    const fatal = (message: string): void => {
      cluster.note(`node ${this.id} ends: ${message}`);
      this.#ended(runner, message);
    };
    const room = roomOf(cluster.plan, this.number);
    const capacity = { slots: room.slots, ioTasks: 20 };
    const place = this.state.open(runner, this.id, {
      onApplied: (applied, outcomes, events, hashes) => {
        if (this.state.wrongUntil < cluster.time.now) {
          cluster.effects.applied(this.id, events);
          cluster.callers?.applied(this.number, events);
          countAhead(this, capacity.slots, events);
        }
        running.node?.onApplied(applied, outcomes, events, hashes);
      },
      onBug: ({ index, command, message }) => {
        if (this.state.odd?.kind === "bug" && this.state.odd.since === index) cluster.count("bugOnOneNode");
        else cluster.fail(`${command} of entry ${index} failed inside: ${message}`);
      },
      onDurable: (applied) => running.node?.onStateDurable(applied),
      onFull: (message) => running.node?.onDiskFull("state.db", message),
      onFault: (code, message) => {
        if (code !== "disk") cluster.fail(`apply at node ${this.id}: ${code}: ${message}`);
        fatal(message);
      },
    });
    const { applied } = place;
    if (this.state.lostAfterSync)
      cluster.fail(`node ${this.id}: state.db has ${applied}, and ${this.state.durableApplied} was synced (D3)`);
    let opened;
    try {
      opened = this.disk.open(
        runner,
        {
          onDurable: (token) => {
            if (token === bootstrapToken) this.#founded(running.node);
            else running.node?.onDurable(token);
          },
          onFault: (code, message) => {
            if (code === "disk-full") running.node?.onDiskFull("log.db", message);
            else fatal(message);
          },
          onDamagedEntry: (at) => {
            if (!this.damaged) cluster.fail(`node ${this.id}: entry ${at} cannot be read, and nothing has damaged it`);
            cluster.count("damageRead");
            if (running.node?.onDamagedEntry(at) === true) cluster.count("damageOutlived");
            else fatal(`entry ${at} is damaged before the state has it`);
          },
        },
        { applied, meta: metaOf(place), installing: installingIndex(this.dataDir) },
      );
    } catch (error) {
      if (!(error instanceof Fault) || !this.damaged) throw error;
      cluster.note(`node ${this.id} does not start: ${error.message}`);
      this.gone = true;
      this.isLost = true;
      runner.alive = false;
      return;
    }
    const { store, found } = opened;
    if (applied > found.lastIndex) {
      cluster.fail(`node ${this.id} would not start: its state has ${applied}, its log ends at ${found.lastIndex}`);
      return;
    }
    const founds = this.number === 0 && found.lastIndex === 0 && identity.node === 1;
    const beginning = founds ? bootstrap(this.id) : undefined;
    tidySnapshots(this.dataDir);
    judge.restarted(this.id, applied);
    this.crashAfter = Infinity;
    const random = seededRandom((cluster.plan.seed ^ Math.imul(this.number + 1, 0x9e3779b9) ^ identity.starts) >>> 0);
    const incarnation = `${identity.starts}.${this.number.toString(16).padStart(12, "0")}`;
    const transports: SimTransport[] = [];
    const alive = (): boolean => {
      if (!runner.alive) return false;
      if (this.crashAfter === Infinity || this.crashAfter-- > 0) return true;
      this.crash("killed");
      cluster.count("crashedInStep");
      cluster.restartLater(this, "killed in the middle of a step");
      return false;
    };
    const node = new Node({
      identity,
      certificate,
      authority: this.#authority,
      lifetimes: { nodeMs: 1e12, authorityMs: 1e12 },
      storeCertificate: () => {},
      storeAuthority: (keys) => {
        this.#authority = keys;
      },
      hosts: () => [],
      relay: cluster.plan.relay,
      version: "0.0.0",
      dataDir: this.dataDir,
      incarnation,
      level: this.level,
      capacity,
      resources: { license: room.licenses },
      zones: undefined,
      labels: cluster.plan.zones === 0 ? {} : { zone: `z${this.number % cluster.plan.zones}` },
      restored: beginning?.restored ?? found,
      applied,
      stateHash: place.hash,
      logStore: {
        ...store,
        append: (append) => {
          if (!alive()) return;
          judge.onAppend(this.id, append);
          judgeQuarantined(this, running.node, append);
          judgeChange(this, running.node, append);
          cluster.clocks.onAppend(running.node, append);
          store.append(append);
        },
        compact: (base) => {
          if (!alive()) return;
          cluster.count("compactions");
          store.compact(base);
        },
      },
      view: (query) => this.state.view(query),
      writer: {
        apply: (entries) => {
          if (!alive() || running.node === undefined) return;
          judge.onStep(this.id, running.node.consensus, running.node.applied);
          judge.onApply(this.id, entries);
          this.state.apply(entries);
        },
        install: (from, snapshot, asideAs) => {
          cluster.count("snapshotsInstalled");
          if (asideAs !== undefined) {
            cluster.count("reloaded");
            judge.reloaded(this.id, snapshot.index);
          }
          return this.state.install(from, snapshot, asideAs);
        },
      },
      copyState: () => this.#copyState(),
      checkState: (path) => this.state.check(path),
      viewState: (path) => this.state.viewState(path),
      logBudget: {
        ...logBudget,
        trailingEntries: cluster.plan.trailingEntries,
        trailingBytes: 1 << 20,
        heldEntries: 2 * cluster.plan.trailingEntries,
        heldBytes: 1 << 22,
      },
      random,
      randomBytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256)),
      log: (level, message) => {
        judgeWords(this, message);
        if (message.includes("has not renewed its lease")) cluster.count("nodesLost");
        if (message === "a snapshot is gone on with") cluster.count("snapshotsResumed");
        if (level !== "info" || cluster.tells) cluster.note(`node ${this.id}: ${message}`);
      },
      openTransport: (hooks) => {
        const endpoint = { host: this.number, runner, node: this.id, incarnation };
        const transport = new SimTransport(cluster.network, endpoint, this.#address, {
          ...hooks,
          onMessage: (message) => {
            if (runner.alive) hooks.onMessage(message);
          },
        });
        transports.push(transport);
        const send = transport.send.bind(transport);
        transport.send = (message) => {
          if (!alive()) return;
          judge.onSend(this.id, message);
          send(message);
        };
        return transport;
      },
      copiesLogs: false,
      openExecutor: (hooks) => {
        const executor = openExecutor({
          ...hooks,
          node: this.id,
          cluster: "sim",
          dataDir: this.dataDir,
          capacity,
          guardCommand: [],
          log: () => {},
          openGuard: (events) => this.guard.open(runner, events),
        });
        const covers = executor.covers.bind(executor);
        executor.covers = (index) => {
          cluster.count("leasesAddedTo");
          covers(index);
        };
        return executor;
      },
      onLeft: () => fatal("it has left"),
      onFenced: () => cluster.fail(`node ${this.id} was told of another epoch, and there is only one`),
      onLogLost: (last, until) =>
        cluster.fail(`D1: node ${this.id} has acknowledged entry ${until}, and its log ends at ${last}`),
      onOldCopy: () => cluster.fail(`node ${this.id} was taken for a copy of itself`),
      onRemoved: (reason) => {
        this.removed = true;
        cluster.onRemoved(this);
        fatal(`it is no member any more: ${reason}`);
      },
    });
    running.node = node;
    this.process = { runner, node, transport: transports[0]!, stopping: false };
    cluster.count("starts");
    void node.listen({ host: "", port: 0 });
    if (beginning === undefined) {
      void node.start({ api: `host${this.number}:7400`, peer: this.#address });
      if (node.mustFound()) this.#create(node);
      if (cluster.hosts.some((host) => host.hasMoved)) seekOthers(this, node, runner);
    } else {
      judge.onAppend(this.id, beginning.append);
      store.append(beginning.append);
    }
  }

  /**
   * A wrong state that nobody who is right could object to must not get about: nothing is promised then, since a quorum would come to have it. So its
   * disk reads nothing.
   */
  async #copyState(): Promise<MadeSnapshot> {
    const made = await this.state.copy(newSnapshotPath(this.dataDir, ++this.#copies));
    const { odd } = this.state;
    if (odd === undefined) return made;
    if (!odd.isSeen || !mayBeContradicted(this, made.snapshot.index)) {
      rmSync(made.path, { force: true });
      throw new Fault("data", "the state cannot be read", "safe");
    }
    this.cluster.count("wrongCopies");
    this.cluster.judge.wrongCopy(made.snapshot.index, made.hash);
    return made;
  }

  /** The first entry is on disk. */
  #founded(node: Node | undefined): void {
    if (node === undefined) return;
    void node.start({ api: `host${this.number}:7400`, peer: this.#address });
    this.#create(node);
  }

  #create(node: Node): void {
    void node
      .createCluster({
        cluster: this.identity.cluster,
        votersWanted: this.cluster.plan.votersWanted,
        token: { id: "admin", hash: "hash", name: "admin" },
      })
      .then((outcome) => {
        if (!outcome.ok && outcome.why.code === "invalid") this.cluster.fail(`cluster.create: ${outcome.why.message}`);
      });
  }

  #ended(runner: Runner, why: string): void {
    if (this.process?.runner !== runner) return;
    this.crash("stopped");
    if (!this.removed) this.cluster.restartLater(this, why);
  }

  /** The process ends without another word of it. */
  crash(ending: Ending): void {
    const { process, cluster } = this;
    if (process === undefined) return;
    this.process = undefined;
    process.runner.alive = false;
    cluster.byRunner.delete(process.runner);
    const withHost = ending === "power-loss";
    this.disk.crash(withHost ? 0.15 : 0.5);
    this.state.crash(!withHost || cluster.chance("disk", 0.2));
    process.transport.die(withHost);
    cluster.onCrash(this);
    if (!withHost) return;
    this.guard.runner.alive = false;
    this.guard.lostHost(this.#runner("guard"), cluster.chance("disk", 0.5));
  }

  killGuard(): void {
    this.guard.runner.alive = false;
    this.guard.killed(this.#runner("guard"));
  }

  /** In good order, as SIGTERM does. */
  stop(): void {
    const { process, cluster } = this;
    if (process === undefined || process.stopping) return;
    process.stopping = true;
    cluster.time.as(process.runner, () => {
      void process.node.stop().then(() => {
        if (this.process !== process) return;
        this.crash("stopped");
        cluster.restartLater(this, "stopped in good order");
      });
    });
  }

  /** Of its wall clock against a right one. */
  get clockAheadMs(): number {
    return (this.cluster.time.now / 1000) * (this.#rate - 1) + this.wallOffsetMs;
  }

  stepClock(ms: number): void {
    this.cluster.clocks.look();
    this.wallOffsetMs += ms;
    this.cluster.clocks.look();
    if (this.process !== undefined) this.process.runner.wallOffsetMs = this.wallOffsetMs;
    this.guard.runner.wallOffsetMs = this.wallOffsetMs;
  }

  /** The process stands still until then (µs), and with it the guard if so wished. */
  freeze(until: number, withGuard: boolean): void {
    const { time } = this.cluster;
    if (this.process !== undefined) time.freeze(this.process.runner, until);
    if (withGuard) time.freeze(this.guard.runner, until);
  }

  close(): void {
    this.state.close();
    this.disk.file.close();
  }

  /** The machine ends for good; what is on its disk is there, should a core be unable to do without it (core.ts). */
  die(): void {
    this.crash("power-loss");
    this.deadSince = this.cluster.time.now;
  }

  wipe(): void {
    this.die();
    this.gone = true;
    this.isLost = true;
    this.guard.runner.alive = false;
    this.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

/** Who a host is. */
export function identityOf(number: number, node: number, peers: Identity["peers"]): Identity {
  return {
    version: 2,
    cluster: "simulated",
    node: nodeId(node),
    name: `host${number}`,
    starts: 0,
    api: "",
    peer: "",
    peers,
  };
}
