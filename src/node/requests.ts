import { hostname } from "node:os";
import { limits } from "../lib/limits.ts";
import { type ListenFlags, listeningOf } from "./listening.ts";

/** What a node asks to have certified: a key, and the names that clients know it by. */
export interface CertificateRequest {
  /** PEM, signed with the key that it is for. */
  readonly csr: string;
  readonly hosts: readonly string[];
}

const wildcards: ReadonlySet<string> = new Set(["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "*"]);
const host = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$|^[0-9A-Fa-f:]{2,39}$/;

/** The names that a node's certificate is to hold: where it listens, what others are told, and those of its own host. */
export function hostsOf(given: readonly (string | undefined)[]): string[] {
  const named = given.filter((one) => one !== undefined && one !== "" && !wildcards.has(one)) as string[];
  const all = ["localhost", "127.0.0.1", "::1", hostname(), ...named].filter((one) => host.test(one));
  return [...new Set(all)].slice(0, limits.certificateHosts).toSorted();
}

/** The hosts among the flags of a node that has not listened yet. */
export function hostsAsked(flags: ListenFlags): readonly string[] {
  const { apis, peer, advertise } = listeningOf(flags, undefined);
  return [...(advertise === undefined ? [] : [advertise]), ...apis.map((one) => one.host), peer.host];
}

/** A request as it came from another node, undefined when it is none. */
export function parseRequest(value: unknown): CertificateRequest | undefined {
  const { csr, hosts } = (value ?? {}) as { readonly [Field in keyof CertificateRequest]?: unknown };
  if (typeof csr !== "string" || csr.length > limits.certificateBytes || !Array.isArray(hosts)) return undefined;
  const isFit =
    hosts.length <= limits.certificateHosts && hosts.every((one) => typeof one === "string" && host.test(one));
  return isFit ? { csr, hosts: hosts as string[] } : undefined;
}
