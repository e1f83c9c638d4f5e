import { abreast } from "../lib/abreast.ts";
import type { ScheduleView, SetScheduleView } from "../state/answers.ts";
import { queryText, type ScheduleQuery } from "./queries.ts";
import type { ScheduleSpec } from "./schedule-spec.ts";
import type { Transport } from "./transport.ts";

/** All or none of so many. */
const perRequest = 1_000;

/** Sets schedules, in as many requests as it takes. Setting the same again changes nothing, so a request may be repeated, unless none may be there yet. */
export async function setSchedules(
  transport: Transport,
  specs: readonly ScheduleSpec[],
  onlyNew: boolean,
): Promise<SetScheduleView[]> {
  const set: SetScheduleView[] = [];
  for (const schedules of chunksOf(specs)) {
    const { value } = await transport.json<{ schedules: readonly SetScheduleView[] }>({
      method: "POST",
      path: `/v1/schedules${queryText({ only_new: onlyNew ? true : undefined })}`,
      body: JSON.stringify({ schedules }),
      repeat: onlyNew ? "unless-sent" : "freely",
      timeoutMs: 60_000,
    });
    set.push(...value.schedules);
  }
  return set;
}

/** Asks the same of so many schedules by their names; gives of how many it was true. */
export async function changeSchedules(
  transport: Transport,
  what: "pause" | "resume" | "remove",
  names: readonly string[],
): Promise<number> {
  let count = 0;
  for (const some of chunksOf(names)) {
    const { value } = await transport.json<{ changed?: number; removed?: number }>({
      method: "POST",
      path: `/v1/schedules/${what}`,
      body: JSON.stringify({ names: some }),
      repeat: what === "remove" ? "unless-sent" : "freely",
      timeoutMs: 60_000,
    });
    count += value.changed ?? value.removed ?? 0;
  }
  return count;
}

/** With their jobs, page by page. */
export async function* everySchedule(
  transport: Transport,
  query: Omit<ScheduleQuery, "next">,
): AsyncGenerator<ScheduleView, void, undefined> {
  let next: string | undefined;
  do {
    const { value } = await transport.json<{ schedules: readonly ScheduleView[]; next?: string }>({
      method: "GET",
      path: `/v1/schedules${queryText({ limit: perRequest, ...query, jobs: true, next })}`,
      repeat: "freely",
      timeoutMs: 60_000,
    });
    yield* value.schedules;
    ({ next } = value);
  } while (next !== undefined);
}

/** What the address of a request may hold. */
const namesPerRequest = 100;
const namesAtOnce = 4;

/** With their jobs; some requests at a time. */
export async function schedulesNamed(transport: Transport, names: readonly string[]): Promise<ScheduleView[]> {
  const found: ScheduleView[] = [];
  await abreast(chunksOf(names, namesPerRequest), namesAtOnce, async (some) => {
    for await (const view of everySchedule(transport, { names: some.join() })) found.push(view);
  });
  return found;
}

function chunksOf<Item>(items: readonly Item[], most = perRequest): Item[][] {
  return Array.from({ length: Math.ceil(items.length / most) }, (_, at) => items.slice(at * most, (at + 1) * most));
}
