import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import type { AnsibleSpec, SpecSecrets } from "../types.ts";
import { secretReference } from "./secret-schema.ts";

/** The key `ansible` of a spec: what driver ansible runs. How hosts are reached is the key `ssh`'s to say. */

const moduleForm = "must be the name of a module, as in ping or community.general.ufw";
const argsForm = `must be text, or a map of the module's parameters`;
const playbookForm =
  "must be a path on the node (absolute) or in the job's bundle, the text of a playbook, or its list of plays";
const vaultForm = "must be an absolute path on the node, or {secret: name}";
const tagsForm = "must be a list of tags";
const groupsForm = "must be a list of the names of groups";

const isTrueOrFalse = z.boolean({ error: "must be true or false" });

const names = (form: string, pattern: RegExp): z.ZodType<readonly string[], string | readonly string[]> =>
  z
    .union([z.string(), z.array(z.string())], { error: form })
    .transform((given) => (typeof given === "string" ? given.split(",").map((one) => one.trim()) : given))
    .refine((list) => list.length > 0 && list.length <= 100 && list.every((one) => pattern.test(one)), form);

const tag = /^[^\s,\0-][^,\0\n]{0,199}$/;
const group = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;

const tooLong = (what: unknown, most: number): boolean => JSON.stringify(what).length > most;

/** As people write it. */
export const ansibleField = z
  .strictObject(
    {
      module: z
        .string({ error: moduleForm })
        .max(200, moduleForm)
        .regex(/^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/, moduleForm)
        .optional(),
      args: z
        .union([z.string(), z.record(z.string(), z.unknown())], { error: argsForm })
        .refine((args) => !tooLong(args, limits.playbookBytes), `must be at most ${limits.playbookBytes} bytes`)
        .optional(),
      playbook: z
        .union([z.string(), z.array(z.unknown()).min(1, playbookForm)], { error: playbookForm })
        // A list is what its text says: with a line of its own, by which text is known from a path.
        .transform((given) => (typeof given === "string" ? given : `${JSON.stringify(given)}\n`))
        .superRefine((given, context) => {
          const problem = problemOf(given);
          if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
        })
        .optional(),
      vars: z
        .record(z.string(), z.unknown(), { error: "must be a map of variables" })
        .refine((vars) => !tooLong(vars, limits.environmentBytes), `must be at most ${limits.environmentBytes} bytes`)
        .optional(),
      groups: names(groupsForm, group).optional(),
      check: isTrueOrFalse.optional(),
      diff: isTrueOrFalse.optional(),
      tags: names(tagsForm, tag).optional(),
      skip_tags: names(tagsForm, tag).optional(),
      vault: z
        .union(
          [
            z
              .string()
              .max(4096, vaultForm)
              .regex(/^\/[^\0\n]*$/, vaultForm),
            secretReference,
          ],
          {
            error: vaultForm,
          },
        )
        .optional(),
      forks: z
        .number({ error: "must be a whole number" })
        .int("must be a whole number")
        .min(1, "must be at least 1")
        .max(limits.ansibleHosts, `must be at most ${limits.ansibleHosts}`)
        .optional(),
      connection: z
        .string({ error: "must be the name of a connection, as in ssh or local" })
        .regex(/^[a-z][a-z0-9_.]{0,99}$/, "must be the name of a connection, as in ssh or local")
        .optional(),
    },
    {
      error: (issue) =>
        issue.code === "invalid_type" ? "must be a map like {module: shell, args: uptime}" : undefined,
    },
  )
  .superRefine((fields, context) => {
    const refuse = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message });
    if (fields.module === undefined && fields.playbook === undefined)
      refuse("module", "is required, or a playbook: what should be run?");
    if (fields.module !== undefined && fields.playbook !== undefined)
      refuse("playbook", "goes not with module: one of them is run");
    if (fields.module === undefined && fields.args !== undefined) refuse("args", "is for a module");
    if (fields.module !== undefined)
      for (const key of ["tags", "skip_tags", "groups"] as const)
        if (fields[key] !== undefined) refuse(key, "is for a playbook");
  });

function problemOf(playbook: string): string | undefined {
  if (playbook.includes("\0")) return "must not contain a NUL character";
  if (playbook.includes("\n"))
    return playbook.length > limits.playbookBytes ? `must be at most ${limits.playbookBytes} bytes` : undefined;
  if (playbook.startsWith("/")) return playbook.length > 4096 ? "must be at most 4096 characters" : undefined;
  // One in the bundle; that there is one spec-schema.ts sees to.
  if (playbook === "" || playbook.startsWith("-") || playbook.split("/").includes(".."))
    return `${playbookForm}: "${playbook.slice(0, 100)}" leads out of a bundle, or is no path`;
  return playbook.length > 4096 ? "must be at most 4096 characters" : undefined;
}

/** As it stands in the log. */
export const normalisedAnsible = z.strictObject({
  module: z.string().exactOptional(),
  args: z.union([z.string(), z.record(z.string(), z.unknown())]).exactOptional(),
  playbook: z.string().exactOptional(),
  vars: z.record(z.string(), z.unknown()).exactOptional(),
  groups: z.array(z.string()).min(1).exactOptional(),
  check: z.literal(true).exactOptional(),
  diff: z.literal(true).exactOptional(),
  tags: z.array(z.string()).min(1).exactOptional(),
  skipTags: z.array(z.string()).min(1).exactOptional(),
  vault: z.string().exactOptional(),
  forks: z.number().int().positive().exactOptional(),
  connection: z.string().exactOptional(),
});

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

/** What is run, and the secret that is the password of its vault. */
export function normaliseAnsible(fields: z.output<typeof ansibleField>): {
  readonly ansible: AnsibleSpec;
  readonly secrets: SpecSecrets;
} {
  const ansible: Mutable<AnsibleSpec> = {};
  const { vault } = fields;
  if (fields.module !== undefined) ansible.module = fields.module;
  if (fields.args !== undefined) ansible.args = fields.args;
  if (fields.playbook !== undefined) ansible.playbook = fields.playbook;
  if (fields.vars !== undefined) ansible.vars = fields.vars;
  if (fields.groups !== undefined) ansible.groups = fields.groups;
  if (fields.check === true) ansible.check = true;
  if (fields.diff === true) ansible.diff = true;
  if (fields.tags !== undefined) ansible.tags = fields.tags;
  if (fields.skip_tags !== undefined) ansible.skipTags = fields.skip_tags;
  if (typeof vault === "string") ansible.vault = vault;
  if (fields.forks !== undefined) ansible.forks = fields.forks;
  if (fields.connection !== undefined) ansible.connection = fields.connection;
  return { ansible, secrets: typeof vault === "object" ? { vault: vault.secret } : {} };
}
