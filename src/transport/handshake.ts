import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { unreachable } from "../lib/assert.ts";
import { encode } from "../lib/codec.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import { binary, decodeFrame, list, malformed, text, whole } from "./frames.ts";
import type { Channel, PeerIdentity } from "./types.ts";

/**
 * Who is there, proven both ways with the cluster key before anything else is said:
 *
 *   acceptor -> dialer   challenge: a nonce
 *   dialer -> acceptor   hello: who I am, whom I want, my own nonce, MAC over all of it and the challenge
 *   acceptor -> dialer   welcome: who I am, MAC over all of it and the dialer's nonce; or refused, with a reason
 *
 * The two MACs cover different labels, so that none can be sent back as the other.
 */

const protocolVersion = 1;
const nonceBytes = 32;
/** Longest frame of a handshake: somebody who has proven nothing yet gets no room. */
export const handshakeFrameBytes = 4096;
export const handshakeTimeoutMs = 3000;

export interface Hello {
  readonly version: number;
  readonly cluster: string;
  readonly node: NodeId;
  readonly incarnation: string;
  readonly level: number;
  readonly to: NodeId;
  readonly channel: Channel;
  readonly nonce: Uint8Array;
}

export type Greeting =
  | { readonly kind: "challenge"; readonly nonce: Uint8Array }
  | {
      readonly kind: "welcome";
      readonly node: NodeId;
      readonly incarnation: string;
      readonly level: number;
      readonly mac: Uint8Array;
    }
  | ({ readonly kind: "refused" } & Rejection);

/** Why a peer is not let in; `final`: trying again will not help; `removed`: it was a member, and never will be again. */
export interface Rejection {
  readonly reason: string;
  readonly final: boolean;
  readonly removed?: boolean;
}

/** Random bytes that the other side must answer for, so that no proof can be used twice. */
export function makeNonce(): Uint8Array {
  return randomBytes(nonceBytes);
}

/** The bytes of a greeting of the acceptor. */
export function encodeGreeting(greeting: Greeting): Uint8Array {
  switch (greeting.kind) {
    case "challenge":
      return encode([1, greeting.nonce]);
    case "welcome":
      return encode([2, greeting.node, greeting.incarnation, greeting.level, greeting.mac]);
    case "refused":
      return encode([3, greeting.reason, greeting.final, greeting.removed === true]);
    default:
      return unreachable(greeting, "greeting to send");
  }
}

/** Throws Fault "protocol". */
export function decodeGreeting(frame: Uint8Array): Greeting {
  const [kind, ...rest] = list(decodeFrame(frame), "greeting");
  switch (kind) {
    case 1:
      return { kind: "challenge", nonce: nonceOf(rest[0]) };
    case 2:
      return {
        kind: "welcome",
        node: nodeId(whole(rest[0])),
        incarnation: text(rest[1]),
        level: whole(rest[2]),
        mac: binary(rest[3]),
      };
    case 3:
      return { kind: "refused", reason: text(rest[0]), final: rest[1] === true, removed: rest[2] === true };
    default:
      throw malformed("kind of greeting");
  }
}

/** What the dialer says, and the nonce that the acceptor must prove itself over. */
export function makeHello(
  identity: PeerIdentity,
  to: NodeId,
  channel: Channel,
  challenge: Uint8Array,
): { readonly hello: Hello; readonly frame: Uint8Array } {
  const { cluster, node, incarnation, level } = identity;
  const hello: Hello = { version: protocolVersion, cluster, node, incarnation, level, to, channel, nonce: makeNonce() };
  const mac = helloMac(identity.clusterKey, hello, challenge);
  return { hello, frame: encode([...helloFields(hello), mac]) };
}

/** The dialer, if it has proven who it is; or why not. Throws Fault "protocol". */
export function checkHello(
  frame: Uint8Array,
  identity: PeerIdentity,
  channel: Channel,
  challenge: Uint8Array,
): { readonly hello: Hello } | Rejection {
  const [version, cluster, node, incarnation, level, to, , nonce, mac] = list(decodeFrame(frame), "hello");
  const hello: Hello = {
    version: whole(version),
    cluster: text(cluster),
    node: nodeId(whole(node)),
    incarnation: text(incarnation),
    level: whole(level),
    to: nodeId(whole(to)),
    channel,
    nonce: nonceOf(nonce),
  };
  if (hello.version !== protocolVersion) {
    return {
      reason: `it speaks peer protocol ${protocolVersion}, this node ${hello.version}: run matching versions`,
      final: true,
    };
  }
  if (hello.cluster !== identity.cluster) {
    return { reason: "it belongs to another cluster", final: true };
  }
  if (!same(binary(mac), helloMac(identity.clusterKey, hello, challenge))) {
    return { reason: "it does not have the same cluster key", final: true };
  }
  if (hello.to !== identity.node) {
    return { reason: `it is node ${identity.node}, not node ${hello.to}`, final: false };
  }
  return { hello };
}

/** The acceptor's answer to a good hello, with its own proof. */
export function makeWelcome(identity: PeerIdentity, hello: Hello): Greeting {
  const { node, incarnation, level } = identity;
  return {
    kind: "welcome",
    node,
    incarnation,
    level,
    mac: welcomeMac(identity.clusterKey, node, incarnation, level, hello),
  };
}

/** True when the acceptor is the node that was dialed and has the cluster key. */
export function checkWelcome(
  welcome: Extract<Greeting, { kind: "welcome" }>,
  identity: PeerIdentity,
  hello: Hello,
): boolean {
  const { node, incarnation, level, mac } = welcome;
  return node === hello.to && same(mac, welcomeMac(identity.clusterKey, node, incarnation, level, hello));
}

function helloFields(hello: Hello): readonly unknown[] {
  const { version, cluster, node, incarnation, level, to, channel, nonce } = hello;
  return [version, cluster, node, incarnation, level, to, channel, nonce];
}

function helloMac(key: Uint8Array, hello: Hello, challenge: Uint8Array): Uint8Array {
  return macOver(key, ["skein hello", ...helloFields(hello), challenge]);
}

function welcomeMac(key: Uint8Array, node: NodeId, incarnation: string, level: number, hello: Hello): Uint8Array {
  return macOver(key, [
    "skein welcome",
    hello.cluster,
    node,
    incarnation,
    level,
    hello.node,
    hello.channel,
    hello.nonce,
  ]);
}

function macOver(key: Uint8Array, fields: readonly unknown[]): Uint8Array {
  return createHmac("sha256", key).update(encode(fields)).digest();
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

function nonceOf(value: unknown): Uint8Array {
  const nonce = binary(value);
  if (nonce.length !== nonceBytes) throw malformed("nonce");
  return nonce;
}
