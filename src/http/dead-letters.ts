import { z } from "zod";
import { jobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, type Refusal, type RefusalCode } from "../lib/outcome.ts";
import type { ReplayView } from "../state/answers.ts";
import { type DeadJob, deadAfter, listDead } from "../state/dead.ts";
import type { Principal } from "../state/types.ts";
import { deadLettersAnswer } from "./job-answers.ts";
import { selector } from "./jobs.ts";
import { invalid } from "./problems.ts";
import { choose } from "./retry.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit, since } from "./shapes.ts";

const which = {
  name: z.string().max(limits.nameLength).optional(),
  label: selector.optional(),
  by: z.string().max(limits.nameLength).optional().describe("Who submitted them."),
  since: since.optional().describe("Failed since."),
};

const replayBody = z
  .strictObject({
    ids: z.array(z.int().positive()).min(1).max(limits.replayedPerRequest).optional(),
    all: z.literal(true, { error: "must be true" }).optional(),
    ...which,
    limit: z.int().min(1).max(limits.replayedPerRequest).optional().describe("So many at most; `next` goes on."),
    next,
  })
  .superRefine((body, context) => {
    const { ids, all, limit: _, next: __, ...filter } = body;
    const isFiltered = all === true || Object.values(filter).some((one) => one !== undefined);
    if (ids !== undefined && isFiltered)
      context.addIssue({ code: "custom", path: ["ids"], message: "goes not with all, name, label, by or since" });
    if (ids === undefined && !isFiltered)
      context.addIssue({
        code: "custom",
        message: "says of no dead letter that it is meant: give ids, all or a filter",
      });
  });

/** Jobs that have failed and were not run again, and how they are run again (state/dead.ts). */
export function deadLetterRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/dead-letters",
      right: "read",
      doc: "Jobs that have failed, with all retries that they had, and were not run again; newest first.",
      answer: deadLettersAnswer,
      query: z.strictObject({ ...which, limit: pageLimit, next, consistency }),
      async handle({ exchange, query }) {
        const { consistency, limit, next: mark, ...filter } = query;
        const before = mark === undefined ? undefined : readNumbers(mark, 1)?.[0];
        const read = await readState(parts, exchange, consistency, (tx) =>
          listDead(tx, { ...filter, limit: limit ?? limits.listDefault, before }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next: at } = read.value.value;
        return reply.json(
          { dead_letters: items, next: at === undefined ? undefined : writeNumbers(at) },
          read.value.index,
        );
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/dead-letters/replay",
      right: "jobs:write",
      doc: "Runs dead letters again, oldest first: those named by ids, all of them, or those that a filter fits; of each the tasks that did not succeed, as a new job. Each is run again once, however often it is asked for.",
      body: replayBody,
      answer: z.object({
        replayed: z.array(z.object({ id: z.int(), retry_of: z.int() })),
        refused: z.array(z.object({ id: z.int(), code: z.string(), message: z.string() })),
        next: z.string().optional(),
      }),
      async handle({ exchange, body, by }) {
        const { ids, all: _, limit, next: mark, ...filter } = body;
        const from = mark === undefined ? undefined : readNumbers(mark, 2);
        if (mark !== undefined && from === undefined)
          return reply.refusal(invalid([{ path: "next", message: "is no mark of an earlier answer" }], "the body").why);
        const read = await readState(parts, exchange, "linearizable", (tx) =>
          ids === undefined
            ? deadAfter(tx, {
                ...filter,
                limit: limit ?? limits.replayedPerRequest,
                after: from?.[0] ?? 0,
                last: from?.[1],
              })
            : { jobs: [...new Set(ids)].toSorted((a, b) => a - b).map((id) => ({ id, tasks: Infinity })) },
        );
        if (!read.ok) return reply.refusal(read.why);
        const { jobs } = read.value.value;
        const next = "next" in read.value.value ? read.value.value.next : undefined;
        const done = await replay(parts, jobs, by);
        const { replayed, refused, stopped, index } = done;
        if (stopped !== undefined && replayed.length === 0) return reply.refusal(stopped.why);
        const last = from?.[1] ?? next?.last ?? jobs.at(-1)?.id ?? 0;
        const at = stopped === undefined ? next : ids === undefined ? { after: stopped.after, last } : undefined;
        const missed = stopped === undefined || ids === undefined ? [] : jobs.filter(({ id }) => id > stopped.after);
        const view: ReplayView = {
          replayed,
          refused: [
            ...refused,
            ...missed.map(({ id }) => ({ id, ...wordsOf(stopped!.why.code, stopped!.why.message) })),
          ],
          ...(at === undefined ? {} : { next: writeNumbers(at.after, at.last) }),
        };
        return reply.json(view, index);
      },
    }),
  ];
}

interface Replayed {
  readonly replayed: ReplayView["replayed"][number][];
  readonly refused: ReplayView["refused"][number][];
  /** What ended it before its time, and the last job that was done. */
  readonly stopped: { readonly why: Refusal; readonly after: number } | undefined;
  readonly index: number | undefined;
}

/** In commands of some hundred; a limit or the loss of the leader ends it in between. */
async function replay(parts: HttpParts, jobs: readonly DeadJob[], by: Principal): Promise<Replayed> {
  const replayed: ReplayView["replayed"][number][] = [];
  const refused: ReplayView["refused"][number][] = [];
  let index: number | undefined;
  let after = (jobs[0]?.id ?? 1) - 1;
  for (let from = 0; from < jobs.length;) {
    const chosen: { id: ReturnType<typeof jobId>; tasks: string | null }[] = [];
    let characters = 0;
    let at = from;
    for (; at < jobs.length && chosen.length < limits.replayedPerCommand; at++) {
      const { id, tasks } = jobs[at]!;
      const picked = await tasksOf(parts, id, tasks);
      if (!picked.ok) {
        if (picked.why.code === "unavailable") return { replayed, refused, stopped: { why: picked.why, after }, index };
        refused.push({ id, code: picked.why.code, message: picked.why.message });
        continue;
      }
      characters += picked.value?.length ?? 0;
      if (characters > limits.pickTextLength && chosen.length > 0) break;
      chosen.push({ id: jobId(id), tasks: picked.value });
    }
    if (chosen.length > 0) {
      const outcome = await parts.node.propose("job.replay", { jobs: chosen }, by);
      if (!outcome.ok) return { replayed, refused, stopped: { why: outcome.why, after }, index };
      const { replayed: done, refused: not, left } = outcome.value.value;
      ({ index } = outcome.value);
      replayed.push(...done.map(([id, as]) => ({ id: as, retry_of: id })));
      refused.push(...not.map(([id, code]) => ({ id, ...wordsOf(code) })));
      // Too many rows for one command: the last ones of it are asked for again.
      if (left > 0) at = jobs.findIndex(({ id }) => id === chosen[chosen.length - left]!.id);
    }
    from = at;
    after = jobs[from - 1]?.id ?? after;
  }
  return { replayed, refused, stopped: undefined, index };
}

/** What of the job did not succeed, as ranges; null: its only task, or what apply will refuse. */
async function tasksOf(parts: HttpParts, id: number, tasks: number): Promise<Outcome<string | null>> {
  if (tasks === 1) return accept(null);
  const picked = await choose(parts, id, "unfinished");
  return picked.ok && picked.value === "" ? accept(null) : picked;
}

function wordsOf(code: RefusalCode, message?: string): { readonly code: string; readonly message: string } {
  if (message !== undefined) return { code, message };
  if (code === "not-found")
    return { code, message: "there is no such job: finished ones are forgotten after their ttl" };
  if (code === "gone") return { code, message: "it is no dead letter: it has not failed, or was run again" };
  if (code === "conflict")
    return { code, message: "its secret is not there any more, or its key is taken: `skein jobs retry` says which" };
  return { code, message: "it cannot be run again as it was" };
}

function writeNumbers(...numbers: readonly number[]): string {
  return numbers.map((one) => one.toString(36)).join(".");
}

/** undefined: it is none of ours. */
function readNumbers(text: string, count: number): number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== count || !parts.every((part) => /^[0-9a-z]{1,11}$/.test(part))) return undefined;
  const numbers = parts.map((part) => Number.parseInt(part, 36));
  return numbers.every(Number.isSafeInteger) ? numbers : undefined;
}
