import { digestOfText } from "../lib/digest.ts";
import { limits } from "../lib/limits.ts";
import { expandNodeSet, inGroups, type NodeSetSources, shownMistake } from "../lib/node-set.ts";
import type { Problem } from "../lib/outcome.ts";
import { withWholeUnit } from "./ansible-fleet.ts";
import { contentsOf, type Groups, listGroup } from "./groups.ts";
import type { Spec, Targets } from "./types.ts";

/**
 * What the expressions of `targets` stand for. That is found out before the log, by whoever is asked: inventories change, and a job keeps the targets that it
 * was submitted for. Specs come with what was written and leave with the digest of a list (tables/target.ts), beside which the list itself goes to the log.
 */
export interface ResolvedTargets {
  readonly jobs: readonly Spec[];
  /** Every list that a spec names: its digest, and its names joined by newlines. */
  readonly lists: readonly (readonly [hash: string, names: string])[];
  /** Paths are of a request: "jobs[0].targets[1]". */
  readonly problems: readonly Problem[];
}

/** What the specs' targets name of the state, as it is written there: "@web", "*", "os=debian". It is read first. */
export function groupsNamed(jobs: readonly Spec[]): readonly string[] {
  const named = new Set<string>();
  for (const { targets } of jobs) for (const term of groupsOf(targets?.from ?? [])) named.add(term);
  return [...named];
}

/** The same of some expressions. */
export function groupsOf(from: readonly string[]): readonly string[] {
  return from.flatMap((text) =>
    Array.from(text.matchAll(/(?<![^\s,!&^])(?:\*|@[^\s,!&^]*|[^\s,!&^@[\]=]+!?=[^\s,!&^]*)/g), ([term]) => term),
  );
}

/** Every problem of all specs, or what they all stand for. Rests after each spec: a name set of a hundred thousand takes a while. */
export function* resolveTargets(
  jobs: readonly Spec[],
  groups: Groups,
): Generator<undefined, ResolvedTargets, undefined> {
  const lists = new Map<string, string>();
  /** Jobs of a request are often about the same. */
  const known = new Map<string, { readonly targets: Targets; readonly names: readonly string[] }>();
  const problems: Problem[] = [];
  const resolved: Spec[] = [];
  let bytes = 0;
  for (const [at, spec] of jobs.entries()) {
    const { from } = spec.targets ?? {};
    if (from === undefined) {
      resolved.push(spec);
      continue;
    }
    const text = JSON.stringify(from);
    let found = known.get(text);
    if (found === undefined) {
      const expanded = yield* expandTargets(from, groups, limits.targetsPerJob);
      yield;
      if (!expanded.ok) {
        for (const { path, message } of expanded.problems)
          problems.push({ path: `jobs[${at}].targets${path}`, message });
        if (problems.length >= limits.problemsPerRequest) break;
        continue;
      }
      const { names } = expanded;
      const joined = names.join("\n");
      const list = digestOfText(joined);
      if (!lists.has(list)) bytes += joined.length;
      if (bytes > limits.targetBytes) {
        const message = `names of targets are longer than ${limits.targetBytes >> 20} MiB together: submit several times`;
        problems.push({ path: `jobs[${at}].targets`, message });
        break;
      }
      lists.set(list, joined);
      const contents = contentsOf(groupsOf(from), groups);
      if (contents.length > limits.inventoriesPerJob) {
        const message = `names ${contents.length} inventories, and variables of at most ${limits.inventoriesPerJob} are taken`;
        problems.push({ path: `jobs[${at}].targets`, message });
        continue;
      }
      const targets = {
        ...(text.length > limits.targetTextKept ? {} : { from }),
        list,
        count: names.length,
        ...(contents.length === 0 ? {} : { inventories: contents }),
      };
      found = { targets, names };
      known.set(text, found);
      yield;
    }
    const wrong = noHostFor(spec, found.names);
    if (wrong !== undefined) {
      problems.push({ path: `jobs[${at}].targets`, message: wrong });
      continue;
    }
    const whole = withWholeUnit({ ...spec, targets: found.targets }, found.names.length);
    if ("spec" in whole) resolved.push(whole.spec);
    else problems.push({ path: `jobs[${at}].ansible.playbook`, message: whole.problem });
  }
  return { jobs: resolved, lists: [...lists], problems };
}

/** What ansible has for itself, and what it and ssh would take apart: one such name spoils the verdicts of its whole unit. */
function noHostFor({ driver }: Spec, names: readonly string[]): string | undefined {
  if (driver !== "ssh" && driver !== "ansible") return undefined;
  const withPort = names.find((name) => /^[^:]+:\d+$/.test(name));
  if (withPort !== undefined)
    return `"${withPort}" is no host for driver ${driver}: a port is said by ssh.port, or by an inventory (ansible_port)`;
  const own = driver === "ansible" ? names.find((name) => name === "all" || name === "ungrouped") : undefined;
  return own === undefined ? undefined : `"${own}" is a group of ansible's own, and cannot be a host of it`;
}

/** What some expressions stand for together. */
type Expanded =
  | { readonly ok: true; readonly names: readonly string[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Names in their order, each once, at most so many. Paths of problems are of the list of expressions: "[1]". Rests now and then. */
export function* expandTargets(
  from: readonly string[],
  groups: Groups,
  most: number,
): Generator<undefined, Expanded, undefined> {
  const sources: NodeSetSources = {
    most,
    group: (name) => groups.names.get(name === "" ? "*" : `@${name}`),
    matching: (term) => groups.names.get(term) ?? [],
    missing: (term) => groups.hints.get(term),
  };
  const problems: Problem[] = [];
  let names: readonly string[] | Set<string> = [];
  for (const [at, text] of from.entries()) {
    if (at % expressionsAtOnce === expressionsAtOnce - 1) yield;
    const path = `[${at}]`;
    const set = expandNodeSet(text, sources);
    const long = set.ok ? set.names.find((name) => name.length > limits.targetLength) : undefined;
    if (!set.ok) problems.push({ path, message: shownMistake(text, set.mistake) });
    else if (long !== undefined) problems.push({ path, message: tooLong(long) });
    // One expression is the most common, and has each name once by itself.
    else if (from.length === 1) ({ names } = set);
    else {
      if (!(names instanceof Set)) names = new Set(names);
      for (const name of set.names) names.add(name);
      if (names.size > most) {
        const message = `up to here it is ${inGroups(names.size)} names, and at most ${inGroups(most)} are taken at once`;
        return { ok: false, problems: [...problems, { path, message }] };
      }
    }
    if (problems.length >= mistakesTold) break;
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, names: [...names] };
}

const expressionsAtOnce = 1_000;

function tooLong(name: string): string {
  return `"${name.slice(0, 40)}…" is longer than any name may be: at most ${limits.targetLength} characters`;
}

/** Of one job: whoever mixed up the file has as many as it has lines. */
const mistakesTold = 20;

/** What was written, or where that was not kept, what gives the same. */
export function renderTargets({ from, list }: Targets): readonly string[] {
  return from ?? [`${listGroup}${list}`];
}

/** As it stands in the text of a spec that has targets. */
export const targetsKey = '"targets":';

/** By the text of its spec a job may be about targets or nodes; if not, it is not. */
export function mayHaveTargets(spec: string): boolean {
  return spec.includes(targetsKey) || spec.includes('"eachNode":');
}
