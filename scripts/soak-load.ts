/**
 * Clients that write and read without pause through the client library while something goes wrong, and what became of every call: for the
 * soak, the figures of reliability and the tests of the binary.
 */
import { randomBytes } from "node:crypto";
import { SkeinClient } from "../src/client/client.ts";
import type { Mesh } from "./mesh.ts";
import type { Operation } from "./soak-history.ts";

export interface LoadOptions {
  readonly writers: number;
  readonly readers: number;
  /** The job that writer `client` submits as its `serial`-th; default: one that does nothing. */
  spec?(client: number, serial: number): object;
  /** Between two calls of one client; default none. */
  readonly pauseMs?: number;
  /** One attempt is given up after this long and made again under the same key; default: as the library does. */
  readonly attemptMs?: number;
}

/** Every client knows all addresses of the mesh, each in another order. Stop it, then read what it has seen. */
export class Load {
  readonly history: Operation[] = [];
  /** Calls that the client library did not bring to a good end. They are made again; a patient client sees none. */
  readonly failures: { readonly atMs: number; readonly client: number; readonly error: string }[] = [];
  readonly #clients: Promise<void>[];
  readonly #ending = new AbortController();
  readonly #options: LoadOptions;
  readonly #name = randomBytes(6).toString("hex");
  readonly #waiting = new Set<() => void>();

  constructor(mesh: Mesh, options: LoadOptions) {
    this.#options = options;
    const addresses = mesh.nodes.map((node) => node.ready.api);
    const token = mesh.nodes[0]!.token;
    this.#clients = Array.from({ length: options.writers + options.readers }, (_, client) => {
      const at = client % addresses.length;
      const library = new SkeinClient({ addrs: [...addresses.slice(at), ...addresses.slice(0, at)], token });
      return client < options.writers ? this.#write(library, client) : this.#read(library, client);
    });
  }

  /** The ids that were acknowledged, oldest answer first. */
  get acknowledged(): number[] {
    return this.history.flatMap((one) => (one.kind === "submit" && one.value !== undefined ? [one.value] : []));
  }

  /** When the first write that began after `sinceMs` was acknowledged; waits for it. Throws after `timeoutMs`. */
  async nextAcknowledgedMs(sinceMs: number, timeoutMs = 60_000): Promise<number> {
    const end = performance.now() + timeoutMs;
    let seen = this.history.length;
    while (seen > 0 && this.history[seen - 1]!.endedMs > sinceMs) seen -= 1;
    for (;;) {
      for (; seen < this.history.length; seen++) {
        const one = this.history[seen]!;
        if (one.kind === "submit" && one.value !== undefined && one.beganMs >= sinceMs) return one.endedMs;
      }
      if (performance.now() > end) throw new Error(`no write was acknowledged in ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, 100);
        this.#waiting.add(wake);
      });
    }
  }

  /** The longest time without an acknowledged write between the two moments. */
  longestGapMs(fromMs: number, toMs: number): number {
    const ends = this.history
      .filter((one) => one.kind === "submit" && one.value !== undefined && one.endedMs >= fromMs && one.endedMs <= toMs)
      .map((one) => one.endedMs)
      .toSorted((a, b) => a - b);
    const points = [fromMs, ...ends, toMs];
    return Math.max(...points.slice(1).map((point, at) => point - points[at]!));
  }

  /** No new calls; those under way get `graceMs` to end, then they are recorded as unanswered. */
  async stop(graceMs = 30_000): Promise<void> {
    this.#stopping = true;
    const bound = setTimeout(() => this.#ending.abort(new Error("the load is over")), graceMs);
    await Promise.all(this.#clients);
    clearTimeout(bound);
  }

  #stopping = false;

  async #write(library: SkeinClient, client: number): Promise<void> {
    for (let serial = 0; !this.#stopping; serial++) {
      const spec = this.#options.spec?.(client, serial) ?? { driver: "noop" };
      const key = `${this.#name}-${client}-${serial}`;
      await this.#call("submit", client, async (signal) => (await library.submit(spec, { key, signal })).ids[0]!);
    }
  }

  async #read(library: SkeinClient, client: number): Promise<void> {
    while (!this.#stopping) {
      await this.#call("read", client, async () => (await library.jobs({ limit: 1 })).jobs[0]?.id ?? 0);
    }
  }

  async #call(kind: Operation["kind"], client: number, make: (signal: AbortSignal) => Promise<number>): Promise<void> {
    const beganMs = performance.now();
    let value: number | undefined;
    while (value === undefined && !this.#ending.signal.aborted) {
      const { attemptMs } = this.#options;
      const signals = [this.#ending.signal, ...(attemptMs === undefined ? [] : [AbortSignal.timeout(attemptMs)])];
      try {
        value = await make(AbortSignal.any(signals));
      } catch (error) {
        if (this.#ending.signal.aborted) break;
        this.failures.push({ atMs: performance.now(), client, error: String(error) });
        // A read has no key that makes a later answer the same one's: it ends here and another begins.
        if (kind === "read") return await pause(50);
        await pause(20);
      }
    }
    const endedMs = value === undefined ? Infinity : performance.now();
    this.history.push({ kind, client, beganMs, endedMs, value });
    for (const wake of this.#waiting) wake();
    if (this.#options.pauseMs !== undefined) await pause(this.#options.pauseMs);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
