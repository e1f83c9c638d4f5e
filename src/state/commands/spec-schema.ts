import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { isAmount, isResourceName, memoryResource, resourceNameForm, sortedResources } from "../../lib/resources.ts";
import { parseSelector } from "../../lib/selector.ts";
import { parseInstant } from "../../lib/calendar.ts";
import { parseSize } from "../../lib/units.ts";
import type { Matrix, Spec } from "../types.ts";
import { bundleField, normalisedBundle } from "./bundle-schema.ts";
import { duration } from "./duration-schema.ts";
import { ansibleField, normalisedAnsible, normaliseAnsible } from "./ansible-schema.ts";
import { afterShape, linksOf, normalisedAfter } from "./after-schema.ts";
import { batchField, normalisedBatch } from "./batch-schema.ts";
import { checkPlaceholders, httpField, normalisedHttp, normalisedSecrets, normaliseHttp } from "./http-schema.ts";
import { parsePresent } from "./present.ts";
import { normalisedSsh, normaliseSsh, sshField } from "./ssh-schema.ts";
import { partSecrets, textOrSecret } from "./secret-schema.ts";
import {
  arrayField,
  checkMakers,
  makesSeveral,
  matrixField,
  normalisedShapeFields,
  readMatrix,
  rulesField,
  tasksOfNormalised,
} from "./shape-schema.ts";
import { normalisedTargets, targetsField } from "./target-schema.ts";
import { idempotencyKey, labelsShape, nameShape, resourcesShape, whenMap } from "./shapes.ts";

/** Reads a job spec as people write it and gives the normalised {@link Spec}. All problems are reported together, each with its path. */

const yearMs = 366 * 86_400_000;

function size(maxBytes: number, maxText: string): z.ZodType<number, string | number> {
  return z.union([z.string(), z.number()], { error: sizeForm }).transform((value, context) => {
    const bytes = typeof value === "number" ? value : parseSize(value);
    if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0) {
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a size: ${sizeForm}` });
    } else if (bytes > maxBytes) context.addIssue({ code: "custom", message: `must be at most ${maxText}` });
    else return bytes;
    return z.NEVER;
  });
}
const sizeForm = `write a number of bytes, or text like "64MiB"`;

function whole(low: number, high: number): z.ZodNumber {
  return z
    .number({ error: `must be a whole number from ${low} to ${high}` })
    .int(`must be a whole number from ${low} to ${high}`)
    .min(low, `must be at least ${low}`)
    .max(high, `must be at most ${high}`);
}

function text(maxBytes: number): z.ZodString {
  return z.string({ error: "must be text" }).max(maxBytes, `must be at most ${maxBytes} characters`);
}

const instant = z.string({ error: instantForm() }).transform((text, context) => {
  const at = parseInstant(text);
  if (at !== undefined && at > 0) return at;
  context.addIssue({ code: "custom", message: `"${text}" is not an instant: ${instantForm()}` });
  return z.NEVER;
});

function instantForm(): string {
  return `write it as in "2026-12-01T02:00:00Z", with its zone`;
}

const environmentName = /^[A-Za-z_][A-Za-z0-9_]*$/;

const environment = z
  .record(z.string(), textOrSecret, { error: "must be a map of names to text" })
  .superRefine((env, context) => {
    let bytes = 0;
    for (const [name, value] of Object.entries(env)) {
      const length = typeof value === "string" ? value.length : 0;
      bytes += name.length + length + 2;
      if (!environmentName.test(name)) {
        context.addIssue({
          code: "custom",
          path: [name],
          message: "not a variable's name: letters, digits and _ only",
        });
      }
      if (typeof value === "string" && value.includes("\0"))
        context.addIssue({ code: "custom", path: [name], message: "must not contain a NUL character" });
    }
    if (bytes > limits.environmentBytes) {
      context.addIssue({ code: "custom", message: `must be at most ${limits.environmentBytes} bytes together` });
    }
  }, whenMap);

const argument = text(limits.commandBytes).refine((value) => !value.includes("\0"), "must not contain a NUL character");

const run = z.union(
  [
    argument.refine((value) => value.trim() !== "", "must not be empty"),
    z
      .array(argument)
      .min(1, "must not be empty")
      .max(4096, "at most 4096 arguments")
      .refine((list) => list[0] !== "", "the first word is the program and must not be empty"),
  ],
  {
    error: (issue) =>
      isEmptyRun(issue.input) ? "must not be empty" : "must be text for /bin/sh -c, or a list of words",
  },
);

function isEmptyRun(input: unknown): boolean {
  return (
    (typeof input === "string" && input.trim() === "") ||
    (Array.isArray(input) && (input.length === 0 || input[0] === ""))
  );
}

const selector = z.string({ error: `must be text like "zone=eu,gpu!=none"` }).superRefine((value, context) => {
  const terms = parseSelector(value);
  if (typeof terms === "string") context.addIssue({ code: "custom", message: terms });
});

const resourcesField = z
  .record(z.string(), z.union([z.string(), z.number()], { error: `must be a number, or text like "512MiB"` }), {
    error: "must be a map like {memory: 512MiB, license: 1}",
  })
  .transform((given, context) => {
    const resources: Record<string, number> = {};
    const wrong = (path: readonly string[], message: string): void =>
      context.addIssue({ code: "custom", path: [...path], message });
    for (const [name, value] of Object.entries(given)) {
      const amount = typeof value === "number" ? value : name === memoryResource ? parseSize(value) : undefined;
      if (!isResourceName(name)) wrong([name], resourceNameForm);
      else if (amount === undefined || !isAmount(name, amount))
        wrong([name], name === memoryResource ? sizeForm : "must be a number from 0 on, of at most three decimals");
      else resources[name] = amount;
    }
    if (Object.keys(given).length > limits.resourcesPerSpec) wrong([], `at most ${limits.resourcesPerSpec} resources`);
    return resources;
  });

const share = /^\d{1,3}(\.\d+)?%$/;
const failuresForm = `must be a number of tasks, or a share like "10%"`;
const maxFailures = z.union(
  [
    whole(0, limits.arrayTasks),
    z.string().refine((value) => share.test(value) && Number.parseFloat(value) <= 100, failuresForm),
  ],
  { error: failuresForm },
);

const retries = z.strictObject(
  {
    max: whole(0, 1000),
    backoff: duration().optional(),
    factor: z
      .number({ error: "must be a number" })
      .min(1, "must be at least 1")
      .max(100, "must be at most 100")
      .optional(),
    cap: duration({ positive: true }).optional(),
    jitter: z
      .number({ error: "must be a number from 0 to 1" })
      .min(0, "must be at least 0")
      .max(1, "must be at most 1")
      .optional(),
    on: z
      .array(z.enum(["failed", "timeout"], { error: `must be "failed" or "timeout"` }))
      .min(1, "must name failed, timeout or both")
      .max(2)
      .optional(),
  },
  { error: (issue) => (issue.code === "invalid_type" ? "must be a map like {max: 3, backoff: 2s}" : undefined) },
);

const later = z
  .unknown()
  .refine((value) => value === undefined, "not supported by this version yet")
  .optional();

/** Keys of the contract that this version does not run: refused at their path, never ignored. */
const laterKeys = {
  load: later,
} as const;

const driver = z.enum(["shell", "ssh", "ansible", "noop", "http"], {
  error: (issue) =>
    issue.input === "load"
      ? "driver load is not supported by this version yet"
      : `must be "shell", "ssh", "ansible", "http" or "noop"`,
});

const userForm = "must be a user's name, as the node knows it";

const taskLimits = z.strictObject(
  {
    cpu: duration({ positive: true })
      .refine((ms) => ms >= 1000, "must be at least 1s")
      .optional(),
    memory: size(2 ** 50, "1PiB")
      .refine((count) => count >= 2 ** 20, "must be at least 1MiB")
      .optional(),
    files: whole(8, 1_000_000).optional(),
    processes: whole(1, 1_000_000).optional(),
  },
  {
    error: (issue) => (issue.code === "invalid_type" ? "must be a map like {memory: 512MiB, cpu: 10m}" : undefined),
  },
);

/** The fields alone, without the rules between them: what a JSON schema can say. */
export const specFields = z.strictObject({
  name: nameShape.optional(),
  driver: driver.optional(),
  run: run.optional(),
  env: environment.optional(),
  dir: text(4096).startsWith("/", "must be an absolute path").optional(),
  stdin: text(limits.stdinBytes).optional(),
  user: z
    .string({ error: userForm })
    .max(32, userForm)
    .regex(/^[A-Za-z_][A-Za-z0-9_.-]*\$?$/, userForm)
    .optional(),
  limits: taskLimits.optional(),
  count: whole(1, limits.arrayTasks).optional(),
  array: arrayField.optional(),
  matrix: matrixField.optional(),
  exclude: rulesField.optional(),
  include: rulesField.optional(),
  targets: targetsField.optional(),
  each_node: z.boolean({ error: "must be true or false" }).optional(),
  on: selector.optional(),
  slots: whole(0, 100_000).optional(),
  resources: resourcesField.optional(),
  parallel: whole(1, limits.arrayTasks).optional(),
  batch: batchField.optional(),
  unit: whole(1, limits.unitTasks).optional(),
  priority: whole(0, 100).optional(),
  after: afterShape.optional(),
  key: text(limits.jobKeyLength).min(1, "must not be empty").optional(),
  on_conflict: z.enum(["queue", "refuse", "replace"], { error: `must be "queue", "refuse" or "replace"` }).optional(),
  start_at: instant.optional(),
  timeout: duration({ positive: true }).optional(),
  grace: duration().optional(),
  deadline: duration({ positive: true }).optional(),
  retries: retries.optional(),
  on_lost: z.enum(["retry", "fail"], { error: `must be "retry" or "fail"` }).optional(),
  max_failures: maxFailures.optional(),
  output: z
    .strictObject({
      tail: size(limits.tailMaxBytes, "64KiB").optional(),
      keep: size(2 ** 40, "1TiB").optional(),
      copies: whole(1, 2).optional(),
      sync: z.boolean({ error: "must be true or false" }).optional(),
    })
    .optional(),
  noop: z
    .strictObject({
      for: duration().optional(),
      output: size(limits.logKeepBytes, "64MiB").optional(),
      exit: whole(0, 255).optional(),
    })
    .optional(),
  http: httpField.optional(),
  ssh: sshField.optional(),
  ansible: ansibleField.optional(),
  bundle: bundleField.optional(),
  labels: labelsShape.optional(),
  ttl: duration().optional(),
  idempotency_key: idempotencyKey.optional(),
  ...laterKeys,
});

type Fields = z.output<typeof specFields>;

interface ReadAhead {
  readonly spec: Spec;
  readonly issues: readonly z.core.$ZodIssue[];
}

/** What was read before the list that it stands in: by the value that was read, which nobody changes. */
const readBefore = new WeakMap<object, ReadAhead>();

/**
 * Reads one spec of a list, which is remembered for when the list is read: that takes no time then. So whoever reads a long list can rest between two
 * of them. Gives what is wrong with it.
 */
export function readAhead(raw: unknown): readonly z.core.$ZodIssue[] {
  if (typeof raw !== "object" || raw === null) return [];
  const read = specSchema.safeParse(raw);
  const issues = read.success ? [] : read.error.issues;
  readBefore.set(raw, { spec: read.success ? read.data : linksOf(raw), issues });
  return issues;
}

/** A spec as people write it -> {@link Spec}. `idempotency_key` is the request's, not the job's: routes take it out before. */
export const specSchema: z.ZodType<Spec, unknown> = z.unknown().transform((raw, context) => {
  const before = typeof raw === "object" && raw !== null ? readBefore.get(raw) : undefined;
  if (before !== undefined) {
    for (const issue of before.issues) context.issues.push({ ...issue, input: raw } as z.core.$ZodRawIssue);
    return before.spec;
  }
  const parsed = parsePresent(specFields, raw);
  if (!parsed.success)
    for (const issue of parsed.error.issues) context.issues.push({ ...issue, input: raw } as z.core.$ZodRawIssue);
  // Rules between fields are checked on what was written, so that they are reported together with the fields' own problems.
  let matrix: Matrix | undefined;
  if (typeof raw === "object" && raw !== null && !Array.isArray(raw))
    matrix = checkTogether(raw as Record<string, unknown>, context);
  else if (parsed.success) return z.NEVER;
  // What is wrong between the jobs of a request is told together with what is wrong in one of them.
  return parsed.success ? normalise(parsed.data, matrix) : linksOf(raw);
});

/** Gives the matrix, whose rules stand in it or beside it. */
function checkTogether(raw: Record<string, unknown>, context: z.RefinementCtx): Matrix | undefined {
  const refuse = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message });
  const name = raw["driver"] ?? "shell";
  if ((name === "shell" || name === "ssh") && raw["run"] === undefined)
    refuse("run", "is required: what should the job run?");
  if (name === "noop" && raw["run"] !== undefined) refuse("run", "driver noop runs nothing: leave it out");
  if (raw["on_conflict"] !== undefined && raw["key"] === undefined)
    refuse("on_conflict", "says what becomes of jobs with the same key: give a key");
  const limited = raw["limits"];
  if (typeof limited === "object" && limited !== null && Object.keys(limited).length === 0)
    refuse("limits", "must name cpu, memory, files or processes");
  if (name === "noop") {
    for (const key of ["env", "dir", "stdin", "user", "limits"])
      if (raw[key] !== undefined) refuse(key, "driver noop starts no process: leave it out");
  }
  if (name !== "noop" && raw["noop"] !== undefined) refuse("noop", "is for driver noop only");
  if (name !== "http" && raw["http"] !== undefined) refuse("http", "is for driver http only");
  if (name === "ssh" || name === "ansible") {
    if (raw["targets"] === undefined) refuse("targets", "is required: on which hosts should it run?");
    if (raw["user"] !== undefined) refuse("user", "is of processes on the node: write ssh: {user: …}, or {become: …}");
    if (raw["limits"] !== undefined) refuse("limits", "is of processes on the node: leave it out");
  } else if (raw["ssh"] !== undefined) refuse("ssh", "is for drivers ssh and ansible only");
  if (name === "ansible") checkAnsible(raw, context);
  else if (raw["ansible"] !== undefined) refuse("ansible", "is for driver ansible only");
  if (name === "http") {
    if (raw["http"] === undefined) refuse("http", "is required: what should be asked?");
    for (const key of ["run", "env", "dir", "stdin", "grace", "user", "limits"])
      if (raw[key] !== undefined) refuse(key, "driver http starts no process: leave it out");
  }
  checkBundle(raw, context);
  const output = raw["output"] as { readonly copies?: unknown; readonly sync?: unknown } | undefined;
  if (output?.sync === true && output.copies !== 2)
    context.addIssue({ code: "custom", path: ["output", "sync"], message: "is for copies: 2" });
  const refuseAt = (path: readonly PropertyKey[], message: string): void =>
    context.addIssue({ code: "custom", path: [...path], message });
  checkMakers(raw, refuseAt);
  if (name === "http") checkPlaceholders(raw, refuseAt);
  // Whoever writes it thinks that there are several. 1 says what is so anyway, and max_failures says of one task, too, what becomes of its job.
  for (const key of makesSeveral(raw) ? [] : (["parallel", "unit"] as const))
    if (typeof raw[key] === "number" && raw[key] > 1)
      refuse(key, "is for several tasks, and this is one: say with count, array, matrix, targets or each_node which");
  return readMatrix(raw, refuseAt);
}

/** What a bundle goes with: driver ssh puts files of it, driver ansible runs in a copy of it. */
function checkBundle(raw: Record<string, unknown>, context: z.RefinementCtx): void {
  const refuse = (path: readonly PropertyKey[], message: string): void =>
    context.addIssue({ code: "custom", path: [...path], message });
  const { driver = "shell", bundle } = raw;
  const ssh = raw["ssh"] as { readonly put?: readonly { readonly from: string }[] } | undefined;
  const ansible = raw["ansible"] as { readonly playbook?: unknown } | undefined;
  const inTree = ssh?.put?.findIndex(({ from }) => !from.startsWith("/")) ?? -1;
  if (bundle === undefined) {
    if (inTree !== -1)
      refuse(
        ["ssh", "put", inTree, "from"],
        "must be an absolute path on the node, or the job needs a bundle in which it is",
      );
    if (typeof ansible?.playbook === "string" && isPathInTree(ansible.playbook))
      refuse(["ansible", "playbook"], "must be an absolute path on the node, or the job needs a bundle in which it is");
    return;
  }
  if (driver === "noop" || driver === "http")
    refuse(["bundle"], `driver ${driver} has no use for a tree of files: leave it out`);
  if (driver === "ssh" && inTree === -1)
    refuse(
      ["bundle"],
      "is where driver ssh puts files from: name one of them, as in ssh: {put: [{from: app.conf, to: /etc/app.conf}]}",
    );
  if (driver === "ssh" || driver === "ansible") {
    if (typeof bundle === "object" && bundle !== null && "read_only" in bundle)
      refuse(["bundle", "read_only"], "is for driver shell only");
  }
  if (driver !== "ssh" && raw["dir"] !== undefined) refuse(["dir"], "is the bundle's own tree: leave it out");
}

function isPathInTree(playbook: string): boolean {
  return !playbook.includes("\n") && !playbook.startsWith("/");
}

function checkAnsible(raw: Record<string, unknown>, context: z.RefinementCtx): void {
  const refuse = (path: readonly string[], message: string): void =>
    context.addIssue({ code: "custom", path: [...path], message });
  if (raw["ansible"] === undefined) refuse(["ansible"], "is required: which module or playbook should be run?");
  for (const key of ["run", "dir", "stdin"])
    if (raw[key] !== undefined) refuse([key], "driver ansible runs a module or a playbook: leave it out");
  const unit = raw["unit"];
  if (typeof unit === "number" && unit > limits.ansibleHosts)
    refuse(["unit"], `is one process of driver ansible, for at most ${limits.ansibleHosts} hosts`);
  const ssh = raw["ssh"];
  for (const key of ["put", "fetch", "strict"])
    if (typeof ssh === "object" && ssh !== null && key in ssh)
      refuse(["ssh", key], "is for driver ssh only: ansible has modules for that");
}

/** Durations in ms, sizes in bytes, absent where nothing was written. The order of keys is fixed: equal specs give equal texts. */
function normalise(fields: Fields, matrix: Matrix | undefined): Spec {
  const spec: Mutable<Spec> = {};
  if (fields.name !== undefined) spec.name = fields.name;
  if (fields.driver !== undefined && fields.driver !== "shell") spec.driver = fields.driver;
  if (fields.run !== undefined) spec.run = fields.run;
  if (fields.env !== undefined) {
    const { plain, secret } = partSecrets(fields.env);
    if (plain !== undefined) spec.env = plain;
    if (secret !== undefined) spec.secrets = { env: secret };
  }
  if (fields.dir !== undefined) spec.dir = fields.dir;
  if (fields.stdin !== undefined) spec.stdin = fields.stdin;
  if (fields.user !== undefined) spec.user = fields.user;
  if (fields.limits !== undefined) {
    const { cpu, memory, files, processes } = fields.limits;
    spec.limits = {
      ...(cpu === undefined ? {} : { cpuMs: cpu }),
      ...(memory === undefined ? {} : { memoryBytes: memory }),
      ...(files === undefined ? {} : { files }),
      ...(processes === undefined ? {} : { processes }),
    };
  }
  if (fields.count !== undefined) spec.count = fields.count;
  if (fields.array !== undefined) spec.array = fields.array;
  if (matrix !== undefined) spec.matrix = matrix;
  if (fields.targets !== undefined) spec.targets = { from: fields.targets, list: "", count: 0 };
  if (fields.each_node === true) spec.eachNode = true;
  if (fields.on !== undefined && fields.on.trim() !== "") spec.on = fields.on;
  if (fields.slots !== undefined) spec.slots = fields.slots;
  if (fields.resources !== undefined && Object.keys(fields.resources).length > 0)
    spec.resources = sortedResources(fields.resources);
  if (fields.parallel !== undefined) spec.parallel = fields.parallel;
  if (fields.batch !== undefined) spec.batch = fields.batch;
  if (fields.unit !== undefined) spec.unit = fields.unit;
  if (fields.priority !== undefined) spec.priority = fields.priority;
  if (fields.after !== undefined) spec.after = fields.after;
  if (fields.key !== undefined) spec.key = fields.key;
  if (fields.on_conflict !== undefined && fields.on_conflict !== "queue") spec.onConflict = fields.on_conflict;
  if (fields.start_at !== undefined) spec.startAt = fields.start_at;
  if (fields.timeout !== undefined) spec.timeoutMs = fields.timeout;
  else if (fields.driver === "ssh" || fields.driver === "ansible")
    spec.timeoutMs = fields.ansible?.playbook === undefined ? limits.hostTimeoutMs : limits.playbookTimeoutMs;
  if (fields.grace !== undefined) spec.graceMs = fields.grace;
  if (fields.deadline !== undefined) spec.deadlineMs = fields.deadline;
  if (fields.retries !== undefined) spec.retries = normaliseRetries(fields.retries);
  if (fields.on_lost !== undefined) spec.onLost = fields.on_lost;
  if (fields.max_failures !== undefined) spec.maxFailures = fields.max_failures;
  if (fields.output !== undefined) {
    const output: Mutable<NonNullable<Spec["output"]>> = {};
    if (fields.output.tail !== undefined) output.tailBytes = fields.output.tail;
    if (fields.output.keep !== undefined) output.keepBytes = fields.output.keep;
    if (fields.output.copies !== undefined) output.copies = fields.output.copies;
    if (fields.output.sync === true) output.sync = true;
    spec.output = output;
  }
  if (fields.noop !== undefined) {
    const noop: Mutable<NonNullable<Spec["noop"]>> = {};
    if (fields.noop.for !== undefined) noop.forMs = fields.noop.for;
    if (fields.noop.output !== undefined) noop.outputBytes = fields.noop.output;
    if (fields.noop.exit !== undefined) noop.exit = fields.noop.exit;
    spec.noop = noop;
  }
  if (fields.http !== undefined) {
    const { http, secrets } = normaliseHttp(fields.http);
    spec.http = http;
    if (Object.keys(secrets).length > 0) spec.secrets = { ...spec.secrets, ...secrets };
  }
  if (fields.ssh !== undefined) {
    const { ssh, secrets } = normaliseSsh(fields.ssh);
    if (Object.keys(ssh).length > 0) spec.ssh = ssh;
    if (Object.keys(secrets).length > 0) spec.secrets = { ...spec.secrets, ...secrets };
  }
  if (fields.ansible !== undefined) {
    const { ansible, secrets } = normaliseAnsible(fields.ansible);
    spec.ansible = ansible;
    if (Object.keys(secrets).length > 0) spec.secrets = { ...spec.secrets, ...secrets };
  }
  if (fields.bundle !== undefined) {
    const { name, read_only: readOnly } = typeof fields.bundle === "string" ? { name: fields.bundle } : fields.bundle;
    spec.bundle = { name, digest: "", ...(readOnly === true ? { readOnly } : {}) };
  }
  if (fields.labels !== undefined) spec.labels = fields.labels;
  if (fields.ttl !== undefined) spec.ttlMs = fields.ttl;
  return spec;
}

function normaliseRetries(fields: NonNullable<Fields["retries"]>): NonNullable<Spec["retries"]> {
  const retries: Mutable<NonNullable<Spec["retries"]>> = { max: fields.max };
  if (fields.backoff !== undefined) retries.backoffMs = fields.backoff;
  if (fields.factor !== undefined) retries.factor = fields.factor;
  if (fields.cap !== undefined) retries.capMs = fields.cap;
  if (fields.jitter !== undefined) retries.jitter = fields.jitter;
  if (fields.on !== undefined) retries.on = fields.on;
  return retries;
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

const ms = z.number().int().min(0).max(yearMs);
const bytes = z
  .number()
  .int()
  .min(0)
  .max(2 ** 40);

const normalisedFields = z.strictObject({
  name: z.string().max(limits.nameLength).exactOptional(),
  driver: z.enum(["shell", "ssh", "ansible", "noop", "http"]).exactOptional(),
  run: z.union([z.string(), z.array(z.string())]).exactOptional(),
  env: z.record(z.string(), z.string()).exactOptional(),
  secrets: normalisedSecrets.exactOptional(),
  dir: z.string().exactOptional(),
  stdin: z.string().exactOptional(),
  user: z.string().max(32).exactOptional(),
  limits: z
    .strictObject({
      cpuMs: ms.exactOptional(),
      memoryBytes: z.number().int().positive().exactOptional(),
      files: z.number().int().positive().exactOptional(),
      processes: z.number().int().positive().exactOptional(),
    })
    .exactOptional(),
  count: z.number().int().min(1).max(limits.arrayTasks).exactOptional(),
  ...normalisedShapeFields,
  targets: normalisedTargets.exactOptional(),
  eachNode: z.boolean().exactOptional(),
  on: z.string().exactOptional(),
  slots: z.number().int().min(0).exactOptional(),
  resources: resourcesShape(limits.resourcesPerSpec).exactOptional(),
  parallel: z.number().int().min(1).exactOptional(),
  batch: normalisedBatch.exactOptional(),
  unit: z.number().int().min(1).max(limits.unitTasks).exactOptional(),
  priority: z.number().int().min(0).max(100).exactOptional(),
  after: normalisedAfter.exactOptional(),
  key: z.string().min(1).max(limits.jobKeyLength).exactOptional(),
  onConflict: z.enum(["refuse", "replace"]).exactOptional(),
  startAt: z.number().int().positive().exactOptional(),
  timeoutMs: ms.exactOptional(),
  graceMs: ms.exactOptional(),
  deadlineMs: ms.exactOptional(),
  retries: z
    .strictObject({
      max: z.number().int().min(0).max(1000),
      backoffMs: ms.exactOptional(),
      factor: z.number().min(1).max(100).exactOptional(),
      capMs: ms.exactOptional(),
      jitter: z.number().min(0).max(1).exactOptional(),
      on: z.array(z.enum(["failed", "timeout"])).exactOptional(),
    })
    .exactOptional(),
  onLost: z.enum(["retry", "fail"]).exactOptional(),
  maxFailures: z.union([z.number(), z.string().regex(share)]).exactOptional(),
  output: z
    .strictObject({
      tailBytes: bytes.exactOptional(),
      keepBytes: bytes.exactOptional(),
      copies: z.literal([1, 2]).exactOptional(),
      sync: z.literal(true).exactOptional(),
    })
    .exactOptional(),
  noop: z
    .strictObject({
      forMs: ms.exactOptional(),
      outputBytes: bytes.exactOptional(),
      exit: z.number().int().exactOptional(),
    })
    .exactOptional(),
  http: normalisedHttp.exactOptional(),
  ssh: normalisedSsh.exactOptional(),
  ansible: normalisedAnsible.exactOptional(),
  bundle: normalisedBundle.exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  ttlMs: ms.exactOptional(),
});

/** True for a normalised spec as it stands in a payload: the leader's second look at what a follower forwarded (S3). */
export function isNormalised(spec: unknown): spec is Spec {
  return parsePresent(normalisedFields, spec).success && tasksOfNormalised(spec as Spec) !== undefined;
}
