/**
 * Label selectors: "zone=eu,gpu!=none,ssd". All terms must hold. `k=v` equal, `k!=v` different or absent,
 * `k` present, `!k` absent. Names and values: letters, digits, and `-_./` (see limits for lengths).
 */
export interface Term {
  readonly key: string;
  readonly operator: "=" | "!=" | "present" | "absent";
  readonly value: string;
}
export type Labels = Readonly<Record<string, string>>;

/** `up --learner` is this label with the value "true". */
export const learnerLabel = "learner";

/** A node says by this label, at its start, that it has ansible: driver ansible needs it. */
export const ansibleLabel = "ansible";

const keyPattern = /^[A-Za-z0-9][A-Za-z0-9_./-]*$/;
const valuePattern = /^[A-Za-z0-9_.:/-]*$/;

/** The terms, or a message that says what is wrong with the text. The empty selector matches every node. */
export function parseSelector(text: string): readonly Term[] | string {
  if (text.trim() === "") return [];
  const terms: Term[] = [];
  for (const raw of text.split(",")) {
    const part = raw.trim();
    const match = /^(!?)([^=!]+)(?:(!?=)(.*))?$/.exec(part);
    if (match === null || (match[1] === "!" && match[3] !== undefined)) {
      return `"${part}" is not a label term: write k=v, k!=v, k or !k`;
    }
    const key = match[2]!.trim();
    const value = (match[4] ?? "").trim();
    if (!keyPattern.test(key)) return `"${key}" is not a label name`;
    if (!valuePattern.test(value)) return `"${value}" is not a label value`;
    const operator = match[3] === undefined ? (match[1] === "!" ? "absent" : "present") : match[3] === "=" ? "=" : "!=";
    terms.push({ key, operator, value });
  }
  return terms;
}

/** True when all terms hold for these labels. */
export function matchesSelector(terms: readonly Term[], labels: Labels): boolean {
  return terms.every((term) => {
    const value = labels[term.key];
    switch (term.operator) {
      case "=":
        return value === term.value;
      case "!=":
        return value !== term.value;
      case "present":
        return value !== undefined;
      default:
        return value === undefined;
    }
  });
}

/** True when `key` and `value` may be a label of a node or job. */
export function isLabel(key: string, value: string): boolean {
  return keyPattern.test(key) && valuePattern.test(value);
}
