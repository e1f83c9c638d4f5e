import type { z } from "zod";

/**
 * What `schema.safeParse(raw)` says, at the price of the keys that are there: of forty optional fields a spec has three, and the library looks at
 * all of them. Only for schemas whose every field is optional and that bear no rules between fields. Where anything is wrong the schema itself has the word, so problems
 * are what they would be without this.
 */
export function parsePresent<Schema extends z.ZodObject>(
  schema: Schema,
  raw: unknown,
): z.ZodSafeParseResult<z.output<Schema>> {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return whole(schema, raw);
  const { shape } = schema;
  const data: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) {
    const field = Object.hasOwn(shape, key) ? (shape[key] as z.ZodType) : undefined;
    const parsed = field?.safeParse(value);
    if (parsed?.success !== true) return whole(schema, raw);
    data[key] = parsed.data;
  }
  return { success: true, data: data as z.output<Schema> };
}

function whole<Schema extends z.ZodObject>(schema: Schema, raw: unknown): z.ZodSafeParseResult<z.output<Schema>> {
  return schema.safeParse(raw);
}
