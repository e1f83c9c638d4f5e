import { assert } from "../../lib/assert.ts";
import type { CommandDefinition } from "../command.ts";
import { authorityBegin } from "./authority-begin.ts";
import { authorityDrop } from "./authority-drop.ts";
import { authorityHeld } from "./authority-held.ts";
import { authorityIssue } from "./authority-issue.ts";
import { bundleHeld } from "./bundle-held.ts";
import { bundleRm } from "./bundle-rm.ts";
import { bundleSet } from "./bundle-set.ts";
import { bundleSourceFetch } from "./bundle-source-fetch.ts";
import { bundleSourceNote } from "./bundle-source-note.ts";
import { bundleSourcePin } from "./bundle-source-pin.ts";
import { bundleSourceRm } from "./bundle-source-rm.ts";
import { bundleSourceSet } from "./bundle-source-set.ts";
import { bundleSweep } from "./bundle-sweep.ts";
import { calendarRm } from "./calendar-rm.ts";
import { calendarSet } from "./calendar-set.ts";
import { certificateSeen } from "./certificate-seen.ts";
import { clusterBounds } from "./cluster-bounds.ts";
import { clusterHold } from "./cluster-hold.ts";
import { clusterPlacement } from "./cluster-placement.ts";
import { clusterRaise } from "./cluster-raise.ts";
import { clusterSet } from "./cluster-set.ts";
import { clusterTiming } from "./cluster-timing.ts";
import { clusterTransfer } from "./cluster-transfer.ts";
import { nodeDemote } from "./node-demote.ts";
import { nodeLabel } from "./node-label.ts";
import { nodePromote } from "./node-promote.ts";
import { clusterCreate } from "./cluster-create.ts";
import { factsSet } from "./facts-set.ts";
import { inventoryFail } from "./inventory-fail.ts";
import { inventoryPut } from "./inventory-put.ts";
import { inventoryRefresh } from "./inventory-refresh.ts";
import { inventoryRemove } from "./inventory-remove.ts";
import { inventorySet } from "./inventory-set.ts";
import { inventorySource } from "./inventory-source.ts";
import { jobCancel } from "./job-cancel.ts";
import { jobExtend } from "./job-extend.ts";
import { jobExpire } from "./job-expire.ts";
import { jobHold } from "./job-hold.ts";
import { jobOpen } from "./job-open.ts";
import { jobOverdue } from "./job-overdue.ts";
import { jobRelease } from "./job-release.ts";
import { jobSettle } from "./job-settle.ts";
import { jobRemove } from "./job-remove.ts";
import { jobReplay } from "./job-replay.ts";
import { jobRetry } from "./job-retry.ts";
import { jobSubmit } from "./job-submit.ts";
import { jobSweep } from "./job-sweep.ts";
import { nodeDrain } from "./node-drain.ts";
import { nodeJoin } from "./node-join.ts";
import { nodeForsake } from "./node-forsake.ts";
import { nodeLost } from "./node-lost.ts";
import { nodeQuarantine } from "./node-quarantine.ts";
import { nodeRemove } from "./node-remove.ts";
import { nodeReturn } from "./node-return.ts";
import { nodeSeen } from "./node-seen.ts";
import { nodeUndrain } from "./node-undrain.ts";
import { packGone } from "./pack-gone.ts";
import { packPlaced } from "./pack-placed.ts";
import { rangeAssign } from "./range-assign.ts";
import { rangeFinish } from "./range-finish.ts";
import { scheduleFire } from "./schedule-fire.ts";
import { schedulePause } from "./schedule-pause.ts";
import { schedulePauseAll } from "./schedule-pause-all.ts";
import { scheduleRm } from "./schedule-rm.ts";
import { scheduleSet } from "./schedule-set.ts";
import { scheduleStep } from "./schedule-step.ts";
import { secretRekey } from "./secret-rekey.ts";
import { secretRm } from "./secret-rm.ts";
import { secretSet } from "./secret-set.ts";
import { submitterCount } from "./submitter-count.ts";
import { submitterSet } from "./submitter-set.ts";
import { taskFinish } from "./task-finish.ts";
import { taskStart } from "./task-start.ts";
import { templateRemove } from "./template-remove.ts";
import { templateSet } from "./template-set.ts";
import { tokenCreate } from "./token-create.ts";
import { tokenRevoke } from "./token-revoke.ts";
import { unitAssign } from "./unit-assign.ts";
import { unitRecall } from "./unit-recall.ts";
import { unitReturn } from "./unit-return.ts";

/** Every command, one line each. Tags are never reused; retired ones would be listed in {@link RetiredTag}. */
export const commands = [
  clusterCreate,
  nodeJoin,
  nodeSeen,
  nodeLost,
  nodeRemove,
  nodeDrain,
  nodeUndrain,
  tokenCreate,
  tokenRevoke,
  jobSubmit,
  jobCancel,
  unitAssign,
  taskStart,
  taskFinish,
  jobExpire,
  nodeLabel,
  nodePromote,
  nodeDemote,
  clusterSet,
  clusterTransfer,
  clusterRaise,
  clusterHold,
  nodeQuarantine,
  nodeReturn,
  clusterTiming,
  authorityBegin,
  certificateSeen,
  authorityIssue,
  authorityDrop,
  authorityHeld,
  secretSet,
  secretRm,
  secretRekey,
  submitterSet,
  jobExtend,
  jobHold,
  jobRelease,
  jobOpen,
  jobOverdue,
  jobSettle,
  jobRemove,
  jobRetry,
  jobSweep,
  packPlaced,
  packGone,
  templateSet,
  templateRemove,
  clusterBounds,
  submitterCount,
  unitRecall,
  unitReturn,
  clusterPlacement,
  jobReplay,
  rangeAssign,
  rangeFinish,
  nodeForsake,
  bundleSet,
  bundleHeld,
  bundleRm,
  bundleSweep,
  inventoryPut,
  inventorySet,
  inventoryRemove,
  inventorySource,
  inventoryRefresh,
  inventoryFail,
  factsSet,
  bundleSourceSet,
  bundleSourceRm,
  bundleSourceFetch,
  bundleSourceNote,
  bundleSourcePin,
  scheduleSet,
  scheduleRm,
  schedulePause,
  scheduleFire,
  scheduleStep,
  schedulePauseAll,
  calendarSet,
  calendarRm,
] as const;

type Command = (typeof commands)[number];
type RetiredTag = never;

export type CommandName = Command["name"];
type CommandOf<Name extends CommandName> = Extract<Command, { readonly name: Name }>;

/** What `propose` takes: the input after its schema has read it. */
export type CommandInput<Name extends CommandName> =
  CommandOf<Name> extends CommandDefinition<Name, infer _Tag, infer Input, infer _Payload, infer _Value>
    ? Input
    : never;

/** What an accepted command gives. */
export type CommandValue<Name extends CommandName> =
  CommandOf<Name> extends CommandDefinition<Name, infer _Tag, infer _Input, infer _Payload, infer Value>
    ? Value
    : never;

/** A command whose types are not known where it is used: found by a tag of the wire. */
export type AnyCommand = CommandDefinition<string, number, never, never, unknown>;

const byTag: (AnyCommand | undefined)[] = [];
const byName = new Map<string, AnyCommand>();
for (const one of commands as unknown as readonly AnyCommand[]) {
  assert(
    byTag[one.tag] === undefined && !byName.has(one.name),
    `two commands have the tag ${one.tag} or the name ${one.name}`,
  );
  byTag[one.tag] = one;
  byName.set(one.name, one);
}

/** The definition with its own types; every name of the type exists. */
export function commandByName<Name extends CommandName>(name: Name): CommandOf<Name> {
  const found = byName.get(name);
  assert(found !== undefined, `there is no command ${name}`);
  return found as unknown as CommandOf<Name>;
}

/** undefined: this binary does not know it (S2). */
export function commandByTag(tag: number): AnyCommand | undefined {
  return byTag[tag];
}

/** The list does not compile when a tag is used twice or is a retired one. */
type TagsOnce<
  List extends readonly { readonly tag: number }[],
  Seen extends number = RetiredTag,
> = List extends readonly [
  infer First extends { readonly tag: number },
  ...infer Rest extends readonly { readonly tag: number }[],
]
  ? First["tag"] extends Seen
    ? { readonly tagUsedTwice: First["tag"] }
    : TagsOnce<Rest, Seen | First["tag"]>
  : true;
const tagsOnce: TagsOnce<typeof commands> = true;
void tagsOnce;
