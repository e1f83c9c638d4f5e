import { formatInstant } from "../lib/calendar.ts";
import { formatDuration } from "../lib/units.ts";
import { memoryResource, type Resources } from "../lib/resources.ts";
import { limits } from "../lib/limits.ts";
import { memoOfTexts } from "../lib/memo.ts";
import { defaultPriority, slotsTaken } from "../lib/room.ts";
import { renderBundle } from "./bundles.ts";
import { renderTargets } from "./targets.ts";
import type { AnsibleSpec, Driver, Rolling, Spec } from "./types.ts";

/** What a normalised spec means where it is silent, and how it is written back for people. Reading what people write is commands/spec-schema.ts. */

export const specDefaults = {
  driver: "shell",
  priority: defaultPriority,
  graceMs: 10_000,
  onLost: "retry",
  tailBytes: limits.tailDefaultBytes,
  keepBytes: limits.logKeepBytes,
  ttlMs: limits.jobTtlMs,
  retries: { backoffMs: 1_000, factor: 2, capMs: 60_000, jitter: 0.1, on: ["failed", "timeout"] },
} as const;

const readShort = memoOfTexts((text) => JSON.parse(text) as Spec);
/** A script or a matrix makes a spec long, and an array of a million tasks has it read for every task: the newest few are remembered as well. */
const readLong = memoOfTexts((text) => JSON.parse(text) as Spec, { entries: 16, textLength: 256 * 1024 });

/** A job's spec as its row holds it. Shared by all who read the same text. */
export function readSpec(text: string): Spec {
  return text.length <= 2048 ? readShort(text) : readLong(text);
}

/** How the spec's tasks are carried out: shell unless it says otherwise. */
export function driverOf(spec: Spec): Driver {
  return spec.driver ?? specDefaults.driver;
}

/** Slots that one task takes: 1 for shell, 0 for http and noop (which ioTasks bounds) unless the spec says otherwise. */
export function slotsOf(spec: Spec): number {
  return slotsTaken(spec);
}

/** It waits for more than a node, or for a while only: what gates.ts is about. */
export function isGated({ after, key, startAt, deadlineMs, batch }: Spec): boolean {
  return [after, key, startAt, deadlineMs, batch].some((one) => one !== undefined);
}

/** The name that lists show: the spec's own, or the beginning of its command. */
export function displayName(spec: Spec): string {
  if (spec.name !== undefined) return spec.name;
  const line = whatIsRun(spec).trimStart().split("\n", 1)[0]!.trim();
  return line.length <= 40 ? line : `${line.slice(0, 39)}…`;
}

function whatIsRun(spec: Spec): string {
  const { run, http, ansible } = spec;
  if (http !== undefined) return `${http.method} ${http.url}`;
  if (run !== undefined) return commandOf(run);
  if (ansible?.module !== undefined)
    return typeof ansible.args === "string" ? `${ansible.module} ${ansible.args}` : ansible.module;
  if (ansible?.playbook?.startsWith("/") === true) return ansible.playbook.split("/").at(-1)!;
  return driverOf(spec);
}

function commandOf(run: string | readonly string[]): string {
  return typeof run === "string" ? run : run.join(" ");
}

/**
 * How many tasks may fail before the job stops starting more; undefined: no bound. A share is of all tasks, and fractions of a task
 * are not rounded up: 10% of 8 tasks allows none.
 */
export function failuresAllowed(spec: Spec, tasks: number): number | undefined {
  const { maxFailures } = spec;
  if (maxFailures === undefined || typeof maxFailures === "number") return maxFailures;
  return Math.floor((Number.parseFloat(maxFailures) * tasks) / 100 + 1e-9);
}

/** The spec as people write it: durations and sizes as text, keys in the contract's spelling. Reading it again gives the same spec. */
export function renderSpec(spec: Spec): Record<string, unknown> {
  const duration = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : formatDuration(ms));
  const { matrix, retries, output, noop } = spec;
  return compact({
    name: spec.name,
    driver: spec.driver,
    run: spec.run,
    env: withSecrets(spec.env, spec.secrets?.env),
    dir: spec.dir,
    stdin: spec.stdin,
    user: spec.user,
    limits: spec.limits && renderLimits(spec.limits),
    count: spec.count,
    array: spec.array,
    matrix: matrix && { ...matrix.keys, ...compact({ exclude: matrix.exclude, include: matrix.include }) },
    targets: spec.targets && renderTargets(spec.targets),
    each_node: spec.eachNode,
    on: spec.on,
    slots: spec.slots,
    resources: spec.resources && renderResources(spec.resources),
    parallel: spec.parallel,
    batch: spec.batch && renderBatch(spec.batch),
    unit: spec.unit,
    priority: spec.priority,
    after: spec.after?.map(({ job, when }) => (when === undefined ? job : { job, when })),
    key: spec.key,
    on_conflict: spec.onConflict,
    start_at: spec.startAt === undefined ? undefined : formatInstant(spec.startAt),
    timeout: duration(spec.timeoutMs),
    grace: duration(spec.graceMs),
    deadline: duration(spec.deadlineMs),
    retries:
      retries &&
      compact({
        max: retries.max,
        backoff: duration(retries.backoffMs),
        factor: retries.factor,
        cap: duration(retries.capMs),
        jitter: retries.jitter,
        on: retries.on,
      }),
    on_lost: spec.onLost,
    max_failures: spec.maxFailures,
    output:
      output &&
      compact({
        tail: renderSize(output.tailBytes),
        keep: renderSize(output.keepBytes),
        copies: output.copies,
        sync: output.sync,
      }),
    noop: noop && compact({ for: duration(noop.forMs), output: renderSize(noop.outputBytes), exit: noop.exit }),
    http: spec.http && renderHttp(spec.http, spec.secrets),
    ssh: renderSsh(spec.ssh, spec.secrets),
    ansible: spec.ansible && renderAnsible(spec.ansible, spec.secrets),
    bundle: spec.bundle && renderBundle(spec.bundle),
    labels: spec.labels,
    ttl: duration(spec.ttlMs),
  });
}

function renderBatch({ sizes, pauseMs, approve }: Rolling): unknown {
  if (pauseMs === undefined && approve === undefined) return sizes;
  return compact({ sizes, pause: pauseMs === undefined ? undefined : formatDuration(pauseMs), approve });
}

function renderLimits({ cpuMs, memoryBytes, files, processes }: NonNullable<Spec["limits"]>): Record<string, unknown> {
  const cpu = cpuMs === undefined ? undefined : formatDuration(cpuMs);
  return compact({ cpu, memory: renderSize(memoryBytes), files, processes });
}

function renderHttp(http: NonNullable<Spec["http"]>, secrets: Spec["secrets"]): Record<string, unknown> {
  const { method, url, body, json, expect } = http;
  const plain = json === true && body !== undefined ? (JSON.parse(body) as unknown) : body;
  return compact({
    method,
    url,
    headers: withSecrets(http.headers, secrets?.headers),
    body: secrets?.body === undefined ? plain : { secret: secrets.body },
    expect: expect?.length === 1 ? expect[0] : expect,
  });
}

function renderSsh(ssh: Spec["ssh"], secrets: Spec["secrets"]): Record<string, unknown> | undefined {
  const { sshKey, becomePassword } = secrets ?? {};
  if (ssh === undefined && sshKey === undefined && becomePassword === undefined) return undefined;
  const { knownHosts, connectMs, key, ...rest } = ssh ?? {};
  return compact({
    ...rest,
    key: sshKey === undefined ? key : { secret: sshKey },
    become_password: becomePassword === undefined ? undefined : { secret: becomePassword },
    known_hosts: knownHosts,
    connect: connectMs === undefined ? undefined : formatDuration(connectMs),
  });
}

function renderAnsible(ansible: AnsibleSpec, secrets: Spec["secrets"]): Record<string, unknown> {
  const { skipTags, vault, ...rest } = ansible;
  return compact({
    ...rest,
    skip_tags: skipTags,
    vault: secrets?.vault === undefined ? vault : { secret: secrets.vault },
  });
}

function withSecrets(
  plain: Readonly<Record<string, string>> | undefined,
  secret: Readonly<Record<string, string>> | undefined,
): Record<string, unknown> | undefined {
  if (secret === undefined) return plain;
  return { ...plain, ...Object.fromEntries(Object.entries(secret).map(([key, name]) => [key, { secret: name }])) };
}

function renderResources(resources: Resources): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(resources).map(([name, amount]) => [name, name === memoryResource ? renderSize(amount) : amount]),
  );
}

/** The largest unit that says it exactly. */
function renderSize(bytes: number | undefined): string | number | undefined {
  if (bytes === undefined || bytes === 0) return bytes;
  if (bytes % 1_048_576 === 0) return `${bytes / 1_048_576}MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024}KiB` : bytes;
}

function compact(fields: Record<string, unknown>): Record<string, unknown> {
  for (const key of Object.keys(fields)) if (fields[key] === undefined) delete fields[key];
  return fields;
}
