import type { SetScheduleView } from "../state/answers.ts";
import { queryText } from "./queries.ts";
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

function chunksOf<Item>(items: readonly Item[]): Item[][] {
  return Array.from({ length: Math.ceil(items.length / perRequest) }, (_, at) =>
    items.slice(at * perRequest, (at + 1) * perRequest),
  );
}
