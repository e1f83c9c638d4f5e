import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { isHead, mayStaySilent, type HttpParts, type Route, route } from "./route.ts";
import { streamed } from "./streams.ts";

const query = z.strictObject({ consistency: z.enum(["linearizable", "stale"]).optional() });

/** The whole state as one file (lib/backup-file.ts), streamed. Whoever has it has what every member has but its keys. */
export function backupRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply, backupStallMs: stallMs = limits.backupStallMs } = parts;
  const contentType = "application/octet-stream";
  return [
    route(parts, {
      method: "GET",
      path: "/v1/backup",
      right: "cluster:write",
      doc: "A consistent copy of the whole state with a manifest, as one checksummed file; from any node. With consistency=stale also from one without a leader.",
      answers: contentType,
      query,
      async handle({ exchange, query }) {
        // Nobody reads what would be copied.
        if (isHead(exchange)) return reply.text("", contentType);
        mayStaySilent(exchange);
        const made = await node.backup(query.consistency === "stale");
        if (!made.ok) return reply.refusal(made.why);
        const backup = made.value;
        const source = async function* (signal: AbortSignal) {
          for (const piece of backup.pieces()) {
            // Its reader must not take a part for the whole.
            if (signal.aborted) throw new Error("this node stops, or nobody reads any more");
            yield piece;
          }
        };
        // There is one at a time: a reader who takes none of it must not keep everybody from theirs.
        return streamed(parts, exchange, contentType, source, { onEnd: () => backup.remove(), stallMs });
      },
    }),
  ];
}
