import type { Socket } from "bun";
import { Fault } from "../../lib/fault.ts";
import type { NodeId } from "../../lib/ids.ts";
import type { Report } from "../../state/types.ts";
import { monotonicMs } from "../../lib/clock.ts";
import { Channel } from "./channel.ts";
import { type FromGuard, groupsKnown, guardProtocol, heldInputKnown, type Started, type ToGuard } from "./frames.ts";
import { type Places, readGuardFile } from "./places.ts";

/** What the guard knew when the connection was made. */
export interface Listing {
  readonly running: readonly Started[];
  readonly finished: readonly Report[];
  readonly exact: boolean;
  /** By attemptKey(): see identityOf(). What an earlier guard, or release, began has none. */
  readonly identities: Readonly<Record<string, string>>;
  /** Several attempts may be one start. */
  readonly knowsGroups: boolean;
  /** Standard input of driver ssh can be held open. */
  readonly holdsInput: boolean;
}

/** A connected socket, before and after the welcome. */
export class Link {
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
export async function connect(places: Places): Promise<Link | undefined> {
  const file = readGuardFile(places);
  if (file === undefined) return undefined;
  try {
    const socket = await Bun.connect<Link>({
      unix: file.socket,
      socket: {
        open: (peer) => {
          peer.data = new Link(peer);
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

/** The guard's answer to a hello. */
export interface Welcome {
  readonly pid: number;
  readonly clockAhead: number;
  readonly listing: Listing;
}

/**
 * Says hello and gathers the answer. False when the guard went away meanwhile. `onWelcome` is called in the same turn as the
 * answer was read, so that no frame after it is missed. Throws Fault "guard" when the guard speaks another protocol.
 */
export async function isWelcomed(
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
          const { running, exact, identities = {}, knows = [] } = frame;
          const knowsGroups = knows.includes(groupsKnown);
          const holdsInput = knows.includes(heldInputKnown);
          onWelcome({ ...hello, listing: { running, finished, exact, identities, knowsGroups, holdsInput } });
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

function otherProtocol(protocol: number, pid: number): Fault {
  return new Fault(
    "guard",
    `the guard that runs here (pid ${pid}) speaks protocol ${protocol}, this program ${guardProtocol}: wait for its work to end, or stop it with: kill ${pid}`,
    "never",
  );
}
