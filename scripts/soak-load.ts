/**
 * Clients that write and read without pause through the client library while something goes wrong, and what became of every call: for the
 * soak, the figures of reliability and the tests of the binary.
 */
import { randomBytes } from "node:crypto";
import { SkeinClient } from "../src/client/client.ts";
import type { Call, RegisterInput } from "./linearizable.ts";
import { type Mesh, type MeshNode, patienceMs } from "./mesh.ts";
import type { Operation } from "./soak-history.ts";

export interface LoadOptions {
  readonly writers: number;
  readonly readers: number;
  /**
   * Clients that use names of jobs as registers: the label of the newest job of a name is what it holds, and one more job overwrites it. Default
   * none.
   */
  readonly registrars?: number;
  /** They ask for reads that may be stale: to show that the check sees those. */
  readonly stale?: boolean;
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
  /** What became of writes and reads of registers; the jobs that were submitted for it are in `history` too. */
  readonly registers: Call<RegisterInput, string>[] = [];
  readonly #clients: Promise<void>[];
  readonly #ending = new AbortController();
  readonly #options: LoadOptions;
  readonly #name = randomBytes(6).toString("hex");
  readonly #beganMs = performance.now();
  readonly #waiting = new Set<() => void>();

  constructor(mesh: Mesh, options: LoadOptions) {
    this.#options = options;
    const addresses = mesh.nodes.map((node) => node.ready.api);
    const { token } = mesh.nodes[0]!;
    const { writers, readers, registrars = 0 } = options;
    this.#clients = Array.from({ length: writers + readers + registrars }, (_, client) => {
      if (client >= writers + readers) return this.#register(addresses, token, client);
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
  async nextAcknowledgedMs(sinceMs: number, timeoutMs = patienceMs): Promise<number> {
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

  /** One write through this node alone, again and again under its key until it is acknowledged; gives when. Throws the signal's reason. */
  async probe(node: MeshNode, signal: AbortSignal): Promise<number> {
    const library = new SkeinClient({ addrs: [node.ready.api], token: node.token });
    const key = `${this.#name}-probe-${this.history.length}-${node.ready.node}`;
    const beganMs = performance.now();
    const operation = { kind: "submit", client: -1, beganMs } as const;
    for (;;) {
      try {
        const { ids } = await library.submit({ driver: "noop" }, { key, signal });
        const endedMs = performance.now();
        this.history.push({ ...operation, endedMs, value: ids[0]! });
        return endedMs;
      } catch (error) {
        if (signal.aborted) {
          this.history.push({ ...operation, endedMs: Infinity, value: undefined });
          throw error;
        }
        await pause(5);
      }
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

  /** The same, until the first acknowledgement after `toMs`: 0 when there was none. */
  gapAroundMs(fromMs: number, toMs: number): number {
    const after = this.history.reduce(
      (first, { kind, value, endedMs }) =>
        kind === "submit" && value !== undefined && endedMs >= toMs ? Math.min(first, endedMs) : first,
      Infinity,
    );
    return after === Infinity ? 0 : this.longestGapMs(fromMs, after);
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

  /** Each call is one request to one node, never repeated: a repeated one could take effect twice, and tell of one. */
  async #register(addresses: readonly string[], token: string, client: number): Promise<void> {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    for (let serial = 0; !this.#stopping; serial++) {
      // Other ones after a while: what it takes to judge a register grows faster than the number of its calls.
      const period = Math.floor((performance.now() - this.#beganMs) / registerPeriodMs);
      const key = `register-${this.#name}-${period}-${serial % 3}`;
      const url = `${addresses[(client + serial) % addresses.length]!}/v1/jobs`;
      const value = `${client}.${serial}`;
      const isWrite = (client + (serial >> 2)) % 2 === 0;
      const input: RegisterInput = isWrite ? { key, kind: "write", value } : { key, kind: "read" };
      const spec = { driver: "noop", name: key, labels: { value } };
      const request = isWrite
        ? fetch(url, { method: "POST", headers, body: JSON.stringify(spec), signal: AbortSignal.timeout(registerMs) })
        : fetch(`${url}?limit=1&name=${key}${this.#options.stale === true ? "&consistency=stale" : ""}`, {
            headers,
            signal: AbortSignal.timeout(registerMs),
          });
      const beganMs = performance.now();
      const answer = await request
        .then(async (one) => (one.ok ? ((await one.json()) as RegisterAnswer) : undefined))
        .catch(() => undefined);
      const endedMs = answer === undefined ? Infinity : performance.now();
      const output = answer === undefined ? undefined : (answer.jobs?.[0]?.labels?.["value"] ?? "");
      this.registers.push({ client, input, output, beganMs, endedMs });
      if (isWrite) this.history.push({ kind: "submit", client, beganMs, endedMs, value: answer?.id });
      await pause(answer === undefined ? 50 : 10);
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

/** So long may one request about a register take. */
const registerMs = 3000;
const registerPeriodMs = 60_000;

/** Of a submit, or of a list of jobs. */
interface RegisterAnswer {
  readonly id?: number;
  readonly jobs?: readonly { readonly labels?: Readonly<Record<string, string>> }[];
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
