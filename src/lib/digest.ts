import { createHash } from "node:crypto";

/** The SHA-256 of a text's UTF-8, as base64url: what names a content, where a hash that finds accidents alone (hash.ts) would let two contents be taken for one. */
export function digestOfText(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

/** As long as every one of them is. */
export const digestLength = 43;
