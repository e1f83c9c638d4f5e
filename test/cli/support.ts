import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Environment } from "../../src/cli/context.ts";
import { CliError } from "../../src/cli/exit.ts";
import type { CliIo, Sink } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/program.ts";
import type { UpOptions } from "../../src/cli/up-options.ts";
import { until } from "../../scripts/mesh.ts";
import { serveHttp } from "../../src/http/serve.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { findJob } from "../../src/state/queries.ts";
import { adminToken, type FakeNode, Mesh } from "../http/fake-node.ts";
import { admin } from "../state/support.ts";

/** A command line under test: what it wrote, a terminal or a pipe, and a hand that presses Ctrl-C. */
export class TestIo implements CliIo {
  readonly stdout: TestSink;
  readonly stderr: TestSink;
  readonly #stdin: string | Uint8Array;
  readonly #answer: string;
  readonly #listeners = new Set<() => void>();

  constructor(
    options: {
      readonly tty?: boolean;
      readonly columns?: number;
      readonly stdin?: string | Uint8Array;
      readonly answer?: string;
    } = {},
  ) {
    this.stdout = new TestSink(options.tty ?? false, options.columns ?? 80);
    this.stderr = new TestSink(options.tty ?? false, options.columns ?? 80);
    this.#stdin = options.stdin ?? "";
    this.#answer = options.answer ?? "";
  }

  readStdin(): Promise<Uint8Array> {
    return Promise.resolve(typeof this.#stdin === "string" ? new TextEncoder().encode(this.#stdin) : this.#stdin);
  }

  async *stdin(): AsyncIterable<Uint8Array> {
    yield await this.readStdin();
  }

  ask(question: string): Promise<string | undefined> {
    this.stderr.write(question);
    return Promise.resolve(this.stderr.isTty ? this.#answer : undefined);
  }

  onInterrupt(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  interrupt(): void {
    for (const listener of this.#listeners) listener();
  }
}

export class TestSink implements Sink {
  readonly isTty: boolean;
  readonly columns: number;
  readonly #closed = new AbortController();
  readonly closed = this.#closed.signal;
  readonly bytes: Uint8Array[] = [];

  constructor(isTty: boolean, columns: number) {
    this.isTty = isTty;
    this.columns = isTty ? columns : 0;
  }

  write(chunk: string | Uint8Array): void {
    this.bytes.push(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk.slice());
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  get text(): string {
    return Buffer.concat(this.bytes).toString("utf8");
  }

  /** Resolves once the text has been written. */
  async has(text: string): Promise<void> {
    await until(
      () => Promise.resolve(this.text.includes(text) ? true : undefined),
      10_000,
      () => `"${text}" was not written, but ${JSON.stringify(this.text.slice(-500))}`,
    );
  }

  close(): void {
    this.#closed.abort();
  }
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line to its end. */
export async function cli(argv: readonly string[], env: Environment = {}, io: TestIo = new TestIo()): Promise<Ran> {
  const code = await start(argv, env, io);
  return { code, out: io.stdout.text, err: io.stderr.text };
}

/** Starts one, for tests that act meanwhile. */
export function start(argv: readonly string[], env: Environment, io: TestIo, ups: UpOptions[] = []): Promise<number> {
  const up = (options: UpOptions): Promise<number> => {
    ups.push(options);
    return Promise.resolve(0);
  };
  return runCli(argv, { HOME: "/nonexistent", ...env }, io, {
    version: "0.1.0",
    up,
    restore: () => Promise.reject(new Error("nothing is restored here")),
    openStopped: () => {
      throw new Error("no node is stopped here");
    },
    askForToken: () => ({ addr: "http://127.0.0.1:1", ca: "", id: "0", token: "skein_0_0", request: {} }),
  });
}

/** The real HTTP app over the real state on a real port. */
export class ServedMesh implements Disposable {
  readonly mesh = new Mesh();
  readonly node: FakeNode = this.mesh.node();
  readonly #server = serveHttp({ node: this.node, host: "127.0.0.1", port: 0 });

  get url(): string {
    return this.#server.url;
  }

  get env(): Environment {
    return { SKEIN_ADDR: this.url, SKEIN_TOKEN: adminToken };
  }

  /** Submits a job past HTTP. */
  submit(spec: Record<string, unknown> = {}): number {
    return this.mesh.change((cluster) => cluster.submit(spec));
  }

  /** Sets schedules past HTTP, which looks at the real time: so that instants of them can have passed since. */
  setSchedules(at: number, ...schedules: readonly object[]): void {
    const { cluster } = this.mesh;
    const { now } = cluster;
    cluster.now = at;
    const input = commandByName("schedule.set").input.parse({ schedules });
    this.mesh.change((cluster) => cluster.must("schedule.set", input, admin));
    cluster.now = now;
  }

  /** A node took the task and begins. */
  assign(job: number, task = 0): void {
    this.mesh.change((cluster) => cluster.assign(job, 1, [task, 1]));
  }

  /** What it has printed is told with its end. */
  finish(job: number, task = 0, ...[state, more]: Finish): void {
    const bytes = this.mesh.logs.get(`${job}/${task}.1`)?.chunks.reduce((sum, { bytes }) => sum + bytes.length, 0) ?? 0;
    const log = bytes === 0 ? {} : { log: { bytes, sha256: "x" } };
    this.mesh.change((cluster) => cluster.finish(job, task, 1, 1, state, { ...log, ...more }));
  }

  /** Resolves with the newest job's id once so many have been submitted. */
  async submitted(count = 1): Promise<number> {
    await until(
      () => Promise.resolve(findJob(this.mesh.cluster.database, count)),
      10_000,
      () => `job ${count} was not submitted`,
    );
    return count;
  }

  [Symbol.dispose](): void {
    void this.#server.stop();
  }
}

type Finish =
  Parameters<Mesh["cluster"]["finish"]> extends [number, number, number, number, ...infer Rest] ? Rest : never;

/** A directory that is gone after the test. */
export class ScratchDir implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "skein-cli-"));

  write(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** The exit code that a promise is rejected with. */
export async function exitOf(promise: Promise<unknown>): Promise<number | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error instanceof CliError ? error.exit : undefined),
  );
}
