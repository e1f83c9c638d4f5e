import { instantsOf, readTiming, type Timing } from "../lib/schedule-timing.ts";
import type { ScheduleView } from "../state/answers.ts";

/** Whether none of its instants is after `now` (epoch ms): whoever sets it, or has it go on, sees nothing of it. */
export function isOver(timing: Timing, name: string, now: number): boolean {
  const { cron, at, end } = timing;
  // What has neither an end nor a year always comes again, and is not computed: there may be thousands.
  const mayEnd = at !== undefined || end !== undefined || cron?.trim().split(/\s+/).length === 7;
  return mayEnd && instantsOf(timing, name).after(now) === undefined;
}

/** The same of what the mesh shows. */
export function isOverThere(view: ScheduleView, now: number): boolean {
  if (view.state === "ended") return true;
  const read = readTiming(view, view.name);
  return "timing" in read && isOver(read.timing, view.name, now);
}
