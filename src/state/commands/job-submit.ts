import { z } from "zod";
import { assert } from "../../lib/assert.ts";
import { jobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { memoOfTexts } from "../../lib/memo.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { matchesSelector, parseSelector } from "../../lib/selector.ts";
import { command } from "../command.ts";
import { bundleKey, bundleMissing } from "../bundles.ts";
import { type Asked, readGated, shutGates } from "../gating.ts";
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
import { secretPlaces, secretsKey } from "../secrets.ts";
import { displayName, isGated, readSpec } from "../spec.ts";
import { useBundle } from "../tables/bundle.ts";
import { countSubmitted, readCounter } from "../tables/counter.ts";
import { insertIdempotency } from "../tables/idempotency.ts";
import { insertJob, insertPinnedJob, noteOrigin } from "../tables/job.ts";
import { allNodes } from "../tables/node.ts";
import { addFactJob } from "../tables/fact.ts";
import { addContentOf, hasContent } from "../tables/inventory.ts";
import { hasSecret, noteUses } from "../tables/secret.ts";
import { addJobOf, insertTargets, targetCount } from "../tables/target.ts";
import { insertWaitingTask } from "../tables/task.ts";
import { targetsKey } from "../targets.ts";
import { earlierUnder } from "../under-key.ts";
import type { ReadTx, Tx } from "../tx.ts";
import type { NodeRow, Spec } from "../types.ts";
import { placesByName, placesOf, refuseBadLinks, whenList } from "./after-schema.ts";
import { count, idempotencyKey } from "./shapes.ts";
import { isNormalised, specSchema } from "./spec-schema.ts";
import { targetLists } from "./target-schema.ts";

/**
 * [name, tasks, spec as JSON, selector, places]: tasks 0 stands for each_node, and only then the selector is given. The places are there only for
 * a job that waits for more than a node (gates.ts): where in the request the jobs stand that its `after` names.
 */
type JobPayload = readonly [
  name: string,
  tasks: number,
  spec: string,
  selector: string | null,
  places?: readonly number[] | undefined,
];

interface JobSubmitted {
  readonly jobs: readonly JobPayload[];
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

const jobShape = z
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
    const pinned = resolveEachNode(tx, jobs);
    if (!Array.isArray(pinned)) return pinned;
    const unknown = unknownSecrets(tx, jobs);
    if (unknown !== undefined) return unknown;
    const treeless = unknownBundles(tx, jobs);
    if (treeless !== undefined) return treeless;
    const alone = copiesOfOne(tx, jobs);
    if (alone !== undefined) return alone;
    const names = new Map(lists);
    const listless = unknownTargets(tx, jobs, names);
    if (listless !== undefined) return listless;
    const first = jobId(readCounter(tx).next_job);
    const { at } = context;
    const gated = readGated(tx, asked(jobs), first, at);
    if ("ok" in gated) return gated;
    const by = context.by.name;
    let tasks = 0;
    let id: number = first;
    for (const [name, count, text] of jobs) {
      const spec = gated.size === 0 ? text : (gated.get(id - first)?.text ?? text);
      if (count > 0) {
        insertJob(tx, id, name, count, at, by, spec);
        tasks += count;
      } else {
        const nodes: NodeRow[] | undefined = pinned.shift();
        assert(nodes !== undefined, "each each_node job has its list of nodes");
        insertPinnedJob(tx, id, name, nodes.length, at, by, spec);
        nodes.forEach((node, task) => insertWaitingTask(tx, id, task, node.id, node.name));
        tasks += nodes.length;
      }
      if (spec.includes(secretsKey)) noteUses(tx, id, readSpec(spec));
      if (spec.includes(bundleKey)) noteBundle(tx, readSpec(spec));
      if (spec.includes(targetsKey)) noteTargets(tx, id, readSpec(spec), names, at);
      if (template !== undefined) noteOrigin(tx, id, { template });
      if (gathers === true) addFactJob(tx, id);
      id += 1;
    }
    countSubmitted(tx, by, jobs.length, tasks);
    if (key !== null) insertIdempotency(tx, keys, key, digest, first, jobs.length, at);
    context.changed({ topic: "job", kind: "added", first, count: jobs.length });
    if (gated.size > 0) shutGates(tx, context, gated.values());
    return accept({ first, count: jobs.length, repeated: false });
  },
  audit: ({ jobs }, outcome) => {
    if (!outcome.ok) return jobs.length === 1 ? "1 job" : `${jobs.length} jobs`;
    const { first, count } = outcome.value;
    return count === 1 ? `job ${first}` : `jobs ${first}-${first + count - 1}`;
  },
});

function levelOf([, , text, , places]: JobPayload): number {
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

function payloadsOf(jobs: readonly Spec[]): JobPayload[] {
  assert(
    jobs.every(({ targets }) => targets === undefined || targets.count > 0),
    "what stands for targets was looked up before (state/targets.ts)",
  );
  assert(
    jobs.every(({ bundle }) => bundle?.digest !== ""),
    "what the names of bundles stand for was looked up before (state/bundles.ts)",
  );
  let places: ReadonlyMap<string, number> | undefined;
  return jobs.map((spec) => {
    const text = JSON.stringify(spec);
    const selector = spec.eachNode === true ? (spec.on ?? "") : null;
    if (!isGated(spec)) return [displayName(spec), tasksIn(spec), text, selector];
    return [
      displayName(spec),
      tasksIn(spec),
      text,
      selector,
      placesOf(spec.after ?? [], (places ??= placesByName(jobs))),
    ];
  });
}

function* asked(jobs: readonly JobPayload[]): Generator<Asked> {
  for (const [, , spec, , places] of jobs) yield { spec, places };
}

/** Refuses jobs that name a secret that is not there: they would fail one by one, when nobody looks any more. */
function unknownSecrets(tx: ReadTx, jobs: readonly JobPayload[]): ReturnType<typeof refuse> | undefined {
  const details = jobs.flatMap(([, , spec], position) =>
    spec.includes(secretsKey)
      ? secretPlaces(readSpec(spec))
          .filter(({ secret }) => !hasSecret(tx, secret))
          .map(({ path, secret }) => ({ path: `jobs[${position}].${path}`, message: `there is no secret ${secret}` }))
      : [],
  );
  if (details.length === 0) return undefined;
  return refuse("invalid", `${details[0]!.message}: set it first ('skein secret set')`, { details });
}

/** Refuses jobs whose bundle is gone since its name was looked up. */
function unknownBundles(tx: ReadTx, jobs: readonly JobPayload[]): ReturnType<typeof refuse> | undefined {
  for (const [position, [, , text]] of jobs.entries()) {
    const missing = text.includes(bundleKey) ? bundleMissing(tx, readSpec(text)) : undefined;
    if (missing === undefined) continue;
    const message = `there is no bundle of sha256:${missing} any more`;
    return refuse("conflict", `${message}: push it, and submit it again`, {
      details: [{ path: `jobs[${position}].bundle`, message }],
    });
  }
  return undefined;
}

/** The job, which has just come, has its bundle until it has finished. */
function noteBundle(tx: Tx, { bundle }: Spec): void {
  if (bundle !== undefined) useBundle(tx, bundle.digest);
}

/**
 * Refuses jobs whose targets are in no list that came with them or that the state has: a list that was known when it was left out may be gone by now. Whoever
 * submits sends it then.
 */
function unknownTargets(
  tx: ReadTx,
  jobs: readonly JobPayload[],
  names: ReadonlyMap<string, string>,
): ReturnType<typeof refuse> | undefined {
  const counts = new Map<string, number | undefined>();
  for (const [position, [, , text]] of jobs.entries()) {
    const targets = text.includes(targetsKey) ? readSpec(text).targets : undefined;
    if (targets === undefined) continue;
    const { list, count, inventories = [] } = targets;
    if (!inventories.every((content) => hasContent(tx, content))) {
      const message = "an inventory of its targets is not there any more";
      return refuse("conflict", `${message}: submit it again`, {
        details: [{ path: `jobs[${position}].targets`, message }],
      });
    }
    if (!counts.has(list)) counts.set(list, targetCount(tx, list) ?? linesIn(names.get(list)));
    const known = counts.get(list);
    if (known === count) continue;
    const message =
      known === undefined ? "the names of its targets are not there" : `has ${count} targets and ${known} names`;
    return refuse("conflict", `${message}: submit it again`, {
      details: [{ path: `jobs[${position}].targets`, message }],
    });
  }
  return undefined;
}

function linesIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  let lines = 1;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}

/** The job is about the targets of its list, which is written with the first job that has it. */
function noteTargets(tx: Tx, id: number, { targets }: Spec, names: ReadonlyMap<string, string>, at: number): void {
  if (targets === undefined) return;
  const { list } = targets;
  const given = names.get(list);
  if (given !== undefined && targetCount(tx, list) === undefined) insertTargets(tx, list, given);
  addJobOf(tx, list, id);
  for (const content of targets.inventories ?? []) addContentOf(tx, content, id, at);
}

/** Refuses jobs whose output is to be on two disks before they finish, where there is one node: nobody could ever take the copy. */
function copiesOfOne(tx: ReadTx, jobs: readonly JobPayload[]): ReturnType<typeof refuse> | undefined {
  const synced = jobs.flatMap(([, , spec], position) =>
    spec.includes(syncKey) && readSpec(spec).output?.sync === true ? [position] : [],
  );
  if (synced.length === 0 || allNodes(tx).length > 1) return undefined;
  const message =
    "this cluster has one node, and a second one to hold the copy is needed: leave sync out, or join a node";
  const details = synced.map((position) => ({ path: `jobs[${position}].output.sync`, message }));
  return refuse("invalid", message, { details });
}

/** As it stands in the text of a spec that may have it. */
const syncKey = '"sync":true';

/** The nodes of every each_node job, frozen now; a refusal when one of them has none. Nothing is read when there is no such job. */
function resolveEachNode(tx: ReadTx, jobs: readonly JobPayload[]): NodeRow[][] | ReturnType<typeof refuse> {
  const lists: NodeRow[][] = [];
  let up: NodeRow[] | undefined;
  for (const [position, [, count, , selector]] of jobs.entries()) {
    if (count > 0) continue;
    // One that was let in and has not said where it is may never come.
    up ??= allNodes(tx).filter((node) => node.state === "up" && node.api !== "");
    const terms = parseSelector(selector ?? "");
    const nodes = typeof terms === "string" ? [] : up.filter((node) => matchesSelector(terms, node.labels));
    if (nodes.length === 0) {
      const message = selector === "" ? "no node is up" : `no node that is up matches "${selector}"`;
      return refuse("invalid", `each_node: ${message}`, { details: [{ path: `jobs[${position}].on`, message }] });
    }
    lists.push(nodes);
  }
  return lists;
}
