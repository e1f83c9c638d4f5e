import { z } from "zod";
import { allRoutes } from "./app.ts";
import { Reply } from "./reply.ts";
import type { HttpParts, Route } from "./route.ts";
import { routedCommands } from "./routes.ts";
import { Watchers } from "./watchers.ts";

/** The reference page of the HTTP API in Markdown, made from the list of commands and routes. */
export function referencePage(): string {
  // Routes are only described here, never served: no node is asked.
  const node = { id: 0, version: "" } as unknown as HttpParts["node"];
  const parts: HttpParts = { node, reply: new Reply(node), watchers: new Watchers(new AbortController().signal) };
  const routes = allRoutes(parts);
  const queries = routes.filter(
    (route) =>
      !routedCommands.some((command) => command.route.path === route.path && command.route.method === route.method),
  );
  return [
    "# HTTP API reference",
    "",
    "Made by `src/http/reference.ts` from the lists that the server itself is made from; do not edit. The machine-readable form is `/v1/openapi.json` of any node.",
    "",
    "## Commands",
    "",
    "Each changes the state through the log. `POST /v1/commands/NAME` takes the same input, path parameters included.",
    "",
    "| command | call | right | status | does |",
    "|---|---|---|---|---|",
    ...routedCommands.map(
      ({ name, route, right, doc }) =>
        `| \`${name}\` | \`${route.method} ${route.path}\` | ${right} | ${route.status} | ${cell(doc)} |`,
    ),
    "",
    "## Queries and the rest",
    "",
    "| call | right | parameters | does |",
    "|---|---|---|---|",
    ...queries.map(
      (route) =>
        `| \`${route.method} ${route.path}\` | ${route.right ?? "no token"} | ${parametersOf(route)} | ${cell(route.doc)} |`,
    ),
    "",
  ].join("\n");
}

function parametersOf(route: Route): string {
  const names = [route.query, route.body].flatMap((schema) =>
    schema instanceof z.ZodObject ? Object.keys(schema.shape) : [],
  );
  return names.map((name) => `\`${name}\``).join(", ");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
