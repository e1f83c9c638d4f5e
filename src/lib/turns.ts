import { monotonicMs } from "./clock.ts";
import { limits } from "./limits.ts";

/**
 * Goes through the steps of something long with rests in between, in which everything else that this process has to do gets its turn: heartbeats
 * above all. Gives what the last step gives.
 */
export async function inTurns<Value>(steps: Iterator<unknown, Value, undefined>): Promise<Value> {
  let began = monotonicMs();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (monotonicMs() - began < limits.turnMs) continue;
    await new Promise<void>((resolve) => setImmediate(resolve));
    began = monotonicMs();
  }
}
