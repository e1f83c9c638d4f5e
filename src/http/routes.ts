import type { CommandDefinition, Route as CommandPlace } from "../state/command.ts";
import { type CommandName, commands } from "../state/commands/index.ts";
import { may } from "../state/rights.ts";
import type { Principal } from "../state/types.ts";
import { refuse } from "../lib/outcome.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readJson, type Route } from "./route.ts";
import { serveSubmit } from "./submit.ts";

/** A command that people may send. Its own types are checked by its schema at run time. */
export type RoutedCommand = CommandDefinition & { readonly name: CommandName; readonly route: CommandPlace };

export const routedCommands: readonly RoutedCommand[] = (commands as unknown as readonly CommandDefinition[]).filter(
  (command): command is RoutedCommand => command.route !== undefined,
);

/**
 * The commands among the routes of step 3: well formed, then to the node. One route per command of the list that has one, and
 * POST /v1/commands/:name for all of them, which is what the typed client calls.
 */
export function commandRoutes(parts: HttpParts): readonly Route[] {
  const byName = new Map<string, RoutedCommand>(routedCommands.map((command) => [command.name, command]));
  return [
    ...routedCommands.map((command) => ({
      ...command.route,
      right: command.right,
      doc: command.doc,
      body: command.input,
      answer: command.answer,
      serve: (exchange: Exchange, by: Principal) =>
        command.name === "job.submit" ? serveSubmit(parts, exchange, by) : serveCommand(parts, command, exchange, by),
    })),
    {
      method: "POST",
      path: "/v1/commands/:name",
      right: "read",
      doc: "Any command of the reference page by its name, with its input as the body; each asks for its own right.",
      status: 200,
      serve(exchange, by) {
        const name = exchange.req.param("name") ?? "";
        const command = byName.get(name);
        if (command === undefined) {
          const names = [...byName.keys()].join(", ");
          return parts.reply.refusal(refuse("not-found", `there is no command "${name}": ${names}`).why);
        }
        if (!may(by.role, command.right)) return parts.reply.refusal(forbidden(by, command.right));
        // What else it takes is not for people: where a job comes from, and the digest of what was asked.
        if (command.name === "job.submit") return serveSubmit(parts, exchange, by);
        return serveCommand(parts, command, exchange, by);
      },
    },
  ];
}

async function serveCommand(
  { node, reply }: HttpParts,
  command: RoutedCommand,
  exchange: Exchange,
  by: Principal,
): Promise<Response> {
  const body = await readJson(exchange.req.raw);
  if (!body.ok) return reply.refusal(body.why);
  if (typeof body.value !== "object" || body.value === null || Array.isArray(body.value)) {
    return reply.refusal(invalid([{ path: "", message: "must be an object" }], "the body").why);
  }
  const { name: _, ...params } = exchange.req.param() as Record<string, string>;
  const input = check(command.input, { ...body.value, ...params }, "the request");
  if (!input.ok) return reply.refusal(input.why);
  const outcome = await node.propose(command.name, input.value as never, by);
  if (!outcome.ok) return reply.refusal(outcome.why);
  return reply.json(outcome.value.value, outcome.value.index, command.route.status);
}

/** The refusal of who is known but may not. */
export function forbidden(by: Principal, right: string) {
  return refuse("forbidden", `the token of ${by.name} (${by.role}) does not allow this: it needs the right ${right}`)
    .why;
}
