import type { Socket } from "bun";
import { closeSync, openSync, readFileSync } from "node:fs";
import { Fault } from "../../lib/fault.ts";
import { limits } from "../../lib/limits.ts";
import type { NodeId } from "../../lib/ids.ts";
import type { Report } from "../../state/types.ts";
import { monotonicMs } from "../monotonic.ts";
import type { AttemptName } from "../types.ts";
import { Channel } from "./channel.ts";
import { type FromGuard, guardProtocol, type Start, type Started, type ToGuard } from "./frames.ts";
import { type Places, placesOf, readGuardFile } from "./places.ts";
import { markerVariable } from "./sweep.ts";

/** What the guard knew when the connection was made. */
export interface Listing {
  readonly running: readonly Started[];
  readonly finished: readonly Report[];
  readonly exact: boolean;
}

export interface GuardEvents {
  /** The connection is made; its listing is known. Comes before every other event. */
  onOpen(client: GuardClient): void;
  onFinished(reports: readonly Report[]): void;
  onStarted(attempts: readonly Started[]): void;
  onRefused(names: readonly AttemptName[]): void;
  /** The connection is gone, and with it perhaps the guard. Not called after close(). */
  onLost(): void;
}

export interface GuardClientOptions {
  readonly node: NodeId;
  readonly dataDir: string;
  readonly guardCommand: readonly string[];
}

/** The node's end of the socket to its guard. */
export class GuardClient {
  readonly pid: number;
  readonly listing: Listing;
  readonly #link: Link;
  #clockAhead: number;

  private constructor(link: Link, welcome: Welcome, events: GuardEvents) {
    this.#link = link;
    this.pid = welcome.pid;
    this.listing = welcome.listing;
    this.#clockAhead = welcome.clockAhead;
    link.onFrame = (frame) => this.#onFrame(frame, events);
    link.onClosed = () => events.onLost();
  }

  /**
   * Finds the guard of the data directory or starts one, and learns what it knows; resolves after `onOpen`. Throws Fault
   * "guard" when there is none to be had.
   */
  static async open(options: GuardClientOptions, events: GuardEvents): Promise<void> {
    const places = placesOf(options.dataDir);
    const deadline = monotonicMs() + limits.guardStartMs;
    let started: { readonly exitCode: number | null } | undefined;
    let startsLeft = startsMax;
    while (true) {
      const link = await connect(places);
      if (link !== undefined) {
        const onWelcome = (welcome: Welcome): void => events.onOpen(new GuardClient(link, welcome, events));
        if (await isWelcomed(link, options.node, deadline, onWelcome)) return;
        link.destroy();
      }
      if (monotonicMs() >= deadline) throw notReached(places, options.guardCommand);
      if (started === undefined || started.exitCode !== null) {
        if (startsLeft === 0) throw notReached(places, options.guardCommand);
        startsLeft -= 1;
        started = startGuard(places, options.guardCommand);
      }
      await Bun.sleep(connectEveryMs);
    }
  }

  start(start: Start): void {
    this.#link.send({ kind: "start", start });
  }

  stop(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "stop", names });
  }

  drop(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "drop", names });
  }

  acknowledge(names: readonly AttemptName[]): void {
    if (names.length > 0) this.#link.send({ kind: "ack", names });
  }

  /** Makes the guard keep and tell "lost" as the result of these; with that, even of none, its past is settled. */
  declareLost(names: readonly AttemptName[]): void {
    this.#link.send({ kind: "lost", names });
  }

  /**
   * Hands over the deadline, given on this process's monotonicMs(). The two clocks count from different moments. A
   * reading of the guard's clock is taken as made when it was received, though it was made before: so the deadline it
   * gets is early by the time the reading travelled, never late (J3).
   */
  lease(endsAt: number): void {
    this.#link.send({ kind: "lease", endsAt: endsAt + this.#clockAhead });
  }

  /** Says goodbye and waits, for a bounded time, until the guard has heard it. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#link.onClosed = resolve;
    });
    this.#link.send({ kind: "goodbye" });
    await Promise.race([closed, Bun.sleep(goodbyeMs)]);
    this.#link.destroy();
  }

  #onFrame(frame: FromGuard, events: GuardEvents): void {
    switch (frame.kind) {
      case "finished":
        return events.onFinished(frame.reports);
      case "started":
        return events.onStarted(frame.attempts);
      case "refused":
        return events.onRefused(frame.names);
      case "clock":
        // The reading that travelled least is the best; each alone is on the safe side.
        this.#clockAhead = Math.max(this.#clockAhead, frame.clock - monotonicMs());
        return undefined;
      default:
        return undefined; // of a later release: see guardProtocol
    }
  }
}

/** A connected socket, before and after the welcome. */
class Link {
  readonly #channel: Channel;
  #closed = false;
  onFrame: (frame: FromGuard) => void = () => {};
  onClosed: () => void = () => {};

  constructor(socket: Socket<unknown>) {
    this.#channel = new Channel(socket);
  }

  send(frame: ToGuard): void {
    this.#channel.send(frame);
  }

  flush(): void {
    this.#channel.flush();
  }

  receive(bytes: Uint8Array): void {
    try {
      for (const frame of this.#channel.receive(bytes)) this.onFrame(frame as FromGuard);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.destroy(); // a new connection starts from the guard's list again
      this.closed();
    }
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onClosed();
  }

  destroy(): void {
    this.#channel.destroy();
  }
}

/** undefined: nobody listens (yet). */
async function connect(places: Places): Promise<Link | undefined> {
  const file = readGuardFile(places);
  if (file === undefined) return undefined;
  try {
    const socket = await Bun.connect<Link>({
      unix: file.socket,
      socket: {
        open: (peer) => {
          peer.data = new Link(peer as Socket<unknown>);
        },
        data: (peer, bytes) => peer.data.receive(bytes),
        drain: (peer) => peer.data.flush(),
        close: (peer) => peer.data?.closed(),
        error: () => {}, // followed by close
        connectError: () => {}, // told by the rejection
      },
    });
    return socket.data;
  } catch {
    return undefined;
  }
}

interface Welcome {
  readonly pid: number;
  readonly clockAhead: number;
  readonly listing: Listing;
}

/**
 * Says hello and gathers the answer. False when the guard went away meanwhile. `onWelcome` is called in the same turn as the
 * answer was read, so that no frame after it is missed. Throws Fault "guard" when the guard speaks another protocol.
 */
async function isWelcomed(
  link: Link,
  node: NodeId,
  deadline: number,
  onWelcome: (welcome: Welcome) => void,
): Promise<boolean> {
  let hello: { readonly pid: number; readonly clockAhead: number } | undefined;
  const finished: Report[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await new Promise<boolean>((resolve, reject) => {
      link.onClosed = () => resolve(false);
      timer = setTimeout(() => resolve(false), Math.max(0, deadline - monotonicMs()));
      link.onFrame = (frame) => {
        if (frame.kind === "hello") {
          if (frame.protocol !== guardProtocol) {
            reject(otherProtocol(frame.protocol, frame.pid));
            return link.destroy();
          }
          hello = { pid: frame.pid, clockAhead: frame.clock - monotonicMs() };
        } else if (frame.kind === "finished") finished.push(...frame.reports);
        else if (frame.kind === "listed" && hello !== undefined) {
          onWelcome({ ...hello, listing: { running: frame.running, finished, exact: frame.exact } });
          resolve(true);
        }
        return undefined;
      };
      link.send({ kind: "hello", protocol: guardProtocol, node });
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Starts the guard as a process of its own session: it must not end with this process, nor hold its output open. */
function startGuard(places: Places, command: readonly string[]): { readonly exitCode: number | null } {
  const log = openSync(places.log, logTooLong(places.log) ? "w" : "a", 0o600);
  try {
    const child = Bun.spawn([...command], {
      detached: true,
      stdin: "ignore",
      stdout: log,
      stderr: log,
      env: withoutSecrets(process.env),
    });
    child.unref();
    return child;
  } catch (error) {
    throw new Fault(
      "guard",
      `cannot start the guard (${command.join(" ")}): ${error instanceof Error ? error.message : String(error)}`,
      "safe",
      error,
    );
  } finally {
    closeSync(log);
  }
}

/** Tokens that were meant for `up` are nobody else's. The marker stays: a node that runs inside a task ends with that task. */
function withoutSecrets(environment: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith("SKEIN_") || name === markerVariable),
  );
}

function logTooLong(path: string): boolean {
  return Bun.file(path).size > guardLogBytes;
}

function notReached(places: Places, command: readonly string[]): Fault {
  let lastWords = "";
  try {
    lastWords = readFileSync(places.log, "utf8").trimEnd().split("\n").slice(-3).join(" | ");
  } catch {
    // it never wrote any
  }
  const said = lastWords === "" ? "it said nothing" : `it said: ${lastWords}`;
  return new Fault(
    "guard",
    `the guard of ${places.dataDir} did not answer; ${said} (started with: ${command.join(" ")}; log: ${places.log})`,
    "safe",
  );
}

function otherProtocol(protocol: number, pid: number): Fault {
  return new Fault(
    "guard",
    `the guard that runs here (pid ${pid}) speaks protocol ${protocol}, this program ${guardProtocol}: wait for its work to end, or stop it with: kill ${pid}`,
    "never",
  );
}

const startsMax = 5;
const connectEveryMs = 15;
const goodbyeMs = 2_000;
const guardLogBytes = 1024 * 1024;
