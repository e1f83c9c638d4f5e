import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { formatDuration } from "../lib/units.ts";
import type { CommandInput } from "../state/commands/index.ts";
import { type TokenRecovery, tokenRecoveryShape } from "../state/commands/shapes.ts";
import type { NodeId } from "../lib/ids.ts";
import { isSignedBy, judgeCertificate, signWith } from "../transport/certificate.ts";
import { newApiToken } from "./credentials.ts";

/**
 * The way back when every admin token is lost. Who can read certificate.json (0600) holds the key with which a member speaks for itself among
 * its peers, so a new token gives nobody a right that they had not: a voter's, which holds the authority's key, any role, a learner's an operator's at most, and it ends with the node. The secret is made by the asker and does not travel: the request
 * holds its hash and a proof over all of it, and a request that is sent a second time finds its token there already.
 */
type Recovery = Omit<TokenRecovery, "proof" | "certificate">;

/** A request for a token with its proof, and the token's text, which stays with the asker. */
export function askForToken(
  asker: { readonly cluster: string; readonly key: string; readonly certificate: string },
  wanted: Omit<Recovery, "id" | "hash">,
): { readonly token: string; readonly request: TokenRecovery } {
  const { id, hash, text } = newApiToken();
  const recovery = { ...wanted, id, hash };
  const proof = Buffer.from(signWith(asker.key, proven(asker.cluster, recovery))).toString("base64url");
  return { token: text, request: { ...recovery, certificate: asker.certificate, proof } };
}

/** The answering side: logs the token when the proof holds. */
export async function recoverToken(
  body: unknown,
  ports: {
    readonly cluster: string;
    /** Of the authorities that the cluster believes, PEM. */
    readonly trusted: readonly string[];
    isMember(node: NodeId): boolean;
    isVoter(node: NodeId): boolean;
    /** Whether the log may hold yet whose key a token was made by. */
    namesNode(): boolean;
    now(): number;
    /** In the node's own name, by the leader alone: what passes a token on without a person's is not taken from peers. */
    create(input: CommandInput<"token.create">, by: string): Promise<Outcome<unknown>>;
  },
): Promise<Outcome<{ readonly id: string }>> {
  const read = tokenRecoveryShape.safeParse(body);
  if (!read.success)
    return refuse(
      "invalid",
      "this is not a request for a token: use 'skein token create --recover' of the same version",
    );
  const { proof, certificate, ...recovery } = read.data;
  const leftMs = recovery.expiresAt === null ? undefined : recovery.expiresAt - ports.now();
  if (leftMs !== undefined && (leftMs <= 0 || leftMs > limits.tokenTtlMaxMs)) {
    return refuse(
      "invalid",
      `the token would end ${leftMs <= 0 ? "before it is made" : `more than ${formatDuration(limits.tokenTtlMaxMs)} from now`}: are the clocks of both hosts right?`,
    );
  }
  const judged = judgeCertificate(certificate, ports.cluster, ports.trusted, ports.now());
  const isProven =
    typeof judged !== "string" &&
    ports.isMember(judged.node) &&
    isSignedBy(judged.certificate, proven(ports.cluster, recovery), Buffer.from(proof, "base64url"));
  if (!isProven) {
    return refuse(
      "unauthorized",
      "the proof does not hold: use the data directory of a member of this very cluster, as the user that runs it",
    );
  }
  if (recovery.role === "admin" && !ports.isVoter(judged.node)) {
    return refuse(
      "forbidden",
      `node ${judged.node} is a learner, and by its key a token is at most an operator's: use the data directory of a voter`,
    );
  }
  const by = `holder of node ${judged.node}'s key`;
  const node = ports.namesNode() ? { node: judged.node } : {};
  const outcome = await ports.create({ ...recovery, kind: "api", uses: null, ...node }, by);
  return outcome.ok ? accept({ id: recovery.id }) : outcome;
}

function proven(cluster: string, { id, hash, name, role, expiresAt }: Recovery): Uint8Array {
  return Buffer.from(JSON.stringify(["skein token recovery 2", cluster, id, hash, name, role, expiresAt]));
}
