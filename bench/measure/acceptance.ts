/** How long one request takes that asks for very much: an array of many tasks. */
import type { MeshNode } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";
import { untilUnfinished } from "./gauges.ts";

/** An instant that no run lives to see. */
export const farOff = "2199-01-01T00:00:00Z";

/**
 * From sending the request to its acknowledgement, in ms. The job is cancelled right afterwards, and what has begun of it is waited for: `others` jobs
 * have not ended then.
 */
export async function acceptArrayMs(node: MeshNode, spec: object, others = 0): Promise<number> {
  // A connection that is open already, as a client has one.
  await node.api("GET", "/healthz");
  const began = performance.now();
  const job = await submit(node, spec);
  const tookMs = performance.now() - began;
  const answer = await node.api("POST", `/v1/jobs/${job}/cancel`, {});
  if (answer.status !== 202) throw new Error(`cancel of job ${job}: ${answer.status} ${JSON.stringify(answer.body)}`);
  await untilUnfinished(node, others);
  return tookMs;
}
