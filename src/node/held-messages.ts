import type { Message } from "../raft/types.ts";

/**
 * Messages that promise something of a storage write, until that write is durable (D4). A disk may hang for hours while the leader goes on asking, so what waits
 * is bounded (L1): of what is said to one peer for one and the same write the newest of each kind stands for all. Nothing is lost by that: a match is the highest
 * one, a read round answered is those before it answered too, and what was said in a term before this one counts for nobody.
 */
export class HeldMessages {
  /** Oldest write first; few messages each. */
  readonly #batches: { readonly token: number; readonly messages: Message[] }[] = [];

  /** These leave when the append with that token, which is none before the last one given, is durable. */
  hold(token: number, messages: readonly Message[]): void {
    let batch = this.#batches.at(-1);
    if (batch?.token !== token) {
      batch = { token, messages: [] };
      this.#batches.push(batch);
    }
    for (const message of messages) add(batch.messages, message);
  }

  /** What promises no more than is durable now, in order. */
  release(durable: number): Message[] {
    const released: Message[] = [];
    while (this.#batches.length > 0 && this.#batches[0]!.token <= durable)
      released.push(...this.#batches.shift()!.messages);
    return released;
  }
}

function add(messages: Message[], message: Message): void {
  const at = messages.findIndex(({ kind, to }) => kind === message.kind && to === message.to);
  if (at >= 0 && isMore(messages[at]!, message)) return;
  if (at >= 0) messages.splice(at, 1); // in the order in which they were said last
  messages.push(message);
}

/** The earlier one says all that the later one says, and more. */
function isMore(before: Message, later: Message): boolean {
  if (before.term !== later.term) return before.term > later.term;
  if (before.kind === "append-response" && later.kind === "append-response") return before.match > later.match;
  if (before.kind === "heartbeat-response" && later.kind === "heartbeat-response") return before.round > later.round;
  if (before.kind === "vote-response" && later.kind === "vote-response") return before.granted && !later.granted;
  return false;
}
