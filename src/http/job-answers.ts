import { z } from "zod";
import { taskStates } from "../state/types.ts";

/** What the API says of jobs and tasks, for the documents (OpenAPI). Held to what is answered by test/http/answers.test.ts. */

const instant = z.string().describe("RFC 3339, UTC");
const jobState = z.enum(["queued", "running", "succeeded", "failed", "cancelled", "skipped"]);
const taskState = z.enum(taskStates);
const labels = z.record(z.string(), z.string());

/** Facts by name: what each was and what it is; null: there was none. */
export const factChanges = z.record(z.string(), z.tuple([z.string().nullable(), z.string().nullable()]));

/** A job. */
export const jobAnswer = z.object({
  id: z.int(),
  name: z.string(),
  state: jobState,
  cancelling: z.boolean().optional().describe("It was cancelled, and attempts of it have not ended yet."),
  held: z.literal(true).optional(),
  waits: z
    .object({
      held: z.literal(true).optional(),
      start_at: instant.optional(),
      after: z.int().optional().describe("So many jobs that it waits for have not ended."),
      key: z.string().optional(),
      pause: instant.optional().describe("Its next batch begins no earlier."),
      approval: z.int().optional().describe("The number of the batch that waits to be released."),
    })
    .optional()
    .describe("What keeps it from being planned."),
  batch: z
    .object({ now: z.int(), of: z.int(), first: z.int(), tasks: z.int() })
    .optional()
    .describe("The batch that runs or ran last, of how many, and its tasks from the first one on."),
  recap: z
    .object({
      hosts: z.object({ ok: z.int(), changed: z.int(), failed: z.int(), unreachable: z.int() }),
      tasks: z.object({ total: z.int(), ok: z.int(), failed: z.int() }),
      success_percent: z.int(),
    })
    .optional()
    .describe(
      "Of a playbook: what became of it over all hosts that have ended; changed are some of those that are ok.",
    ),
  partial: z.boolean().optional().describe("It has succeeded with failures that max_failures allows."),
  reason: z.string().optional(),
  counts: z.record(taskState, z.int()),
  submitted_at: instant,
  started_at: instant.nullable(),
  finished_at: instant.nullable(),
  submitted_by: z.string(),
  retry_of: z.int().optional(),
  retried_as: z.int().optional(),
  template: z.string().optional().describe("NAME@REVISION"),
  inventory: z.string().optional().describe("The inventory that its output is to be."),
  labels,
  spec: z.record(z.string(), z.unknown()),
});

const log = z
  .object({ bytes: z.int(), sha256: z.string(), nodes: z.array(z.int()).describe("Where it is.") })
  .nullable();

const end = {
  exit_code: z.int().nullable(),
  signal: z.string().nullable(),
  reason: z.string().optional(),
  node: z.int().nullable(),
  started_at: instant.nullable(),
  finished_at: instant.nullable(),
  log,
};

const attemptAnswer = z.object({ attempt: z.int(), state: taskState, ...end });

/** A task with its attempts. */
export const taskAnswer = z.object({
  job: z.int(),
  task: z.int(),
  index: z.int().optional().describe("SKEIN_INDEX"),
  matrix: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  target: z.string().optional().describe("SKEIN_TARGET"),
  state: taskState,
  ...end,
  attempt: z.int().describe("0: none was begun."),
  attempts: z.array(attemptAnswer),
  queued_at: instant,
  tail: z.string().describe("The end of the output, both streams in order of arrival."),
  tail_dropped: z.boolean().optional(),
  success_percent: z
    .int()
    .optional()
    .describe("Of a playbook: how many in a hundred of the tasks that were this host's to do went well."),
});

const next = z.string().optional().describe("Goes on after what is listed; absent at the end.");

/** GET /v1/jobs */
export const jobsAnswer = z.object({ jobs: z.array(jobAnswer), next });

/** GET /v1/jobs/:id/tasks */
export const tasksAnswer = z.object({ tasks: z.array(taskAnswer), next });

/** GET /v1/results */
export const resultsAnswer = z.object({
  results: z.array(
    taskAnswer.extend({
      name: z.string().describe("Of the job."),
      facts_changed: factChanges
        .optional()
        .describe("Facts of the target that the job found to be other than before: what each was and what it is."),
    }),
  ),
  next,
});

/** POST /v1/jobs/wait */
export const waitAnswer = z.object({
  finished: z.boolean(),
  jobs: z.array(z.object({ id: z.int(), state: jobState })),
  forgotten: z.array(z.int()).optional(),
});

const deadLetter = z.object({
  id: z.int(),
  name: z.string(),
  tasks: z.int(),
  failed: z.int(),
  submitted_at: instant,
  finished_at: instant,
  submitted_by: z.string(),
  labels,
  reason: z.string().optional(),
  example: z
    .object({
      task: z.int(),
      state: taskState,
      attempts: z.int(),
      node: z.int().nullable(),
      exit_code: z.int().nullable(),
      signal: z.string().nullable(),
      reason: z.string().optional(),
    })
    .optional(),
});

/** GET /v1/dead-letters */
export const deadLettersAnswer = z.object({ dead_letters: z.array(deadLetter), next });

const template = {
  name: z.string(),
  revision: z.int(),
  description: z.string().optional(),
  parameters: z.record(z.string(), z.unknown()),
  set_at: instant,
  set_by: z.string(),
};

/** GET /v1/templates */
export const templatesAnswer = z.object({ templates: z.array(z.object(template)), next });

/** GET /v1/templates/:template */
export const templateAnswer = z.object({ ...template, spec: z.record(z.string(), z.unknown()) });
