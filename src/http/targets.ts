import { accept, type Outcome } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import type { CommandInput, CommandValue } from "../state/commands/index.ts";
import { resolveBundles } from "../state/bundles.ts";
import { knowsTargets } from "../state/queries.ts";
import { type Groups, readGroups } from "../state/groups.ts";
import { groupsNamed, resolveTargets } from "../state/targets.ts";
import type { Principal } from "../state/types.ts";
import { invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readState } from "./route.ts";

/** Between the reading of specs and their proposal: what their targets (state/targets.ts) and bundles (state/bundles.ts) stand for, and that names which every node has are not sent again. */

type Submit = CommandInput<"job.submit">;

const noGroups: Groups = { names: new Map(), contents: new Map(), hints: new Map() };

/** The same request with its names, and those of its bundles, looked up; a refusal has every problem. `pathOf`: how the person who asked writes a path of the request. */
export async function withTargets(
  parts: HttpParts,
  exchange: Exchange,
  input: Submit,
  what: string,
  pathOf: (path: string) => string,
): Promise<Outcome<Submit>> {
  const bundled = await withBundles(parts, exchange, input, what, pathOf);
  if (!bundled.ok) return bundled;
  return withNames(parts, exchange, bundled.value, what, pathOf);
}

async function withNames(
  parts: HttpParts,
  exchange: Exchange,
  input: Submit,
  what: string,
  pathOf: (path: string) => string,
): Promise<Outcome<Submit>> {
  if (!input.jobs.some(({ targets }) => targets !== undefined)) return accept(input);
  const named = groupsNamed(input.jobs);
  const groups =
    named.length === 0
      ? accept({ value: noGroups })
      : await readState(parts, exchange, "linearizable", (tx) => readGroups(tx, named));
  if (!groups.ok) return groups;
  const { jobs, lists, problems } = await inTurns(resolveTargets(input.jobs, groups.value.value));
  if (problems.length > 0)
    return invalid(
      problems.map((one) => ({ ...one, path: pathOf(one.path) })),
      what,
    );
  return accept({ ...input, jobs: [...jobs], lists: lists.map(([hash, names]) => [hash, names]) });
}

/** With the digests that the names of bundles stand for now. */
async function withBundles(
  parts: HttpParts,
  exchange: Exchange,
  input: Submit,
  what: string,
  pathOf: (path: string) => string,
): Promise<Outcome<Submit>> {
  if (!input.jobs.some(({ bundle }) => bundle !== undefined)) return accept(input);
  const read = await readState(parts, exchange, "linearizable", (tx) => resolveBundles(tx, input.jobs));
  if (!read.ok) return read;
  const { jobs, problems } = read.value.value;
  if (problems.length === 0) return accept({ ...input, jobs: [...jobs] });
  return invalid(
    problems.map((one) => ({ ...one, path: pathOf(one.path) })),
    what,
  );
}

/** Proposes it without the names that the state has. If it has them no more when that is applied, once more with all of them. */
export async function proposeSubmit(
  { node }: HttpParts,
  input: Submit,
  by: Principal,
): Promise<Outcome<{ readonly value: CommandValue<"job.submit">; readonly index: number }>> {
  const { lists = [] } = input;
  if (lists.length === 0) return node.propose("job.submit", input, by);
  const known = await node.read((tx) => lists.map(([hash]) => knowsTargets(tx, hash)), { consistency: "stale" });
  const unknown = known.ok ? lists.filter((_, at) => known.value.value[at] !== true) : lists;
  const outcome = await node.propose("job.submit", { ...input, lists: unknown }, by);
  if (outcome.ok || outcome.why.code !== "conflict" || unknown.length === lists.length) return outcome;
  return node.propose("job.submit", input, by);
}
