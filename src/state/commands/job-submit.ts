import { z } from "zod";
import { assert } from "../../lib/assert.ts";
import { jobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { memoOfTexts } from "../../lib/memo.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { matchesSelector, parseSelector } from "../../lib/selector.ts";
import { command } from "../command.ts";
import { tasksIn } from "../shape.ts";
import { secretPlaces, secretsKey } from "../secrets.ts";
import { displayName, readSpec } from "../spec.ts";
import { countSubmitted, readCounter } from "../tables/counter.ts";
import { idempotencyOf, insertIdempotency } from "../tables/idempotency.ts";
import { insertJob, insertPinnedJob } from "../tables/job.ts";
import { allNodes } from "../tables/node.ts";
import { hasSecret, noteUses } from "../tables/secret.ts";
import { insertWaitingTask } from "../tables/task.ts";
import type { ReadTx } from "../tx.ts";
import type { NodeRow, Spec } from "../types.ts";
import { isNormalised, specSchema } from "./spec-schema.ts";

/** [name, tasks, spec as JSON, selector]: tasks 0 stands for each_node, and only then the selector is given. */
type JobPayload = readonly [name: string, tasks: number, spec: string, selector: string | null];

interface JobSubmitted {
  readonly jobs: readonly JobPayload[];
  /** null: none was given. */
  readonly key: string | null;
  /** Of the request's body: tells a repetition from another request under the same key. */
  readonly digest: string;
}

/** How many tasks a spec makes, 0 standing for each_node; false: it is no spec as one is logged. */
const tasksOfText = memoOfTexts((text): { readonly tasks: number } | false => {
  try {
    const spec: unknown = JSON.parse(text);
    return isNormalised(spec) && { tasks: tasksIn(spec) };
  } catch {
    return false; // not JSON: as bad as another shape
  }
});

const jobShape = z
  .tuple([z.string(), z.number().int().min(0).max(limits.arrayTasks), z.string(), z.string().nullable()])
  .refine(([, tasks, spec]) => {
    const made = tasksOfText(spec);
    return made !== false && made.tasks === tasks;
  });

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
      .max(limits.specsPerRequest, `at most ${limits.specsPerRequest} jobs a request`),
    key: z
      .string()
      .min(1)
      .max(limits.idempotencyKeyLength, `at most ${limits.idempotencyKeyLength} characters`)
      .optional(),
    digest: z.string().max(128).optional(),
  }),
  payload: z.strictObject({
    jobs: z.array(jobShape).min(1).max(limits.specsPerRequest),
    key: z.string().max(limits.idempotencyKeyLength).nullable(),
    digest: z.string().max(128),
  }),
  route: { method: "POST", path: "/v1/jobs", status: 201 },
  prepare: ({ jobs, key, digest }) => ({ jobs: jobs.map(payloadOf), key: key ?? null, digest: digest ?? "" }),
  apply(tx, { jobs, key, digest }, context) {
    if (key !== null) {
      const earlier = idempotencyOf(tx, context.by.token, key);
      if (earlier?.digest === digest)
        return accept({ first: jobId(earlier.first), count: earlier.count, repeated: true });
      if (earlier !== undefined) {
        return refuse(
          "conflict",
          `the idempotency key was used for another request (job ${earlier.first}): use a new key`,
        );
      }
    }
    const pinned = resolveEachNode(tx, jobs);
    if (!Array.isArray(pinned)) return pinned;
    const unknown = unknownSecrets(tx, jobs);
    if (unknown !== undefined) return unknown;
    const first = jobId(readCounter(tx).next_job);
    const { at } = context;
    const by = context.by.name;
    let tasks = 0;
    let id: number = first;
    for (const [name, count, spec] of jobs) {
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
      id += 1;
    }
    countSubmitted(tx, jobs.length, tasks);
    if (key !== null) insertIdempotency(tx, context.by.token, key, digest, first, jobs.length, at);
    context.changed({ topic: "job", kind: "added", first, count: jobs.length });
    return accept({ first, count: jobs.length, repeated: false });
  },
  audit: ({ jobs }, outcome) => {
    if (!outcome.ok) return jobs.length === 1 ? "1 job" : `${jobs.length} jobs`;
    const { first, count } = outcome.value;
    return count === 1 ? `job ${first}` : `jobs ${first}-${first + count - 1}`;
  },
});

function payloadOf(spec: Spec): JobPayload {
  const text = JSON.stringify(spec);
  return [displayName(spec), tasksIn(spec), text, spec.eachNode === true ? (spec.on ?? "") : null];
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
