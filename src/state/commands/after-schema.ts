import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import type { After, Spec } from "../types.ts";
import { nameShape } from "./shapes.ts";

/** Reads `after` of a spec, and what the jobs of one request say of each other in it: names, and that nobody waits for himself. */

const form = `must be a job's id, the name of a job of the same request, or {job: 17, when: succeeded|failed|done}`;
const reference = z.union([z.int().positive(), nameShape], { error: form });

const entry = z.union(
  [
    reference.transform((job): After => ({ job })),
    z
      .strictObject({ job: reference, when: z.enum(["succeeded", "failed", "done"]).optional() })
      .transform(({ job, when }): After => (when === undefined || when === "succeeded" ? { job } : { job, when })),
  ],
  { error: form },
);

export const afterShape = z
  .array(entry, { error: `must be a list: [17, {job: 18, when: failed}]` })
  .min(1, "must not be empty")
  .max(limits.afterPerJob, `at most ${limits.afterPerJob} jobs`)
  .superRefine((list, context) => {
    const seen = new Set<number | string>();
    for (const [at, { job }] of list.entries()) {
      if (seen.has(job)) context.addIssue({ code: "custom", path: [at], message: `names ${job} a second time` });
      seen.add(job);
    }
  });

/** The same as it stands in a payload. */
export const normalisedAfter = z
  .array(
    z.strictObject({
      job: z.union([z.int().positive(), z.string().min(1).max(limits.nameLength)]),
      when: z.enum(["failed", "done"]).exactOptional(),
    }),
  )
  .min(1)
  .max(limits.afterPerJob);

/** Where the jobs stand in the request that the `after` of one of them names, in its order. Names must have been checked. */
export function placesOf(after: readonly After[], places: ReadonlyMap<string, number>): number[] {
  return after.flatMap(({ job }) => (typeof job === "string" ? places.get(job)! : []));
}

/** Names of a request's jobs and where they stand. Of a name that several have the first one. */
export function placesByName(jobs: readonly Spec[]): ReadonlyMap<string, number> {
  const places = new Map<string, number>();
  for (const [at, { name }] of jobs.entries()) if (name !== undefined && !places.has(name)) places.set(name, at);
  return places;
}

interface Problem {
  readonly path: PropertyKey[];
  readonly message: string;
}

/** What is wrong with the names in `after` over a whole request. Specs that could not be read are passed over: they have problems of their own. */
function problemsBetween(jobs: readonly unknown[]): Problem[] {
  const specs = jobs.map((job) => (typeof job === "object" && job !== null ? (job as Spec) : {}));
  if (specs.every(({ after }) => after === undefined)) return [];
  const problems: Problem[] = [];
  const total = specs.reduce((sum, { after }) => sum + (after?.length ?? 0), 0);
  if (total > limits.afterPerRequest)
    problems.push({
      path: [],
      message: `wait for ${total} jobs together: at most ${limits.afterPerRequest} a request`,
    });
  const places = placesByName(specs);
  const often = new Set<string>();
  const once = new Set<string>();
  for (const { name } of specs) {
    if (name === undefined) continue;
    if (once.has(name)) often.add(name);
    once.add(name);
  }
  for (const [at, { after = [] }] of specs.entries()) {
    for (const [position, { job }] of after.entries()) {
      if (typeof job !== "string") continue;
      const path = [at, "after", position];
      if (!places.has(job)) problems.push({ path, message: `no job of this request has the name "${job}"` });
      else if (often.has(job)) problems.push({ path, message: `several jobs of this request have the name "${job}"` });
    }
  }
  const cycle = cycleIn(specs, places);
  if (cycle !== undefined) {
    const names = [...cycle.slice(0, cycleNames), cycle[0]!].map((at) => `"${specs[at]!.name}"`);
    const more = cycle.length - cycleNames;
    if (more > 0) names.splice(-1, 0, `${more} more`);
    problems.push({ path: [cycle[0]!, "after"], message: `these wait for each other: ${names.join(" after ")}` });
  }
  return problems;
}

/** So many of a circle are named. */
const cycleNames = 20;

/** Places of jobs that wait for each other in a circle, without recursion: a request may be one chain. */
function cycleIn(specs: readonly Spec[], places: ReadonlyMap<string, number>): number[] | undefined {
  const parents = specs.map(({ after = [] }) =>
    after.flatMap(({ job }) => (typeof job === "string" ? (places.get(job) ?? []) : [])),
  );
  const state: ("new" | "open" | "done")[] = specs.map(() => "new");
  for (const start of specs.keys()) {
    if (state[start] !== "new") continue;
    const way: { readonly at: number; next: number }[] = [{ at: start, next: 0 }];
    state[start] = "open";
    while (way.length > 0) {
      const last = way.at(-1)!;
      const parent = parents[last.at]![last.next++];
      if (parent === undefined) {
        state[last.at] = "done";
        way.pop();
      } else if (state[parent] === "open") {
        const from = way.findIndex(({ at }) => at === parent);
        return way.slice(from).map(({ at }) => at);
      } else if (state[parent] === "new") {
        state[parent] = "open";
        way.push({ at: parent, next: 0 });
      }
    }
  }
  return undefined;
}

/** The name and the links of a spec that is refused for something else; what cannot be read of them is left out. */
export function linksOf(raw: unknown): Spec {
  const { name, after } = (raw ?? {}) as { readonly name?: unknown; readonly after?: unknown };
  const links = afterShape.safeParse(after);
  return { ...(typeof name === "string" ? { name } : {}), ...(links.success ? { after: links.data } : {}) };
}

/** For the list of a request's jobs; also where some of them could not be read, so that every problem is told at once. */
export function refuseBadLinks(jobs: readonly Spec[], context: z.RefinementCtx): void {
  for (const problem of problemsBetween(jobs)) context.addIssue({ code: "custom", ...problem });
}

/** When {@link refuseBadLinks} has something to look at. */
export const whenList = { when: ({ value }: { readonly value: unknown }): boolean => Array.isArray(value) };
