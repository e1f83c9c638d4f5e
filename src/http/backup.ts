import { z } from "zod";
import { mayStaySilent, type HttpParts, type Route, route } from "./route.ts";
import { streamed } from "./streams.ts";

const query = z.strictObject({ consistency: z.enum(["linearizable", "stale"]).optional() });

/** The whole state as one file (lib/backup-file.ts), streamed. Whoever has it has what every member has but its keys. */
export function backupRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/backup",
      right: "cluster:write",
      doc: "A consistent copy of the whole state with a manifest, as one checksummed file; from any node. With consistency=stale also from one without a leader.",
      answers: "application/octet-stream",
      query,
      async handle({ exchange, query }) {
        mayStaySilent(exchange);
        const made = await node.backup(query.consistency === "stale");
        if (!made.ok) return reply.refusal(made.why);
        const backup = made.value;
        const response = await streamed(parts, exchange, "application/octet-stream", async function* (signal) {
          try {
            for (const piece of backup.pieces()) {
              // Its reader must not take a part for the whole.
              if (signal.aborted) throw new Error("this node stops, or nobody reads any more");
              yield piece;
            }
          } finally {
            backup.remove();
          }
        });
        // Too many streams, or a reader who goes before the first piece: then nobody asks for any.
        if (!response.ok) backup.remove();
        exchange.req.raw.signal.addEventListener("abort", () => backup.remove(), { once: true });
        return response;
      },
    }),
  ];
}
