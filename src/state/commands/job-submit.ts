import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { memoOfTexts } from "../../lib/memo.ts";
import { accept } from "../../lib/outcome.ts";
import { addJobs, type NewJob, newJob } from "../adding.ts";
import { command } from "../command.ts";
import {
  ansibleLevel,
  batchLevel,
  bundleLevel,
  gateLevel,
  inventoryLevel,
  resourceLevel,
  runningLevel,
  shapeLevel,
  targetLevel,
  unitLevel,
} from "../levels.ts";
import { tasksIn } from "../shape.ts";
import { isGated, readSpec } from "../spec.ts";
import { insertIdempotency } from "../tables/idempotency.ts";
import { earlierUnder } from "../under-key.ts";
import type { Spec } from "../types.ts";
import { placesByName, placesOf, refuseBadLinks, whenList } from "./after-schema.ts";
import { count, idempotencyKey } from "./shapes.ts";
import { isNormalised, specSchema } from "./spec-schema.ts";
import { targetLists } from "./target-schema.ts";

interface JobSubmitted {
  readonly jobs: readonly NewJob[];
  /** null: none was given. */
  readonly key: string | null;
  /** What the jobs were made of: NAME@REVISION. */
  readonly template?: string;
  /** Whose key it is, where it is not the token's: those of an API that has one set of names for all of its callers (http/distribute.ts). Since level 3. */
  readonly owner?: string;
  /** What specs name as their targets and the state may not have: each list's digest, and its names joined by newlines (tables/target.ts). */
  readonly lists?: readonly (readonly [hash: string, names: string])[];
  readonly gathers?: true;
  /** Of the request's body: tells a repetition from another request under the same key. */
  readonly digest: string;
}

/** What a spec's text has to agree with: how many tasks it makes, 0 standing for each_node, and how many places; false: it is no spec as one is logged. */
const madeBy = memoOfTexts((text): { readonly tasks: number; readonly places: number | undefined } | false => {
  try {
    const spec: unknown = JSON.parse(text);
    if (!isNormalised(spec)) return false;
    const named = (spec.after ?? []).filter(({ job }) => typeof job === "string");
    return { tasks: tasksIn(spec), places: isGated(spec) ? named.length : undefined };
  } catch {
    return false; // not JSON: as bad as another shape
  }
});

export const jobShape = z
  .tuple([
    z.string(),
    z.number().int().min(0).max(limits.arrayTasks),
    z.string(),
    z.string().nullable(),
    z.array(count.max(limits.specsPerRequest)).max(limits.afterPerJob).optional(),
  ])
  .refine(([, tasks, spec, , places]) => {
    const made = madeBy(spec);
    return made !== false && made.tasks === tasks && made.places === places?.length;
  });

/** So many jobs are checked at once. */
const jobsAtOnce = 32;

/** The same request with a few of its jobs at a time, then with one of its lists at a time: none of them is judged by another. */
function* partsOf(payload: unknown): Iterable<unknown> {
  const { lists, ...rest } = (payload ?? {}) as { readonly jobs?: unknown; readonly lists?: unknown };
  const { jobs } = rest;
  const isList = Array.isArray(jobs) && jobs.length <= limits.specsPerRequest;
  if (!isList || (jobs.length <= jobsAtOnce && lists === undefined) || !Array.isArray(lists ?? [])) {
    yield payload;
    return;
  }
  for (let from = 0; from < jobs.length; from += jobsAtOnce)
    yield { ...rest, jobs: jobs.slice(from, from + jobsAtOnce) };
  for (const list of (lists ?? []) as readonly unknown[]) yield { ...rest, jobs: jobs.slice(0, 1), lists: [list] };
}

export const jobSubmit = command<JobSubmitted>()({
  name: "job.submit",
  tag: 10,
  since: 1,
  right: "jobs:write",
  doc: "Adds jobs, all or none; a repeated key returns the first ones.",
  input: z.strictObject({
    jobs: z
      .array(specSchema)
      .min(1, "needs at least one job")
      .max(limits.specsPerRequest, `at most ${limits.specsPerRequest} jobs a request`)
      .superRefine(refuseBadLinks, whenList),
    key: idempotencyKey.optional(),
    digest: z.string().max(128).optional(),
    /** NAME@REVISION of the template that the jobs are made of (http/templates.ts); nothing that a person sends. */
    template: z.string().max(300).optional(),
    /** Whose key it is; nothing that a person sends either. */
    owner: z.string().min(1).max(128).optional(),
    /** The names of the specs' targets (state/targets.ts), which whoever was asked has found; nothing that a person sends either. */
    lists: z.array(z.tuple([z.string(), z.string()])).optional(),
    /** What its jobs print are facts of their targets (lib/facts.ts); nothing that a person sends. */
    gathers: z.literal(true).optional(),
  }),
  payload: z.strictObject({
    jobs: z.array(jobShape).min(1).max(limits.specsPerRequest),
    key: z.string().max(limits.idempotencyKeyLength).nullable(),
    digest: z.string().max(128),
    template: z.string().max(300).exactOptional(),
    owner: z.string().min(1).max(128).exactOptional(),
    lists: targetLists.exactOptional(),
    gathers: z.literal(true).exactOptional(),
  }),
  parts: partsOf,
  route: { method: "POST", path: "/v1/jobs", status: 201 },
  answer: z.union([
    z.object({ id: z.int() }).describe("Of one spec."),
    z.object({ ids: z.array(z.int()) }).describe("Of many, in their order."),
  ]),
  prepare: ({ jobs, key, digest, template, owner, lists, gathers }) => ({
    jobs: payloadsOf(jobs),
    key: key ?? null,
    digest: digest ?? "",
    ...(template === undefined ? {} : { template }),
    ...(owner === undefined ? {} : { owner }),
    ...(lists === undefined || lists.length === 0 ? {} : { lists }),
    ...(gathers === undefined ? {} : { gathers }),
  }),
  adds: ({ jobs }) => jobs.length,
  needs: ({ jobs, template, owner, gathers }) =>
    Math.max(
      gathers === undefined ? 1 : inventoryLevel,
      template === undefined ? 1 : shapeLevel,
      owner === undefined ? 1 : targetLevel,
      ...jobs.map(levelOf),
    ),
  apply(tx, { jobs, key, digest, template, owner, lists = [], gathers }, context) {
    const keys = owner ?? context.by.token;
    if (key !== null) {
      const earlier = earlierUnder(tx, keys, key, digest);
      if (earlier !== undefined) return earlier;
    }
    const added = addJobs(
      tx,
      {
        jobs,
        names: new Map(lists),
        origin: template === undefined ? undefined : { template },
        gathers: gathers === true,
        by: context.by.name,
        added: (first) => {
          if (key !== null) insertIdempotency(tx, keys, key, digest, first, jobs.length, context.at);
        },
      },
      context,
    );
    return added.ok ? accept({ ...added.value, repeated: false }) : added;
  },
  audit: ({ jobs }, outcome) => {
    if (!outcome.ok) return jobs.length === 1 ? "1 job" : `${jobs.length} jobs`;
    const { first, count } = outcome.value;
    return count === 1 ? `job ${first}` : `jobs ${first}-${first + count - 1}`;
  },
});

function levelOf([, , text, , places]: NewJob): number {
  const spec = readSpec(text);
  const { array, matrix, targets, resources, unit, batch, bundle } = spec;
  const shape = array === undefined && matrix === undefined ? 1 : shapeLevel;
  const running = spec.http ?? spec.user ?? spec.limits ?? spec.secrets;
  return Math.max(
    shape,
    places === undefined ? 1 : gateLevel,
    resources === undefined ? 1 : resourceLevel,
    running === undefined && spec.driver !== "ssh" ? 1 : runningLevel,
    unit === undefined ? 1 : unitLevel,
    targets === undefined ? 1 : targetLevel,
    targets?.inventories === undefined ? 1 : inventoryLevel,
    batch === undefined ? 1 : batchLevel,
    spec.ansible === undefined ? 1 : ansibleLevel,
    bundle === undefined ? 1 : bundleLevel,
  );
}

function payloadsOf(jobs: readonly Spec[]): NewJob[] {
  let places: ReadonlyMap<string, number> | undefined;
  return jobs.map((spec) => newJob(spec, () => placesOf(spec.after ?? [], (places ??= placesByName(jobs)))));
}
