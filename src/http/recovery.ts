import { viewSurvivor } from "../lib/survivors.ts";
import { type HttpParts, type Route, route } from "./route.ts";

/** What `skein cluster recover` asks of nodes that run and have no leader. */
export function recoveryRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/survivor",
      right: "read",
      doc: "What this node itself has of the log and the state, for a decision about a lost quorum; needs no leader.",
      handle: () => reply.json(viewSurvivor(node.survivor())),
    }),
  ];
}
