import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { sourcesUsing } from "../tables/bundle-source.ts";
import { hasSecret, removeSecret, usesOf } from "../tables/secret.ts";
import { secretName } from "./shapes.ts";

interface SecretRemoved {
  readonly name: string;
  /** Also while unfinished jobs use it. */
  readonly force: boolean;
}

export const secretRm = command<SecretRemoved>()({
  name: "secret.rm",
  tag: 67,
  since: 3,
  right: "secrets:write",
  doc: "Removes a secret; refused while unfinished jobs use it or bundles are pinned with it, unless force says that these may fail.",
  // An URL's path is text, and so is whatever else a DELETE can say.
  input: z.strictObject({ secret: secretName, force: z.boolean({ error: "must be true or false" }).optional() }),
  payload: z.strictObject({ name: secretName, force: z.boolean() }),
  route: { method: "DELETE", path: "/v1/secrets/:secret", status: 200 },
  answer: z.object({ name: z.string(), jobs: z.array(z.int()) }),
  prepare: ({ secret, force }) => ({ name: secret, force: force === true }),
  audit: ({ name, force }) => `secret ${name}${force ? " (by force)" : ""}`,
  apply(tx, { name, force }, context) {
    if (!hasSecret(tx, name)) return refuse("not-found", `there is no secret ${name}`);
    const { count, jobs } = usesOf(tx, name, limits.secretJobsNamed);
    if (count > 0 && !force) {
      const more = count > jobs.length ? ` and ${count - jobs.length} more` : "";
      const message = `secret ${name} is used by unfinished jobs: ${jobs.join(", ")}${more}; wait for them, cancel them, or remove it by force, and their tasks fail`;
      return refuse("conflict", message);
    }
    const sources = sourcesUsing(tx, name, limits.secretJobsNamed);
    if (sources.length > 0 && !force) {
      const message = `secret ${name} is used where bundles are pinned by themselves: ${sources.join(", ")}; set these otherwise ('skein bundle git'), take them away ('skein bundle source rm'), or remove it by force, and they fail`;
      return refuse("conflict", message);
    }
    removeSecret(tx, name);
    context.changed({ topic: "secret", kind: "changed" });
    return accept({ name, jobs });
  },
});
