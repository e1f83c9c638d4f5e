import type { z } from "zod";
import type { NodeId } from "../lib/ids.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { ReadTx, Tx } from "./tx.ts";
import type { Change, Principal, Right } from "./types.ts";

/**
 * A command is declared in one file, `commands/<name>.ts`, and listed with one line in `commands/index.ts`. From the list
 * come the dispatch table, HTTP routes, permissions, the typed client call and the reference page.
 *
 * - `input` is what people send; its shape is checked before the log, never in apply (S3).
 * - `prepare` runs once, on the node that proposes: whatever is not deterministic but must not be stamped by the leader.
 * - `payload` is the shape of what `prepare` gives; the leader checks forwarded batches with it (S3).
 * - `apply` runs on every node: rows and nothing else (S1). It checks the state, not the shape; it refuses, never throws.
 */
export interface CommandDefinition<
  Name extends string = string,
  Tag extends number = number,
  Input = unknown,
  Payload = unknown,
  Value = unknown,
> {
  readonly name: Name;
  /** On the wire and in the log; never reused. */
  readonly tag: Tag;
  /** The cluster level that brought it. */
  readonly since: number;
  readonly right: Right;
  /** One line for people: help texts and the reference page. */
  readonly doc: string;
  readonly input: z.ZodType<Input, unknown>;
  readonly payload: z.ZodType<Payload, unknown>;
  /** Payloads that are all well made only if this one is: a long one is checked piece by piece (commands/check.ts). Absent: it is checked whole. */
  parts?(payload: unknown): Iterable<unknown>;
  /** Shape of what an accepted command gives, for the documents of the API. */
  readonly answer?: z.ZodType | undefined;
  /** Absent: not for people (only nodes propose it). */
  readonly route?: Route | undefined;
  prepare(input: Input, by: Principal): Payload;
  /** The level that this very payload needs, where that may be more than `since` (S2). */
  needs?(payload: Payload): number;
  /** How many jobs it adds, if the state takes it: what the leader holds against the bounds, before the log (node/job-admission.ts). Absent: none. */
  adds?(payload: Payload): number;
  /** In whose names, where that is not the sender's: apply looks at their limits then, and the leader only counts the jobs. */
  addsFor?(payload: Payload, tx: ReadTx): ReadonlyMap<string, number>;
  apply(tx: Tx, payload: Payload, context: ApplyContext): Outcome<Value>;
  /** What it is about, for the audit, secrets left out (K1); absent: not a change that anybody asked for. */
  audit?(payload: Payload, outcome: Outcome<NoInfer<Value>>): string;
}

/** Where the command stands in the HTTP API of the contract. */
export interface Route {
  readonly method: "POST" | "PATCH" | "DELETE";
  /** hono's form: "/v1/jobs/:id/cancel". Path parameters are merged into the input as text. */
  readonly path: string;
  /** Status of an accepted command. */
  readonly status: 200 | 201 | 202;
}

/** What apply may know beside the rows. All of it is in the entry, so it is the same on every node. */
export interface ApplyContext {
  /** Index of the entry. */
  readonly index: number;
  /** Cluster level that the entry states: what a later level does otherwise is done from there on, by every node alike (S2). */
  readonly level: number;
  /** Leader's wall clock, epoch ms, made non-decreasing over the log. */
  readonly at: number;
  /** The same clock as it stood, epoch ms: it may go back, and it is never ahead of real time because an earlier leader's was (C1). */
  readonly stampedAt: number;
  readonly by: Principal;
  /** The node that proposed the batch. */
  readonly origin: NodeId;
  /** Numbers in [0, 1) from the entry's random bytes. */
  readonly random: () => number;
  /** Tells watchers and the scheduler. */
  changed(change: Change): void;
  /** The rolling hash begins anew after this entry: releases before hashed otherwise, and from here on all do alike (S2). */
  restartHash(): void;
}

/**
 * Declares a command with its types checked: `command<Payload>()({...})`. The payload type is written by hand:
 * inferred from prepare, a new field would look present in old entries.
 */
export function command<Payload>() {
  return <const Name extends string, const Tag extends number, Input, Value>(
    definition: CommandDefinition<Name, Tag, Input, Payload, Value>,
  ): CommandDefinition<Name, Tag, Input, Payload, Value> => definition;
}
