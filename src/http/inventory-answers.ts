import { z } from "zod";

/** What the API says of inventories, for the documents (OpenAPI). */

const instant = z.string().describe("RFC 3339, UTC");

const inventory = {
  name: z.string(),
  version: z.int().describe("0: its command has given nothing yet."),
  hosts: z.int(),
  groups: z.int(),
  set_at: instant,
  set_by: z.string(),
  source: z
    .object({
      command: z.union([z.string(), z.array(z.string())]),
      every: z.string(),
      format: z.enum(["json", "ini", "list"]),
      on: z.string().optional(),
      timeout: z.string().optional(),
      by: z.string(),
      next_at: instant.nullable(),
      job: z.int().optional().describe("That runs it now."),
      good_at: instant.nullable().describe("When it last gave something good."),
      failing: z.object({ since: instant, times: z.int(), reason: z.string() }).optional(),
    })
    .optional()
    .describe("The command that gives it again and again."),
};

const vars = z.record(z.string(), z.unknown());

/** GET /v1/inventories */
export const inventoriesAnswer = z.object({ inventories: z.array(z.object(inventory)), next: z.string().optional() });

/** GET /v1/inventories/:inventory */
export const inventoryAnswer = z.object({
  ...inventory,
  shown: z.int().describe("The version that the groups are of."),
  group_list: z.array(z.object({ name: z.string(), hosts: z.int(), children: z.array(z.string()), vars })),
});

/** GET /v1/inventories/:inventory/history */
export const inventoryVersionsAnswer = z.object({
  versions: z.array(
    z.object({
      version: z.int(),
      at: instant,
      by: z.string(),
      origin: z.string(),
      hosts: z.int(),
      groups: z.int(),
      added: z.int(),
      removed: z.int(),
      changed: z.int(),
      changed_groups: z.int(),
    }),
  ),
});

/** GET /v1/inventories/:inventory/hosts/:host */
export const inventoryHostAnswer = z.object({
  host: z.string(),
  version: z.int(),
  groups: z.array(z.string()),
  vars,
});
