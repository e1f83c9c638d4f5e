import type { ReplayView } from "../state/answers.ts";
import type { DeadQuery } from "./queries.ts";
import type { Transport } from "./transport.ts";

const idsPerRequest = 1_000;

/** POST /v1/dead-letters/replay until there are no more; see SkeinClient.replay. */
export async function replayDeadLetters(
  transport: Transport,
  which: DeadQuery | { readonly ids: readonly number[] },
  signal: AbortSignal | undefined,
): Promise<Omit<ReplayView, "next">> {
  const replayed: ReplayView["replayed"][number][] = [];
  const refused: ReplayView["refused"][number][] = [];
  const asks = "ids" in which ? chunksOf(which.ids, idsPerRequest).map((ids) => ({ ids })) : [{ all: true, ...which }];
  for (const ask of asks) {
    let next: string | undefined;
    do {
      const { value }: { readonly value: ReplayView } = await transport.json<ReplayView>({
        method: "POST",
        path: "/v1/dead-letters/replay",
        body: JSON.stringify({ ...ask, next }),
        // What was run again is no dead letter any more.
        repeat: "freely",
        timeoutMs: 60_000,
        signal,
      });
      replayed.push(...value.replayed);
      refused.push(...value.refused);
      next = value.next;
    } while (next !== undefined);
  }
  return { replayed, refused };
}

function chunksOf<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));
}
