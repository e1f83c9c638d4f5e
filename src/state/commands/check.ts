import { accept, type Outcome, refuse } from "../../lib/outcome.ts";
import { atOnce } from "../../lib/turns.ts";
import type { Batch } from "../entry.ts";
import { ownLevel } from "../levels.ts";
import { may } from "../rights.ts";
import { type AnyCommand, commandByTag } from "./index.ts";
import { problemsOf } from "./problems.ts";

/** A known command in it is of a level that is not reached here yet. */
export function needsMore(batch: Batch, level: number): boolean {
  return atOnce(needsMoreInSteps(batch, level));
}

/** The same, with a rest after every piece of it. */
export function* needsMoreInSteps(batch: Batch, level: number): Generator<undefined, boolean, undefined> {
  if (level >= ownLevel) return false;
  for (const [tag, , , , payload] of batch.commands) {
    const command = commandByTag(tag);
    for (const part of command?.parts?.(payload) ?? [payload]) {
      if (command !== undefined && levelOf(command, part) > level) return true;
      yield;
    }
  }
  return false;
}

/** The level that a command with this payload needs. A payload of a wrong shape, which nobody has looked at yet, needs none. */
function levelOf(command: AnyCommand, payload: unknown): number {
  if (command.needs === undefined) return command.since;
  const checked = command.payload.safeParse(payload);
  return checked.success ? Math.max(command.since, command.needs(checked.data)) : command.since;
}

/** The leader's look at a batch that another node forwards: known commands, rights and shapes (S3). Apply trusts what passed here. */
export function checkBatch(batch: Batch): Outcome<undefined> {
  return atOnce(checkInSteps(batch));
}

/** The same, with a rest after every piece of it. */
export function* checkInSteps(batch: Batch): Generator<undefined, Outcome<undefined>, undefined> {
  for (const [tag, , name, role, payload] of batch.commands) {
    const command = commandByTag(tag);
    if (command === undefined)
      return refuse("invalid", `command ${tag} is not known here: the leader runs an older version`);
    if (!may(role, command.right)) return refuse("forbidden", `${command.name} is not for ${name} (${role})`);
    for (const part of command.parts?.(payload) ?? [payload]) {
      const checked = command.payload.safeParse(part);
      if (!checked.success) {
        return refuse("invalid", `${command.name} was forwarded in a wrong shape`, {
          details: problemsOf(checked.error),
        });
      }
      yield;
    }
  }
  return accept(undefined);
}

/** The refusal of a command that some member may not understand yet (S2). */
export function tooEarly(command: { readonly name: string; readonly since: number }, level: number) {
  return refuse(
    "conflict",
    `${command.name} needs level ${command.since}, the cluster is at level ${level}: it rises when every member runs a version that understands it ('skein cluster upgrade' shows which do)`,
  );
}
