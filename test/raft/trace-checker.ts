/**
 * Replays a trace of several machines (src/raft/trace.ts) and refuses what no run of Raft could be. It knows nothing of the machine: it reads
 * lines, keeps a model of each node's disk and of the network, and judges what is said by its own arithmetic of quorums.
 */

interface Configuration {
  readonly voters: readonly number[];
  readonly outgoing: readonly number[];
}

interface TracedEntry {
  readonly index: number;
  readonly term: number;
  readonly digest: number;
  readonly configuration?: Configuration | null;
}

interface Message {
  readonly kind: string;
  readonly from: number;
  readonly to: number;
  readonly term: number;
  readonly granted?: boolean;
  readonly match?: number;
  readonly lastIndex?: number;
  readonly lastTerm?: number;
}

interface State {
  readonly role: string;
  readonly term: number;
  readonly vote: number;
  readonly commit: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly baseIndex: number;
  readonly configuration: Configuration;
}

interface HardState {
  readonly term: number;
  readonly vote: number;
}

interface Write {
  readonly token: number;
  readonly hardState: HardState | null;
  readonly snapshot: { readonly index: number; readonly term: number } | null;
  readonly entries: readonly TracedEntry[];
}

interface Line {
  readonly node: number;
  readonly step: number;
  readonly event: string;
  readonly what: {
    readonly message?: Message;
    readonly append?: Write | null;
    readonly send?: readonly Message[];
    readonly sendAfterAppend?: readonly Message[];
    readonly committed?: readonly TracedEntry[];
    readonly token?: number;
    readonly hardState?: HardState;
    readonly log?: {
      readonly base: { readonly index: number; readonly term: number };
      readonly lastIndex: number;
      readonly newest: readonly TracedEntry[];
    };
    readonly repair?: { readonly until: number } | null;
  };
  readonly state: State;
}

/** What one node has on its disk, and what is on the way there. */
class Disk {
  base = { index: 0, term: 0 };
  entries = new Map<number, TracedEntry>();
  last = 0;
  hardState: HardState = { term: 0, vote: 0 };
  pending: Write[] = [];
  handed = 0;
  durable = 0;
  /** What leaves once that write is there. */
  held: { readonly token: number; readonly messages: readonly Message[] }[] = [];
  /** Entries up to here had been there, and were damaged since. */
  repairedUntil = 0;

  /** Writes up to `token` are there. Gives what they let go. */
  finish(token: number): readonly Message[] {
    this.durable = Math.max(this.durable, token);
    while (this.pending.length > 0 && this.pending[0]!.token <= token) this.#write(this.pending.shift()!);
    return this.release();
  }

  release(): readonly Message[] {
    const free = this.held.filter((one) => one.token <= this.durable);
    this.held = this.held.filter((one) => one.token > this.durable);
    return free.flatMap((one) => one.messages);
  }

  #write({ hardState, snapshot, entries }: Write): void {
    if (hardState !== null) {
      const isChanged = hardState.term === this.hardState.term && this.hardState.vote !== 0;
      expect(hardState.term >= this.hardState.term, "a term on disk falls");
      expect(!isChanged || hardState.vote === this.hardState.vote, "a vote on disk changes within a term");
      this.hardState = hardState;
    }
    if (snapshot !== null) {
      this.base = snapshot;
      this.last = snapshot.index;
    }
    for (const entry of entries) {
      expect(entry.index <= this.last + 1, "a gap in the log on disk");
      this.entries.set(entry.index, entry);
      this.last = entry.index;
    }
  }

  termAt(at: number): number | undefined {
    if (at === this.base.index) return this.base.term;
    return at > this.last ? undefined : this.entries.get(at)?.term;
  }
}

class Broken extends Error {}

function expect(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Broken(what);
}

/** Judges lines in the order in which they happened. */
export class TraceChecker {
  readonly #disks = new Map<number, Disk>();
  readonly #states = new Map<number, State>();
  readonly #steps = new Map<number, number>();
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, number>();
  readonly #committed = new Map<number, TracedEntry>();
  readonly #sent = new Set<string>();
  readonly counts = { lines: 0, messages: 0, elections: 0, committed: 0, restarts: 0 };
  #line = 0;

  /** Throws, naming the line, for what cannot be. */
  read(text: string): void {
    this.#line++;
    this.counts.lines++;
    try {
      this.#judge(JSON.parse(text) as Line);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      throw new Error(`line ${this.#line}: ${error.message}: ${text}`);
    }
  }

  #judge(line: Line): void {
    const { node, event, what, state } = line;
    if (event === "start") this.#start(line);
    expect(line.step === (this.#steps.get(node) ?? 0), "a line is missing");
    this.#steps.set(node, line.step + 1);
    const disk = this.#disks.get(node)!;
    if (event === "receive") this.#receive(what.message!);
    if (event === "appended") this.#leave(node, disk.finish(what.token!));
    if (event === "ready") this.#ready(node, disk, line);
    this.#judgeState(node, disk, state);
    this.#states.set(node, state);
  }

  /** A node begins with what its disk has; writes that were under way may be there or not. */
  #start({ node, what, state }: Line): void {
    this.counts.restarts++;
    this.#steps.set(node, 0);
    const before = this.#disks.get(node);
    const disk = new Disk();
    disk.base = what.log!.base;
    disk.last = what.log!.lastIndex;
    disk.hardState = what.hardState!;
    disk.repairedUntil = what.repair?.until ?? 0;
    if (before !== undefined) {
      // What was under way and reached the disk is learnt from where the log ends; what was on it stays.
      for (const write of before.pending) for (const entry of write.entries) disk.entries.set(entry.index, entry);
      for (const [index, entry] of before.entries) disk.entries.set(index, entry);
      expect(disk.hardState.term >= before.hardState.term, "a term that was on disk is forgotten");
      const isSame = disk.hardState.term === before.hardState.term && before.hardState.vote !== 0;
      expect(!isSame || disk.hardState.vote === before.hardState.vote, "a vote that was on disk is forgotten");
    }
    for (const entry of what.log!.newest) disk.entries.set(entry.index, entry);
    this.#disks.set(node, disk);
    expect(state.role === "follower", "a node begins as a follower");
    this.#states.delete(node);
  }

  /** What a driver sends for the machine, the news that a whole state has come beside it, has left nobody. */
  #hasLeft(message: Message): boolean {
    return this.#sent.has(keyOf(message)) || message.kind === "snapshot-request";
  }

  /** This line can be the next one: what it receives has left its sender. */
  canBeNext(text: string): boolean {
    const { event, what } = JSON.parse(text) as Line;
    return event !== "receive" || this.#hasLeft(what.message!);
  }

  #receive(message: Message): void {
    this.counts.messages++;
    expect(this.#hasLeft(message), "a message is received that nobody sent");
    const sender = this.#disks.get(message.from)!;
    if (message.kind === "vote-request") this.#vote(message, message.from, sender);
    if (message.kind === "vote-response" && message.granted === true) this.#vote(message, message.to, sender);
    if (message.kind === "append-response") {
      const last = Math.max(sender.last, sender.repairedUntil);
      const isThere = last >= message.match! || this.#termOf(message.from) > message.term;
      expect(isThere, "an acknowledgement leaves before the entries are on disk");
    }
  }

  #vote({ from, term }: Message, candidate: number, sender: Disk): void {
    const key = `${from}/${term}`;
    expect((this.#votes.get(key) ?? candidate) === candidate, "a node votes twice in a term");
    this.#votes.set(key, candidate);
    expect(sender.hardState.term >= term, "a vote leaves before it is on disk");
  }

  #termOf(node: number): number {
    return this.#states.get(node)?.term ?? this.#disks.get(node)!.hardState.term;
  }

  #ready(node: number, disk: Disk, { what }: Line): void {
    const { append, send, sendAfterAppend, committed } = what;
    if (append !== null && append !== undefined) {
      expect(append.token > disk.handed, "tokens do not grow");
      disk.handed = append.token;
      disk.pending.push(append);
    }
    disk.held.push({ token: disk.handed, messages: sendAfterAppend! });
    this.#leave(node, [...send!, ...disk.release()]);
    for (const entry of committed!) {
      const known = this.#committed.get(entry.index);
      expect(known !== undefined, "what nobody committed is applied");
      expect(known.term === entry.term && known.digest === entry.digest, "two entries are applied at one index");
      expect(disk.termAt(entry.index) === entry.term || entry.index <= disk.base.index, "applied before it is on disk");
    }
  }

  #leave(node: number, messages: readonly Message[]): void {
    for (const message of messages) {
      expect(message.from === node, "a node speaks for another");
      this.#sent.add(keyOf(message));
    }
  }

  #judgeState(node: number, disk: Disk, state: State): void {
    const before = this.#states.get(node);
    expect(before === undefined || state.term >= before.term, "a term falls");
    expect(before === undefined || state.commit >= before.commit, "a commit index falls");
    if (state.role === "leader") {
      const other = this.#leaders.get(state.term) ?? node;
      expect(other === node, "a term has two leaders");
      if (!this.#leaders.has(state.term)) this.counts.elections++;
      this.#leaders.set(state.term, node);
      expect(
        disk.hardState.term === state.term && disk.hardState.vote === node,
        "it leads without its own vote on disk",
      );
    }
    if (state.commit > this.#highest()) this.#commit(node, state);
  }

  #highest(): number {
    return this.#committed.size;
  }

  /** Somebody is the first to know more as committed: a quorum has it on disk, and it ends with an entry of the leader's own term. */
  #commit(node: number, state: State): void {
    expect(state.role === "leader", "somebody else than a leader commits first");
    for (let at = this.#highest() + 1; at <= state.commit; at++) {
      const entry = this.#entryOf(node, at);
      expect(entry !== undefined, "what is committed is in no write of its leader");
      this.#committed.set(at, entry);
      this.counts.committed++;
    }
    const last = this.#committed.get(state.commit)!;
    expect(last.term === state.term, "an entry of an earlier term is committed by counting");
    const holds = (other: number): boolean => {
      const disk = this.#disks.get(other);
      if (disk === undefined) return false;
      return Math.max(disk.base.index, disk.repairedUntil) >= last.index || disk.termAt(last.index) === last.term;
    };
    const { voters, outgoing } = state.configuration;
    for (const half of [voters, outgoing]) {
      const count = half.filter(holds).length;
      expect(half.length === 0 || 2 * count > half.length, "committed without a majority of disks");
    }
  }

  #entryOf(node: number, at: number): TracedEntry | undefined {
    const disk = this.#disks.get(node)!;
    const newest = disk.pending.findLast((write) => write.entries.some((entry) => entry.index === at));
    return newest?.entries.find((entry) => entry.index === at) ?? disk.entries.get(at);
  }
}

/** Fields have another order after a journey. */
function keyOf(message: Message): string {
  return JSON.stringify(Object.entries(message).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Judges traces of several processes, each in its own order: a line that receives waits until its message has left. Throws for what cannot be, and
 * when nobody can go on. Gives what was seen.
 */
export function checkTogether(traces: readonly (readonly string[])[]): TraceChecker["counts"] {
  const checker = new TraceChecker();
  const next = traces.map(() => 0);
  for (let isGoing = true; isGoing;) {
    isGoing = false;
    for (const [place, lines] of traces.entries()) {
      while (next[place]! < lines.length && checker.canBeNext(lines[next[place]!]!)) {
        checker.read(lines[next[place]!++]!);
        isGoing = true;
      }
    }
  }
  const stuck = traces.flatMap((lines, place) => (next[place]! < lines.length ? [lines[next[place]!]!] : []));
  if (stuck.length > 0) throw new Error(`a message is received that nobody sent: ${stuck[0]}`);
  return checker.counts;
}
