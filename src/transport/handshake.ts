import { randomBytes, type X509Certificate } from "node:crypto";
import { unreachable } from "../lib/assert.ts";
import { encode } from "../lib/codec.ts";
import { type Epoch, formatEpoch, parseEpoch } from "../lib/epoch.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import { isSignedBy, judgeCertificate, parseCertificate, signWith } from "./certificate.ts";
import { rejectEpoch } from "./epoch-gate.ts";
import { binary, decodeFrame, list, malformed, text, whole } from "./frames.ts";
import type { Channel, PeerIdentity } from "./types.ts";

/**
 * Who is there, over mutual TLS. Without a certificate of the cluster's authority nobody comes as far as here; which node it is, the
 * two learn in ways of their own, since the server's side of TLS is not told whose certificate it has accepted:
 *
 *   TLS                  the acceptor's certificate names the node that was dialed, or the dialer hangs up
 *   acceptor -> dialer   challenge: a nonce
 *   dialer -> acceptor   hello: who I am, whom I want, my certificate, and a signature with its key over all of it and the challenge
 *   acceptor -> dialer   welcome: who I am; or refused, with a reason
 *
 * The hello names its receiver: a member that is dialed cannot pass it on to another one.
 */

const protocolVersion = 2;
const nonceBytes = 32;
/** Longest frame of a handshake: somebody who has proven nothing yet gets no room. */
export const handshakeFrameBytes = 4096;
export const handshakeTimeoutMs = 3000;
/** What a dialer adds to the path of a socket that takes the place of an open one, to show a new certificate. */
export const renewal = "renewal";

export interface Hello {
  readonly version: number;
  readonly cluster: string;
  readonly epoch: Epoch;
  readonly node: NodeId;
  readonly incarnation: string;
  readonly level: number;
  readonly to: NodeId;
  readonly channel: Channel;
}

export type Greeting =
  | { readonly kind: "challenge"; readonly nonce: Uint8Array }
  | {
      readonly kind: "welcome";
      readonly node: NodeId;
      readonly incarnation: string;
      readonly level: number;
      /** It puts pieces together again (pieces.ts). Older versions say nothing of it, and do not. */
      readonly takesPieces: boolean;
    }
  | ({ readonly kind: "refused" } & Rejection);

/**
 * Why a peer is not let in; `final`: trying again will not help; `removed`: it was a member, and never will be again; `isOldCopy`: because its data
 * has forgotten what it promised; `epoch`: the one that refuses is of that epoch, and the peer is of another.
 */
export interface Rejection {
  readonly reason: string;
  readonly final: boolean;
  readonly removed?: boolean;
  readonly isOldCopy?: boolean;
  readonly epoch?: Epoch | undefined;
  /** Not told: who this is by the word of an authority that is believed no more. */
  readonly former?: NodeId | undefined;
}

/** Random bytes that the dialer must answer for, so that no proof can be used twice. */
export function makeNonce(): Uint8Array {
  return randomBytes(nonceBytes);
}

/** The bytes of a greeting of the acceptor. */
export function encodeGreeting(greeting: Greeting): Uint8Array {
  switch (greeting.kind) {
    case "challenge":
      return encode([1, greeting.nonce]);
    case "welcome":
      return encode([2, greeting.node, greeting.incarnation, greeting.level, greeting.takesPieces]);
    case "refused":
      return encode([
        3,
        greeting.reason,
        greeting.final,
        greeting.removed === true,
        greeting.epoch === undefined ? "" : formatEpoch(greeting.epoch),
        greeting.isOldCopy === true,
      ]);
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
        takesPieces: rest[3] === true,
      };
    case 3:
      return {
        kind: "refused",
        reason: text(rest[0]),
        final: rest[1] === true,
        removed: rest[2] === true,
        epoch: parseEpoch(text(rest[3])),
        isOldCopy: rest[4] === true,
      };
    default:
      throw malformed("kind of greeting");
  }
}

/** What the dialer says. */
export function makeHello(identity: PeerIdentity, to: NodeId, channel: Channel, challenge: Uint8Array): Uint8Array {
  const { cluster, epoch, node, incarnation, level } = identity;
  const { key, certificate } = identity.credentials();
  const hello: Hello = { version: protocolVersion, cluster, epoch, node, incarnation, level, to, channel };
  const der = parseCertificate(certificate)?.raw ?? new Uint8Array();
  return encode([...helloFields(hello), der, signWith(key, proven(hello, challenge))]);
}

/** The dialer, if it has proven who it is at `now` (epoch ms); or why not. Throws Fault "protocol". */
export function checkHello(
  frame: Uint8Array,
  identity: PeerIdentity,
  channel: Channel,
  challenge: Uint8Array,
  now: number,
): { readonly hello: Hello; readonly certificate: X509Certificate } | Rejection {
  const [version, cluster, node, incarnation, level, to, , epoch, certificate, signature] = list(
    decodeFrame(frame),
    "hello",
  );
  if (whole(version) !== protocolVersion) {
    return {
      reason: `it speaks peer protocol ${protocolVersion}, this node ${whole(version)}: run matching versions`,
      final: true,
    };
  }
  const hello: Hello = {
    version: protocolVersion,
    cluster: text(cluster),
    epoch: epochOf(epoch),
    node: nodeId(whole(node)),
    incarnation: text(incarnation),
    level: whole(level),
    to: nodeId(whole(to)),
    channel,
  };
  if (hello.cluster !== identity.cluster) {
    return { reason: "it belongs to another cluster", final: true };
  }
  const otherEpoch = rejectEpoch(identity.epoch, hello.epoch);
  if (otherEpoch !== undefined) return otherEpoch;
  const { trusted, former = [] } = identity.credentials();
  const judged = judgeCertificate(binary(certificate), identity.cluster, trusted, now);
  if (typeof judged === "string") {
    const then = judgeCertificate(binary(certificate), identity.cluster, former, now);
    const isProven =
      typeof then !== "string" &&
      then.node === hello.node &&
      hello.to === identity.node &&
      isSignedBy(then.certificate, proven(hello, challenge), binary(signature));
    const reason = `this node is not believed: ${judged}`;
    return { reason, final: true, former: isProven ? hello.node : undefined };
  }
  if (judged.node !== hello.node) {
    return { reason: `this node's certificate is node ${judged.node}'s, not node ${hello.node}'s`, final: true };
  }
  if (!isSignedBy(judged.certificate, proven(hello, challenge), binary(signature))) {
    return { reason: "this node does not have the key of its certificate", final: true };
  }
  if (hello.to !== identity.node) {
    return { reason: `it is node ${identity.node}, not node ${hello.to}`, final: false };
  }
  return { hello, certificate: judged.certificate };
}

function helloFields(hello: Hello): readonly unknown[] {
  const { version, cluster, node, incarnation, level, to, channel, epoch } = hello;
  return [version, cluster, node, incarnation, level, to, channel, formatEpoch(epoch)];
}

function proven(hello: Hello, challenge: Uint8Array): Uint8Array {
  return encode(["skein hello", ...helloFields(hello), challenge]);
}

function epochOf(value: unknown): Epoch {
  const epoch = parseEpoch(text(value));
  if (epoch === undefined) throw malformed("epoch");
  return epoch;
}

function nonceOf(value: unknown): Uint8Array {
  const nonce = binary(value);
  if (nonce.length !== nonceBytes) throw malformed("nonce");
  return nonce;
}
