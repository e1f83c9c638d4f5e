import { type HttpParts, type Route, route } from "./route.ts";

/** For supervisors and load balancers; no token. */
export function healthRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  const ready = (): Response => {
    const status = node.status();
    if (status.ready && !parts.watchers.closing.aborted)
      return reply.json({ ready: true, leader: status.leader }, status.applied);
    const message =
      status.quarantine !== null
        ? `the state of this node was found to differ from the others' at entry ${status.quarantine} and is being replaced`
        : status.diskFull
          ? "the disk of this node is full, and it cannot go on until there is room"
          : status.leader === null
            ? "no leader is known: are a majority of the voters up and connected?"
            : `the leader (node ${status.leader}) cannot be reached from here`;
    return reply.refusal({ code: "unavailable", message, retryAfterMs: 1000, retry: "safe" });
  };
  return [
    route(parts, {
      method: "GET",
      path: "/healthz",
      right: undefined,
      doc: "The process is alive.",
      handle: () => reply.json({ alive: true }),
    }),
    route(parts, {
      method: "GET",
      path: "/readyz",
      right: undefined,
      doc: "200 when this node can serve writes through a leader, else 503.",
      handle: ready,
    }),
    route(parts, { method: "GET", path: "/health", right: undefined, doc: "The same as /readyz.", handle: ready }),
  ];
}
