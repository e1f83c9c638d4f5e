/**
 * Branded integers: ids that could be swapped by mistake. They are plain numbers at run time and are made
 * only here and where data enters (decoded entries, parsed requests).
 */
declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** A node's id: positive, given by the log, never used twice. 0 is "nobody". */
export type NodeId = Branded<"NodeId">;
/** A job's id: positive, given in apply from a counter in the state. */
export type JobId = Branded<"JobId">;
/** The position of an entry in the log; the first entry is 1. */
export type Index = Branded<"Index">;
/** A Raft term; 0 before the first election. */
export type Term = Branded<"Term">;

/** True for a whole number >= 1 that a double holds exactly. */
export function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

export const nodeId = (value: number): NodeId => value as NodeId;
export const jobId = (value: number): JobId => value as JobId;
export const index = (value: number): Index => value as Index;
export const term = (value: number): Term => value as Term;
/** "No node": the vote that was not given, the leader that is not known. */
export const nobody: NodeId = nodeId(0);
