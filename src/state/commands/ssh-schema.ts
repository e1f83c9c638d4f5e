import { z } from "zod";
import type { SpecSecrets, SshCopy, SshSpec } from "../types.ts";
import { duration } from "./duration-schema.ts";
import { secretReference } from "./secret-schema.ts";
import { secretName } from "./shapes.ts";

/** The key `ssh` of a spec: how drivers ssh and ansible reach their targets. */

const path = (what: string): z.ZodString =>
  z
    .string({ error: `must be ${what}` })
    .min(1, `must be ${what}`)
    .max(4096, "must be at most 4096 characters")
    .regex(/^[^\0\n]*$/, "must be one line");

const userForm = "must be a user's name";
const user = z
  .string({ error: userForm })
  .max(64, userForm)
  .regex(/^[A-Za-z_][A-Za-z0-9_.@-]*\$?$/, userForm);

/** USER@HOST:PORT, of which the host is needed; an address of IPv6 in brackets. */
const hopForm = /^([A-Za-z0-9_][A-Za-z0-9_.-]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(:[0-9]{1,5})?$/;
const jumpForm = "must be a host, as in gate.lan, ops@gate.lan:2222, or several with commas between them";
const keyForm = "must be an absolute path on the node, or {secret: name}";
const hostsForm = `must be "accept-new", "strict", "off", or an absolute path on the node`;
const copyForm = "must be a map like {from: /srv/site.conf, to: /etc/site.conf}";

const copies = (from: z.ZodString, to: z.ZodString): z.ZodType<readonly SshCopy[], readonly SshCopy[]> =>
  z
    .array(z.strictObject({ from, to }, { error: (issue) => (issue.code === "invalid_type" ? copyForm : undefined) }), {
      error: `must be a list: each ${copyForm}`,
    })
    .min(1, "must not be empty")
    .max(64, "at most 64 files or directories");

const here = path("an absolute path on the node").startsWith("/", "must be an absolute path on the node");
/** That a job with a path in a bundle has one spec-schema.ts sees to. */
const hereOrInTree = path("a path on the node (absolute), or in the job's bundle").refine(
  (from) => from.startsWith("/") || (!from.startsWith("-") && !from.split("/").includes("..")),
  "must be an absolute path on the node, or a path in the job's bundle",
);
const there = path("a path on the target").regex(/^[^-]/, "must not begin with a dash");

/** As people write it. */
export const sshField = z.strictObject(
  {
    user: user.optional(),
    port: z
      .number({ error: "must be a port" })
      .int("must be a port")
      .min(1, "must be at least 1")
      .max(65_535, "must be at most 65535")
      .optional(),
    key: z.union([here, secretReference], { error: keyForm }).optional(),
    known_hosts: z
      .string({ error: hostsForm })
      .max(4096, hostsForm)
      .regex(/^(accept-new|strict|off|\/[^"\n\0]*)$/, hostsForm)
      .optional(),
    jump: z
      .string({ error: jumpForm })
      .max(1000, jumpForm)
      .refine((text) => text.split(",").every((hop) => hopForm.test(hop)), jumpForm)
      .optional(),
    become: user.optional(),
    become_password: z
      .strictObject({ secret: secretName }, { error: "must be {secret: name}: a password stands in no spec" })
      .optional(),
    connect: duration({ positive: true })
      .refine((ms) => ms >= 1000 && ms <= 600_000, "must be from 1s to 10m")
      .optional(),
    put: copies(hereOrInTree, there).optional(),
    fetch: copies(there, here).optional(),
    strict: z.boolean({ error: "must be true or false" }).optional(),
  },
  { error: (issue) => (issue.code === "invalid_type" ? "must be a map like {user: root, port: 22}" : undefined) },
);

const normalisedCopies = z.array(z.strictObject({ from: z.string(), to: z.string() })).min(1);

/** As it stands in the log. */
export const normalisedSsh = z.strictObject({
  user: z.string().exactOptional(),
  port: z.number().int().exactOptional(),
  key: z.string().exactOptional(),
  knownHosts: z.string().exactOptional(),
  jump: z.string().exactOptional(),
  become: z.string().exactOptional(),
  connectMs: z.number().int().positive().exactOptional(),
  put: normalisedCopies.exactOptional(),
  fetch: normalisedCopies.exactOptional(),
  strict: z.literal(true).exactOptional(),
});

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

/** How targets are reached, and the secrets that are the key and sudo's password. Absent where nothing was written. */
export function normaliseSsh(fields: z.output<typeof sshField>): {
  readonly ssh: SshSpec;
  readonly secrets: SpecSecrets;
} {
  const ssh: Mutable<SshSpec> = {};
  const { key, become_password: password } = fields;
  if (fields.user !== undefined) ssh.user = fields.user;
  if (fields.port !== undefined) ssh.port = fields.port;
  if (typeof key === "string") ssh.key = key;
  if (fields.known_hosts !== undefined && fields.known_hosts !== "accept-new") ssh.knownHosts = fields.known_hosts;
  if (fields.jump !== undefined) ssh.jump = fields.jump;
  if (fields.become !== undefined) ssh.become = fields.become;
  if (fields.connect !== undefined) ssh.connectMs = fields.connect;
  if (fields.put !== undefined) ssh.put = fields.put;
  if (fields.fetch !== undefined) ssh.fetch = fields.fetch;
  if (fields.strict === true) ssh.strict = true;
  return {
    ssh,
    secrets: {
      ...(typeof key === "object" ? { sshKey: key.secret } : {}),
      ...(password === undefined ? {} : { becomePassword: password.secret }),
    },
  };
}
