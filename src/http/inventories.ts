import { z } from "zod";
import { type InventoryFormat, readInventory } from "../lib/inventory-format.ts";
import { readTree } from "../lib/inventory-tree.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import type { InventoryRead } from "../lib/inventory.ts";
import { inventoryName } from "../state/commands/inventory-schema.ts";
import {
  findInventory,
  findInventoryHost,
  inventoryHistory,
  inventoryHosts,
  listInventories,
  type NotThere,
} from "../state/inventory-views.ts";
import type { Principal } from "../state/types.ts";
import {
  inventoriesAnswer,
  inventoryAnswer,
  inventoryHostAnswer,
  inventoryVersionsAnswer,
} from "./inventory-answers.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readJson, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit, whole } from "./shapes.ts";

const setBody = z
  .strictObject({
    name: inventoryName,
    format: z.enum(["json", "ini", "list"], { error: `must be "json", "ini" or "list"` }).optional(),
    text: z.string({ error: "must be the text of an inventory" }).optional(),
    inventory: z.record(z.string(), z.unknown(), { error: "must be a map of groups" }).optional(),
    from_version: z.int({ error: "must be a whole number" }).positive().optional(),
  })
  .superRefine(({ text, inventory, from_version: from, format }, context) => {
    const given = [text, inventory, from].filter((one) => one !== undefined).length;
    const refuseIt = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
    if (given !== 1) refuseIt([], "needs one of text (with its format), inventory and from_version");
    else if (text !== undefined && format === undefined)
      refuseIt(
        ["format"],
        `must say what the text is: "json", "ini" or "list" (YAML is read by 'skein inventory set', or goes as JSON in inventory)`,
      );
    else if (text === undefined && format !== undefined) refuseIt(["format"], "is only for text");
  });

const version = whole(1, Number.MAX_SAFE_INTEGER).optional();

/** Inventories; what removes one, and what has it set by a command, are commands (state/commands/inventory-*.ts). */
export function inventoryRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/inventories",
      right: "read",
      doc: "Inventories by name: which version is in force, and how the commands fare that give them.",
      query: z.strictObject({ limit: pageLimit, next, consistency }),
      answer: inventoriesAnswer,
      async handle({ exchange, query }) {
        const { limit, next: after } = query;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          listInventories(tx, { limit: limit ?? limits.listDefault, next: after }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        return reply.json({ inventories: items, next }, read.value.index);
      },
    }),
    {
      method: "POST",
      path: "/v1/inventories",
      right: "jobs:write",
      doc: "Sets an inventory, as a new version unless it is as it was: text and its format, a map of groups (Ansible's YAML or JSON, as JSON), or from_version.",
      status: 201,
      body: setBody,
      answer: z.object({
        name: z.string(),
        version: z.int(),
        changed: z.boolean(),
        hosts: z.int(),
        groups: z.int(),
        differences: z.object({ added: z.int(), removed: z.int(), changed: z.int(), groups: z.int() }),
      }),
      serve: (exchange, by) => serveSet(parts, exchange, by),
    },
    route(parts, {
      method: "GET",
      path: "/v1/inventories/:inventory",
      right: "read",
      doc: "One inventory with its groups, as it is or as a version had them.",
      query: z.strictObject({ version, consistency }),
      answer: inventoryAnswer,
      async handle({ exchange, query }) {
        const name = nameIn(exchange);
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          findInventory(tx, name, query.version),
        );
        if (!read.ok) return reply.refusal(read.why);
        const found = read.value.value;
        return typeof found === "string" ? reply.refusal(notThere(found, name)) : reply.json(found, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/inventories/:inventory/history",
      right: "read",
      doc: "The versions of an inventory that can be put back, newest first, with what each changed.",
      query: z.strictObject({ consistency }),
      answer: inventoryVersionsAnswer,
      async handle({ exchange, query }) {
        const name = nameIn(exchange);
        const read = await readState(parts, exchange, query.consistency, (tx) => inventoryHistory(tx, name));
        if (!read.ok) return reply.refusal(read.why);
        const versions = read.value.value;
        if (versions === undefined) return reply.refusal(notThere("inventory", name));
        return reply.json({ versions }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/inventories/:inventory/hosts",
      right: "read",
      doc: "Names of an inventory's hosts, of all or of one group, in the order of the file.",
      query: z.strictObject({
        version,
        group: z.string().optional(),
        limit: pageLimit,
        next: whole(0, limits.inventoryHosts).optional(),
        consistency,
      }),
      answer: z.object({ hosts: z.array(z.string()), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const name = nameIn(exchange);
        const { limit, next: from, ...rest } = query;
        const page = {
          ...rest,
          limit: limit ?? limits.listDefault,
          next: from === undefined ? undefined : String(from),
        };
        const read = await readState(parts, exchange, query.consistency, (tx) => inventoryHosts(tx, name, page));
        if (!read.ok) return reply.refusal(read.why);
        const found = read.value.value;
        if (typeof found === "string") return reply.refusal(notThere(found, name, query.group));
        return reply.json({ hosts: found.items, next: found.next }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/inventories/:inventory/hosts/:host",
      right: "read",
      doc: "What an inventory says of one host: its groups, and its variables with those of the groups.",
      query: z.strictObject({ version, consistency }),
      answer: inventoryHostAnswer,
      async handle({ exchange, query }) {
        const name = nameIn(exchange);
        const host = exchange.req.param("host") ?? "";
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          findInventoryHost(tx, name, host, query.version),
        );
        if (!read.ok) return reply.refusal(read.why);
        const found = read.value.value;
        if (typeof found === "string") return reply.refusal(notThere(found, name, host));
        return reply.json(found, read.value.index);
      },
    }),
  ];
}

function nameIn(exchange: Exchange): string {
  return exchange.req.param("inventory") ?? "";
}

function notThere(what: NotThere, name: string, part = "") {
  if (what === "inventory")
    return refuse("not-found", `there is no inventory ${name}: 'skein inventory ls' lists them`).why;
  if (what === "version")
    return refuse(
      "not-found",
      `that version of inventory ${name} is not kept: 'skein inventory history ${name}' lists those that are`,
    ).why;
  return refuse("not-found", `inventory ${name} has no ${what} ${part}`).why;
}

async function serveSet(parts: HttpParts, exchange: Exchange, by: Principal): Promise<Response> {
  const { node, reply } = parts;
  const body = await readJson(exchange.req.raw);
  if (!body.ok) return reply.refusal(body.why);
  const asked = check(setBody, body.value, "the body");
  if (!asked.ok) return reply.refusal(asked.why);
  const { name, format, text, inventory, from_version: fromVersion } = asked.value;
  if (fromVersion !== undefined) {
    const outcome = await node.setInventory({ name, fromVersion, origin: `version ${fromVersion}` }, by);
    return answer(reply, outcome);
  }
  const read = await inTurns(text === undefined ? readTree(inventory) : readInventory(text, format ?? "list"));
  const made = toOutcome(read, format ?? "json");
  if (!made.ok) return reply.refusal(made.why);
  return answer(reply, await node.setInventory({ name, inventory: made.value, origin: "file" }, by));
}

function toOutcome(
  read: InventoryRead,
  format: InventoryFormat,
): Outcome<Extract<InventoryRead, { ok: true }>["inventory"]> {
  return read.ok ? accept(read.inventory) : invalid(read.problems, `the inventory (read as ${format})`);
}

function answer(reply: HttpParts["reply"], outcome: Awaited<ReturnType<HttpParts["node"]["setInventory"]>>): Response {
  if (!outcome.ok) return reply.refusal(outcome.why);
  const { index, ...value } = outcome.value;
  return reply.json(value, index, value.changed ? 201 : 200);
}
