import { z } from "zod";
import { command } from "../command.ts";
import { wishFor } from "../wishes.ts";
import { nodeReference } from "./shapes.ts";

interface NodePromoted {
  readonly node: string | number;
  readonly forget: boolean;
}

const payload = z.strictObject({ node: nodeReference, forget: z.boolean() });

export const nodePromote = command<NodePromoted>()({
  name: "node.promote",
  tag: 31,
  since: 2,
  right: "nodes:write",
  doc: "Asks for a node to vote, before others and though it was started with --learner; with forget, leaves it to the leader again. One that votes already is answered at once, with already: true.",
  input: payload.partial({ forget: true }),
  payload,
  route: { method: "POST", path: "/v1/nodes/:node/promote", status: 200 },
  answer: z.object({
    node: z.int(),
    wish: z.enum(["voter", "learner"]).nullable(),
    already: z.literal(true).optional(),
  }),
  prepare: ({ node, forget }) => ({ node, forget: forget ?? false }),
  audit: ({ node, forget }) => (forget ? `node ${node}: left to the leader` : `node ${node}`),
  apply: (tx, { node, forget }, context) => wishFor(tx, context, node, forget ? undefined : "voter"),
});
