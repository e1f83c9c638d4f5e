import { connect } from "node:net";
import { WebSocket } from "ws";
import type { Epoch } from "../lib/epoch.ts";
import { parseHostPort } from "../lib/host-port.ts";
import type { NodeId } from "../lib/ids.ts";
import { namedIn } from "./certificate.ts";
import { decodeGreeting, makeHello } from "./handshake.ts";
import type { PeerIdentity } from "./types.ts";

/**
 * Who is at an address, asked once by a node that does not run. Its certificate proves to a peer port who asks, and the peer port's who answers: no token is
 * needed, and nobody who lost one is taken for silent.
 */
export type Presence =
  /** Nothing takes a connection there. */
  | { readonly kind: "silent" }
  /** A node of the same cluster, by its certificate. */
  | { readonly kind: "member"; readonly node: NodeId; readonly epoch: Epoch }
  /** Something takes connections, and it is not shown who. `epoch`: what it says of itself. */
  | { readonly kind: "unproven"; readonly what: string; readonly epoch?: Epoch | undefined };

/** A lost packet or two, and a far host. */
const knockMs = 5000;
/** Longer than a busy host takes: who asks decides about a cluster, and can wait. */
const answerMs = 15_000;
const mute = "it takes connections and does not say who it is";

/** True when something takes connections at HOST:PORT. */
export function takesConnections(address: string): Promise<boolean> {
  const at = parseHostPort(address, 0);
  if (at === undefined || at.port === 0) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect(at);
    const end = (isThere: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isThere);
    };
    const timer = setTimeout(() => end(false), knockMs);
    socket.on("connect", () => end(true));
    socket.on("error", () => end(false));
  });
}

/** Who is at that peer port, where `wanted` is looked for. It is let in for a moment, as after any start, and asks nothing else. */
export async function whoIsThere(identity: PeerIdentity, wanted: NodeId, address: string): Promise<Presence> {
  if (!(await takesConnections(address))) return { kind: "silent" };
  const proven = await greet(identity, wanted, address, true);
  if (proven.kind === "member" || proven.what === mute) return proven;
  // Of an authority that this node has never heard of, perhaps: what it says of itself is worth a word all the same.
  const said = await greet(identity, wanted, address, false);
  return said.kind === "member"
    ? { kind: "unproven", what: `${proven.what}; it says that it is of this cluster`, epoch: said.epoch }
    : proven;
}

type Greeted = Extract<Presence, { readonly kind: "member" }> | { readonly kind: "unproven"; readonly what: string };

function greet(identity: PeerIdentity, wanted: NodeId, address: string, isChecked: boolean): Promise<Greeted> {
  const { key, certificate, trusted } = identity.credentials();
  return new Promise((resolve) => {
    /** Whom its certificate names. */
    let node = wanted;
    let isOfCluster = !isChecked;
    let socket: WebSocket | undefined;
    const end = (greeted: Greeted): void => {
      clearTimeout(timer);
      resolve(greeted);
      socket?.terminate();
    };
    const unproven = (what: string): void => end({ kind: "unproven", what });
    const timer = setTimeout(() => unproven(mute), answerMs);
    try {
      socket = new WebSocket(`wss://${address}/rpc`, {
        perMessageDeflate: false,
        key,
        cert: certificate,
        ca: [...trusted],
        rejectUnauthorized: isChecked,
        checkServerIdentity: (_host: string, { subjectaltname }: { readonly subjectaltname?: string }) => {
          const named = namedIn(subjectaltname);
          isOfCluster = !isChecked || named?.cluster === identity.cluster;
          node = named?.node ?? wanted;
          return isOfCluster ? undefined : new Error("it is no node of this cluster");
        },
      } as object); // its types do not have what the runtime calls
    } catch (error) {
      return unproven((error as Error).message);
    }
    socket.on("error", (error: Error) => unproven(error.message === "" ? "it is no peer port" : error.message));
    socket.on("close", () => unproven("it hangs up"));
    socket.on("message", (data: unknown) => {
      try {
        const greeting = decodeGreeting(data as Uint8Array);
        if (greeting.kind === "challenge") socket.send(makeHello(identity, node, "rpc", greeting.nonce));
        else if (!isOfCluster) unproven("its certificate was not looked at");
        else if (greeting.kind === "welcome") end({ kind: "member", node: greeting.node, epoch: identity.epoch });
        // Whoever refuses for another reason has found the epochs to be the same one.
        else end({ kind: "member", node, epoch: greeting.epoch ?? identity.epoch });
      } catch {
        unproven("it is no peer port");
      }
    });
  });
}
