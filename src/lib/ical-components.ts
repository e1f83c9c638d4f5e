import { type BadLine, type ContentLine, contentLines, shorten } from "./ical-lines.ts";

/** What stands between BEGIN and END in an iCalendar file, as far as it is asked for. */
export interface Component {
  readonly kind: "VEVENT" | "VTIMEZONE" | "STANDARD" | "DAYLIGHT";
  /** Of its BEGIN. */
  readonly line: number;
  readonly properties: ContentLine[];
  /** Of a zone: what holds when. */
  readonly parts: Component[];
}

export interface Components {
  readonly events: Component[];
  readonly zones: Component[];
  /** Other things than events: to-dos, and who is busy when. */
  others: number;
  /** The file takes events back: all of them. */
  isCancel: boolean;
}

const wanted = new Set(
  "BEGIN END UID SEQUENCE DTSTART DTEND DURATION RRULE RDATE EXRULE EXDATE RECURRENCE-ID STATUS TRANSP TZID TZOFFSETFROM TZOFFSETTO METHOD".split(
    " ",
  ),
);
const restEvery = 2_000;

/** Reads a file's events and zones; what is wrong with its lines is told. Rests after some lines. */
export function* readComponents(
  text: string,
  tell: (line: number, message: string) => boolean,
): Generator<undefined, Components, undefined> {
  const found: Components = { events: [], zones: [], others: 0, isCancel: false };
  const open: { readonly name: string; readonly line: number; readonly component: Component | undefined }[] = [];
  let lines = 0;
  let calendars = 0;
  let last = 1;
  for (const one of contentLines(text, (name) => wanted.has(name))) {
    if ((lines += 1) % restEvery === 0) yield;
    last = one.line;
    if (isBad(one)) {
      if (!tell(one.line, one.message)) return found;
      continue;
    }
    const word = one.value.trim().toUpperCase();
    if (one.name === "BEGIN") {
      if (open.length >= deepest && tell(one.line, `"BEGIN:${shorten(word)}" is nested too deeply`)) return found;
      if (open.length === 0) {
        calendars += 1;
        if (word !== "VCALENDAR" && !tell(one.line, `begins with ${shorten(word)}, where BEGIN:VCALENDAR is to stand`))
          return found;
      }
      open.push({ name: word, line: one.line, component: begin(found, open, word, one.line) });
    } else if (one.name === "END") {
      const begun = open.pop();
      if (begun?.name !== word) {
        const what = begun === undefined ? "nothing was begun" : `${begun.name} was begun in line ${begun.line}`;
        tell(one.line, `END:${shorten(word)} where ${what}`);
        return found;
      }
    } else if (open.length === 0) {
      tell(one.line, "stands outside of BEGIN:VCALENDAR and END:VCALENDAR: this is no iCalendar file");
      return found;
    } else if (one.name === "METHOD" && open.length === 1) found.isCancel ||= word === "CANCEL";
    else if (wanted.has(one.name)) open.at(-1)!.component?.properties.push(one);
  }
  const left = open.at(-1);
  if (left !== undefined) tell(last, `the file ends in the middle of ${left.name}, begun in line ${left.line}`);
  else if (calendars === 0) tell(1, "there is no BEGIN:VCALENDAR: this is no iCalendar file");
  return found;
}

const deepest = 16;

function isBad(line: ContentLine | BadLine): line is BadLine {
  return "message" in line;
}

/** undefined: nothing of it is of interest, an alarm's duration for example. */
function begin(
  found: Components,
  open: readonly { readonly component: Component | undefined }[],
  word: string,
  line: number,
): Component | undefined {
  const outer = open.at(-1)?.component;
  if (open.length === 1 && (word === "VEVENT" || word === "VTIMEZONE")) {
    const made: Component = { kind: word, line, properties: [], parts: [] };
    (word === "VEVENT" ? found.events : found.zones).push(made);
    return made;
  }
  if (open.length === 1) found.others += 1;
  if (outer?.kind !== "VTIMEZONE" || (word !== "STANDARD" && word !== "DAYLIGHT")) return undefined;
  const made: Component = { kind: word, line, properties: [], parts: [] };
  outer.parts.push(made);
  return made;
}
