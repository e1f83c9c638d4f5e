import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { formatDuration } from "../../lib/units.ts";
import { command } from "../command.ts";
import { versionsOf } from "../tables/bundle.ts";
import { bundleSource, countBundleSources, writeBundleSource } from "../tables/bundle-source.ts";
import { hasSecret } from "../tables/secret.ts";
import { bundleCopies, bundleName, gitLine } from "./bundle-schema.ts";
import { duration } from "./duration-schema.ts";
import { secretName } from "./shapes.ts";

interface SourceSet {
  readonly name: string;
  readonly url: string;
  readonly ref: string | null;
  readonly subdir: string | null;
  readonly key: string | null;
  readonly copies: number;
  readonly timeoutMs: number;
  readonly everyMs: number | null;
  readonly webhook: string | null;
}

const url = gitLine("the address of a repository")
  // What begins so is an option or a program to git.
  .refine((text) => !text.startsWith("-") && !/^ext::/i.test(text), "cannot be fetched from")
  .refine(
    (text) => text.startsWith("/") || /^[^/]+:/.test(text) || text.startsWith("-"),
    "is a path from a directory, and every node is in another one: write an address, or a path from /",
  )
  .refine(
    (text) => !/^([a-z+]+):\/\/[^/@]*:[^/@]*@/i.test(text) && !/^https?:\/\/[^/@]*@/i.test(text),
    "holds a password, which every node would keep and show: fetch by ssh, with a key that is a secret",
  );
const ref = gitLine("a branch, a tag or a commit").refine((text) => !text.startsWith("-"), "cannot be fetched");
const line = z.string().max(1024);

export const bundleSourceSet = command<SourceSet>()({
  name: "bundle.source.set",
  tag: 110,
  since: 3,
  right: "jobs:write",
  doc: "Has a bundle pinned from a git repository by itself: every so often, when a push is told of (webhook: the secret that it is signed with), or both.",
  input: z
    .strictObject({
      name: bundleName,
      url,
      ref: ref.optional(),
      subdir: gitLine("a directory in it").optional(),
      key: secretName.optional(),
      copies: bundleCopies.optional(),
      timeout: duration({ positive: true })
        .refine((ms) => ms <= limits.bundleCheckoutMostMs, "must be at most 1h")
        .optional(),
      every: duration({ positive: true })
        .refine(
          (ms) => ms >= limits.bundleSourceEveryMinMs,
          `must be ${formatDuration(limits.bundleSourceEveryMinMs)} at least`,
        )
        .optional(),
      webhook: secretName.optional(),
    })
    .refine(({ every, webhook }) => every !== undefined || webhook !== undefined, {
      path: ["every"],
      message: "say how often it is looked at, or which secret pushes are signed with (webhook)",
    }),
  payload: z.strictObject({
    name: bundleName,
    url: line,
    ref: line.nullable(),
    subdir: line.nullable(),
    key: secretName.nullable(),
    copies: bundleCopies,
    timeoutMs: z.int().positive().max(limits.bundleCheckoutMostMs),
    everyMs: z.int().min(limits.bundleSourceEveryMinMs).nullable(),
    webhook: secretName.nullable(),
  }),
  route: { method: "POST", path: "/v1/bundle-sources", status: 200 },
  answer: z.object({ name: z.string() }),
  prepare: ({ name, url: from, ...rest }) => ({
    name,
    url: from,
    ref: rest.ref ?? null,
    subdir: rest.subdir ?? null,
    key: rest.key ?? null,
    copies: rest.copies ?? limits.bundleCopies,
    timeoutMs: rest.timeout ?? limits.bundleCheckoutMs,
    everyMs: rest.every ?? null,
    webhook: rest.webhook ?? null,
  }),
  apply(tx, { timeoutMs, everyMs, ...given }, context) {
    const { name, key, webhook } = given;
    for (const secret of [key, webhook])
      if (secret !== null && !hasSecret(tx, secret))
        return refuse("not-found", `there is no secret ${secret}: set it first ('skein secret set')`);
    const before = bundleSource(tx, name);
    if (before === undefined && countBundleSources(tx) >= limits.bundleSources)
      return refuse(
        "conflict",
        `there are ${limits.bundleSources} already: remove some with 'skein bundle source rm' first`,
      );
    const { at, index, by } = context;
    // What is known of it holds for the same place of the same repository alone, and while what was pinned is there: whoever sets it anew wants it.
    const isSame = before?.url === given.url && before.ref === given.ref && before.subdir === given.subdir;
    const isThere = versionsOf(tx, name).some((one) => one.version === before?.version);
    const { commit_id, version, good_at } =
      isSame && isThere ? before : { commit_id: null, version: null, good_at: null };
    writeBundleSource(tx, {
      ...given,
      timeout_ms: timeoutMs,
      every_ms: everyMs,
      revision: index,
      set_at: at,
      set_by: by.name,
      due_at: at,
      asked: index,
      asked_by: by.name,
      commit_id,
      version,
      good_at,
      tried_at: null,
      tried_by: null,
      failed_at: null,
      failures: 0,
      failure: null,
    });
    context.changed({ topic: "bundle", kind: "source", name });
    return accept({ name });
  },
  audit: ({ name, url: from, ref: at }) => `bundle ${name} from ${from}${at === null ? "" : ` ${at}`}`,
});
