import type { Component } from "./ical-components.ts";
import { type ContentLine, shorten } from "./ical-lines.ts";
import { readRule, type Rule } from "./ical-rule.ts";
import type { CollectedSpans } from "./ical-spans.ts";
import { type Length, readLength, readWhen, type When } from "./ical-values.ts";
import { type Budget, walk } from "./ical-walk.ts";
import { type FileZones, valueOf } from "./ical-zones.ts";
import { dayMs, type Zone, zoneOf } from "./wall-time.ts";

/** What events are read with. */
export interface EventParts {
  readonly zone: Zone;
  readonly zones: FileZones;
  readonly reach: { readonly from: number; readonly to: number };
  readonly budget: Budget;
  readonly tell: (line: number, message: string) => void;
  /** All events of the file are taken back. */
  readonly isCancelled: boolean;
}

/** A time with the zone that it is of. */
interface Placed {
  readonly when: When;
  readonly zone: Zone;
  readonly epochMs: number;
  /** What the zone's clocks show. */
  readonly wallMs: number;
}

interface Repeats {
  readonly rule: Rule;
  readonly until: Placed | undefined;
}

/** What is said of single times of an event. */
export interface Said {
  /** These do not take place as the event says: epoch ms. */
  readonly without: ReadonlySet<number>;
  /** What holds from one on, the earliest first. */
  readonly shifts: readonly { readonly from: number; readonly event: IcalEvent }[];
}

export const nothingSaid: Said = { without: new Set(), shifts: [] };

/** Of events with a RECURRENCE-ID. */
export function saidOf(single: readonly IcalEvent[]): Said {
  const without = new Set<number>();
  const shifts: { readonly from: number; readonly event: IcalEvent }[] = [];
  for (const event of single) {
    if (event.instead === undefined) continue;
    without.add(event.instead.epochMs);
    if (event.instead.isFromThenOn) shifts.push({ from: event.instead.epochMs, event });
  }
  shifts.sort((a, b) => a.from - b.from);
  return { without, shifts };
}

function shiftAt({ shifts }: Said, epochMs: number): IcalEvent | undefined {
  let [low, high] = [0, shifts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shifts[middle]!.from < epochMs) low = middle + 1;
    else high = middle;
  }
  return shifts[low - 1]?.event;
}

type Steps<Value> = Generator<undefined, Value, undefined>;
const once = ["DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "STATUS", "TRANSP"];
const utc = zoneOf("UTC")!;

/** One VEVENT: an event, one that repeats, or what is said of a single one of these. */
export class IcalEvent {
  /** False: something is wrong with it, which was told. */
  isGood = true;
  /** Why nothing of it is on, if that is so. */
  kind: "transparent" | "cancelled" | "empty" | undefined;
  readonly #parts: EventParts;
  #start: Placed | undefined;
  #length: Length = { days: 0, ms: 0 };
  readonly #rules: Repeats[] = [];
  readonly #more: { readonly at: Placed; readonly length: Length | undefined }[] = [];
  /** Starts that do not take place, and days of which none does. */
  readonly #without = new Set<number>();
  readonly #withoutDays = new Set<number>();
  #instead: Placed | undefined;
  #isFromThenOn = false;

  private constructor(parts: EventParts) {
    this.#parts = parts;
  }

  /** Reads one; everything that is wrong with it is told. */
  static *read(component: Component, parts: EventParts): Steps<IcalEvent> {
    const event = new IcalEvent(parts);
    yield* event.#read(component);
    return event;
  }

  *#read(component: Component): Steps<void> {
    const seen = new Set<string>();
    for (const property of component.properties) {
      const { name, line } = property;
      if (once.includes(name) && seen.has(name)) this.#refuse(line, `${name} is there twice`);
      seen.add(name);
    }
    const startLine = component.properties.find(({ name }) => name === "DTSTART");
    if (startLine === undefined) {
      this.#refuse(component.line, "the event says not when it begins: DTSTART is missing");
      return;
    }
    this.#start = yield* this.#place(startLine, startLine.value);
    const end = component.properties.find(({ name }) => name === "DTEND");
    const duration = component.properties.find(({ name }) => name === "DURATION");
    if (end !== undefined && duration !== undefined)
      this.#refuse(duration.line, "DTEND and DURATION do not go together: leave one of them out");
    this.#length = { days: this.#start?.when.kind === "day" ? 1 : 0, ms: 0 };
    if (end !== undefined) yield* this.#readEnd(end);
    else if (duration !== undefined) {
      const length = readLength(duration.value);
      if (length === undefined)
        this.#refuse(duration.line, `DURATION: "${shorten(duration.value)}" is none: as PT1H30M or P1D`);
      else this.#length = length;
    }
    for (const property of component.properties) yield* this.#readProperty(property);
    const status = valueOf(component, "STATUS")?.trim().toUpperCase();
    if (this.#parts.isCancelled || status === "CANCELLED") this.kind = "cancelled";
    else if (valueOf(component, "TRANSP")?.trim().toUpperCase() === "TRANSPARENT") this.kind = "transparent";
    else if (this.#length.days === 0 && this.#length.ms === 0) this.kind = "empty";
  }

  *#readEnd(line: ContentLine): Steps<void> {
    const end = yield* this.#place(line, line.value);
    const start = this.#start;
    if (end === undefined || start === undefined) return;
    const isDay = start.when.kind === "day";
    if (isDay !== (end.when.kind === "day")) {
      this.#refuse(line.line, "DTSTART and DTEND are to be both days, or both times");
      return;
    }
    if (end.epochMs < start.epochMs) {
      this.#refuse(line.line, "DTEND is before DTSTART");
      return;
    }
    // A day that ends on itself is what many write of one day.
    this.#length = isDay
      ? { days: Math.max(1, (end.wallMs - start.wallMs) / dayMs), ms: 0 }
      : { days: 0, ms: end.epochMs - start.epochMs };
  }

  *#readProperty(property: ContentLine): Steps<void> {
    const { name, value, line, parameters } = property;
    if (name === "RRULE") yield* this.#readRule(value, property);
    else if (name === "EXRULE") this.#refuse(line, "EXRULE is not understood: name what is left out with EXDATE");
    else if (name === "RECURRENCE-ID") {
      this.#instead = yield* this.#place(property, value);
      this.#isFromThenOn = parameters.get("RANGE")?.toUpperCase() === "THISANDFUTURE";
    } else if (name === "RDATE" || name === "EXDATE") {
      let looked = 0;
      for (const item of value.split(",")) {
        if ((looked += 1) % 256 === 0) yield;
        const [begins = "", ends] = item.split("/");
        const at = yield* this.#place(property, begins);
        if (at === undefined) return;
        if (name === "EXDATE") {
          if (at.when.kind === "day" && this.#start?.when.kind !== "day") this.#withoutDays.add(at.wallMs);
          else this.#without.add(at.epochMs);
        } else
          this.#more.push({ at, length: ends === undefined ? undefined : yield* this.#between(at, ends, property) });
      }
    }
  }

  /** What stands behind the / of a period: its end, or how long it is. */
  *#between(at: Placed, text: string, property: ContentLine): Steps<Length | undefined> {
    if (/^\+?P/i.test(text)) {
      const length = readLength(text);
      if (length === undefined) this.#refuse(property.line, `RDATE: "${shorten(text)}" is no duration`);
      return length;
    }
    const end = yield* this.#place(property, text);
    if (end === undefined) return undefined;
    if (end.epochMs < at.epochMs) this.#refuse(property.line, `RDATE: "${shorten(text)}" is before its period begins`);
    return { days: 0, ms: end.epochMs - at.epochMs };
  }

  *#readRule(value: string, property: ContentLine): Steps<void> {
    const rule = readRule(value);
    if (!("frequency" in rule)) {
      for (const problem of rule) this.#refuse(property.line, `RRULE: ${problem}`);
      return;
    }
    let until: Placed | undefined;
    if (rule.until !== undefined) {
      const when = readWhen(rule.until);
      if (when === undefined) {
        this.#refuse(property.line, `RRULE: UNTIL: "${shorten(rule.until)}" is no day or time`);
        return;
      }
      // A day that is named counts whole.
      const whole = when.kind === "day" && this.#start?.when.kind !== "day" ? dayMs - 1000 : 0;
      const last: When = when.kind === "day" ? { kind: "wall", wallMs: when.wallMs + whole } : when;
      until = placed(last, this.#start?.zone ?? this.#parts.zone);
    }
    this.#rules.push({ rule, until });
    yield;
  }

  *#place({ name, line, parameters }: ContentLine, value: string): Steps<Placed | undefined> {
    const when = readWhen(value);
    if (when === undefined) {
      const forms = "20261224, 20261224T180000 or 20261224T170000Z";
      this.#refuse(line, `${name}: "${shorten(value)}" is no day or time: as ${forms}`);
      return undefined;
    }
    if (when.kind === "instant") return placed(when, utc);
    const id = parameters.get("TZID");
    if (id === undefined || when.kind === "day") return placed(when, this.#parts.zone);
    const zone = yield* this.#parts.zones.find(id);
    if (zone !== undefined) return placed(when, zone);
    this.isGood = false;
    if (!this.#parts.zones.isGiven(id))
      this.#refuse(
        line,
        `${name}: there is no time zone "${shorten(id)}": neither IANA's data nor a VTIMEZONE of the file has it`,
      );
    return undefined;
  }

  #refuse(line: number, message: string): void {
    this.isGood = false;
    this.#parts.tell(line, message);
  }

  /** What it is said instead of: a time of the event that repeats. */
  get instead(): { readonly epochMs: number; readonly isFromThenOn: boolean } | undefined {
    const epochMs = this.#instead?.epochMs;
    return epochMs === undefined ? undefined : { epochMs, isFromThenOn: this.#isFromThenOn };
  }

  /** Adds when it is on. Gives whether it goes on beyond what was looked at. */
  *spans(said: Said, into: CollectedSpans): Steps<boolean> {
    const start = this.#start;
    if (start === undefined || this.kind === "cancelled") return false;
    if (this.kind !== undefined && said.shifts.length === 0) return false;
    const add = (at: Placed, length: Length): void => {
      if (this.#without.has(at.epochMs) || said.without.has(at.epochMs) || this.#isWithoutDay(at)) return;
      const shift = shiftAt(said, at.epochMs);
      if (shift === undefined) this.#add(at, length, into);
      else shift.#addShifted(at, into);
    };
    if (this.#rules.length === 0) add(start, this.#length);
    let goesOn = false;
    for (const { rule, until } of this.#rules) {
      const hasMore = yield* this.#follow(start, { rule, until }, into, (at) => add(at, this.#length));
      goesOn ||= hasMore;
      if (into.isFull) return true;
    }
    for (const { at, length } of this.#more) {
      add(at, length ?? this.#length);
      if (at.epochMs > this.#parts.reach.to) goesOn = true;
    }
    return goesOn || start.epochMs > this.#parts.reach.to;
  }

  *#follow(start: Placed, { rule, until }: Repeats, into: CollectedSpans, add: (at: Placed) => void): Steps<boolean> {
    const { reach, budget } = this.#parts;
    // Clocks differ from UTC by less than two days, and who has begun before may still be on.
    const longest = this.#length.days * dayMs + this.#length.ms + 2 * dayMs;
    const walls = { from: reach.from - longest, to: reach.to + 2 * dayMs };
    const steps = walk(rule, start.wallMs, walls, budget);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value && (until === undefined || until.epochMs > reach.to);
      if (step.value === undefined) {
        if (into.isFull) return true;
        yield;
        continue;
      }
      const epochMs = start.zone.toEpoch(step.value);
      if (until !== undefined && epochMs > until.epochMs) return false;
      if (epochMs > reach.to) return true;
      add({ when: start.when, zone: start.zone, epochMs, wallMs: step.value });
    }
  }

  #isWithoutDay({ wallMs }: Placed): boolean {
    return this.#withoutDays.size > 0 && this.#withoutDays.has(Math.floor(wallMs / dayMs) * dayMs);
  }

  #add(at: Placed, length: Length, into: CollectedSpans): void {
    if (this.kind !== undefined) return;
    const { from, to } = this.#parts.reach;
    const days = length.days === 0 ? at.epochMs : at.zone.toEpoch(at.wallMs + length.days * dayMs);
    const end = days + length.ms;
    if (end > at.epochMs && end > from && at.epochMs < to) into.add(at.epochMs, end);
  }

  /** As this one, which is said of all from one on: as much earlier or later, and as long. */
  #addShifted(at: Placed, into: CollectedSpans): void {
    if (this.#start === undefined) return;
    const wallMs = at.wallMs + this.#start.wallMs - at.zone.toWall(this.#instead!.epochMs);
    this.#add({ ...at, wallMs, epochMs: at.zone.toEpoch(wallMs) }, this.#length, into);
  }
}

function placed(when: When, zone: Zone): Placed {
  return when.kind === "instant"
    ? { when, zone, epochMs: when.epochMs, wallMs: zone.toWall(when.epochMs) }
    : { when, zone, epochMs: zone.toEpoch(when.wallMs), wallMs: when.wallMs };
}
