// Of its own, because the scripts that start simulations run where there is no bun:sqlite.

/**
 * States that are made wrong (S1). Each kind is one that later entries bring to light: "A state that has gone wrong is found by the entries that touch
 * what is wrong".
 */
export const oddKinds = ["hash", "ids", "attempt", "bug"] as const;

/**
 * hash: the rows are right, and the rolling hash is another one: what a difference of any kind comes to, with nothing else to excuse. ids: the next job
 * gets another number. attempt: a task that runs has another attempt. bug: a command fails inside, on this node alone (S4).
 */
export type OddKind = (typeof oddKinds)[number];
