import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { isLabel } from "../../lib/selector.ts";
import { command } from "../command.ts";
import { noNode } from "../no-node.ts";
import { givenLabels, giveLabels, nodeByReference, setNodeLabels } from "../tables/node.ts";
import { nodeReference } from "./shapes.ts";

interface NodeLabelled {
  readonly node: string | number;
  /** null takes the label away. */
  readonly labels: Readonly<Record<string, string | null>>;
}

const shape = z.strictObject({
  node: nodeReference,
  labels: z
    .record(z.string(), z.string().nullable(), { error: "give the labels to set, null for those to take away" })
    .superRefine((labels, context) => {
      const entries = Object.entries(labels);
      if (entries.length === 0 || entries.length > limits.labelsPerThing)
        context.addIssue({ code: "custom", message: `give 1 to ${limits.labelsPerThing} labels` });
      for (const [key, value] of entries) {
        if (
          isLabel(key, value ?? "x") &&
          key.length <= limits.labelLength &&
          (value ?? "").length <= limits.labelLength
        )
          continue;
        const message = `not a label: letters, digits and -_./ only, at most ${limits.labelLength} characters`;
        context.addIssue({ code: "custom", path: [key], message });
      }
    }),
});

export const nodeLabel = command<NodeLabelled>()({
  name: "node.label",
  tag: 30,
  since: 2,
  right: "nodes:write",
  doc: "Sets labels of a node, takes away those that are null. They outlive its restarts, unless `up --label` says otherwise.",
  input: shape,
  payload: shape,
  route: { method: "PATCH", path: "/v1/nodes/:node/labels", status: 200 },
  answer: z.object({ node: z.int(), labels: z.record(z.string(), z.string()) }),
  prepare: (input) => input,
  audit: ({ node, labels }) =>
    `node ${node}: ${Object.entries(labels)
      .map(([key, value]) => (value === null ? `${key}-` : `${key}=${value}`))
      .join(" ")}`,
  apply(tx, payload, context) {
    const node = nodeByReference(tx, payload.node);
    if (node === undefined) return noNode(payload.node);
    const given = new Map(Object.entries(givenLabels(tx, node.id)));
    const shown = new Map(Object.entries(node.labels));
    for (const [key, value] of Object.entries(payload.labels)) {
      for (const labels of [given, shown]) {
        if (value === null) labels.delete(key);
        else labels.set(key, value);
      }
    }
    if (shown.size > limits.labelsPerThing)
      return refuse("conflict", `node ${node.name} would have ${shown.size} labels: at most ${limits.labelsPerThing}`);
    giveLabels(tx, node.id, Object.fromEntries(given));
    const labels = Object.fromEntries(shown);
    setNodeLabels(tx, node.id, labels);
    context.changed({ topic: "node", kind: "changed", node: node.id });
    return accept({ node: node.id, labels });
  },
});
