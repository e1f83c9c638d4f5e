/**
 * A mesh of real nodes on loopback: processes of dist/skein with data in a temporary directory. Shared by `npm start`, the benchmarks
 * and the tests of the binary. Works under Node and Bun.
 *
 * It touches nothing outside its directory: ports are the system's choice, the user's configuration directory is moved into it,
 * and only processes that carry this mesh's mark are ever ended.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { SurvivorView } from "../src/lib/survivors.ts";
import { binary } from "./build.ts";
import { endMarked, killAtOnce, type Marked } from "./processes.ts";

/** What `up` says of itself on the line that begins `ready `. */
export interface Ready {
  readonly node: number;
  readonly cluster: string;
  /** http://HOST:PORT or https://HOST:PORT */
  readonly api: string;
  /** HOST:PORT */
  readonly peer: string;
}

export interface MeshOptions {
  readonly nodes: number;
  /** More words for every `skein up`. */
  readonly flags?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly executable?: string | undefined;
  /** The API over TLS, on loopback too. */
  readonly tls?: boolean | undefined;
  /** How long a node may take to be ready; many at once on few cores take longer than the default. */
  readonly readyTimeoutMs?: number | undefined;
  /** What is special about the node of that number; `directory` is its own, its data lies in `directory`/data. */
  readonly place?: ((number: number, directory: string) => NodePlace) | undefined;
}

/** Where and how one node runs, where it does not run as all others do. */
export interface NodePlace {
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the binary: its own words come first. */
  readonly through?: readonly string[];
  /** What it listens on; default {@link Mesh.host}. */
  readonly host?: string;
}

/** What a command of the binary left: exit code (null after a signal) and all it wrote. */
export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How long tests and scripts wait for what must come: a bound for what hangs, not for what a busy machine takes. */
export const patienceMs = 120_000;
/** How long a node may take to be ready (a join waits for the log), and to go after SIGTERM (it hands over and syncs). */
const readyTimeoutMs = patienceMs;
const stopTimeoutMs = 60_000;
/** How long guards may take to go after their nodes have gone: the lease and a little. */
const guardGraceMs = 60_000;
/** A request that is answered later than this never will be: who waits in rounds must get to the end of one. */
const apiTimeoutMs = 60_000;
const logKept = 400;

const meshes = new Set<Mesh>();

/**
 * A loopback address that hardly another mesh has: a node that comes back at its old ports must not find them taken, by a node of another mesh that asked for
 * any or by a dial, which leaves from 127.0.0.1. Elsewhere than on Linux a host has this one alone.
 */
function loopbackHost(): string {
  if (process.platform !== "linux") return "127.0.0.1";
  const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
  return `127.${1 + (a! % 254)}.${b!}.${1 + (c! % 254)}`;
}

/** Several nodes of one cluster. Stop it in any case: `await using mesh = await Mesh.start({nodes: 3})`. */
export class Mesh {
  /** Node 1 first. A node that was stopped keeps its place. */
  readonly nodes: MeshNode[] = [];
  readonly directory: string;
  /** What its nodes listen on. */
  readonly host = loopbackHost();
  readonly #mark: string;
  readonly #options: MeshOptions;
  #joinToken: Promise<string> | undefined;
  #made = 0;
  #stopping: Promise<Marked[]> | undefined;

  private constructor(options: MeshOptions) {
    meshes.add(this);
    this.#options = options;
    this.directory = mkdtempSync(path.join(tmpdir(), "skein-mesh-"));
    this.#mark = path.basename(this.directory);
  }

  /** Starts the first node, then joins the others at once. Leaves nothing behind when one of them fails. */
  static async start(options: MeshOptions): Promise<Mesh> {
    const mesh = new Mesh(options);
    try {
      await mesh.add();
      await Promise.all(Array.from({ length: options.nodes - 1 }, () => mesh.add()));
      return mesh;
    } catch (error) {
      await mesh.stop();
      throw error;
    }
  }

  /** Starts one more node, joined to the others. Resolves when it is ready, which at a join means: a member. */
  async add(flags: readonly string[] = []): Promise<MeshNode> {
    const first = this.nodes[0];
    const join = first === undefined ? [] : ["--join", this.addresses(), "--token", await this.joinToken()];
    // Its number and directory are nobody's after it, also where it is removed.
    const number = ++this.#made;
    const directory = path.join(this.directory, `node-${number}`);
    const place = this.#options.place?.(number, directory);
    const node = new MeshNode({
      executable: this.#options.executable ?? binary,
      directory,
      flags: [...(this.#options.flags ?? []), ...flags],
      env: { ...this.#options.env, ...place?.env, SKEIN_TEST_MESH: this.#mark },
      through: place?.through,
      host: place?.host ?? this.host,
      tls: this.#options.tls,
      readyTimeoutMs: this.#options.readyTimeoutMs,
    });
    this.nodes.push(node);
    await node.start(["--name", `node-${number}`, ...join]);
    return node;
  }

  /** The host of a node that was removed comes back with an empty disk, at its old addresses and under its old name: as a new node. */
  async replace(node: MeshNode): Promise<MeshNode> {
    await killAtOnce(node.guards());
    rmSync(node.data, { recursive: true, force: true, maxRetries: 5 });
    const [api, peer] = [node.ready.api.replace(/^http:\/\//, ""), node.ready.peer];
    const join = ["--join", this.addresses(), "--token", await this.joinToken()];
    await node.start(["--api", api, "--peer", peer, "--name", path.basename(path.dirname(node.data)), ...join]);
    return node;
  }

  /** HOST:PORT of the API of every running node, joined by commas: what `--join` takes. */
  addresses(): string {
    return this.#running()
      .map((node) => new URL(node.ready.api).host)
      .join(",");
  }

  /** A join token, made once by the first running node. */
  joinToken(): Promise<string> {
    this.#joinToken ??= (async () => {
      const said = await this.#someNode().skein(["cluster", "token", "--uses", "1000", "-o", "quiet"]);
      if (said.code !== 0) throw new Error(`skein cluster token failed (${said.code}): ${said.stderr}`);
      return said.stdout.trim();
    })();
    return this.#joinToken;
  }

  /** The next node joins by a token of its own: one that names an authority of long before is good no more. */
  forgetToken(): void {
    this.#joinToken = undefined;
  }

  /**
   * The running node that leads, once one does, at least `voters` nodes vote and no change of the members is under way. Asks all again every 20 ms; throws after `timeoutMs`
   * with what was seen last.
   */
  async leader(options: { readonly voters?: number; readonly timeoutMs?: number } = {}): Promise<MeshNode> {
    const voters = options.voters ?? 1;
    let seen = "no answer";
    return await until(
      async () => {
        for (const node of this.#running()) {
          const answer = await node.api("GET", "/v1/cluster").catch(() => undefined);
          if (answer?.status !== 200) continue;
          const cluster = answer.body as { leader: number | null; voters: number[] };
          seen = JSON.stringify({ leader: cluster.leader, voters: cluster.voters });
          if (cluster.voters.length < voters) continue;
          const leader = this.#running().find((each) => each.ready.node === cluster.leader);
          if (leader !== undefined && (await isReady(leader)) && (await isSettled(leader))) return leader;
        }
        return undefined;
      },
      options.timeoutMs ?? patienceMs,
      () => `no leader with ${voters} voters (seen last: ${seen})`,
    );
  }

  /** Runs a command of the binary as an admin who knows every node that runs. */
  async skein(words: readonly string[], options: SkeinOptions = {}): Promise<Said> {
    const addresses = this.#running().map((node) => node.ready.api);
    const all = addresses.length === 0 ? [] : ["--addr", addresses.join(",")];
    return await this.nodes[0]!.skein([...all, ...words], options);
  }

  /** SIGKILL of every node and every guard in one go: what a power cut does to processes. */
  async killEverything(): Promise<void> {
    await killAtOnce(this.nodes.flatMap((node) => [...(node.running ? [node.pid] : []), ...node.guards()]));
    await Promise.all(this.nodes.map((node) => node.exited));
  }

  /** SIGTERM to all, by pid; KILL after a bound; waits until guards are gone; removes the data. Gives the processes that had to be killed. */
  stop(): Promise<Marked[]> {
    this.#stopping ??= (async () => {
      await Promise.all(this.nodes.map((node) => node.stop()));
      const left = await endMarked(this.#mark, guardGraceMs);
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
      meshes.delete(this);
      return left;
    })();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Stops every mesh of this process: for scripts that are interrupted. */
  static async stopAll(): Promise<void> {
    await Promise.all([...meshes].map((mesh) => mesh.stop()));
  }

  /** One that joins right now has no address yet. */
  #running(): MeshNode[] {
    return this.nodes.filter((node) => node.running && node.wasReady);
  }

  #someNode(): MeshNode {
    const node = this.#running()[0];
    if (node === undefined) throw new Error("no node of the mesh is running");
    return node;
  }
}

/** One node: a data directory, and at most one process on it at a time. */
export class MeshNode {
  readonly data: string;
  /** Of its next process, and of the commands that are run against it. */
  executable: string;
  readonly #readyTimeoutMs: number;
  readonly #flags: readonly string[];
  /** Of its next process. */
  readonly environment: Record<string, string>;
  readonly #through: readonly string[];
  readonly #host: string;
  readonly #scheme: string;
  readonly #lines: string[] = [];
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);
  #ready: Ready | undefined;

  constructor(options: {
    readonly executable: string;
    readonly directory: string;
    readonly flags: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    readonly through?: readonly string[] | undefined;
    /** Default: this host's one that all programs use. */
    readonly host?: string | undefined;
    readonly tls?: boolean | undefined;
    readonly readyTimeoutMs?: number | undefined;
  }) {
    this.#readyTimeoutMs = options.readyTimeoutMs ?? readyTimeoutMs;
    this.executable = options.executable;
    this.#through = options.through ?? [];
    this.#host = options.host ?? "127.0.0.1";
    this.#scheme = options.tls === true ? "https://" : "";
    this.data = path.join(options.directory, "data");
    this.#flags = options.flags;
    this.environment = {
      ...options.env,
      XDG_CONFIG_HOME: path.join(options.directory, "config"),
      SKEIN_DATA: this.data,
    };
    mkdirSync(options.directory, { recursive: true });
  }

  /** Starts a process and resolves with its `ready` line. On a data directory of a cluster it goes on as that member, at its old ports. */
  async start(words: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Ready> {
    if (this.running) throw new Error(`the node of ${this.data} is running already`);
    const ports =
      this.#ready === undefined ? ["--api", `${this.#scheme}${this.#host}:0`, "--peer", `${this.#host}:0`] : [];
    const [command, ...before] = [...this.#through, this.executable];
    const child = spawn(command, [...before, "up", "--data", this.data, ...ports, ...this.#flags, ...words], {
      env: { ...cleanEnvironment(), ...this.environment, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own: an interrupt from the terminal is ours to translate, in order.
      detached: true,
    });
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.on("exit", (code) => resolve(code));
      child.on("error", (error) => {
        this.#keep(error.message);
        resolve(null);
      });
    });
    return await new Promise<Ready>((resolve, reject) => {
      // The last line first: it tells why, and where much is printed the end of it is cut.
      const fail = (why: string): void =>
        reject(new Error(`skein up ${why}: ${this.#lines.at(-1) ?? "it said nothing"}\nits last words:\n${this.log}`));
      const bound = setTimeout(() => fail(`was not ready after ${this.#readyTimeoutMs} ms`), this.#readyTimeoutMs);
      void this.#exited.then((code) => {
        clearTimeout(bound);
        // The pipes may hold its last words still.
        setTimeout(() => fail(`ended with exit code ${code}`), 50);
      });
      createInterface({ input: child.stderr }).on("line", (line) => this.#keep(line));
      createInterface({ input: child.stdout }).on("line", (line) => {
        this.#keep(line);
        if (!line.startsWith("ready ")) return;
        clearTimeout(bound);
        this.#ready = JSON.parse(line.slice("ready ".length)) as Ready;
        resolve(this.#ready);
      });
    });
  }

  /** What it said when it became ready; of the last process when none runs now. Throws before the first. */
  get ready(): Ready {
    if (this.#ready === undefined) throw new Error(`the node of ${this.data} has not been ready yet`);
    return this.#ready;
  }

  /** It has said once where it is reached. */
  get wasReady(): boolean {
    return this.#ready !== undefined;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Pid of the running process. */
  get pid(): number {
    if (!this.running || this.#child?.pid === undefined) throw new Error(`the node of ${this.data} is not running`);
    return this.#child.pid;
  }

  /** The last lines it wrote, both streams. */
  get log(): string {
    return this.#lines.join("\n");
  }

  /** Waits until one of its last lines contains `words`: what it says comes through a pipe, later than what it answers. */
  async said(words: string | RegExp): Promise<void> {
    await until(
      () =>
        Promise.resolve(
          (typeof words === "string" ? this.log.includes(words) : words.test(this.log)) ? true : undefined,
        ),
      patienceMs,
      () => `the node of ${this.data} does not say "${words}"; its last words:\n${this.log}`,
    );
  }

  /** The token of its context.json: the first node's is an admin's, a joined node's an operator's. */
  get token(): string {
    return this.#context.token;
  }

  /** What fetch needs to believe this node's API. */
  get tls(): { readonly tls?: { readonly ca: string } } {
    const { ca } = this.#context;
    return this.ready.api.startsWith("https://") && ca !== undefined ? { tls: { ca } } : {};
  }

  get #context(): { readonly token: string; readonly ca?: string } {
    return JSON.parse(readFileSync(path.join(this.data, "context.json"), "utf8")) as { token: string; ca?: string };
  }

  /** Pid of its guard, where one runs. One that was killed leaves its file behind, and the pid may be another process's by now. */
  guards(): number[] {
    try {
      const { pid } = JSON.parse(readFileSync(path.join(this.data, "guard.json"), "utf8")) as { pid: number };
      if (process.platform !== "linux") return [pid];
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(this.data) ? [pid] : [];
    } catch {
      return [];
    }
  }

  /** Resolves with the exit code (null: by a signal) when the present process ends. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  /** SIGTERM, and KILL after a bound. Resolves with the exit code; does nothing when it is not running. */
  async stop(): Promise<number | null> {
    if (!this.running) return null;
    this.#child?.kill("SIGTERM");
    const bound = setTimeout(() => this.#child?.kill("SIGKILL"), stopTimeoutMs);
    const code = await this.#exited;
    clearTimeout(bound);
    return code;
  }

  /** SIGKILL: a crash. The guard and the running work stay. */
  async kill(): Promise<void> {
    if (!this.running) return;
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** One request to its API with its token. `body` is sent as JSON; the answer's body is parsed when it is JSON. */
  async api(
    method: string,
    route: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly status: number; readonly body: unknown; readonly headers: Headers }> {
    const response = await fetch(this.ready.api + route, {
      ...this.tls,
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(apiTimeoutMs),
    });
    const text = await response.text();
    const json = response.headers.get("content-type")?.includes("json") === true && text !== "";
    return { status: response.status, body: json ? (JSON.parse(text) as unknown) : text, headers: response.headers };
  }

  /** Runs a command of the binary against this node, as a person on its host would: by its context, without flags. */
  async skein(words: readonly string[], options: SkeinOptions = {}): Promise<Said> {
    return await runSkein(this.executable, words, { ...options, env: { ...this.environment, ...options.env } });
  }

  #keep(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > logKept) this.#lines.shift();
  }
}

interface SkeinOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** It is killed then, which is exit code null. Default: it may take as long as it likes. */
  readonly timeoutMs?: number;
}

/** Runs the binary once. It sees no SKEIN_ variable but those given. */
export async function runSkein(
  executable: string,
  words: readonly string[],
  options: SkeinOptions = {},
): Promise<Said> {
  const child = spawn(executable, words, {
    env: { ...cleanEnvironment(), ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.timeoutMs,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // It may end without reading: that is no error of ours.
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, stdout, stderr };
}

/** Asks `probe` every 20 ms until it gives something; throws with `why()` after `timeoutMs`. */
export async function until<Value>(
  probe: () => Promise<Value | undefined>,
  timeoutMs: number,
  why: () => string,
): Promise<Value> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error(`after ${timeoutMs} ms: ${why()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function isReady(node: MeshNode): Promise<boolean> {
  return await fetch(`${node.ready.api}/readyz`, { ...node.tls, signal: AbortSignal.timeout(apiTimeoutMs) }).then(
    (response) => response.ok,
    () => false,
  );
}

/**
 * No change of the members is under way in that leader's eyes, and the end of the last one is committed: in the middle of one those that vote no
 * more, or did alone before, are needed still, and when they die or lose their disk nobody leads.
 */
async function isSettled(leader: MeshNode): Promise<boolean> {
  const seen = async (): Promise<SurvivorView | "unknown" | undefined> =>
    await leader.api("GET", "/v1/survivor").then(
      ({ status, body }) => (status === 200 ? (body as SurvivorView) : status === 404 ? "unknown" : undefined),
      () => undefined,
    );
  const logged = await seen();
  if (logged === "unknown") return true; // a build of before that route, which others are measured beside
  if (logged === undefined || logged.outgoing.length > 0) return false;
  const after = await seen();
  return typeof after === "object" && after.commit >= logged.last_index;
}

/** Ours without SKEIN_ variables, which would speak for another mesh; the mark of a test run stays. */
function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("SKEIN_") || name.startsWith("SKEIN_TEST_"),
  );
  return Object.fromEntries(kept.map(([name, value]) => [name, value ?? ""]));
}
