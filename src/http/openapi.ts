import { z } from "zod";
import { specFields } from "../state/commands/spec-schema.ts";
import { taskStates } from "../state/types.ts";
import type { HttpParts, Route } from "./route.ts";

/** GET /v1/openapi.json: OpenAPI 3.1, made from the very list that the app is made from. */
export function openApiRoutes(parts: HttpParts, routes: readonly Route[]): readonly Route[] {
  let text: string | undefined;
  const own: Route = {
    method: "GET",
    path: "/v1/openapi.json",
    right: undefined,
    doc: "This document.",
    status: 200,
    serve() {
      text ??= JSON.stringify(openApi([...routes, own], parts.node.version));
      return parts.reply.text(text, "application/json");
    },
  };
  return [own];
}

/** The OpenAPI document of these routes. */
export function openApi(routes: readonly Route[], version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Skein",
      version,
      description: "A job mesh in one binary. Any node answers any request.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths,
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: { Spec: schemaOf(specFields), Error: errorSchema, TaskState: { type: "string", enum: taskStates } },
    },
  };
}

function operation(route: Route): Record<string, unknown> {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name!);
  const query = route.query === undefined ? {} : (schemaOf(route.query)["properties"] as Record<string, unknown>);
  const parameters = [
    ...inPath.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })),
    ...Object.entries(query).map(([name, schema]) => ({ name, in: "query", required: false, schema })),
  ];
  return {
    operationId: operationId(route),
    summary: route.doc,
    ...(route.right === undefined ? { security: [] } : { security: [{ bearer: [] }], "x-right": route.right }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...requestBody(route, inPath),
    responses: {
      [route.status]: {
        description: "Done.",
        headers: {
          "Skein-Index": { schema: { type: "integer" }, description: "The state that the answer saw." },
          "Skein-Node": { schema: { type: "integer" }, description: "The node that answered." },
        },
        content: {
          [route.answers ?? "application/json"]: route.answer === undefined ? {} : { schema: schemaOf(route.answer) },
        },
      },
      default: {
        description: "Why not, and what to do.",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

/** Unique and readable: "post_v1_jobs_id_cancel". */
function operationId(route: Route): string {
  // Or the pause of all of them would be called as the pause of some.
  const path = route.path.replace("/v1/schedules-", "/v1/schedules/all/");
  return `${route.method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+/g, "_")}`.replace(/_$/, "");
}

function requestBody(route: Route, inPath: readonly string[]): Record<string, unknown> {
  if (route.method === "POST" && (route.path === "/v1/jobs" || route.path === "/v1/plan")) {
    const spec = { $ref: "#/components/schemas/Spec" };
    const many = { type: "object", properties: { jobs: { type: "array", items: spec } }, required: ["jobs"] };
    const content = {
      "application/json": { schema: { anyOf: [spec, many] } },
      "application/x-ndjson": { schema: spec },
    };
    return { requestBody: { required: true, content } };
  }
  if (route.body === undefined) return {};
  if (route.method === "POST" && route.path === "/v1/schedules") {
    const one = schemaOf(route.body);
    const many = { type: "object", properties: { schedules: { type: "array", items: one } }, required: ["schedules"] };
    return { requestBody: { required: true, content: { "application/json": { schema: { anyOf: [one, many] } } } } };
  }
  const schema = schemaOf(route.body);
  const properties = Object.fromEntries(
    Object.entries((schema["properties"] ?? {}) as Record<string, unknown>).filter(([name]) => !inPath.includes(name)),
  );
  const required = ((schema["required"] ?? []) as string[]).filter((name) => !inPath.includes(name));
  if (Object.keys(properties).length === 0) return {};
  const body = { ...schema, properties, required };
  return { requestBody: { required: required.length > 0, content: { "application/json": { schema: body } } } };
}

/** What a JSON schema can say of what people send; a check in code shows as "anything". */
function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
}

const errorSchema = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message"],
      properties: {
        code: { type: "string" },
        message: { type: "string", description: "What is wrong and what to do." },
        details: { description: "Of an invalid input: every problem with its path." },
        retry: { const: "safe", description: "Nothing was done: any request may be repeated." },
      },
    },
  },
};
