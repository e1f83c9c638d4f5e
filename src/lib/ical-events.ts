import type { Span } from "./calendar-events.ts";
import { type Component, readComponents } from "./ical-components.ts";
import { type EventParts, IcalEvent, nothingSaid, saidOf } from "./ical-event.ts";
import { CollectedSpans } from "./ical-spans.ts";
import type { Budget } from "./ical-walk.ts";
import { FileZones, valueOf } from "./ical-zones.ts";
import { limits } from "./limits.ts";
import type { Problem } from "./outcome.ts";
import { dayMs, type Zone } from "./wall-time.ts";

/** What an iCalendar file comes to: when its events take place, and what of it was left out. */
export interface IcalRead {
  readonly spans: readonly Span[];
  /** Epoch ms: what repeats was followed up to here, and goes on; undefined: nothing does. */
  readonly until: number | undefined;
  /** Events of which something is in the spans. */
  readonly events: number;
  /** That keep nobody from anything: TRANSP:TRANSPARENT. */
  readonly transparent: number;
  readonly cancelled: number;
  /** Without a length, so that it is never on. */
  readonly empty: number;
  /** Over for more than a year, or more than five years ahead. */
  readonly outside: number;
  /** To-dos and other things that are no events. */
  readonly others: number;
}

/** Whole days, so that the same file read twice on a day is the same. */
const pastMs = 365 * dayMs;
const aheadMs = 5 * 365 * dayMs;

/**
 * Reads an iCalendar file (RFC 5545): events, those that repeat followed from a year ago to five years ahead of `now`, with what is said of single ones of them.
 * Every mistake is told with its line. `zone` is where days are days, and what the times of are that name none. Rests after some of it.
 */
export function* readIcal(
  text: string,
  { zone, now }: { readonly zone: Zone; readonly now: number },
): Generator<
  undefined,
  { readonly read: IcalRead } | { readonly problems: readonly Problem[]; readonly isTooLarge: boolean },
  undefined
> {
  const problems: Problem[] = [];
  const tell = (line: number, message: string): boolean => {
    if (problems.length < limits.problemsPerRequest) problems.push({ path: `line ${line}`, message });
    return problems.length < limits.problemsPerRequest;
  };
  const components = yield* readComponents(text, tell);
  const today = Math.floor(now / dayMs) * dayMs;
  const reach = { from: today - pastMs, to: today + aheadMs };
  const budget: Budget = { left: limits.calendarSteps };
  const zones = new FileZones(components.zones, reach.to, budget, tell);
  const counts = { events: 0, transparent: 0, cancelled: 0, empty: 0, outside: 0, others: components.others };
  const parts: EventParts = { zone, zones, reach, budget, tell, isCancelled: components.isCancel };
  const collected = new CollectedSpans();
  let goesOn = false;
  for (const { events, instead } of yield* byUid(components.events)) {
    const single: IcalEvent[] = [];
    for (const component of instead) single.push(yield* IcalEvent.read(component, parts));
    const said = saidOf(single);
    for (const [at, component] of [...instead, ...events].entries()) {
      yield;
      const isOne = at < instead.length;
      const event = isOne ? single[at]! : yield* IcalEvent.read(component, parts);
      if (!event.isGood) continue;
      const before = collected.added;
      const hasMore = yield* event.spans(isOne ? nothingSaid : said, collected);
      goesOn ||= hasMore;
      if (collected.isFull) return { problems: [tooMany], isTooLarge: true };
      if (budget.left < 0) {
        tell(component.line, tooOften);
        return { problems: inOrder(problems), isTooLarge: false };
      }
      counts[event.kind ?? (collected.added > before ? "events" : "outside")] += 1;
    }
    if (problems.length >= limits.problemsPerRequest) break;
  }
  if (problems.length > 0) return { problems: inOrder(problems), isTooLarge: false };
  const spans = collected.spans();
  if (spans.length > limits.calendarSpans) return { problems: [tooMany], isTooLarge: true };
  return { read: { spans, until: goesOn ? reach.to : undefined, ...counts } };
}

const tooMany: Problem = {
  path: "",
  message: `the events make more than ${limits.calendarSpans} spans of time from a year ago to five years ahead: leave some out, or let what repeats be windows that a cron expression opens`,
};

const tooOften =
  "this, with what is before it, repeats more often than can be followed: let it be a window that a cron expression opens, or leave it out";

function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const lineOf = ({ path }: Problem): number => Number(path.slice("line ".length));
  return problems.toSorted((a, b) => lineOf(a) - lineOf(b));
}

interface SameUid {
  readonly events: Component[];
  /** What is said of single times of them. */
  readonly instead: Component[];
}

/** What belongs together, in the order of the file; of several that are the same, the newest revision, and all that are of that. */
function* byUid(components: readonly Component[]): Generator<undefined, readonly SameUid[], undefined> {
  const groups = new Map<string, SameUid>();
  const newest = new Map<string, number>();
  const named = components.map((component, at) => {
    const uid = valueOf(component, "UID") ?? `\n${at}`;
    const instance = valueOf(component, "RECURRENCE-ID");
    return { component, uid, instance, same: `${uid}\n${instance ?? ""}` };
  });
  yield;
  for (const { component, same } of named) newest.set(same, Math.max(newest.get(same) ?? 0, revisionOf(component)));
  yield;
  for (const { component, uid, instance, same } of named) {
    if (revisionOf(component) < newest.get(same)!) continue;
    const group = groups.get(uid) ?? { events: [], instead: [] };
    groups.set(uid, group);
    (instance === undefined ? group.events : group.instead).push(component);
  }
  yield;
  return [...groups.values()];
}

function revisionOf(event: Component): number {
  return Number(valueOf(event, "SEQUENCE") ?? 0) || 0;
}
