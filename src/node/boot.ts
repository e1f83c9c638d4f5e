import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import { type Epoch, firstEpoch } from "../lib/epoch.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { seededRandom } from "../lib/prng.ts";
import { openExecutor } from "../executor/run.ts";
import type { NodeId } from "../lib/ids.ts";
import { bootstrap, bootstrapToken } from "../raft/configuration.ts";
import type { Restored } from "../raft/types.ts";
import { openDataDir } from "../storage/data-dir.ts";
import { removeAuthorityKeys, writeAuthorityKeys, writeCertificate } from "../storage/certificate-file.ts";
import { EventJournalReader } from "../storage/event-journal.ts";
import { readIdentity, writeIdentity } from "../storage/identity.ts";
import { readLost, removeLost, writeLost } from "../storage/log-lost.ts";
import { SqliteLogStore } from "../storage/log-store.ts";
import { metaOf } from "../storage/snapshot-file.ts";
import { runSnapshotTask } from "../storage/snapshot-task.ts";
import { StateReader } from "../storage/state-reader.ts";
import type { Identity } from "../storage/types.ts";
import { Peers } from "../transport/peers.ts";
import { type HostPort, urlOf } from "../lib/host-port.ts";
import type { Booted, BootOptions, Served } from "./boot-options.ts";
import { asMember, urlsOf } from "./api-tls.ts";
import { listeningOf, rememberedAs, toldAs } from "./listening.ts";
import { addressesOnThisHost, type Context, isTold, readContext, writeContext, writeContexts } from "./context.ts";
import { lifetimesOf } from "./certificates.ts";
import { hashSecret, newApiToken, parseApiToken } from "./credentials.ts";
import { enter, lostWords, type Member, resume, withoutIdentity, withoutLog } from "./member.ts";
import { removeJoining } from "./joining.ts";
import { ownLevel } from "../state/levels.ts";
import { clusterRow } from "../state/queries.ts";
import { backupBlanks } from "../state/schema.ts";
import { tooNew } from "./level.ts";
import { hostsOf } from "./requests.ts";
import { type LogBudget, logBudget } from "./compaction.ts";
import { finishEpochChange } from "./epoch-change.ts";
import { copiedWords, isCopied, writeCopied } from "./copied.ts";
import { fencedWords, readFence, writeFence } from "./fence.ts";
import { Node } from "./node.ts";
import { type RelayLimits, relayLimits } from "./relay-tree.ts";
import { type SeenCluster, seekMembers } from "./seek.ts";
import { installingIndex, newSnapshotPath, tidySnapshots } from "./snapshot-receive.ts";
import { StateWriter } from "./state-writer.ts";
import { wayBack, withWayBack } from "./unreadable.ts";
import { tellOfToken } from "./token-ignored.ts";
import { TraceFile } from "./trace-file.ts";

/**
 * From a data directory and flags to a running node: new cluster, join, or go on as the member that the data says. Every step that
 * can fail for a reason of the host's throws a Fault with words for people; nothing is left half done: identity.json
 * is written last of what makes a member.
 */

/** Boots the node; resolves when the API answers and the node is a member. Refusals are for people; Faults are of this host. */
export async function boot(options: BootOptions): Promise<Outcome<Booted>> {
  const directory = openDataDir(options.dataDir);
  try {
    if (finishEpochChange(directory.path))
      options.log("warn", "a change of epoch that was decided earlier and broke off has been carried out");
    const found = readIdentity(directory.path);
    const newer = found === undefined ? undefined : readFence(directory.path, epochOf(found));
    if (newer !== undefined) {
      directory.close();
      return refuse("conflict", fencedWords(directory.path, epochOf(found!), newer));
    }
    if (found !== undefined && isCopied(directory.path, found)) {
      directory.close();
      return refuse("conflict", copiedWords(directory.path));
    }
    if (found === undefined && readContext(directory.path) !== undefined) throw withoutIdentity(directory.path);
    const member =
      found === undefined ? await enter(options, directory.path) : accept(resume(found, options, directory.path));
    if (!member.ok) {
      directory.close();
      return member;
    }
    return accept(await run(options, directory, member.value));
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** Opens everything, binds the two ports, starts the node and waits until it is a member. */
async function run(
  options: BootOptions,
  directory: { readonly path: string; close(): void },
  member: Member,
): Promise<Booted> {
  const dataDir = directory.path;
  const starts = member.identity.starts + 1;
  const incarnation = `${starts}.${randomBytes(6).toString("hex")}`;
  let identity: Identity = { ...member.identity, starts, incarnation };
  const parts = await open(options, dataDir, identity, member);
  const { node } = parts;
  let stopped = false;
  const stop = async (): Promise<void> => {
    stopped = true;
    // With a disk that failed, nothing that is under way will be answered.
    if (!parts.isFaulted()) {
      await node.yield();
      await served?.stop();
    }
    await node.stop();
    await served?.stop();
    await parts.close();
    directory.close();
  };
  let served: Served | undefined;
  try {
    // After log.db exists, so that a member without one has lost it; and before anything is proposed under it: a number of starts is
    // never used twice, so (node, serial) is not either.
    if (member.kind !== "resumed") {
      writeCertificate(dataDir, member.certificate);
      if (member.authority !== undefined) writeAuthorityKeys(dataDir, member.authority);
    }
    if (member.kind !== "created") writeIdentity(dataDir, identity);
    // The token of a node that has just joined exists nowhere else. Its addresses are known, and told to others, further below.
    if (member.token !== undefined)
      writeContext(dataDir, { ...contextOf(identity, member.token, undefined), addrs: [] });
    removeJoining(dataDir);
    const listening = listeningOf(options, member.identity);
    const peer = await listenOr(listening.peer, options.peer, (at) => node.listen(at));
    const [first, ...others] = listening.apis;
    served = await listenOr(first!, options.api?.[0], (at) => options.serve(node, [at, ...others]));
    identity = {
      ...identity,
      api: toldAs(served.apis[0]!, listening.advertise),
      peer: toldAs(peer, listening.advertise),
      listen: rememberedAs(served.apis, peer, listening.advertise),
    };
    await parts.found();
    writeIdentity(dataDir, identity); // a new cluster exists from here on
    const mustFound = node.mustFound();
    const token = member.token ?? readContext(dataDir)?.token ?? (mustFound ? newApiToken().text : undefined);
    // A node that is new here knows no tokens yet, and takes the word of the one before it.
    const isGood = (other: string): boolean => member.kind === "joined" || node.authenticate(other) !== undefined;
    const leaveContext = (): void => {
      if (token === undefined || stopped) return;
      writeContexts(dataDir, contextOf(identity, token, believedBy(options, node)), options.environment, isGood);
    };
    leaveContext();
    node.onRenewed(leaveContext);
    const retell = (again: number): void => {
      const ms = (retellMs[again] ?? retellMs.at(-1)!) * (0.5 + Math.random());
      setTimeout(() => {
        if (stopped) return;
        try {
          if (token !== undefined && !isTold(contextOf(identity, token, undefined), options.environment))
            leaveContext();
        } catch (error) {
          options.log("warn", `this node's address cannot be written for the 'skein' of this user: ${String(error)}`);
        }
        retell(again + 1);
      }, ms).unref();
    };
    retell(0);
    if (token === undefined)
      options.log(
        "warn",
        `${dataDir}/context.json is gone, and with it this node's token: 'skein' needs another member's here, in --token or SKEIN_TOKEN`,
      );
    await node.start({ api: identity.api, peer: identity.peer });
    if (member.kind === "resumed") tellOfToken(options, identity, knownAuthorities(node, member));
    if (member.kind === "resumed" && token !== undefined) void seek(options, node, identity, token, () => stopped);
    if (mustFound) await createCluster(options, node, identity, token!);
    // Also when it was killed before it had heard of itself: its own token would not be known here yet.
    await node.becomesMember();
  } catch (error) {
    await stop();
    throw error;
  }
  return { node, api: identity.api, peer: identity.peer, kind: member.kind, stop };
}

/** log.db, state.db and the node around them. */
async function open(
  options: BootOptions,
  dataDir: string,
  identity: Identity,
  { kind, certificate, authority }: Member,
): Promise<{ readonly node: Node; found(): Promise<void>; isFaulted(): boolean; close(): Promise<void> }> {
  /** Filled last: what storage and state tell before is told to nobody. */
  const running: { node?: Node } = {};
  let left = false;
  let faulted = false;
  const fatal = (message: string): void => {
    faulted = true;
    options.log("error", message);
    options.onEnd(7);
  };
  const founded = Promise.withResolvers<void>();
  founded.promise.catch(() => {}); // a fault at another time is nobody's to wait for
  const logStore = new SqliteLogStore({
    path: join(dataDir, "log.db"),
    onDurable: (token) => (token === bootstrapToken ? founded.resolve() : running.node?.onDurable(token)),
    onDamage: (message) => options.log("warn", message),
    onDamagedEntry: (at) => {
      const path = join(dataDir, "log.db");
      if (running.node?.onDamagedEntry(at) === true)
        options.log("warn", `${path}: entry ${at} is damaged; the state has it, and who lacks it gets a snapshot`);
      else fatal(`${path}: entry ${at} is damaged before the state has it: start this node again, and it is repaired`);
    },
    onFault: (code, message) => {
      founded.reject(new Fault("data", message, "never")); // of no effect when it has been founded
      if (code !== "disk-full") fatal(message);
      else running.node?.onDiskFull("log.db", message);
    },
  });
  const level = options.level ?? ownLevel;
  const writer = new StateWriter(new Worker(new URL("./state-worker.ts", import.meta.url)), {
    onApplied: (applied, outcomes, events, hashes) => running.node?.onApplied(applied, outcomes, events, hashes),
    onBug: ({ index, command, message }) =>
      options.log("error", `${command} of entry ${index} failed inside and was undone; please report this: ${message}`),
    onDurable: (applied) => running.node?.onStateDurable(applied),
    onFull: (message) => running.node?.onDiskFull("state.db", message),
    onFault: (_code, message) => fatal(message),
  });
  const statePath = join(dataDir, "state.db");
  const place = await withWayBack(dataDir, identity.node, writer.open(statePath, identity.node, level));
  const { applied } = place;
  const found = await withWayBack(
    dataDir,
    identity.node,
    logStore.open({ applied, meta: metaOf(place), installing: installingIndex(dataDir) }),
  );
  const until = readLost(join(dataDir, "log.db"));
  if (until > found.lastIndex)
    throw new Fault("data", lostWords(dataDir, identity.node, found.lastIndex, until), "never");
  // Its files were put back. What is damaged of it later is repaired as anywhere (D3).
  if (until > 0) removeLost(join(dataDir, "log.db"));
  if (applied > found.lastIndex) {
    throw new Fault(
      "data",
      `${dataDir}/log.db ends before what state.db holds: it was lost or replaced. Restore both, or remove the whole data directory and join again as a new node`,
      "never",
    );
  }
  if (applied < found.baseIndex) {
    const why = `${statePath} ends before what ${dataDir}/log.db begins with: it was lost or replaced. Put it back if it is still there; else:`;
    throw new Fault("data", `${why} ${wayBack(dataDir, identity.node)}`, "never");
  }
  const beginning = kind === "created" ? bootstrap(identity.node) : undefined;
  // Founding may have come as far as its first entry before; everything else in a log without an identity is a member's.
  const isForeign = kind !== "resumed" && (applied > 0 || found.lastIndex > (beginning === undefined ? 0 : 1));
  if (isForeign) throw withoutIdentity(dataDir);
  // Whoever comes to a later epoch begins with nothing, node 1 too.
  const isFounder = identity.node === 1 && epochOf(identity).number === 0;
  if (kind === "resumed" && isFounder && found.lastIndex === 0) throw withoutLog(dataDir);
  if (found.repair !== undefined && isAlone(found, identity.node)) {
    throw new Fault(
      "data",
      `${dataDir}/log.db lost entries that no other member has: restore it from a backup`,
      "never",
    );
  }
  tidySnapshots(dataDir);
  const reader = new StateReader(statePath);
  let copies = 0;
  const clusterLevel = reader.snapshot(() => clusterRow(reader))?.level ?? 0;
  if (clusterLevel > level) throw new Fault("data", tooNew(dataDir, clusterLevel, level), "never");
  const { incarnation = "" } = identity;
  const capacity = { slots: options.slots, ioTasks: options.ioTasks };
  const tracePath = options.environment["SKEIN_RAFT_TRACE"];
  const trace = tracePath === undefined ? undefined : new TraceFile(`${tracePath}.${identity.node}`);
  const node = new Node({
    identity,
    certificate,
    authority,
    lifetimes: lifetimesOf(options.environment),
    storeCertificate: (next) => writeCertificate(dataDir, next),
    storeAuthority: (keys) => (keys === undefined ? removeAuthorityKeys(dataDir) : writeAuthorityKeys(dataDir, keys)),
    hosts: () => {
      const { apis, peer, advertise } = listeningOf(options, identity);
      return hostsOf([advertise, ...apis.map((one) => one.host), peer.host]);
    },
    version: options.version,
    level,
    wallClock: options.wallClock,
    dataDir,
    incarnation,
    capacity,
    resources: options.resources ?? {},
    zones: options.zones,
    labels: options.labels,
    restored: beginning?.restored ?? found,
    applied,
    stateHash: place.hash,
    logStore,
    writer,
    copyState: async (purpose) => {
      const path = newSnapshotPath(dataDir, ++copies);
      const blanks = purpose === "backup" ? backupBlanks : [];
      const task = { kind: "copy", from: statePath, to: path, blanks } as const;
      const { place: copied, bytes, sha256 } = await runSnapshotTask(task);
      const snapshot = metaOf(copied);
      if (snapshot === undefined) throw new Fault("data", "the state does not say where in the log it stands", "safe");
      return { path, snapshot, bytes, sha256, hash: copied.hash };
    },
    checkState: (path) => runSnapshotTask({ kind: "check", path }),
    randomBytes: (count) => randomBytes(count),
    viewState: (path) => reader.switchTo(path ?? statePath),
    logBudget: budgetOf(options.environment),
    trace: trace === undefined ? undefined : (line) => trace.add(line),
    relay: relayLimitsOf(options.environment),
    storedEvents: new EventJournalReader(statePath),
    view: (query) => reader.snapshot(() => query(reader)),
    random: seededRandom(randomBytes(4).readUInt32LE()),
    log: options.log,
    openTransport: (hooks) =>
      new Peers({
        ...hooks,
        identity: {
          cluster: identity.cluster,
          epoch: epochOf(identity),
          node: identity.node,
          incarnation,
          level,
          credentials: () => hooks.credentials(),
        },
        log: options.log,
      }),
    copiesLogs: true,
    openExecutor: (hooks) =>
      openExecutor({
        ...hooks,
        node: identity.node,
        cluster: identity.cluster,
        dataDir,
        guardCommand: options.guardCommand,
        cgroupRoot: options.environment["SKEIN_CGROUP"],
        capacity,
        log: options.log,
      }),
    onLeft: () => {
      left = true;
      options.onEnd(0);
    },
    onFenced: (newer) => {
      writeFence(dataDir, newer);
      options.log("error", fencedWords(dataDir, epochOf(identity), newer));
      options.onEnd(6);
    },
    onLogLost: (last, until) => {
      try {
        writeLost(join(dataDir, "log.db"), until);
      } catch (error) {
        options.log("error", `this could not be remembered, do not start the node again: ${(error as Error).message}`);
      }
      fatal(lostWords(dataDir, identity.node, last, until));
    },
    onOldCopy: () => {
      try {
        writeCopied(dataDir, incarnation);
      } finally {
        options.log("error", copiedWords(dataDir));
        options.onEnd(6);
      }
    },
    onRemoved: (reason) => {
      options.log(
        "error",
        `this node is no member any more (${reason}): start it with an empty --data to join again as a new node`,
      );
      options.onEnd(6);
    },
  });
  running.node = node;
  return {
    node,
    /** The first entry of a new cluster is on disk before identity.json says that there is one. */
    found: async () => {
      if (beginning === undefined) return;
      logStore.append(beginning.append);
      await founded.promise;
    },
    isFaulted: () => faulted,
    close: async () => {
      await writer.close();
      await logStore.close();
      reader.close();
      trace?.close();
      if (left) retire(dataDir, identity);
    },
  };
}

function epochOf(identity: Identity): Epoch {
  return identity.epoch ?? firstEpoch;
}

/** SKEIN_LOG_ENTRIES says how much is kept of the log: little, to rehearse on a small mesh how a node comes back by a snapshot, or much, for it not to. */
function budgetOf(environment: BootOptions["environment"]): LogBudget {
  const entries = Number(environment["SKEIN_LOG_ENTRIES"]);
  if (!Number.isSafeInteger(entries) || entries < 1) return logBudget;
  const { trailingEntries, trailingBytes, heldBytes } = logBudget;
  const times = Math.max(1, entries / trailingEntries);
  return {
    ...logBudget,
    trailingEntries: entries,
    trailingBytes: times * trailingBytes,
    heldEntries: 2 * entries,
    heldBytes: times * heldBytes,
  };
}

/**
 * SKEIN_RELAY=ABOVE,FANOUT[,IMPROVEMS] has more than ABOVE learners feed each other, FANOUT each, and look for their places so often, to rehearse on
 * a small mesh what a large one does.
 */
function relayLimitsOf(environment: BootOptions["environment"]): RelayLimits {
  const [directLearners = -1, fanOut = 0, improveMs = relayLimits.improveMs] = (environment["SKEIN_RELAY"] ?? "")
    .split(",")
    .map(Number);
  const isGood = [directLearners, fanOut, improveMs].every(Number.isSafeInteger);
  return isGood && directLearners >= 0 && fanOut >= 1 && improveMs >= 1
    ? { directLearners, fanOut, improveMs }
    : relayLimits;
}

/** Nobody else could give back what is lost. */
function isAlone({ configurations, baseConfiguration }: Restored, node: NodeId): boolean {
  const { voters, outgoing } = configurations.at(-1)?.configuration ?? baseConfiguration;
  return outgoing.length === 0 && voters.every((voter) => voter === node);
}

/** The node is no member any more: its data is put aside, so that the next `up` here starts from nothing and nothing is lost. */
function retire(dataDir: string, identity: Identity): void {
  removeAuthorityKeys(dataDir); // it votes no more
  const aside = join(dataDir, `left-${identity.cluster}-${identity.node}`);
  mkdirSync(aside, { recursive: true, mode: 0o700 });
  // The identity last: killed in between, the rest is never taken for another node's. Results in the guard's outbox are of this cluster's jobs.
  const parts = /^(context\.json|copied\.json|certificate\.json|log\.db.*|state\.db.*|logs|guard\.outbox)$/;
  for (const name of [...readdirSync(dataDir).filter((name) => parts.test(name)), "identity.json"])
    renameSync(join(dataDir, name), join(aside, name));
}

/** Listens; a port that was only taken from last time gives way to any other when it is in use. */
async function listenOr<Address extends HostPort, Value>(
  at: Address,
  flag: Address | undefined,
  listen: (at: Address) => Promise<Value>,
): Promise<Value> {
  try {
    return await listen(at);
  } catch (error) {
    if (flag?.port === 0 && at.port !== 0 && error instanceof Fault && error.code === "port") return listen(flag);
    throw error;
  }
}

/** The first entry of a new cluster, repeated until it is in the log (a crash may have come before). */
async function createCluster(options: BootOptions, node: Node, identity: Identity, token: string): Promise<void> {
  const parsed = parseApiToken(token);
  assert(parsed !== undefined, "the context of a new cluster holds a token of this form");
  const outcome = await node.createCluster({
    cluster: identity.cluster,
    votersWanted: options.voters ?? 5,
    token: { id: parsed.id, hash: hashSecret(parsed.secret), name: "admin" },
  });
  if (!outcome.ok && outcome.why.code !== "conflict") throw new Fault("data", outcome.why.message, "never");
}

/**
 * When a node looks whether its address has stayed where it wrote it, the last one again and again: nodes of one host that start at once write over each
 * other there, and one that moves takes back an address that may be another one's by now.
 */
const retellMs = [500, 2000, 8000, 60_000] as const;

/** How long a seeking node waits between rounds, before it looks again whether anybody leads still, and for one answer. */
const seekPauseMs = 500;
const seekLedPauseMs = 10_000;
const seekAnswerMs = 1000;

/** The members may all have moved meanwhile: asks at the addresses of `--join`, and at those of this cluster's nodes on this host. */
function seek(
  options: BootOptions,
  node: Node,
  identity: Identity,
  token: string,
  isStopped: () => boolean,
): Promise<void> {
  const own = urlOf(identity.api);
  const headers = { authorization: `Bearer ${token}` };
  return seekMembers(identity.cluster, epochOf(identity), {
    addresses: () =>
      [...options.join, ...addressesOnThisHost(identity.cluster, options.environment)]
        .flatMap((address) => urlsOf(address))
        .filter((address) => address !== own),
    ask: async (address) => {
      try {
        const signal = AbortSignal.timeout(seekAnswerMs);
        const answer = await fetch(`${address}/v1/cluster`, { headers, signal, tls: asMember(node.authorityBundle()) });
        return answer.ok ? ((await answer.json()) as SeenCluster) : undefined;
      } catch {
        return undefined; // nobody is there (yet): the next round asks again
      }
    },
    isLed: () => node.hasLeader,
    isOver: isStopped,
    found: (addresses) => node.learnAddresses(addresses),
    pause: (isLed) => new Promise((resolve) => setTimeout(resolve, isLed ? seekLedPauseMs : seekPauseMs).unref()),
  });
}

function contextOf(identity: Identity, token: string, ca: string | undefined): Context {
  const { cluster, node, api } = identity;
  return { addrs: [urlOf(api)], token, cluster, node, ...(ca === undefined ? {} : { ca }) };
}

/** The authorities of its cluster that this node has heard of, those of before too. */
function knownAuthorities(node: Node, { certificate }: Member): readonly string[] {
  const told = [...node.authorities(), ...node.formerAuthorities()].map((one) => one.certificate);
  return [...certificate.trusted, ...told];
}

/** What clients are to believe: the cluster's authorities; under a certificate of the user's own that one, or what their host believes. */
function believedBy({ ownCertificate }: BootOptions, node: Node): string | undefined {
  if (ownCertificate === undefined) return node.authorityBundle();
  return ownCertificate.isSelfSigned ? ownCertificate.certificate : undefined;
}
