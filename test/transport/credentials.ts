import { nodeId } from "../../src/lib/ids.ts";
import {
  type AuthorityKey,
  issueCertificate,
  makeAuthority,
  makeKey,
  makeRequest,
} from "../../src/node/certificates.ts";
import type { NodeCredentials } from "../../src/transport/certificate.ts";

/** Certificates for tests: an authority of cluster c1, which child processes take over by the environment, and one that is a stranger's. */
const handedDown = process.env["SKEIN_TEST_AUTHORITY"];
const year = 365 * 86_400_000;
export const authority: AuthorityKey =
  handedDown === undefined ? await makeAuthority("c1", Date.now(), year) : (JSON.parse(handedDown) as AuthorityKey);
export const stranger: AuthorityKey = await makeAuthority("c1", Date.now(), year);

export interface Wish {
  readonly node?: number;
  readonly cluster?: string;
  readonly by?: AuthorityKey;
  readonly trusted?: readonly AuthorityKey[];
  readonly lifetimeMs?: number;
  readonly hosts?: readonly string[];
}

/** A key and a certificate for it; by default one of node 1 that is good. */
export async function credentials(wish: Wish = {}): Promise<NodeCredentials> {
  const {
    node = 1,
    cluster = "c1",
    by = authority,
    trusted = [by],
    lifetimeMs = year,
    hosts = ["localhost", "127.0.0.1"],
  } = wish;
  const key = await makeKey();
  const certificate = await issueCertificate({
    authority: by,
    request: await makeRequest(key),
    cluster,
    node: nodeId(node),
    hosts,
    now: Date.now(),
    lifetimeMs,
  });
  if (certificate === undefined) throw new Error("a request of our own is refused");
  return { key, certificate, trusted: trusted.map((one) => one.certificate) };
}
