import { monotonicMs } from "./clock.ts";
import { limits } from "./limits.ts";

/**
 * Goes through the steps of something long with rests in between, in which everything else that this process has to do gets its turn: heartbeats
 * above all. However many do so at once, one of them has a turn in each round of the loop. Gives what the last step gives.
 */
export async function inTurns<Value>(steps: Iterator<unknown, Value, undefined>): Promise<Value> {
  for (;;) {
    await ownTurn();
    const began = monotonicMs();
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (monotonicMs() - began < limits.turnMs);
  }
}

/** The same without a rest. */
export function atOnce<Value>(steps: Iterator<unknown, Value, undefined>): Value {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

const waiting: (() => void)[] = [];
let askedAt = -Infinity;

function ownTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    // Whoever was to give the next turn may be gone with its time: a simulated cluster that has ended.
    const sinceMs = monotonicMs() - askedAt;
    if (waiting.length === 1 || sinceMs > limits.turnLostMs || sinceMs < 0) askForTurn();
  });
}

function askForTurn(): void {
  askedAt = monotonicMs();
  setImmediate(nextTurn);
}

/** All that is due at once runs before timers and sockets: so the next turn is asked for only when this one comes. */
function nextTurn(): void {
  waiting.shift()?.();
  if (waiting.length > 0) askForTurn();
}
