import { index } from "../lib/ids.ts";
import type { ReadReady } from "./types.ts";

interface Round {
  readonly number: number;
  readonly commit: number;
  readonly tickets: readonly number[];
}

/**
 * Reads that wait for proof that this node still leads. A round is a number that heartbeats carry; a quorum of
 * answers to a heartbeat sent after the reads came in proves it. Numbers grow and are never used twice in a term: a delayed
 * answer to an old round confirms nothing newer.
 */
export class ReadRounds {
  #waiting: number[] = [];
  #rounds: Round[] = [];
  #number = 0;
  #pending = 0;

  /** The newest round; every heartbeat carries it. */
  get newest(): number {
    return this.#number;
  }

  /** Reads not answered yet. */
  get pending(): number {
    return this.#pending;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  get hasOpen(): boolean {
    return this.#rounds.length > 0;
  }

  add(ticket: number): void {
    this.#waiting.push(ticket);
    this.#pending++;
  }

  /** One round for all reads that wait; they will see at least what is committed now. */
  begin(commit: number): void {
    this.#number += 1;
    this.#rounds.push({ number: this.#number, commit, tickets: this.#waiting });
    this.#waiting = [];
  }

  /** A quorum has answered up to this round. */
  confirm(upTo: number, answers: ReadReady[]): void {
    let done = 0;
    for (; done < this.#rounds.length && this.#rounds[done]!.number <= upTo; done++) {
      const { commit, tickets } = this.#rounds[done]!;
      this.#pending -= tickets.length;
      for (const ticket of tickets) answers.push({ ticket, index: index(commit) });
    }
    if (done > 0) this.#rounds.splice(0, done);
  }

  /** This node leads no longer, or begins a new term: nothing that waits can be confirmed. */
  abandon(answers: ReadReady[]): void {
    for (const round of this.#rounds) for (const ticket of round.tickets) answers.push({ ticket, index: undefined });
    for (const ticket of this.#waiting) answers.push({ ticket, index: undefined });
    this.#rounds = [];
    this.#waiting = [];
    this.#pending = 0;
    this.#number = 0;
  }
}
