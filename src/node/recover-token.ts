import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { CommandInput } from "../state/commands/index.ts";
import { type TokenRecovery, tokenRecoveryShape } from "../state/commands/shapes.ts";
import type { Principal } from "../state/types.ts";
import { macOf, newApiToken, sameText } from "./credentials.ts";

/**
 * The way back when every admin token is lost. Who can read identity.json (0600) holds the cluster's key, with which a node speaks for
 * itself among its peers, so a new token gives nobody a right that they had not. The secret is made by the asker and does not travel:
 * the request holds its hash and a proof over all of it, and a request that is sent a second time finds its token there already.
 */
type Recovery = Omit<TokenRecovery, "proof">;

/** A request for a token with its proof, and the token's text, which stays with the asker. */
export function askForToken(
  identity: { readonly cluster: string; readonly clusterKey: string },
  wanted: Omit<Recovery, "id" | "hash">,
): { readonly token: string; readonly request: Recovery & { readonly proof: string } } {
  const { id, hash, text } = newApiToken();
  const recovery = { ...wanted, id, hash };
  return { token: text, request: { ...recovery, proof: proofOf(identity.cluster, identity.clusterKey, recovery) } };
}

/** The answering side: logs the token when the proof holds. */
export async function recoverToken(
  body: unknown,
  ports: {
    readonly cluster: string;
    readonly key: string;
    create(input: CommandInput<"token.create">, by: Principal): Promise<Outcome<unknown>>;
  },
): Promise<Outcome<{ readonly id: string }>> {
  const read = tokenRecoveryShape.safeParse(body);
  if (!read.success)
    return refuse(
      "invalid",
      "this is not a request for a token: use 'skein token create --recover' of the same version",
    );
  const { proof, ...recovery } = read.data;
  if (!sameText(proof, proofOf(ports.cluster, ports.key, recovery))) {
    return refuse(
      "unauthorized",
      "the proof does not hold: use the data directory of a node of this very cluster, as the user that runs it",
    );
  }
  const by: Principal = { token: "", name: "holder of the cluster's key", role: "admin" };
  const outcome = await ports.create({ ...recovery, kind: "api", uses: null }, by);
  return outcome.ok ? accept({ id: recovery.id }) : outcome;
}

function proofOf(cluster: string, key: string, { id, hash, name, role, expiresAt }: Recovery): string {
  return macOf(key, JSON.stringify(["skein token recovery 1", cluster, id, hash, name, role, expiresAt]));
}
