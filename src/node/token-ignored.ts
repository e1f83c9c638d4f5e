import type { Identity } from "../storage/types.ts";
import { fingerprintOf } from "../transport/certificate.ts";
import type { BootOptions } from "./boot-options.ts";
import { parseJoinToken } from "./credentials.ts";

/**
 * A node that has data of a cluster goes on as that member whatever its words say, for they are those of its first start and stay in a service's
 * file: its join token is not looked at. One that names no authority that this cluster is known to have had gets a line, since a person may have meant
 * another cluster; more than that is not known, for this node may have been off while the authority was replaced.
 */
export function tellOfToken(
  { joinToken, dataDir, log }: Pick<BootOptions, "joinToken" | "dataDir" | "log">,
  { cluster, node }: Pick<Identity, "cluster" | "node">,
  authorities: readonly string[],
): void {
  if (joinToken === undefined) return;
  const token = parseJoinToken(joinToken);
  if (typeof token !== "string" && authorities.map(fingerprintOf).includes(token.fingerprint)) return;
  const why = typeof token === "string" ? "is none" : "is of no authority that this cluster is known here to have had";
  log(
    "warn",
    `the join token ${why}, and is ignored: ${dataDir} belongs to cluster ${cluster}, and this goes on as its node ${node}. To join another cluster use another --data`,
  );
}
