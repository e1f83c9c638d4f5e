import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { Epoch } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import type { Labels } from "../lib/selector.ts";
import { accept, type Outcome, refuse, type Refusal } from "../lib/outcome.ts";
import { judgeCertificate } from "../transport/certificate.ts";
import type { Contact } from "./api-tls.ts";
import { type JoinToken, macOf, sameText } from "./credentials.ts";
import { pinned, type Vouched } from "./pinned.ts";
import { type CertificateRequest, parseRequest as parseCertificateRequest } from "./requests.ts";
import type { TokenRow } from "../state/queries.ts";

/**
 * The first contact, which needs no secure channel. The joiner shows that it holds a token's secret without sending it (a MAC keyed by
 * the secret's hash, which is all that the cluster keeps) and asks for a certificate; it accepts only an answer that is sealed under the same
 * hash and whose authority is the one that the token names. So neither side can be played by a stranger.
 *
 *   joiner -> member   {token, fingerprint, nonce, request, mac}   mac = HMAC(hash, "join" | nonce | request)
 *   member -> joiner   {nonce, sealed}                             sealed = AES-256-GCM(HKDF(hash, both nonces), answer)
 */
export interface JoinRequest {
  readonly name: string;
  /** Random, made once per joining attempt: a repeated request gives the same node id. */
  readonly incarnation: string;
  readonly labels: Labels;
  readonly slots: number;
  readonly ioTasks: number;
  readonly level: number;
  readonly version: string;
  readonly votersWanted: number | undefined;
  readonly certificate: CertificateRequest;
  /** The API token that the node's own context will hold: only its hash travels. */
  readonly apiToken: { readonly id: string; readonly hash: string };
}

export interface JoinAnswer {
  readonly cluster: string;
  /** Absent: the first one. */
  readonly epoch?: Epoch | undefined;
  readonly node: NodeId;
  /** The node's, PEM. */
  readonly certificate: string;
  /** Of the authorities that the cluster believes, PEM. */
  readonly trusted: readonly string[];
  /** Those, and the ones of before, with what leads from one to the next: the token may name one that was replaced. */
  readonly authorities?: readonly Vouched[];
  readonly former?: readonly Vouched[];
  readonly peers: readonly { readonly node: NodeId; readonly address: string }[];
}

interface Envelope {
  readonly token: string;
  /** The fingerprint in the token: a member of another cluster must not let the node in, which would then not come. */
  readonly fingerprint: string;
  readonly nonce: string;
  readonly request: string;
  readonly mac: string;
}

const nonceBytes = 32;

/** What a member does with the body of POST /v1/join. */
export interface JoinPorts {
  /** Of the authorities that the cluster believes, and of those of before that lead to them. */
  fingerprints(): readonly string[];
  findToken(id: string): Promise<Outcome<TokenRow | undefined>>;
  votersWanted(): number;
  /** Logs node.join; gives the node's id. */
  admit(token: string, request: JoinRequest): Promise<Outcome<NodeId>>;
  /** Why nobody gets the admitted node's certificate for the token now; undefined: the node may have it. */
  entryProblem(node: NodeId, token: string): string | undefined;
  issue(request: CertificateRequest, node: NodeId): Promise<Outcome<string>>;
  answer(node: NodeId, certificate: string): JoinAnswer;
}

/** The member's side: checks the proof, logs the join, seals the answer. Refusals are for the joiner's user. */
export async function admitJoiner(
  body: unknown,
  ports: JoinPorts,
): Promise<Outcome<{ nonce: string; sealed: string }>> {
  const envelope = parseEnvelope(body);
  if (envelope === undefined) return refuse("invalid", "this is not a join request");
  if (!ports.fingerprints().includes(envelope.fingerprint)) {
    return refuse(
      "unauthorized",
      "the join token is for another cluster than this one, or names an authority of long ago: check the address, or make a token here with 'skein cluster token'",
    );
  }
  const found = await ports.findToken(envelope.token);
  if (!found.ok) return found;
  const row = found.value;
  const unknown = refuse(
    "unauthorized",
    "the join token is not known to this cluster: make one with 'skein cluster token' and use it whole",
  );
  if (row === undefined || row.kind !== "join") return unknown;
  if (!sameText(envelope.mac, macOf(row.hash, joinText(envelope.nonce, envelope.request)))) return unknown;
  const request = parseRequest(envelope.request);
  if (request === undefined)
    return refuse("invalid", "this is not a join request of this version of skein: use the same binary on all hosts");
  const wanted = ports.votersWanted();
  if (request.votersWanted !== undefined && request.votersWanted !== wanted) {
    return refuse("conflict", `this cluster wants ${wanted} voters, not ${request.votersWanted}: leave --voters out`);
  }
  const admitted = await ports.admit(envelope.token, request);
  if (!admitted.ok) return admitted;
  // The proof shows no more than a copy of the state would: what the log took is not enough, whatever its level (K1).
  const problem = ports.entryProblem(admitted.value, envelope.token);
  if (problem !== undefined) return refuse("unauthorized", `${problem}: make a token with 'skein cluster token'`);
  const issued = await ports.issue(request.certificate, admitted.value);
  if (!issued.ok) return issued;
  const nonce = randomBytes(nonceBytes).toString("base64url");
  const sealed = seal(row.hash, envelope.nonce, nonce, JSON.stringify(ports.answer(admitted.value, issued.value)));
  return accept({ nonce, sealed });
}

/** Asks one member. A refusal carries the member's own words; a thrown error means that it could not be reached. */
export async function askToJoin(
  { url: address, tls }: Contact,
  token: JoinToken,
  hash: string,
  request: JoinRequest,
  timeoutMs: number,
): Promise<Outcome<JoinAnswer>> {
  const nonce = randomBytes(nonceBytes).toString("base64url");
  const text = JSON.stringify(request);
  const response = await fetch(`${address}/v1/join`, {
    tls,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      token: token.id,
      fingerprint: token.fingerprint,
      nonce,
      request: text,
      mac: macOf(hash, joinText(nonce, text)),
    }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const reply: unknown = await response.json().catch(() => undefined);
  if (typeof reply !== "object" || reply === null) {
    throw new Fault("protocol", "what listens there is no API of skein (its peer port?)", "safe");
  }
  if (!response.ok) {
    const error = (reply as { error?: { code?: string; message?: string } }).error;
    const code = (error?.code ?? "unavailable") as Refusal["code"];
    return refuse(code, error?.message ?? `${address} answered ${response.status}`);
  }
  const { nonce: theirs, sealed } = reply as { nonce: string; sealed: string };
  const opened = unseal(hash, nonce, theirs, sealed);
  if (opened === undefined) {
    return refuse("unauthorized", `${address} could not prove that it knows the token: check the address`);
  }
  const answer = JSON.parse(opened) as JoinAnswer;
  const { cluster, node, certificate, trusted } = answer;
  const { authorities = trusted.map((one) => ({ certificate: one, crossed: null })), former } = answer;
  if (!pinned(authorities, token.fingerprint, former).some((one) => trusted.includes(one))) {
    return refuse("unauthorized", `${address} belongs to another cluster than the token: check the address`);
  }
  const judged = judgeCertificate(certificate, cluster, trusted, Date.now());
  if (typeof judged === "string")
    return refuse("unauthorized", `${address} sent a certificate that is of no use: ${judged}`);
  if (judged.node !== node) return refuse("unauthorized", `${address} sent the certificate of another node`);
  return accept({ ...answer, node: nodeId(answer.node) });
}

function joinText(nonce: string, request: string): string {
  return `join\n${nonce}\n${request}`;
}

function keyFor(hash: string, clientNonce: string, serverNonce: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", hash, `${clientNonce}.${serverNonce}`, "skein join answer", 32));
}

function seal(hash: string, clientNonce: string, serverNonce: string, text: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", keyFor(hash, clientNonce, serverNonce), iv);
  const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), body]).toString("base64url");
}

function unseal(hash: string, clientNonce: string, serverNonce: string, sealed: string): string | undefined {
  try {
    const bytes = Buffer.from(sealed, "base64url");
    const decipher = createDecipheriv("aes-256-gcm", keyFor(hash, clientNonce, serverNonce), bytes.subarray(0, 12));
    decipher.setAuthTag(bytes.subarray(12, 28));
    return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8");
  } catch {
    return undefined; // not sealed under this token's hash: the caller says so
  }
}

function parseEnvelope(body: unknown): Envelope | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { token, fingerprint: expected, nonce, request, mac } = body as Record<string, unknown>;
  if (typeof token !== "string" || typeof expected !== "string") return undefined;
  if (typeof nonce !== "string" || typeof request !== "string" || typeof mac !== "string") return undefined;
  return { token, fingerprint: expected, nonce, request, mac };
}

/** The request as text was authenticated; what is logged of it is checked by node.join's own schema afterwards. */
function parseRequest(text: string): JoinRequest | undefined {
  try {
    const value = JSON.parse(text) as JoinRequest | null;
    const certificate = parseCertificateRequest(value?.certificate);
    return value === null || certificate === undefined ? undefined : { ...value, certificate };
  } catch {
    return undefined;
  }
}
