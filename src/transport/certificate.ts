import { createHash, sign, verify, X509Certificate } from "node:crypto";
import { memoOfTexts } from "../lib/memo.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";

/**
 * What this side needs of X.509: whom a certificate names, who issued it, and proofs made with its key. A node's certificate says
 * which node of which cluster it is in one URI among its alternative names; host names beside it serve clients of the API.
 */
export interface NodeCredentials {
  /** Private key, PEM (PKCS#8). Never leaves this host. */
  readonly key: string;
  /** The node's certificate, PEM. */
  readonly certificate: string;
  /** The authorities whose certificates are believed, PEM each; more than one while one takes another's place. */
  readonly trusted: readonly string[];
  /** The present authority as those before vouch for it, one after another, PEM each: for whoever believes an earlier one. */
  readonly crossed?: readonly string[];
  /** Authorities that are believed no more, PEM each: whoever has a certificate of one is told that it was removed, and is never let in. */
  readonly former?: readonly string[];
}

const uriOf = (cluster: string, node: number): string => `skein://${cluster}/node/${node}`;
const uri = /^URI:skein:\/\/([^/]+)\/node\/(\d{1,15})$/;

/** The name under which a node stands in its certificate. */
export function nodeUri(cluster: string, node: NodeId): string {
  return uriOf(cluster, node);
}

/** Whom a certificate names; undefined: no node. */
export function namedIn(
  subjectAltName: string | undefined,
): { readonly cluster: string; readonly node: NodeId } | undefined {
  for (const name of (subjectAltName ?? "").split(", ")) {
    const match = uri.exec(name);
    if (match !== null) return { cluster: match[1]!, node: nodeId(Number(match[2])) };
  }
  return undefined;
}

/** A certificate from PEM or DER; undefined: it is none. */
export function parseCertificate(encoded: string | Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(encoded);
  } catch {
    return undefined; // the caller says what that means
  }
}

/** SHA-256 over the whole certificate, 32 hexadecimal digits of it: how join tokens, entries and people name one. A node asks for those of a few several times a second. */
export const fingerprintOf = memoOfTexts((certificate: string): string => {
  const der = new X509Certificate(certificate).raw;
  return createHash("sha256").update(der).digest("hex").slice(0, 32);
});

/** When a certificate ends, epoch ms. */
export function expiryOf(certificate: string): number {
  return new X509Certificate(certificate).validToDate.getTime();
}

/** The authority among `trusted` that issued it, PEM; undefined: none of them did. Says nothing of its time. */
export function issuerOf(certificate: X509Certificate, trusted: readonly string[]): string | undefined {
  return trusted.find((pem) => {
    const authority = parseCertificate(pem);
    return (
      authority?.ca === true && certificate.issuer === authority.subject && certificate.verify(authority.publicKey)
    );
  });
}

/**
 * Whether a node of this cluster stands behind the certificate, as the authorities say and at `now` (epoch ms). Otherwise what
 * is wrong with it, as the other side should hear it.
 */
export function judgeCertificate(
  encoded: Uint8Array | string,
  cluster: string,
  trusted: readonly string[],
  now: number,
): { readonly node: NodeId; readonly certificate: X509Certificate } | string {
  const certificate = parseCertificate(encoded);
  if (certificate === undefined) return "it shows no certificate that can be read";
  const named = namedIn(certificate.subjectAltName);
  if (named === undefined) return "its certificate names no node";
  if (named.cluster !== cluster) return "its certificate is of another cluster";
  if (issuerOf(certificate, trusted) === undefined)
    return "its certificate is of an authority that is not this cluster's";
  if (certificate.validToDate.getTime() <= now) return "its certificate has expired";
  if (certificate.validFromDate.getTime() > now)
    return "its certificate is not valid yet: compare the clocks of the two hosts";
  return { node: named.node, certificate };
}

/** A proof, made with a private key, that its holder said `text`. */
export function signWith(key: string, text: Uint8Array): Uint8Array {
  return sign("sha256", text, { key, dsaEncoding: "ieee-p1363" });
}

/** True when the holder of the certificate's key said `text`. */
export function isSignedBy(certificate: X509Certificate, text: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify("sha256", text, { key: certificate.publicKey, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false; // no signature of this kind of key
  }
}
