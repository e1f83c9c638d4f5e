import type { ApplyPlan, FieldChange } from "./cron-apply-plan.ts";
import { shownAs } from "./cron-apply-plan.ts";
import { type Colour, printable } from "./text.ts";

/** So many of a kind are shown; `-o json` has all. */
const shown = 200;
const valueWidth = 60;
/** So much of what is alike is shown before two long values part. */
const lead = 20;

/** The plan for people: + new, ~ other than it is, - removed. */
export function planLines({ added, changed, removed, over, same }: ApplyPlan): readonly PlanLine[] {
  return [
    ...some(added, (one) => {
      const { cron, every, at, tz } = shownAs(one.read) as Readonly<Record<string, string>>;
      const when = cron ?? (every === undefined ? `at ${at}` : `every ${every}`);
      return [{ text: `+ ${one.read.name}  ${printable(when)}, ${tz}`, colour: "green" }];
    }),
    ...some(changed, ({ declared, fields }) => [
      { text: `~ ${declared.read.name}`, colour: "yellow" },
      ...fields.map((field) => ({ text: `    ${fieldText(field)}` })),
    ]),
    ...some(removed, (name) => [{ text: `- ${name}`, colour: "red" }]),
    ...some(over, ({ read }) => [{ text: `  ${read.name}  is due no more: left out`, colour: "yellow" }]),
    ...(same === 0 ? [] : [{ text: `= ${same} ${same === 1 ? "is" : "are"} as declared`, colour: "dim" as const }]),
  ];
}

/** A line of a plan. */
export interface PlanLine {
  readonly text: string;
  readonly colour?: Colour;
}

function some<Item>(items: readonly Item[], linesOf: (item: Item) => readonly PlanLine[]): readonly PlanLine[] {
  const lines = items.slice(0, shown).flatMap(linesOf);
  return items.length > shown ? [...lines, { text: `  and ${items.length - shown} more` }] : lines;
}

function fieldText({ path, before, after }: FieldChange): string {
  const [old, next] = apart(valueText(before), valueText(after));
  return `${printable(path)}: ${old} -> ${next}`;
}

function valueText(value: unknown): string {
  if (value === undefined) return "(none)";
  return printable(typeof value === "string" && value !== "" ? value : JSON.stringify(value));
}

/** Two texts, cut so that where they differ is seen. */
function apart(before: string, after: string): readonly [string, string] {
  if (before.length <= valueWidth && after.length <= valueWidth) return [before, after];
  let alike = 0;
  while (alike < before.length && before[alike] === after[alike]) alike++;
  const from = alike > lead + 1 ? alike - lead : 0;
  const piece = (text: string): string => {
    const rest = `${from > 0 ? "…" : ""}${text.slice(from)}`;
    return rest.length > valueWidth ? `${rest.slice(0, valueWidth - 1)}…` : rest;
  };
  return [piece(before), piece(after)];
}

/** "2 new, 1 changed and 1 removed" */
export function countsText({ added, changed, removed }: ApplyPlan): string {
  const parts = [
    [added.length, "new"],
    [changed.length, "changed"],
    [removed.length, "removed"],
  ] as const;
  const said = parts.flatMap(([count, word]) => (count === 0 ? [] : [`${count} ${word}`]));
  return said.length > 1 ? `${said.slice(0, -1).join(", ")} and ${said.at(-1)}` : (said[0] ?? "nothing");
}
