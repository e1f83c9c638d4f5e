import { z } from "zod";
import type { JobId, NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { nodeById } from "../tables/node.ts";
import { count, jobIdShape, nodeIdShape } from "./shapes.ts";
import { takeBackAll } from "./unit-recall.ts";

interface UnitReturned {
  readonly node: NodeId;
  /** Of the process that says so: a later one may have begun them. */
  readonly incarnation: string;
  readonly attempts: readonly (readonly [job: JobId, task: number, attempt: number])[];
}

const shape = z.strictObject({
  node: nodeIdShape,
  incarnation: z.string().min(1).max(100),
  attempts: z
    .array(z.tuple([jobIdShape, count, z.number().int().positive()]))
    .min(1)
    .max(limits.assignmentsPerEntry),
});

export const unitReturn = command<UnitReturned>()({
  name: "unit.return",
  tag: 84,
  since: 3,
  right: "internal",
  doc: "A node gives attempts back that have not begun there, and that it never begins (no room for too long, a hold, a drain, a node with room): they wait again, which counts neither as a loss nor as a retry. What is out of date is passed over.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, incarnation, attempts }, context) {
    const row = nodeById(tx, node);
    // A process that has started since begins what the state gives it, whatever the one before had given up (J1).
    if (row === undefined || row.incarnation !== incarnation) return accept({ returned: 0 });
    const reason = `node ${row.name} had not begun it, and gave it back`;
    return accept({ returned: takeBackAll(tx, context, node, attempts, reason) });
  },
});
