import { z } from "zod";
import { command } from "../command.ts";
import { wishFor } from "../wishes.ts";
import { nodeReference } from "./shapes.ts";

interface NodeDemoted {
  readonly node: string | number;
  readonly forget: boolean;
}

const payload = z.strictObject({ node: nodeReference, forget: z.boolean() });

export const nodeDemote = command<NodeDemoted>()({
  name: "node.demote",
  tag: 32,
  since: 2,
  right: "nodes:write",
  doc: "Asks for a node to vote no longer: another one takes its place where one can; with forget, leaves it to the leader again.",
  input: payload.partial({ forget: true }),
  payload,
  route: { method: "POST", path: "/v1/nodes/:node/demote", status: 200 },
  answer: z.object({ node: z.int(), wish: z.enum(["voter", "learner"]).nullable() }),
  prepare: ({ node, forget }) => ({ node, forget: forget ?? false }),
  audit: ({ node, forget }) => (forget ? `node ${node}: left to the leader` : `node ${node}`),
  apply: (tx, { node, forget }, context) => wishFor(tx, context, node, forget ? undefined : "learner"),
});
