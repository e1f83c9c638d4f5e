/** What the script on a target has said of an attempt (drivers/ssh-script.ts). */
export interface RemoteNews {
  /** It has begun, on the wall clock of this host (epoch ms). */
  startedAt: number | undefined;
  exitCode: number | undefined;
  /** How long it ran by the target's clock, whole seconds of that; undefined: it has not said. */
  ranSeconds: number | undefined;
  /** Of earlier attempts; `left` undefined: that cannot be known there. */
  killed: { readonly processes: number; readonly left: number | undefined } | undefined;
  /** The target has neither timeout(1) nor perl. */
  isUnlimited: boolean;
  /** What ssh itself said before anything of the task came: why there is no connection, in the end. */
  before: string;
}

/** So much of what ssh says is kept. */
const beforeBytes = 4096;

/**
 * Takes the guard's lines out of the standard error of an attempt, and gives on all else as it comes. Before the command begins all that comes is said by ssh, or by what the
 * target's shell says at login: it is shown too, and kept for the reason when no command begins.
 */
export class RemoteMarks {
  readonly news: RemoteNews = {
    startedAt: undefined,
    exitCode: undefined,
    ranSeconds: undefined,
    killed: undefined,
    isUnlimited: false,
    before: "",
  };
  readonly #word: Buffer;
  readonly #now: () => number;
  readonly #onNews: (what: "started" | "exit") => void;
  /** The end of what has come: the beginning of a line of the guard's, perhaps. */
  #held: Buffer = Buffer.alloc(0);

  /** `word`: what its lines begin with. */
  constructor(word: string, now: () => number, onNews: (what: "started" | "exit") => void = () => {}) {
    this.#word = Buffer.from(`${word} `);
    this.#now = now;
    this.#onNews = onNews;
  }

  /** What is not the guard's. */
  push(bytes: Uint8Array): Uint8Array {
    let all = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    const others: Buffer[] = [];
    const give = (length: number): void => {
      others.push(all.subarray(0, length));
      this.#note(all.subarray(0, length));
    };
    while (true) {
      const at = all.indexOf(this.#word);
      const end = at < 0 ? -1 : all.indexOf(10, at);
      if (end < 0) {
        const from = at < 0 ? this.#beginsIn(all) : at;
        give(from);
        this.#held = all.subarray(from);
        return Buffer.concat(others);
      }
      give(at);
      this.#read(all.toString("latin1", at + this.#word.length, end));
      all = all.subarray(end + 1);
    }
  }

  /** The rest. */
  end(): Uint8Array {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }

  /** Of the stream, what is left when the guard's lines are out. */
  filter(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    return stream.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (bytes, out) => {
          const other = this.push(bytes);
          if (other.length > 0) out.enqueue(other);
        },
        flush: (out) => {
          const rest = this.end();
          if (rest.length > 0) out.enqueue(rest);
        },
      }),
    );
  }

  /** Where the longest end of `all` begins that begins the word, or its length. */
  #beginsIn(all: Buffer): number {
    for (let length = Math.min(this.#word.length - 1, all.length); length > 0; length--) {
      if (all.subarray(all.length - length).equals(this.#word.subarray(0, length))) return all.length - length;
    }
    return all.length;
  }

  #note(bytes: Buffer): void {
    const { news } = this;
    if (news.startedAt === undefined && news.before.length < beforeBytes)
      news.before += bytes.toString("utf8", 0, beforeBytes - news.before.length);
  }

  #read(line: string): void {
    const [what, first, second] = line.trim().split(" ");
    if (what === "started") {
      this.news.startedAt ??= this.#now();
      this.#onNews(what);
    } else if (what === "exit") {
      this.news.exitCode = Number(first);
      if (second !== undefined && /^\d+$/.test(second)) this.news.ranSeconds = Number(second);
      this.#onNews(what);
    } else if (what === "unlimited") this.news.isUnlimited = true;
    else if (what === "killed")
      this.news.killed = { processes: Number(first), left: second === "unknown" ? undefined : Number(second) };
  }
}
