import { createHash } from "node:crypto";

/** The SHA-256 of a text's UTF-8, as base64url: what names a content, where a hash that finds accidents alone (hash.ts) would let two contents be taken for one. */
export function digestOfText(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

/** As long as every one of them is. */
export const digestLength = 43;

/** The SHA-256 of bytes, or of a text's UTF-8, as 64 hexadecimal digits: how files and bundles are called, as other tools show it. */
export function sha256Of(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** What such a digest looks like. */
export const sha256Form = /^[0-9a-f]{64}$/;
