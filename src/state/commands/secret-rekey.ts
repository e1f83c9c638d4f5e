import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { authorities } from "../tables/authority.ts";
import { resealSecret, secretByName } from "../tables/secret.ts";
import { fingerprintShape, sealedShape, secretName } from "./shapes.ts";

interface SecretsRekeyed {
  /** The key that they are encrypted with now. */
  readonly key: string;
  /** `was`: the nonce of what stood there before, which is never used twice. */
  readonly secrets: readonly { readonly name: string; readonly was: Uint8Array; readonly sealed: Uint8Array }[];
}

const nonce = z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === 12, "must be 12 bytes");

const shape = z.strictObject({
  key: fingerprintShape,
  secrets: z
    .array(z.strictObject({ name: secretName, was: nonce, sealed: sealedShape }))
    .min(1)
    .max(limits.secretsPerEntry),
});

export const secretRekey = command<SecretsRekeyed>()({
  name: "secret.rekey",
  tag: 68,
  since: 3,
  right: "internal",
  doc: "The leader has encrypted secrets with a new key, because somebody who knew the one before is no member any more (K1); one that was set meanwhile is passed over.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ key, secrets }) => `${secrets.length} secrets: authority ${key}`,
  apply(tx, { key, secrets }) {
    if (!authorities(tx).some((row) => row.fingerprint === key && row.phase !== "leaving"))
      return accept({ rekeyed: 0 });
    let rekeyed = 0;
    for (const { name, was, sealed } of secrets) {
      const present = secretByName(tx, name);
      if (present === undefined || !was.every((byte, at) => present.sealed[at] === byte)) continue;
      resealSecret(tx, name, key, sealed);
      rekeyed += 1;
    }
    return accept({ rekeyed });
  },
});
