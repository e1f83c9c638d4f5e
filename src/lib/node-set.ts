import { expandPattern, type Mistake, mistake, noAddressIn, readPattern } from "./node-set-pattern.ts";

/**
 * Sets of hosts as people write them, after ClusterShell's node sets: `web[01-30]`, `r[1-2]n[1-4]`, `10.0.0.1-50`, `10.0.0.0/24`, `@group`, `os=debian`, `*`, joined from
 * left to right by `,` (and), `!` (without), `&` (in both) and `^` (in one of the two). Spaces part as commas do.
 *
 * A set keeps the order in which its names came. What names nothing is a mistake and never an empty set: a command that was meant for somebody and reached
 * nobody must not look like a success.
 */
export interface NodeSetSources {
  /** Of `@name`, `@*` (every group's) and `*` (everybody known); undefined: there is no such group. */
  group?(name: string): readonly string[] | undefined;
  /** Of `key=value` and `key!=value`. */
  matching?(term: string): readonly string[];
  /** What may have been meant by a group, or a term, that there is nobody for: the end of a sentence. */
  missing?(term: string): string | undefined;
  /** How many names a set may hold at most. */
  readonly most: number;
}

export type NodeSet =
  | { readonly ok: true; readonly names: readonly string[] }
  | { readonly ok: false; readonly mistake: Mistake };

/** The names that the text stands for, each once. */
export function expandNodeSet(text: string, sources: NodeSetSources): NodeSet {
  if (plainName.test(text)) return { ok: true, names: [text] };
  const terms = split(text);
  if ("message" in terms) return { ok: false, mistake: terms };
  let names = new Set<string>();
  let looked = 0;
  for (const term of terms) {
    const found = namesOf(term, sources);
    if ("message" in found) return { ok: false, mistake: found };
    looked += found.length;
    if (looked > lookedShare * sources.most) {
      const message = `takes and leaves more than ${inGroups(lookedShare * sources.most)} names on its way: write it in fewer steps`;
      return { ok: false, mistake: mistake(message, term.at, term.text.length) };
    }
    // Most often it is all that there is.
    if (terms.length === 1 && term.operator === ",") return { ok: true, names: eachOnce(found) };
    names = combine(names, term.operator, found);
    if (names.size > sources.most) return { ok: false, mistake: tooMany(names.size, sources.most, 0, text.length) };
  }
  if (names.size === 0) {
    const message = "nothing is left: what is taken away is all that there was";
    return { ok: false, mistake: mistake(message, 0, text.length) };
  }
  return { ok: true, names: [...names] };
}

/** What is wrong with the text whatever groups and labels will ever stand for; undefined: nothing. It is looked at long before it is expanded. */
export function lastingMistake(text: string, most: number): Mistake | undefined {
  const terms = split(text);
  if ("message" in terms) return terms;
  const named = terms.filter((term) => !isLookedUp(term.text));
  for (const term of named) {
    const found = namesOf(term, { most });
    if ("message" in found) return found;
  }
  if (named.length < terms.length) return undefined;
  const whole = expandNodeSet(text, { most });
  return whole.ok ? undefined : whole.mistake;
}

/** Files list a hundred thousand of them, one a line. */
const plainName = /^(?:[A-Za-z_][A-Za-z0-9._:-]*|(?:1?\d?\d|2[0-4]\d|25[0-5])(?:\.(?:1?\d?\d|2[0-4]\d|25[0-5])){3})$/;

/** Names that one text may go through, taken away ones included, as a share of what may be left: with a few letters much could be asked. */
const lookedShare = 4;

function eachOnce(names: readonly string[]): readonly string[] {
  const once = new Set(names);
  return once.size === names.length ? names : [...once];
}

/** The mistake below the text that it is in, for a terminal: two lines, a caret under where it begins. */
export function underline(text: string, { at, length }: Mistake): string {
  return `${text}\n${" ".repeat(at)}${"^".repeat(Math.max(1, length))}`;
}

/** What is wrong and the place below it, in a few lines: of a long text the part around it. */
export function shownMistake(text: string, { message, at, length }: Mistake): string {
  const from = at > aroundMistake ? at - aroundMistake : 0;
  const [before, after] = [from > 0 ? "…" : "", text.length > from + 3 * aroundMistake ? "…" : ""];
  const part = text.slice(from, from + 3 * aroundMistake).replace(/[\s\p{C}]/gu, " ");
  const place = at - from + before.length;
  const marked = Math.min(length, before.length + part.length - place);
  return `${message}\n${underline(before + part + after, { message, at: place, length: marked })}`;
}

/** Characters that are shown before it; twice as many after its beginning. */
const aroundMistake = 30;

type Operator = "," | "!" | "&" | "^";

interface Term {
  readonly operator: Operator;
  readonly text: string;
  /** Where it begins. */
  readonly at: number;
}

/** Parts an expression at the operators outside of brackets. */
function split(text: string): readonly Term[] | Mistake {
  const terms: Term[] = [];
  let operator: Operator | undefined = ",";
  let at = 0;
  while (at < text.length) {
    const character = text[at]!;
    if (/\s/.test(character)) at += 1;
    else if (isOperator(text, at)) {
      // A comma too many says nothing, and people leave them at the ends of lists.
      if (operator !== undefined && !(operator === "," && character === ","))
        return mistake(`a name is missing before "${character}"`, at, 1);
      operator = character as Operator;
      at += 1;
    } else {
      const end = endOfTerm(text, at);
      if (typeof end !== "number") return end;
      terms.push({ operator: operator ?? ",", text: text.slice(at, end), at });
      operator = undefined;
      at = end;
    }
  }
  if (terms.length === 0) return mistake("no name is given", 0, text.length);
  if (operator !== undefined && operator !== ",")
    return mistake(`a name is missing after "${operator}"`, text.length, 1);
  return terms;
}

/** "!=" belongs to a term. */
function isOperator(text: string, at: number): boolean {
  const character = text[at]!;
  if (character === "!") return text[at + 1] !== "=";
  return character === "," || character === "&" || character === "^";
}

function endOfTerm(text: string, from: number): number | Mistake {
  let open: number | undefined;
  let at = from;
  for (; at < text.length; at++) {
    const character = text[at]!;
    if (character === "[" && open !== undefined)
      return mistake(`a bracket within a bracket: close the first one with "]"`, at, 1);
    if (character === "[") open = at;
    else if (character === "]" && open === undefined) return mistake(`"]" without a "[" before it`, at, 1);
    else if (character === "]") open = undefined;
    else if (open === undefined && (/\s/.test(character) || isOperator(text, at))) break;
  }
  if (open !== undefined) return mistake(`missing bracket: this "[" is not closed by a "]"`, open, at - open);
  return at;
}

/** `key=value` or `key!=value`. */
const labelTerm = /^[^[\]=!]+!?=/;

function isLookedUp(text: string): boolean {
  return text === "*" || text.startsWith("@") || labelTerm.test(text);
}

function namesOf({ text, at }: Term, sources: NodeSetSources): readonly string[] | Mistake {
  const { most } = sources;
  let names: readonly string[] | undefined;
  if (text === "*" || text.startsWith("@")) {
    const name = text === "*" ? "*" : text.slice(1);
    names = sources.group?.(text === "*" ? "" : name);
    if (names === undefined) {
      const what = text === "*" ? "there is nobody that * could stand for" : `there is no group or inventory "${name}"`;
      return mistake(what + hintOf(text, sources), at, text.length);
    }
  } else if (labelTerm.test(text)) names = sources.matching?.(text) ?? [];
  if (names === undefined) {
    const pattern = readPattern(text, at);
    if ("message" in pattern) return pattern;
    if (pattern.count > most) return tooMany(pattern.count, most, at, text.length);
    const expanded = expandPattern(pattern);
    const wrong = noAddressIn(text, expanded);
    if (wrong === undefined) return expanded;
    return mistake(`"${wrong}" is no address: each of its numbers is 0 to 255`, at, text.length);
  }
  if (names.length === 0) return mistake(`"${text}" matches nobody${hintOf(text, sources)}`, at, text.length);
  return names.length > most ? tooMany(names.length, most, at, text.length) : names;
}

function hintOf(term: string, sources: NodeSetSources): string {
  const hint = sources.missing?.(term);
  return hint === undefined ? "" : `: ${hint}`;
}

function combine(before: Set<string>, operator: Operator, found: readonly string[]): Set<string> {
  if (operator === ",") {
    for (const name of found) before.add(name);
    return before;
  }
  if (operator === "!") {
    for (const name of found) before.delete(name);
    return before;
  }
  const given = new Set(found);
  if (operator === "&") return new Set([...before].filter((name) => given.has(name)));
  return new Set([...[...before].filter((name) => !given.has(name)), ...found.filter((name) => !before.has(name))]);
}

function tooMany(count: number, most: number, at: number, length: number): Mistake {
  // Past that they are no longer known to the last one.
  const shown = Number.isSafeInteger(count) ? inGroups(count) : "more than 9 quadrillion";
  return mistake(`stands for ${shown} names, and at most ${inGroups(most)} are taken at once`, at, length);
}

/** 100,000 */
export function inGroups(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
