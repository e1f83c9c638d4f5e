/** Stages for what lies around the core: the smallest real parts that a property needs. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { encodeConfiguration } from "../../src/lib/configuration.ts";
import { assert } from "../../src/lib/assert.ts";
import { Fault } from "../../src/lib/fault.ts";
import { index, type NodeId, nodeId, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { type SnapshotChunk, type SnapshotOffer, SnapshotSender } from "../../src/node/snapshot-send.ts";
import { SnapshotReceiver } from "../../src/node/snapshot-receive.ts";
import { bootstrap } from "../../src/raft/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { Append, SnapshotMeta } from "../../src/raft/types.ts";
import { applyEntries, type CommittedEntry } from "../../src/state/apply.ts";
import { encodeBatch, encodeEntry } from "../../src/state/entry.ts";
import { totals } from "../../src/state/queries.ts";
import { schema } from "../../src/state/schema.ts";
import { packAppend } from "../../src/storage/log-store.ts";
import { LogDatabaseReader } from "../../src/storage/log-reader.ts";
import { copyState } from "../../src/storage/snapshot-file.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { testOptions } from "../raft/cluster.ts";
import { admin, announcement, record, system } from "../state/support.ts";
import { FailingWorker } from "../storage/failing-worker.ts";
import { Directory } from "../storage/support.ts";
import type { Command, Stage } from "./script.ts";
import { sayAppend, sayEntry } from "./words.ts";

const one = nodeId(1);

/** A machine whose log is written by the real worker, on a disk that fails once. */
export class FailingDiskStage implements Stage {
  readonly #directory = new Directory();
  #worker: FailingWorker | undefined;
  #raft: Raft | undefined;
  #isDown = false;

  async perform({ verb, words, options }: Command): Promise<readonly string[]> {
    switch (verb) {
      case "found":
        return this.#found(options.get("failing") ?? "");
      case "campaign":
        this.#machine.campaign();
        return this.#drive();
      case "propose":
        for (const word of words) if (!this.#machine.propose(Buffer.from(word)).ok) return ["refused"];
        return this.#drive();
      case "tell-the-disk":
        return this.#write({ token: 99, hardState: undefined, snapshot: undefined, entries: [] });
      case "raft-state": {
        const { role, term, commit, lastIndex, durableIndex } = this.#machine;
        return [`${role} term ${term} commit ${commit} durable ${durableIndex} last ${lastIndex}`];
      }
      case "what-is-on-disk":
        return this.#onDisk();
      default:
        throw new Error(`there is no verb ${verb}`);
    }
  }

  get #machine(): Raft {
    assert(this.#raft !== undefined, "a node is founded first");
    return this.#raft;
  }

  async #found(failing: string): Promise<readonly string[]> {
    this.#worker = new FailingWorker(failing);
    assert((await this.#worker.hears()) === "loaded", "the worker is there");
    this.#worker.tell({ kind: "open", state: undefined, path: this.#directory.file("log.db") });
    assert((await this.#worker.hears()) === "alive", "the worker begins to open");
    assert((await this.#worker.hears()) === "opened", "the log is open");
    const { append, restored } = bootstrap(one);
    const options = { ...testOptions, id: one, random: () => 0, applied: index(0) };
    this.#raft = new Raft(options, restored, { entries: () => [] });
    return this.#write(append);
  }

  /** Every write waits for the disk, as the only thing that this node does. */
  async #write(append: Append): Promise<readonly string[]> {
    const said = [sayAppend(append)];
    this.#worker!.tell({ kind: "append", append: packAppend(append) });
    const { token } = append;
    if (this.#isDown) {
      // A broken worker says nothing to an append; it does to this.
      this.#worker!.tell({ kind: "close" });
      return [...said, `the worker says: ${await this.#worker!.hears()}`];
    }
    const answer = await this.#worker!.hears();
    said.push(`the worker says: ${answer}`);
    if (answer === "fault") {
      this.#isDown = true;
      said.push("the node ends");
    } else if (token > 1) this.#machine.appended(token);
    return said;
  }

  async #drive(): Promise<readonly string[]> {
    const said: string[] = [];
    while (!this.#isDown && this.#machine.hasReady()) {
      const { append, committed } = this.#machine.drain();
      if (append !== undefined) said.push(...(await this.#write(append)));
      if (committed.length > 0) said.push(`acknowledged ${committed.map(sayEntry).join(", ")}`);
    }
    return said;
  }

  #onDisk(): readonly string[] {
    const reader = new LogDatabaseReader(this.#directory.file("log.db"));
    const { lastIndex, hardState } = reader.restore();
    const entries = reader.entries(index(1), index(lastIndex + 1), 1000).map(sayEntry);
    reader.close();
    return [`term ${hardState.term} vote ${hardState.vote}`, ...entries];
  }

  close(): void {
    this.#worker?.[Symbol.dispose]();
    this.#directory[Symbol.dispose]();
  }
}

/** The real sender and receiver of snapshots, with a way between them that loses and damages chunks. */
export class SnapshotStage implements Stage {
  readonly #directory = new Directory();
  readonly #lines: string[] = [];
  readonly #lost: number[] = [];
  readonly #damaged: number[] = [];
  #stopBefore = Infinity;
  #receiver: SnapshotReceiver | undefined;
  #ended: () => void = () => {};
  #bytes = 0;
  readonly #meta: SnapshotMeta = {
    index: index(10),
    term: term(2),
    configuration: { voters: [one], outgoing: [], learners: [nodeId(2)], learnersNext: [] },
  };
  readonly #sender = new SnapshotSender({
    cluster: "c",
    make: () => {
      const path = this.#directory.file("made.db");
      return Promise.resolve({
        path,
        snapshot: this.#meta,
        bytes: this.#bytes,
        sha256: digestOf(path),
        hash: "",
      });
    },
    isComparable: () => true,
    vouch: () => Promise.resolve(),
    baseIndex: () => 0,
    reached: () => 0,
    isClose: () => true,
    serves: () => true,
    offer: (_peer, offer) => this.#offered(offer),
    released: () => {},
    ended: (_peer, sent) =>
      void this.#lines.push(sent === undefined ? "ended: not there" : `ended: sent up to ${sent}`),
    log: () => {},
  });

  async perform({ verb, words, options }: Command): Promise<readonly string[]> {
    const chunks = words.map(Number);
    switch (verb) {
      case "state":
        this.#make(Number(options.get("chunks")));
        return [`${this.#bytes} bytes`];
      case "lose":
        this.#lost.push(...chunks);
        return [];
      case "damage":
        this.#damaged.push(...chunks);
        return [];
      case "change-a-byte-of-what-arrived":
        return this.#change(Number(options.get("at")));
      case "stop-receiver-before":
        this.#stopBefore = chunks[0]!;
        return [];
      case "send":
        return this.#send();
      default:
        throw new Error(`there is no verb ${verb}`);
    }
  }

  #make(chunks: number): void {
    const random = seededRandom(1);
    const bytes = Uint8Array.from({ length: 4096 }, () => Math.floor(random() * 256));
    this.#bytes = Math.floor((chunks - 0.5) * limits.snapshotChunkBytes);
    const data = new Uint8Array(this.#bytes);
    for (let at = 0; at < data.length; at += bytes.length) data.set(bytes.subarray(0, data.length - at), at);
    for (let chunk = 0; chunk < chunks; chunk++) data[chunk * limits.snapshotChunkBytes] = chunk;
    writeFileSync(this.#directory.file("made.db"), data);
  }

  /** Until the receiver has it all and consensus was told, or it has given up. */
  async #send(): Promise<readonly string[]> {
    this.#lines.length = 0;
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    this.#receiver ??= this.#newReceiver();
    this.#sender.want(nodeId(2));
    await ended;
    return [...this.#lines];
  }

  #newReceiver(): SnapshotReceiver {
    return new SnapshotReceiver({
      dataDir: this.#directory.path,
      cluster: "c",
      oldest: () => 1,
      check: (path) => Promise.resolve(this.#judge(path)),
      chunk: (peer, id, number) => this.#chunk(peer, id, number),
      done: (_peer, id, ok) => {
        this.#sender.done(nodeId(2), id, ok);
        this.#ended();
        return Promise.resolve();
      },
      offerToRaft: ({ index }) => {
        this.#lines.push(`consensus is offered the state of ${index}`);
        return Promise.resolve("ended");
      },
      log: (_level, message, fields) => {
        const received = fields?.["received"];
        this.#lines.push(received === undefined ? message : `${message}: ${Number(received)} bytes are here`);
        if (message.includes("is stopping")) this.#ended();
      },
    });
  }

  #offered(offer: SnapshotOffer): Promise<void> {
    this.#receiver!.offered(one, offer);
    return Promise.resolve();
  }

  #chunk(peer: NodeId, id: string, number: number): Promise<SnapshotChunk> {
    if (number >= this.#stopBefore) {
      this.#stopBefore = Infinity;
      this.#lines.push(`chunk ${number} is asked for, and the receiver stops`);
      this.#receiver!.close();
      this.#receiver = undefined;
      return Promise.reject(new Fault("peer-unreachable", "its socket closed", "safe"));
    }
    if (take(this.#lost, number)) {
      this.#lines.push(`chunk ${number} is lost`);
      return Promise.reject(new Fault("peer-timeout", "no answer", "safe"));
    }
    const sent = this.#sender.chunk(nodeId(2), id, number);
    const isDamaged = take(this.#damaged, number);
    this.#lines.push(`chunk ${number}${isDamaged ? " is damaged on the way" : ""}`);
    assert(peer === one, "the chunks are asked for where they were offered");
    return sent.then((chunk) => (isDamaged ? { ...chunk, data: chunk.data.with(3, chunk.data[3]! ^ 1) } : chunk));
  }

  /** On the receiver's disk, where no chunk's checksum sees it. */
  #change(at: number): readonly string[] {
    const path = this.#directory.file("snapshots/incoming.part");
    const data = readFileSync(path);
    data[at]! ^= 1;
    writeFileSync(path, data);
    return [];
  }

  #judge(path: string): Awaited<ReturnType<ConstructorParameters<typeof SnapshotReceiver>[0]["check"]>> {
    this.#lines.push("the whole file is judged");
    const { index, term, configuration } = this.#meta;
    const place = { applied: index, term, configuration: encodeConfiguration(configuration), hash: "" };
    return { kind: "done", place, bytes: this.#bytes, sha256: digestOf(path) };
  }

  close(): void {
    this.#sender.close();
    this.#receiver?.close();
    this.#directory[Symbol.dispose]();
  }
}

function take(numbers: number[], number: number): boolean {
  const at = numbers.indexOf(number);
  if (at >= 0) numbers.splice(at, 1);
  return at >= 0;
}

function digestOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** The real state and its apply, fed with what leaders logged. */
export class StateStage implements Stage {
  readonly #directory = new Directory();
  readonly #states = new Map<string, StateDatabase>();
  readonly #log: CommittedEntry[] = [];

  perform({ verb, words, options }: Command): readonly string[] {
    switch (verb) {
      case "new-state":
        return this.#newState(words[0]!);
      case "log":
        return this.#logBatch(options);
      case "apply":
        return words.flatMap((name) => this.#apply(name));
      case "snapshot":
        return this.#snapshot(words[0]!, words[1]!);
      case "compare": {
        const hashes = words.map((name) => this.#state(name).hash);
        return [hashes.every((hash) => hash === hashes[0]) ? "equal" : "different"];
      }
      default:
        throw new Error(`there is no verb ${verb}`);
    }
  }

  #state(name: string): StateDatabase {
    const state = this.#states.get(name);
    assert(state !== undefined, `there is no state ${name}`);
    return state;
  }

  #newState(name: string): readonly string[] {
    this.#states.set(name, new StateDatabase({ path: this.#directory.file(`${name}.db`), schema }));
    if (this.#log.length > 0) return [];
    const token = { id: "t-admin", hash: "h", name: "admin" };
    const node = { name: "n1", ...announcement(1) };
    this.#append(record("cluster.create", { cluster: "c", votersWanted: 5, node, token }, system), 1, 1, 0);
    return [];
  }

  /** One command in a batch of its origin; `at` is the clock of the leader that logs it. */
  #logBatch(options: ReadonlyMap<string, string>): readonly string[] {
    const number = (name: string): number => Number(options.get(name) ?? 0);
    const submit = record("job.submit", { jobs: [{ run: "true", name: options.get("job")! }] }, admin);
    return this.#append(submit, number("origin"), number("serial"), number("floor"), number("leader"));
  }

  #append(
    command: ReturnType<typeof record>,
    origin: number,
    serial: number,
    floor: number,
    leader = 1,
  ): readonly string[] {
    const batch = encodeBatch({ origin: nodeId(origin), serial, floor, commands: [command] });
    const at = 1_000_000 + this.#log.length;
    const random = new Uint8Array(16).fill(leader);
    this.#log.push({
      index: this.#log.length + 1,
      kind: "command",
      data: encodeEntry({ at, random, level: 1, batches: [batch] }),
    });
    return [`entry ${this.#log.length}`];
  }

  #apply(name: string): readonly string[] {
    const state = this.#state(name);
    const said: string[] = [];
    while (state.applied < this.#log.length) {
      const { outcomes } = applyEntries(state, this.#log.slice(state.applied), { self: nodeId(2) });
      for (const { serial, index, outcomes: all } of outcomes) {
        const words = all.map((outcome) => (outcome.ok ? JSON.stringify(outcome.value) : outcome.why.code));
        said.push(`${name}: answers serial ${serial} as entry ${index} did: ${words.join()}`);
      }
    }
    return [...said, `${name}: ${totals(state).submitted} jobs were submitted`];
  }

  #snapshot(from: string, to: string): readonly string[] {
    this.#state(from).checkpoint();
    const path = this.#directory.file(`${to}.db`);
    const { applied } = copyState(this.#directory.file(`${from}.db`), path);
    this.#states.set(to, new StateDatabase({ path, schema }));
    return [`state of ${applied}`];
  }

  close(): void {
    for (const state of this.#states.values()) state.close();
    this.#directory[Symbol.dispose]();
  }
}
