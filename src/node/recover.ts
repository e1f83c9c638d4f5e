import { randomBytes } from "node:crypto";
import { statfsSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Configuration } from "../lib/configuration.ts";
import { type Epoch, firstEpoch, formatEpoch } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import { urlOf } from "../lib/host-port.ts";
import type { Survivor } from "../lib/survivors.ts";
import type { Entry } from "../raft/types.ts";
import { UnknownCommand } from "../state/apply.ts";
import { beginRecovered } from "../state/generation.ts";
import { ownLevel } from "../state/levels.ts";
import { openDataDir } from "../storage/data-dir.ts";
import { readCertificate } from "../storage/certificate-file.ts";
import { readIdentity } from "../storage/identity.ts";
import { surveyLog } from "../storage/log-survey.ts";
import { copyState } from "../storage/snapshot-file.ts";
import type { Identity } from "../storage/types.ts";
import { type Presence, takesConnections, whoIsThere } from "../transport/who-is-there.ts";
import {
  beginEmpty,
  beginEpoch,
  type Beginning,
  decideEpoch,
  finishEpochChange,
  makeNextEpoch,
  type Step,
} from "./epoch-change.ts";
import { copiedWords, isCopied } from "./copied.ts";
import { fencedWords, readFence } from "./fence.ts";
import { tooNew } from "./level.ts";
import { surveyData } from "./survey.ts";

/**
 * The quorum is lost for good: a new epoch is made of what one survivor has. It becomes the only voter; the others that are named go on as
 * learners under their ids, with nothing else, and get its state as a snapshot. Everybody who is not named is gone.
 */

/** The log of a node that is stopped. */
export interface StoppedLog {
  readonly dataDir: string;
  readonly survivor: Survivor;
}

/** The data directory of a node that is stopped, locked until it is closed. */
export class StoppedNode {
  readonly dataDir: string;
  readonly survivor: Survivor;
  /** A change that was decided earlier and broke off has just been carried out. */
  readonly hasGoneOn: boolean;
  /** Another member has found its data to be an older copy: nothing is to be made of it. */
  readonly isCopied: boolean;
  /** It was told that its cluster goes on in that epoch: a second one made of its data would live beside it. */
  readonly fence: { readonly epoch: Epoch; readonly words: string } | undefined;
  readonly #identity: Identity;
  readonly #close: () => void;

  private constructor(dataDir: string, identity: Identity, hasGoneOn: boolean, close: () => void) {
    this.dataDir = dataDir;
    this.#identity = identity;
    this.hasGoneOn = hasGoneOn;
    this.isCopied = isCopied(dataDir, identity);
    const own = identity.epoch ?? firstEpoch;
    const newer = readFence(dataDir, own);
    this.fence = newer === undefined ? undefined : { epoch: newer, words: fencedWords(dataDir, own, newer) };
    this.#close = close;
    this.survivor = surveyData(dataDir, identity);
  }

  /** Throws Fault "data" for a directory that is in use, is no member's, or cannot be read. */
  static open(path: string): StoppedNode {
    const directory = openDataDir(path);
    try {
      const hasGoneOn = finishEpochChange(directory.path);
      const identity = readIdentity(directory.path);
      if (identity === undefined)
        throw new Fault("data", `${directory.path} holds no identity.json: no node was a member with it`, "never");
      return new StoppedNode(directory.path, identity, hasGoneOn, () => directory.close());
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  close(): void {
    this.#close();
  }

  /** Where others find it, as it listened last. */
  get peer(): string {
    return this.#identity.peer;
  }

  /** Where that member was when this node was last in touch with the others, whatever the state says or does not say yet. */
  knownPeer(node: number): string | undefined {
    return this.#identity.peers.find((one) => one.node === node)?.address;
  }

  /**
   * Who is where a member was last. Asked with this node's certificate at the peer port, since a token may be lost or revoked; what only takes connections
   * at the API is somebody too: a member that was stopped by a signal answers nothing, and is not gone.
   */
  async ask(member: { readonly node: number; readonly api: string; readonly peer: string }): Promise<Presence> {
    const { cluster, node, incarnation = "", epoch = firstEpoch } = this.#identity;
    const certificate = readCertificate(this.dataDir);
    const { level } = this.survivor;
    const found =
      certificate === undefined
        ? await portOnly(member.peer)
        : await whoIsThere(
            { cluster, epoch, node, incarnation, level, credentials: () => certificate },
            nodeId(member.node),
            member.peer,
          );
    return found.kind === "silent" && member.api !== "" ? portOnly(new URL(urlOf(member.api)).host) : found;
  }

  /**
   * Makes the new epoch of what this node has: it is the only voter, `others` learn, everybody else is gone. `terms`: the highest that each of
   * those who go on has heard of. `head`: whose log follows on this node's state, where the state beside it is wrong (lib/survivors.ts). Gives the epoch;
   * when it returns, that is on disk. Throws Fault, before which nothing has changed.
   */
  recover(others: readonly Survivor[], what: string, head: StoppedLog = this, step: Step = () => {}): Epoch {
    const { survivor, dataDir } = this;
    if (this.isCopied) throw new Fault("data", copiedWords(dataDir), "never");
    if (this.fence !== undefined) throw new Fault("data", this.fence.words, "never");
    if (survivor.level > ownLevel) throw new Fault("data", tooNew(dataDir, survivor.level, ownLevel), "never");
    const before = this.#identity.epoch ?? firstEpoch;
    const epoch: Epoch = { number: before.number + 1, id: randomBytes(4).toString("hex") };
    const learners = others.map(({ node }) => nodeId(node));
    const configuration: Configuration = { voters: [nodeId(survivor.node)], outgoing: [], learners, learnersNext: [] };
    const from = join(dataDir, "state.db");
    expectRoom(dataDir, from);
    const next = makeNextEpoch(dataDir);
    step("next-epoch/ made");
    const place = copyState(from, join(next, "state.db"));
    step("state copied");
    const tail: Entry[] = [];
    const start = { index: place.applied, term: place.term };
    const { last } = surveyLog(join(head.dataDir, "log.db"), start, (entry) => tail.push(entry));
    if (last.index < head.survivor.lastIndex)
      throw new Fault(
        "data",
        `the log of ${head.dataDir} does not follow on entry ${place.applied}, the last of the state of ${dataDir}: it begins later. ` +
          `Without it what node ${head.survivor.node} alone has is lost: leave it out to go on so, it can only join again as a new node then`,
        "never",
      );
    const at = Date.now();
    beginKnown(dataDir, next, tail, {
      epochNumber: epoch.number,
      term: Math.max(...[survivor, head.survivor, ...others].map((one) => one.term)) + 1,
      configuration,
      rows: (tx, index) => {
        const survivors: NodeId[] = [nodeId(survivor.node), ...learners];
        const facts = { index, at, by: operator(), command: "cluster.recover", what } as const;
        beginRecovered(tx, facts, survivors);
      },
    });
    step("new files made");
    const identity = { ...this.#identity, epoch };
    decideEpoch(dataDir, { identity, hasState: true, asideAs: asideAs(before) });
    step("decided");
    finishEpochChange(dataDir, step);
    return epoch;
  }

  /** Goes on as a member of a new epoch that was made of another node's data, which is at `peer`. */
  rejoin(epoch: Epoch, of: { readonly node: NodeId; readonly peer: string }): void {
    const before = this.#identity.epoch ?? firstEpoch;
    beginEmpty(makeNextEpoch(this.dataDir));
    const known = [{ node: of.node, address: of.peer }, ...this.#identity.peers.filter(({ node }) => node !== of.node)];
    const peers = known.filter(({ node, address }) => node !== this.#identity.node && address !== "");
    const identity = { ...this.#identity, epoch, peers };
    decideEpoch(this.dataDir, { identity, hasState: false, asideAs: asideAs(before) });
    finishEpochChange(this.dataDir);
  }
}

async function portOnly(address: string): Promise<Presence> {
  return (await takesConnections(address))
    ? { kind: "unproven", what: `${address} takes connections` }
    : { kind: "silent" };
}

/** An entry of the tail may need a newer binary: then nothing has been decided yet. */
function beginKnown(dataDir: string, next: string, tail: readonly Entry[], beginning: Beginning): void {
  try {
    beginEpoch(next, ownLevel, tail, beginning);
  } catch (error) {
    throw error instanceof UnknownCommand ? new Fault("data", `${dataDir}: ${error.message}`, "never", error) : error;
  }
}

/** Where the files of an epoch that is over are kept. */
function asideAs(epoch: Epoch): string {
  return `epoch-${formatEpoch(epoch)}`;
}

/** Who sits at this host, for the audit. */
export function operator(): string {
  try {
    return `${userInfo().username} at node's host`;
  } catch {
    return "somebody at node's host";
  }
}

function expectRoom(dataDir: string, path: string): void {
  const { bavail, bsize } = statfsSync(dataDir);
  const needed = statSync(path).size;
  if (needed * 1.1 > bavail * bsize)
    throw new Fault(
      "data",
      `the new epoch needs a copy of the state: ${needed} bytes, and ${bavail * bsize} are free in ${dataDir}`,
      "never",
    );
}
