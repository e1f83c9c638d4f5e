import type { Command } from "commander";
import { parseInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import { parseRanges } from "../lib/ranges.ts";
import { isLabel, parseSelector } from "../lib/selector.ts";
import { parseDuration, parseSize } from "../lib/units.ts";
import { yamlMistake } from "../lib/yaml-mistake.ts";
import { CliError, exit } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { resourcesOf } from "./resources.ts";
import { readText } from "./specs-file.ts";

/** Flags that say what a job is, as they were typed. */
export interface SpecFlags {
  readonly name?: string;
  readonly count?: string;
  readonly array?: string;
  readonly matrix?: readonly string[];
  readonly target?: readonly string[];
  readonly targetsFrom?: string;
  readonly eachNode?: boolean;
  readonly on?: string;
  readonly slots?: string;
  readonly resource?: readonly string[];
  readonly parallel?: string;
  readonly batch?: string;
  readonly batchPause?: string;
  readonly approve?: boolean;
  readonly unit?: string;
  readonly priority?: string;
  readonly after?: readonly string[];
  readonly key?: string;
  readonly onConflict?: string;
  readonly startAt?: string;
  readonly retries?: string;
  readonly timeout?: string;
  readonly deadline?: string;
  readonly env?: readonly string[];
  readonly secret?: readonly string[];
  readonly dir?: string;
  readonly bundle?: string;
  readonly readOnly?: boolean;
  readonly user?: string;
  readonly limit?: readonly string[];
  readonly stdin?: string;
  readonly label?: readonly string[];
  readonly tail?: string;
  readonly onLost?: string;
  readonly driver?: string;
  readonly ssh?: readonly string[];
  readonly ansible?: readonly string[];
  readonly playbook?: string;
  readonly extraVar?: readonly string[];
  readonly grace?: string;
  readonly maxFailures?: string;
  readonly ttl?: string;
  readonly backoff?: string;
  readonly backoffFactor?: string;
  readonly backoffCap?: string;
  readonly jitter?: string;
  readonly retryOn?: string;
  readonly keep?: string;
  readonly copies?: string;
  readonly sync?: boolean;
}

/** Collects a flag that may be given several times. */
export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}

/** The flags of `run` that become a job spec. */
export function addSpecFlags(command: Command): void {
  command
    .optionsGroup("Job:")
    .option("--name <name>", "name of the job")
    .option("--count <n>", "an array: n tasks, each with its SKEIN_INDEX")
    .option("--array <ranges>", "an array of these indices: 0-99:2 or 1,3,5-8")
    .option("--matrix <k=a,b>", "a task per combination of values (repeatable, the first key is the slowest)", collect)
    .option("--target <names>", "a task per name: web[01-30] or 10.0.0.1-50,db1 (repeatable)", collect)
    .option("--targets-from <file>", "names, or sets of them, one a line, # for comments; - for standard input")
    .option("--each-node", "one task on every matching node")
    .option("--on <selector>", "nodes that may run it: zone=eu,gpu!=none")
    .option("--slots <n>", "what a task takes of its node")
    .option("--resource <name=n>", "what a task takes beside: memory=512MiB, cores=2, license=1 (repeatable)", collect)
    .option("--parallel <n>", "tasks of this job running at once")
    .option("--batch <sizes>", "tasks in groups, one after the other: 1,10%,50% (the last size repeats)")
    .option("--batch-pause <duration>", "between two batches: 30s")
    .option("--approve", "each batch but the first waits for `skein jobs release`")
    .option(
      "--unit <n>",
      "tasks of an array or of targets that a node is given together (default: by how long they take)",
    )
    .option("--priority <n>", "0..100, default 50, higher first")
    .option("--after <jobs>", "start when these have succeeded: 17,18 or 18:failed, 18:done (repeatable)", collect)
    .option("--key <key>", "one running job per key")
    .option("--on-conflict <what>", "when another job has the key: queue, refuse or replace")
    .option("--start-at <time>", "not before: 2026-12-01T02:00:00Z")
    .option("--deadline <duration>", "of the job, waiting included: 2h")
    .option("--retries <n>", "tries after the first one that failed")
    .option("--backoff <duration>", "before the first retry: 2s")
    .option("--backoff-factor <x>", "what each further wait is longer by: 2")
    .option("--backoff-cap <duration>", "the longest wait before a retry: 1m")
    .option("--jitter <share>", "how much of a wait is drawn: 0.1")
    .option("--retry-on <states>", "which ends are tried again: failed,timeout")
    .option("--max-failures <n>", "start no more past so many failed tasks: 5, or a share: 10%")
    .option("--timeout <duration>", "of a task: 90s, 1h30m")
    .option("--grace <duration>", "between TERM and KILL: 10s")
    .option("--env <k=v>", "environment variable (repeatable)", collect)
    .option("--secret <k=name>", "environment variable with a secret's value (repeatable)", collect)
    .option("--dir <dir>", "working directory on the node")
    .option("--bundle <name>", "the tree that tasks run in, each in a copy of its own: site, site@3, site@sha256:…")
    .option("--read-only", "one tree of the bundle for all tasks of a node, which they cannot write to")
    .option("--user <name>", "run as this user (the node must be root)")
    .option("--limit <k=v>", "of a task: cpu=10m, memory=512MiB, files=64 or processes=20 (repeatable)", collect)
    .option("--stdin <file>", "standard input of the tasks: a file, or - for this command's own")
    .option("--label <k=v>", "label of the job (repeatable)", collect)
    .option("--tail <size>", "output kept in the result: 2KiB")
    .option("--keep <size>", "output kept in the log: 64MiB")
    .option("--copies <n>", "nodes that have the log: 1 or 2")
    .option("--sync", "a task has finished only when its log is on two nodes (with --copies 2)")
    .option("--ttl <duration>", "how long the finished job is remembered: 7d")
    .option(
      "--driver <name>",
      "how tasks are carried out: shell, ssh or ansible (on each --target), noop (runs nothing)",
    )
    .option(
      "--ssh <k=v>",
      "how targets are reached: user, port, key (a path, or secret:NAME), known_hosts, jump, become, become_password (secret:NAME), connect, strict (repeatable)",
      collect,
    )
    .option(
      "--ansible <k=v>",
      "what driver ansible runs: module, args (or the words), playbook (a path on the node, or in the bundle), check, diff, tags, skip_tags, groups, vault (a path, or secret:NAME), forks, connection (repeatable)",
      collect,
    )
    .option("--playbook <file>", "a playbook that goes with the job, for driver ansible; - for standard input")
    .option("--extra-var <k=v>", "a variable of the playbook (repeatable)", collect)
    .option("--on-lost <what>", "when its node is gone: retry or fail");
}

/**
 * The spec that flags and words say. Several words are argv; one word with white space is a line for /bin/sh, as in
 * `skein run 'echo $HOME | wc'`. Throws CliError with every problem.
 */
export async function specOf(flags: SpecFlags, words: readonly string[], io: CliIo): Promise<Record<string, unknown>> {
  const problems: Problem[] = [];
  const whole = (flag: string, text: string | undefined, low: number, high: number): number | undefined => {
    if (text === undefined) return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    problems.push({ path: `--${flag}`, message: `"${text}" is not a whole number from ${low} to ${high}` });
    return undefined;
  };
  const pairs = (
    flag: string,
    texts: readonly string[] | undefined,
    isFine: (key: string, value: string) => boolean,
  ) => {
    if (texts === undefined) return undefined;
    const found: [string, string][] = [];
    for (const text of texts) {
      const at = text.indexOf("=");
      if (at > 0 && isFine(text.slice(0, at), text.slice(at + 1))) found.push([text.slice(0, at), text.slice(at + 1)]);
      else problems.push({ path: `--${flag}`, message: `"${text}" is not of the form name=value` });
    }
    return Object.fromEntries(found);
  };
  const checkedText = (flag: string, text: string | undefined, isFine: (text: string) => boolean, form: string) => {
    if (text !== undefined && !isFine(text)) problems.push({ path: `--${flag}`, message: `"${text}" is not ${form}` });
    return text;
  };

  const after = (text: string): unknown => {
    const [, id, when] = /^(\d{1,15})(?::(succeeded|failed|done))?$/.exec(text.trim()) ?? [];
    if (id === undefined)
      problems.push({ path: "--after", message: `"${text}" names no job: write 17, 17:failed or 17:done` });
    return when === undefined ? Number(id) : { job: Number(id), when };
  };

  if (flags.on !== undefined) {
    const terms = parseSelector(flags.on);
    if (typeof terms === "string") problems.push({ path: "--on", message: terms });
  }
  if (flags.readOnly === true && flags.bundle === undefined)
    problems.push({ path: "--read-only", message: "is about the tree of --bundle, which is missing" });
  const makers = [
    ["--count", flags.count],
    ["--array", flags.array],
    ["--matrix", flags.matrix],
    ["--target", flags.target ?? flags.targetsFrom],
    ["--each-node", flags.eachNode],
  ] as const;
  const given = makers.flatMap(([flag, value]) => (value === undefined ? [] : [flag]));
  const lastMaker = given.pop();
  for (const flag of given)
    problems.push({ path: flag, message: `goes not with ${lastMaker}: each says how many tasks there are` });
  if (flags.stdin === "-" && flags.targetsFrom === "-")
    problems.push({ path: "--targets-from", message: "cannot be standard input, which --stdin takes" });
  const list = flags.array === undefined ? undefined : parseRanges(flags.array);
  if (typeof list === "string") problems.push({ path: "--array", message: list });
  const axes = pairs("matrix", flags.matrix, (key, values) => /^\w+$/.test(key) && values !== "");
  const retries = whole("retries", flags.retries, 0, 1_000_000);
  const tail = checkedText("tail", flags.tail, (text) => parseSize(text) !== undefined, "a size: write 2KiB");
  const keep = checkedText("keep", flags.keep, (text) => parseSize(text) !== undefined, "a size: write 64MiB");
  const copies = whole("copies", flags.copies, 1, 2);
  const reached = pairs("ssh", flags.ssh, (key) => sshKeys.includes(key));
  const played = pairs("ansible", flags.ansible, (key) => ansibleKeys.includes(key));
  const variables = pairs("extra-var", flags.extraVar, () => true);
  const output = defined({ tail, keep, copies, sync: flags.sync });
  const plain = pairs("env", flags.env, (key) => !key.includes("\0"));
  const secrets = pairs("secret", flags.secret, (_key, name) => name !== "");
  const environment =
    secrets === undefined
      ? plain
      : { ...plain, ...Object.fromEntries(Object.entries(secrets).map(([key, secret]) => [key, { secret }])) };
  const limited = pairs("limit", flags.limit, (key) => ["cpu", "memory", "files", "processes"].includes(key));
  const spec = {
    driver: flags.driver,
    ssh: reached === undefined ? undefined : sshOf(reached),
    ansible:
      played === undefined && variables === undefined && flags.playbook === undefined && flags.driver !== "ansible"
        ? undefined
        : ansibleOf(
            played ?? {},
            flags.playbook === undefined ? undefined : await playbookOf(flags.playbook, io),
            variables,
            words,
          ),
    // A driver that runs nothing has no command, and ansible has a module of which the words are the arguments.
    run:
      flags.driver === "noop" || flags.driver === "ansible"
        ? undefined
        : words.length === 1 && /\s/.test(words[0]!)
          ? words[0]
          : words,
    name: flags.name,
    count: whole("count", flags.count, 1, limits.arrayTasks),
    array: flags.array,
    matrix:
      axes &&
      Object.fromEntries(Object.entries(axes).map(([key, values]) => [key, values.split(",").map(matrixValue)])),
    targets: problems.length > 0 ? undefined : await targetsOf(flags, io),
    each_node: flags.eachNode,
    on: flags.on,
    slots: whole("slots", flags.slots, 0, 1_000_000),
    resources:
      flags.resource && resourcesOf(flags.resource, (message) => problems.push({ path: "--resource", message })),
    parallel: whole("parallel", flags.parallel, 1, limits.arrayTasks),
    batch: batchOf(flags, problems),
    unit: whole("unit", flags.unit, 1, limits.unitTasks),
    priority: whole("priority", flags.priority, 0, 100),
    after: flags.after?.flatMap((text) => text.split(",").map(after)),
    key: flags.key,
    on_conflict: checkedText(
      "on-conflict",
      flags.onConflict,
      (text) => ["queue", "refuse", "replace"].includes(text),
      "queue, refuse or replace",
    ),
    start_at: checkedText(
      "start-at",
      flags.startAt,
      (text) => parseInstant(text) !== undefined,
      "an instant: write 2026-12-01T02:00:00Z, with its zone",
    ),
    retries: retriesOf(flags, retries, problems),
    grace: checkedText("grace", flags.grace, (text) => parseDuration(text) !== undefined, "a duration: write 10s"),
    max_failures: flags.maxFailures === undefined ? undefined : countOrShare(flags.maxFailures),
    ttl: checkedText("ttl", flags.ttl, (text) => parseDuration(text) !== undefined, "a duration: write 7d"),
    timeout: checkedText("timeout", flags.timeout, isDuration, "a duration: write 90s or 1h30m"),
    deadline: checkedText("deadline", flags.deadline, isDuration, "a duration: write 90s or 1h30m"),
    env: environment,
    dir: flags.dir,
    bundle: flags.readOnly === true ? { name: flags.bundle, read_only: true } : flags.bundle,
    user: flags.user,
    limits: limited === undefined ? undefined : limitsOf(limited),
    stdin: flags.stdin === undefined ? undefined : await textOf(flags.stdin, io),
    labels: pairs("label", flags.label, isLabel),
    output: Object.keys(output).length > 0 ? output : undefined,
    on_lost: checkedText("on-lost", flags.onLost, (text) => text === "retry" || text === "fail", "retry or fail"),
  };
  if (problems.length > 0) {
    throw new CliError(
      exit.usage,
      problems.length === 1 ? "a flag is wrong" : `${problems.length} flags are wrong`,
      problems,
    );
  }
  return defined(spec);
}

function defined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** How failed tasks are tried again. What is wrong with a value the API says; that it says nothing without --retries is said here. */
function retriesOf(
  flags: SpecFlags,
  max: number | undefined,
  problems: Problem[],
): Record<string, unknown> | undefined {
  const { backoff, backoffFactor, backoffCap, jitter, retryOn } = flags;
  const number = (flag: string, text: string | undefined): number | undefined => {
    if (text === undefined || /^\d+(\.\d+)?$/.test(text)) return text === undefined ? undefined : Number(text);
    problems.push({ path: `--${flag}`, message: `"${text}" is not a number` });
    return undefined;
  };
  const how = defined({
    backoff,
    factor: number("backoff-factor", backoffFactor),
    cap: backoffCap,
    jitter: number("jitter", jitter),
    on: retryOn?.split(",").map((state) => state.trim()),
  });
  if (max !== undefined) return { max, ...how };
  if (Object.keys(how).length > 0)
    problems.push({ path: "--retries", message: "is missing: how often is a failed task tried again?" });
  return undefined;
}

/** What is wrong with a size the API says. */
function batchOf({ batch, batchPause: pause, approve }: SpecFlags, problems: Problem[]): unknown {
  if (pause !== undefined && !isDuration(pause))
    problems.push({ path: "--batch-pause", message: `"${pause}" is not a duration: write 30s` });
  if (batch === undefined) {
    for (const [flag, value] of Object.entries({ "--batch-pause": pause, "--approve": approve }))
      if (value !== undefined) problems.push({ path: flag, message: "is for batches: give their sizes with --batch" });
    return undefined;
  }
  const sizes = batch.split(",").map((size) => countOrShare(size.trim()));
  return pause === undefined && approve === undefined ? sizes : defined({ sizes, pause, approve });
}

const sshKeys = ["user", "port", "key", "known_hosts", "jump", "become", "become_password", "connect", "strict"];

/** `--ssh k=v` of other verbs than run. Throws CliError. */
export function sshFlags(pairs: readonly string[]): Record<string, unknown> {
  const read = pairs.map((text): [string, string] => {
    const at = text.indexOf("=");
    const key = text.slice(0, Math.max(0, at));
    if (!sshKeys.includes(key)) throw new CliError(exit.usage, `--ssh "${text}" is none of ${sshKeys.join("=, ")}=`);
    return [key, text.slice(at + 1)];
  });
  return sshOf(Object.fromEntries(read));
}

/** As a file would have it. */
function sshOf(pairs: Readonly<Record<string, string>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(pairs).map(([key, text]): [string, unknown] => {
      if (key === "port") return [key, countOrShare(text)];
      if (key === "strict") return [key, text === "true" ? true : text === "false" ? false : text];
      const isSecret = key === "key" || key === "become_password";
      return [key, isSecret && text.startsWith("secret:") ? { secret: text.slice("secret:".length) } : text];
    }),
  );
}

const ansibleKeys = [
  "module",
  "args",
  "playbook",
  "check",
  "diff",
  "tags",
  "skip_tags",
  "groups",
  "vault",
  "forks",
  "connection",
];

/** As a file would have it. Words are the arguments of the module, which is shell unless another one is named. */
function ansibleOf(
  pairs: Readonly<Record<string, string>>,
  playbook: string | undefined,
  vars: Readonly<Record<string, string>> | undefined,
  words: readonly string[],
): Record<string, unknown> {
  const read = Object.fromEntries(
    Object.entries(pairs).map(([key, text]): [string, unknown] => {
      if (key === "forks") return [key, countOrShare(text)];
      if (key === "check" || key === "diff") return [key, text === "true" ? true : text === "false" ? false : text];
      return [key, key === "vault" && text.startsWith("secret:") ? { secret: text.slice("secret:".length) } : text];
    }),
  );
  // One line is text as well, not a path.
  const text = playbook === undefined || playbook.endsWith("\n") ? playbook : `${playbook}\n`;
  const isModule = playbook === undefined && pairs["playbook"] === undefined;
  return defined({
    ...(isModule && words.length > 0 ? { module: "shell", args: words.join(" ") } : {}),
    playbook: text,
    vars,
    ...read,
  });
}

/** A number as one; anything else is for the API to judge. */
function countOrShare(text: string): string | number {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}

/** A whole number is one, as it would be in a file; anything else is text. */
function matrixValue(text: string): string | number {
  return /^(0|-?[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
}

function isDuration(text: string): boolean {
  return (parseDuration(text) ?? 0) > 0;
}

/** Counts as numbers; times and sizes as they are written. */
function limitsOf(pairs: Readonly<Record<string, string>>): Record<string, unknown> {
  const isCount = (key: string, text: string): boolean =>
    (key === "files" || key === "processes") && /^\d+$/.test(text);
  return Object.fromEntries(
    Object.entries(pairs).map(([key, text]) => [key, isCount(key, text) ? Number(text) : text]),
  );
}

/** What is said on the command line before what is in a file. Throws CliError. */
/** Whom a job is about, of the flag and of a file. */
export async function targetsOf(
  { target, targetsFrom }: Pick<SpecFlags, "target" | "targetsFrom">,
  io: CliIo,
): Promise<readonly string[] | undefined> {
  if (targetsFrom === undefined) return target;
  const text =
    targetsFrom === "-" ? new TextDecoder().decode(await io.readStdin(limits.bodyBytes)) : await readText(targetsFrom);
  const lines = text.split("\n").map((line) => line.replace(/(^|\s)#.*/, "").trim());
  const listed = lines.filter((line) => line !== "");
  if (listed.length > 0) return [...(target ?? []), ...listed];
  const name = targetsFrom === "-" ? "standard input" : targetsFrom;
  throw new CliError(exit.usage, `--targets-from: ${name} names nobody`);
}

/** A playbook that is no YAML is refused here, where its file has a name. */
async function playbookOf(path: string, io: CliIo): Promise<string> {
  const text = await textOf(path, io);
  const mistake = text.length > limits.playbookBytes ? undefined : yamlMistake(text);
  if (mistake === undefined) return text;
  const { line, column, message } = mistake;
  throw new CliError(exit.usage, `${path === "-" ? "stdin" : path}:${line}:${column}: ${message}`);
}

async function textOf(path: string, io: CliIo): Promise<string> {
  if (path !== "-") return readText(path);
  return new TextDecoder().decode(await io.readStdin(limits.stdinBytes));
}
