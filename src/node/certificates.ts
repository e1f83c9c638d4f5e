import { createPrivateKey, createPublicKey, randomBytes, type webcrypto } from "node:crypto";
import type * as x509Types from "@peculiar/x509";
import type { NodeId } from "../lib/ids.ts";
import { parseDuration } from "../lib/units.ts";
import { nodeUri } from "../transport/certificate.ts";

/**
 * The cluster's own authority (P-256): makes keys, requests and certificates. The library is loaded at the first use, since most commands
 * of the binary need none of it.
 */
export interface AuthorityKey {
  /** Of the authority itself, PEM. */
  readonly certificate: string;
  /** PEM (PKCS#8). Stays with voters, outside of log, state, snapshots and backups (K1). */
  readonly key: string;
}

/** How long certificates are good for. Nodes renew theirs long before; an authority is replaced by hand, or when who held its key is removed. */
export interface Lifetimes {
  readonly nodeMs: number;
  readonly authorityMs: number;
}

const dayMs = 86_400_000;
const lifetimes: Lifetimes = { nodeMs: 90 * dayMs, authorityMs: 20 * 365 * dayMs };
const shortestMs = 1000;

/** SKEIN_CERTIFICATE_LIFE shortens the life of the certificates that a voter issues, to rehearse their renewal. */
export function lifetimesOf(environment: Readonly<Record<string, string | undefined>>): Lifetimes {
  const nodeMs = parseDuration(environment["SKEIN_CERTIFICATE_LIFE"] ?? "");
  return nodeMs === undefined || nodeMs < shortestMs ? lifetimes : { ...lifetimes, nodeMs };
}

/** Clocks differ: a certificate counts from a while before it was made. */
export const backdatedMs = 3_600_000;
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new private key, PEM. */
export async function makeKey(): Promise<string> {
  const { x509 } = await library();
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return pemOf(x509, await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
}

/** A new authority of a cluster. */
export async function makeAuthority(cluster: string, now: number, lifetimeMs: number): Promise<AuthorityKey> {
  const { x509 } = await library();
  const key = await makeKey();
  const { privateKey, publicKey } = await keysOf(key);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    // Each its own name: while one takes another's place, nobody has to guess which one issued what.
    name: `CN=skein ${cluster} ${randomBytes(4).toString("hex")}`,
    notBefore: new Date(now - backdatedMs),
    notAfter: new Date(now + lifetimeMs),
    signingAlgorithm: algorithm,
    keys: { privateKey, publicKey },
    extensions: await authorityExtensions(x509, publicKey),
  });
  return { certificate: certificate.toString("pem"), key };
}

/** The request for a certificate of the holder of `key`, PEM: signed with it, so that nobody asks for another one's. */
export async function makeRequest(key: string): Promise<string> {
  const { x509 } = await library();
  const { privateKey, publicKey } = await keysOf(key);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "CN=skein node",
    keys: { privateKey, publicKey },
    signingAlgorithm: algorithm,
  });
  return request.toString("pem");
}

export interface Issue {
  readonly authority: AuthorityKey;
  /** PEM; its names are not looked at: who it is for is decided by the one who issues. */
  readonly request: string;
  readonly cluster: string;
  readonly node: NodeId;
  /** Host names and addresses that clients know the node by. */
  readonly hosts: readonly string[];
  readonly now: number;
  readonly lifetimeMs: number;
}

/** A node's certificate, PEM; undefined: the request is none, or not made by the holder of its key. */
export async function issueCertificate(issue: Issue): Promise<string | undefined> {
  const { x509 } = await library();
  const publicKey = await requestedKey(x509, issue.request);
  if (publicKey === undefined) return undefined;
  const authority = new x509.X509Certificate(issue.authority.certificate);
  const names = issue.hosts.map((host) => ({
    type: isAddress(host) ? ("ip" as const) : ("dns" as const),
    value: host,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=node ${issue.node}, O=skein ${issue.cluster}`,
    issuer: authority.subject,
    notBefore: new Date(issue.now - backdatedMs),
    // An authority's word ends with it.
    notAfter: new Date(Math.min(issue.now + issue.lifetimeMs, authority.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: (await keysOf(issue.authority.key)).privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: nodeUri(issue.cluster, issue.node) }, ...names]),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return certificate.toString("pem");
}

/** The same authority as another one vouches for it: who believes the other one only can follow to it. PEM. */
export async function crossSign(by: AuthorityKey, certificate: string): Promise<string> {
  const { x509 } = await library();
  const subject = new x509.X509Certificate(certificate);
  const issuer = new x509.X509Certificate(by.certificate);
  const publicKey = await subject.publicKey.export();
  const crossed = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: subject.subject,
    issuer: issuer.subject,
    notBefore: subject.notBefore,
    notAfter: new Date(Math.min(subject.notAfter.getTime(), issuer.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: (await keysOf(by.key)).privateKey,
    extensions: await authorityExtensions(x509, publicKey),
  });
  return crossed.toString("pem");
}

type X509 = typeof x509Types;

async function library(): Promise<{ readonly x509: X509 }> {
  await import("reflect-metadata"); // the library's decorators need it, before it
  return { x509: await import("@peculiar/x509") };
}

async function authorityExtensions(x509: X509, publicKey: webcrypto.CryptoKey) {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
}

async function requestedKey(x509: X509, text: string): Promise<webcrypto.CryptoKey | undefined> {
  try {
    const request = new x509.Pkcs10CertificateRequest(text);
    return (await request.verify()) ? await request.publicKey.export(algorithm, ["verify"]) : undefined;
  } catch {
    return undefined; // no request, or of another kind of key
  }
}

async function keysOf(key: string): Promise<webcrypto.CryptoKeyPair> {
  const half = createPrivateKey(key);
  const spki = createPublicKey(half).export({ type: "spki", format: "der" });
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey("pkcs8", half.export({ type: "pkcs8", format: "der" }), algorithm, true, ["sign"]),
    crypto.subtle.importKey("spki", spki, algorithm, true, ["verify"]),
  ]);
  return { privateKey, publicKey };
}

function pemOf(x509: X509, der: ArrayBuffer, label: string): string {
  return x509.PemConverter.encode(der, label);
}

/** Positive, and without a leading zero byte. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function isAddress(host: string): boolean {
  return host.includes(":") || /^\d{1,3}(\.\d{1,3}){3}$/.test(host);
}
