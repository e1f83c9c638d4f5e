import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { authorities } from "../tables/authority.ts";
import { countSecrets, secretByName, setSecret } from "../tables/secret.ts";
import { fingerprintShape, sealedShape, secretName } from "./shapes.ts";

interface SecretSet {
  readonly name: string;
  /** The authority whose key it is encrypted with. */
  readonly key: string;
  readonly sealed: Uint8Array;
}

const shape = z.strictObject({ name: secretName, key: fingerprintShape, sealed: sealedShape });

export const secretSet = command<SecretSet>()({
  name: "secret.set",
  tag: 66,
  since: 3,
  right: "secrets:write",
  doc: "Keeps a secret's value, which a voter has encrypted before (K1); an earlier value of that name is replaced.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ name }) => `secret ${name}`,
  apply(tx, { name, key, sealed }, context) {
    // One under a key that is about to be forgotten would be overlooked by who encrypts those anew.
    const phase = authorities(tx).find((row) => row.fingerprint === key)?.phase;
    if (phase === undefined || phase === "leaving")
      return refuse("unavailable", "the key of the cluster's secrets was just replaced: repeat it", {
        retryAfterMs: 100,
        retry: "safe",
      });
    const before = secretByName(tx, name);
    if (before === undefined && countSecrets(tx) >= limits.secrets)
      return refuse("conflict", `the cluster has ${limits.secrets} secrets: remove some with 'skein secret rm' first`);
    const revision = (before?.revision ?? 0) + 1;
    setSecret(tx, { name, revision, key, sealed, setAt: context.at, setBy: context.by.name });
    context.changed({ topic: "secret", kind: "changed" });
    return accept({ name, revision });
  },
});
