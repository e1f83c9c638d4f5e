import { randomInteger, type Random } from "../lib/prng.ts";
import type { RaftOptions } from "./types.ts";

/**
 * When to ask for votes, in ticks. Normally (T, 2T] after the leader was last heard. After the leader's socket closed the timer is
 * *hasty* for 2T: the first round comes within disconnectTicks and a lost one is repeated within retryTicks,
 * so that failover does not wait for T; it ends by itself, so that a minority does not ask for ever.
 */
export class ElectionTimer {
  readonly #random: Random;
  #electionTicks: number;
  readonly #disconnectTicks: number;
  readonly #retryTicks: number;
  #elapsed = 0;
  #due = 0;
  #hasty = 0;
  #isBehind = false;

  constructor(options: RaftOptions) {
    this.#random = options.random;
    this.#electionTicks = options.electionTicks;
    this.#disconnectTicks = options.disconnectTicks;
    this.#retryTicks = options.retryTicks;
    this.restart();
  }

  /** Another T, in force at once: a time that was drawn from the old one is drawn anew. */
  retime(electionTicks: number): void {
    this.#electionTicks = electionTicks;
    if (this.#hasty > 0) return;
    const elapsed = this.#elapsed;
    this.restart();
    this.#elapsed = elapsed;
  }

  /** Less than T since the leader was last heard (as long as one is known). */
  get isFresh(): boolean {
    return this.#elapsed < this.#electionTicks;
  }

  /** True when a round is due. */
  tick(): boolean {
    this.#elapsed++;
    if (this.#hasty > 0) this.#hasty--;
    return this.#elapsed >= this.#due + this.#setBack;
  }

  /** Every round of this node comes 2T later from now on, that is after one of everybody else who could win; or no longer so. */
  stepBack(isBehind: boolean): void {
    this.#isBehind = isBehind;
  }

  get #setBack(): number {
    return this.#isBehind ? 2 * this.#electionTicks : 0;
  }

  /** The full time from now: never exactly T, or two nodes could refuse each other for long. */
  restart(): void {
    this.#elapsed = 0;
    this.#due = randomInteger(this.#random, this.#electionTicks + 1, 2 * this.#electionTicks);
  }

  /** The leader was heard: no new draw for every message. */
  heardLeader(): void {
    this.#elapsed = 0;
    if (this.#hasty === 0 && this.#due > this.#electionTicks) return;
    this.#hasty = 0;
    this.restart();
  }

  /** The leader's socket closed. True when the first round is due at once. */
  hurry(): boolean {
    this.#hasty = 2 * this.#electionTicks;
    const wait = randomInteger(this.#random, 0, this.#disconnectTicks);
    this.#due = this.#elapsed + wait;
    return wait === 0 && !this.#isBehind;
  }

  /** A planned hand-over: a lost round is to be repeated soon. */
  beginHaste(): void {
    this.#hasty = 2 * this.#electionTicks;
  }

  /** A round begins. In haste it gets time for a slow disk on the other side, more than a repetition waits. */
  beginRound(): void {
    if (this.#hasty === 0) return this.restart();
    this.#elapsed = 0;
    this.#due = randomInteger(this.#random, 2 * this.#retryTicks + 1, 4 * this.#retryTicks);
  }

  /** The round is lost, or a higher term was learnt: again soon, in haste. */
  repeat(): void {
    if (this.#hasty === 0) return this.restart();
    this.#elapsed = 0;
    this.#due = randomInteger(this.#random, 1, this.#retryTicks);
  }

  /** In haste and another one was given our pre-vote: let it go first. */
  giveWay(): void {
    if (this.#hasty === 0) return;
    this.#elapsed = 0;
    this.#due = randomInteger(this.#random, this.#retryTicks + 1, 2 * this.#retryTicks);
  }
}
