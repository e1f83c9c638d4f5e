import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Fault } from "../lib/fault.ts";
import { nodeId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { Identity } from "../storage/types.ts";
import type { Booted, BootOptions } from "./boot-options.ts";
import { readContext } from "./context.ts";
import { fingerprint, parseJoinToken } from "./credentials.ts";
import { enterByToken } from "./enter.ts";
import { readJoining } from "./joining.ts";

/** The three ways to become the node of a data directory. */

/** Who this data directory is to be: found, joined, or as it was. */
export interface Member {
  readonly kind: Booted["kind"];
  readonly identity: Identity;
  /** The API token of this node's context, when it was made just now. */
  readonly token: string | undefined;
}

/** Data of a cluster: goes on as that member, unless the token names another cluster. */
export function resume(identity: Identity, options: BootOptions, dataDir: string): Outcome<Member> {
  const joins = options.joinToken === undefined ? undefined : parseJoinToken(options.joinToken);
  if (joins !== undefined && typeof joins !== "string" && joins.fingerprint !== fingerprint(identity.clusterKey)) {
    return refuse(
      "conflict",
      `${options.dataDir} belongs to cluster ${identity.cluster}, the token to another one: use another --data, or 'skein leave' there first`,
    );
  }
  if (options.join.length > 0) {
    options.log(
      "info",
      `${options.dataDir} is a member of cluster ${identity.cluster} already: going on as node ${identity.node}; --join only helps to find the others`,
    );
  }
  if (!existsSync(join(dataDir, "log.db"))) throw withoutLog(dataDir);
  // Killed after it became a member and before its context was written.
  const token = readContext(dataDir) === undefined ? readJoining(dataDir)?.token : undefined;
  return accept({ kind: "resumed", identity, token });
}

/** An empty data directory: a new cluster, or with --join a member of one. Refusals are for people. */
export function enter(options: BootOptions, dataDir: string): Promise<Outcome<Member>> | Outcome<Member> {
  return options.join.length === 0 ? found(options) : enterByToken(options, dataDir);
}

/** A cluster of one. What makes it exist for others is its first entry, cluster.create. */
function found(options: BootOptions): Outcome<Member> {
  return accept({
    kind: "created",
    token: undefined,
    identity: {
      version: 1,
      cluster: randomBytes(4).toString("hex"),
      node: nodeId(1),
      name: options.name ?? hostname(),
      clusterKey: randomBytes(32).toString("base64url"),
      starts: 0,
      api: "",
      peer: "",
      peers: [],
    },
  });
}

/** Its log must never be gone on with as another node's. */
export function withoutIdentity(dataDir: string): Fault {
  return new Fault(
    "data",
    `${dataDir} holds data of a member, but its identity.json is gone: restore it, or remove the whole data directory and join again as a new node`,
    "never",
  );
}

/** A member whose votes and acknowledgements are forgotten must not vote and acknowledge again (D1, D4). */
export function withoutLog(dataDir: string): Fault {
  return new Fault(
    "data",
    `${dataDir} is a member's, but its log.db is gone: restore it, or remove the whole data directory and the node from the cluster ('skein nodes rm'), and join again as a new one`,
    "never",
  );
}
