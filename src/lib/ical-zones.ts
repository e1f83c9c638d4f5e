import type { Component } from "./ical-components.ts";
import { shorten } from "./ical-lines.ts";
import { readRule } from "./ical-rule.ts";
import { readOffset, readWhen } from "./ical-values.ts";
import { type Budget, walk } from "./ical-walk.ts";
import { dayMs, type Zone, zoneOf } from "./wall-time.ts";

type Tell = (line: number, message: string) => void;

/**
 * The zones of a file. A name of IANA's zone data is that zone, as it is known here: what files say of these is often a single year's rule. Any other
 * ("W. Europe Standard Time", "Customized Time Zone") is what its VTIMEZONE says.
 */
export class FileZones {
  readonly #given = new Map<string, Component>();
  readonly #made = new Map<string, Zone | undefined>();
  readonly #to: number;
  readonly #budget: Budget;
  readonly #tell: Tell;

  constructor(zones: readonly Component[], to: number, budget: Budget, tell: Tell) {
    for (const zone of zones) {
      const id = valueOf(zone, "TZID");
      if (id !== undefined) this.#given.set(id.trim(), zone);
    }
    this.#to = to;
    this.#budget = budget;
    this.#tell = tell;
  }

  /** undefined: there is none of that name, or what the file says of it cannot be read, which was told. */
  *find(id: string): Generator<undefined, Zone | undefined, undefined> {
    if (this.#made.has(id)) return this.#made.get(id);
    const given = this.#given.get(id);
    // "/freeassociation.sourceforge.net/Europe/Berlin", as some programs write it.
    const end = /[A-Za-z_]+(?:\/[A-Za-z_+-]+){1,2}$/.exec(id)?.[0];
    let zone = zoneOf(id);
    if (zone === undefined && given !== undefined) zone = yield* this.#make(given);
    else if (zone === undefined && id.startsWith("/") && end !== undefined)
      zone = zoneOf(end) ?? zoneOf(end.replace(/^[^/]*\//, ""));
    this.#made.set(id, zone);
    return zone;
  }

  /** Whether the file itself says what it is. */
  isGiven(id: string): boolean {
    return this.#given.has(id);
  }

  *#make(given: Component): Generator<undefined, Zone | undefined, undefined> {
    const changes: Change[] = [];
    let isGood = true;
    const tell: Tell = (line, message) => {
      isGood = false;
      this.#tell(line, message);
    };
    for (const part of given.parts) yield* this.#changesOf(part, changes, tell);
    if (given.parts.length === 0) tell(given.line, "VTIMEZONE says nothing: it has no STANDARD and no DAYLIGHT");
    if (!isGood) return undefined;
    changes.sort((a, b) => a.at - b.at);
    return zoneFrom(changes);
  }

  *#changesOf(part: Component, changes: Change[], tell: Tell): Generator<undefined, void, undefined> {
    const before = readOffset(valueOf(part, "TZOFFSETFROM") ?? "");
    const after = readOffset(valueOf(part, "TZOFFSETTO") ?? "");
    const start = readWhen(valueOf(part, "DTSTART") ?? "");
    if (before === undefined || after === undefined) {
      tell(part.line, `${part.kind} needs TZOFFSETFROM and TZOFFSETTO, as +0100`);
      return;
    }
    if (start?.kind !== "wall") {
      tell(part.line, `${part.kind} needs a DTSTART, as 19701025T030000`);
      return;
    }
    const add = (wallMs: number): void => void changes.push({ at: wallMs - before, before, after });
    add(start.wallMs);
    for (const { name, value, line } of part.properties) {
      if (name === "RDATE")
        for (const item of value.split(",")) {
          const when = readWhen(item);
          if (when === undefined) tell(line, `RDATE: "${shorten(item)}" is no time`);
          else add(when.kind === "instant" ? when.epochMs + before : when.wallMs);
        }
      if (name !== "RRULE") continue;
      const rule = readRule(value);
      if (!("frequency" in rule)) {
        for (const problem of rule) tell(line, `RRULE: ${problem}`);
        continue;
      }
      if (rule.frequency !== "YEARLY") {
        tell(line, "RRULE: a zone changes once a year: FREQ=YEARLY");
        continue;
      }
      const until = rule.until === undefined ? undefined : readWhen(rule.until);
      const last = until === undefined ? Infinity : until.kind === "instant" ? until.epochMs + before : until.wallMs;
      const reach = { from: start.wallMs, to: Math.min(this.#to + 2 * dayMs, last) };
      for (const at of walk(rule, start.wallMs, reach, this.#budget)) {
        if (at === undefined) yield;
        else add(at);
      }
    }
  }
}

interface Change {
  /** Epoch ms. */
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

function zoneFrom(changes: readonly Change[]): Zone {
  const offsetAt = (epochMs: number): number => {
    let [low, high] = [0, changes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (changes[middle]!.at <= epochMs) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? changes[0]!.before : changes[low - 1]!.after;
  };
  return {
    toWall: (epochMs) => epochMs + offsetAt(epochMs),
    toEpoch(wallMs) {
      const [early, late] = [offsetAt(wallMs - dayMs), offsetAt(wallMs + dayMs)];
      if (offsetAt(wallMs - early) === early) return wallMs - early;
      return offsetAt(wallMs - late) === late ? wallMs - late : wallMs - early;
    },
  };
}

/** Of a property that is there once. */
export function valueOf(component: Component, name: string): string | undefined {
  return component.properties.find((one) => one.name === name)?.value;
}
