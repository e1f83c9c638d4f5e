import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { learnerLabel } from "../lib/selector.ts";
import { readAuthorityKeys, readCertificate } from "../storage/certificate-file.ts";
import type { AuthorityKeys, Certificate, Identity } from "../storage/types.ts";
import { fingerprintOf } from "../transport/certificate.ts";
import type { Booted, BootOptions } from "./boot-options.ts";
import { readContext } from "./context.ts";
import { issueCertificate, lifetimesOf, makeAuthority, makeKey, makeRequest } from "./certificates.ts";
import { enterByToken } from "./enter.ts";
import { hostsAsked, hostsOf } from "./requests.ts";
import { readJoining } from "./joining.ts";
import { wayBack } from "./unreadable.ts";

/** The three ways to become the node of a data directory. */

/** Who this data directory is to be: found, joined, or as it was. */
export interface Member {
  readonly kind: Booted["kind"];
  readonly identity: Identity;
  readonly certificate: Certificate;
  /** What it holds of the authority's keys; only voters do (K1). */
  readonly authority: AuthorityKeys | undefined;
  /** The API token of this node's context, when it was made just now. */
  readonly token: string | undefined;
}

/** Data of a cluster: goes on as that member, whatever cluster or authority its token is of (token-ignored.ts). */
export function resume(identity: Identity, options: BootOptions, dataDir: string): Member {
  const certificate = readCertificate(dataDir);
  if (certificate === undefined) throw withoutCertificate(dataDir);
  if (options.join.length > 0) {
    options.log(
      "info",
      `${options.dataDir} is a member of cluster ${identity.cluster} already: going on as node ${identity.node}; --join only helps to find the others`,
    );
  }
  if (!existsSync(join(dataDir, "log.db"))) throw withoutLog(dataDir);
  // Killed after it became a member and before its context was written.
  const token = readContext(dataDir) === undefined ? readJoining(dataDir)?.token : undefined;
  return { kind: "resumed", identity, certificate, authority: readAuthorityKeys(dataDir), token };
}

/** An empty data directory: a new cluster, or with --join a member of one. Refusals are for people. */
export function enter(options: BootOptions, dataDir: string): Promise<Outcome<Member>> {
  return options.join.length === 0 ? found(options) : enterByToken(options, dataDir);
}

/** A cluster of one, with an authority of its own. What makes it exist for others is its first entry, cluster.create. */
async function found(options: BootOptions): Promise<Outcome<Member>> {
  if (options.labels[learnerLabel] === "true")
    return refuse("invalid", "the first node of a cluster must vote: leave --learner out, or add --join HOST:PORT");
  const cluster = newClusterName();
  const node = nodeId(1);
  const hosts = hostsOf(hostsAsked(options));
  return accept({
    kind: "created",
    token: undefined,
    identity: { version: 2, cluster, node, name: options.name ?? hostname(), starts: 0, api: "", peer: "", peers: [] },
    ...(await foundAuthority(cluster, node, hosts, options.environment)),
  });
}

/** Random: no two clusters have the same. */
export function newClusterName(): string {
  return randomBytes(4).toString("hex");
}

/** The authority of a new cluster, and the certificate of its first node. */
export async function foundAuthority(
  cluster: string,
  node: NodeId,
  hosts: readonly string[],
  environment: BootOptions["environment"],
): Promise<{ readonly certificate: Certificate; readonly authority: AuthorityKeys }> {
  const now = Date.now();
  const lifetimes = lifetimesOf(environment);
  const authority = await makeAuthority(cluster, now, lifetimes.authorityMs);
  const key = await makeKey();
  const request = await makeRequest(key);
  const certificate = await issueCertificate({
    authority,
    request,
    cluster,
    node,
    hosts,
    now,
    lifetimeMs: lifetimes.nodeMs,
  });
  assert(certificate !== undefined, "a request of our own is signed by its key");
  return {
    certificate: { version: 1, key, certificate, trusted: [authority.certificate] },
    authority: { version: 1, keys: { [fingerprintOf(authority.certificate)]: authority } },
  };
}

/** It cannot prove who it is. */
function withoutCertificate(dataDir: string): Fault {
  return new Fault(
    "data",
    `${dataDir} is a member's, but its certificate.json is gone: restore it, or remove the whole data directory and the node from the cluster ('skein nodes rm'), and join again as a new one`,
    "never",
  );
}

/** Its log must never be gone on with as another node's. */
export function withoutIdentity(dataDir: string): Fault {
  return new Fault(
    "data",
    `${dataDir} holds data of a member, but its identity.json is gone: restore it, or remove the whole data directory and join again as a new node`,
    "never",
  );
}

/** The leader knows that more was there (raft, lostUntil). */
export function lostWords(dataDir: string, node: NodeId, last: number, until: number): string {
  const what = `${dataDir}/log.db ends at entry ${last}, and this node has acknowledged entry ${until}`;
  return `${what}: the end of it was lost, and votes may have been. ${wayBack(dataDir, node)}`;
}

/** A member whose votes and acknowledgements are forgotten must not vote and acknowledge again (D1, D4). */
export function withoutLog(dataDir: string): Fault {
  return new Fault(
    "data",
    `${dataDir} is a member's, but its log.db is gone: restore it, or remove the whole data directory and the node from the cluster ('skein nodes rm'), and join again as a new one`,
    "never",
  );
}
