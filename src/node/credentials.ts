import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Principal } from "../state/types.ts";
import type { TokenRow } from "../state/queries.ts";

/**
 * Tokens and what is derived from them. Secrets are made here, before the log; entries and rows hold SHA-256 alone (K1).
 *
 *   API token   skein_<id>_<secret>
 *   join token  skein1.<fingerprint>.<id>.<secret>   the fingerprint pins the authority that the joiner expects
 */
export interface NewToken {
  readonly id: string;
  /** What is shown, once. */
  readonly text: string;
  readonly hash: string;
}

/** A new API token: text for its owner, hash for the log. */
export function newApiToken(): NewToken {
  const id = randomId();
  const secret = randomBytes(24).toString("base64url");
  return { id, text: `skein_${id}_${secret}`, hash: hashSecret(secret) };
}

/** A new join token of the cluster whose authority has this fingerprint. */
export function newJoinToken(fingerprint: string): NewToken {
  const id = randomId();
  const secret = randomBytes(24).toString("base64url");
  return { id, text: `skein1.${fingerprint}.${id}.${secret}`, hash: hashSecret(secret) };
}

function randomId(): string {
  return randomBytes(6).toString("hex");
}

/** SHA-256 of a token's secret, base64url: all that the cluster keeps of it. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

/** The parts of an API token, undefined when it is none. */
export function parseApiToken(text: string): { readonly id: string; readonly secret: string } | undefined {
  const match = /^skein_([0-9a-f]{12})_([A-Za-z0-9_-]{32})$/.exec(text);
  return match === null ? undefined : { id: match[1]!, secret: match[2]! };
}

export interface JoinToken {
  readonly fingerprint: string;
  readonly id: string;
  readonly secret: string;
}

/** The parts, or a message for people. */
export function parseJoinToken(text: string): JoinToken | string {
  const parts = text.trim().split(".");
  if (parts[0] !== "skein1")
    return "this is not a join token (they begin with skein1.): make one with 'skein cluster token'";
  const wrong = parts.length === 4 && !/^skein1\.[0-9a-f]{32}\.[0-9a-f]{12}\.[A-Za-z0-9_-]{32}$/.test(text.trim());
  if (wrong && parts.every((part) => part !== "")) {
    return "the join token is damaged (a part of it has not the length or the letters that it should): copy it whole from 'skein cluster token'";
  }
  if (parts.length !== 4 || parts.some((part) => part === "")) {
    return `the join token is not complete (has ${parts.filter((part) => part !== "").length} of 4 parts): copy it whole from 'skein cluster token'`;
  }
  return { fingerprint: parts[1]!, id: parts[2]!, secret: parts[3]! };
}

/** Authenticates a text under a token's hash: the secret itself never travels. */
export function macOf(hash: string, text: string): string {
  return createHmac("sha256", hash).update(text).digest("base64url");
}

/** Compares in a time that does not depend on where two texts differ. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Who a bearer token is, judged by its row; undefined: nobody. `now` is wall time. */
export function principalOf(secret: string, row: TokenRow | undefined, now: number): Principal | undefined {
  if (row === undefined || row.kind !== "api" || row.revoked) return undefined;
  if (row.expiresAt !== null && row.expiresAt <= now) return undefined;
  if (!sameText(hashSecret(secret), row.hash)) return undefined;
  return { token: row.id, name: row.name, role: row.role };
}
