/**
 * The binary for tests. A mesh is `await using mesh = await Mesh.start({ nodes: 3 })` from scripts/mesh.ts, its jobs scripts/mesh-jobs.ts; here is
 * what a test of single commands needs. Wait for events with `until`, never for time.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { type MeshNode, patienceMs, runSkein, type Said, until } from "../../scripts/mesh.ts";

/** A temporary directory that goes with its scope: `using scratch = temporaryDirectory()`. */
export function temporaryDirectory(): { readonly path: string } & Disposable {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-e2e-"));
  return {
    path: directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Runs the binary with no context of its own: its configuration directory is `home`, which a test makes and removes. */
export async function skein(
  home: string,
  words: readonly string[],
  options: { readonly stdin?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Said> {
  return await runSkein(binary, words, { ...options, env: { XDG_CONFIG_HOME: home, HOME: home, ...options.env } });
}

/** Waits until `condition` holds of what this process sees by itself (files, lists); fails after half a minute with `why()`. */
export async function untilTrue(condition: () => boolean, why: () => string): Promise<void> {
  await until(() => Promise.resolve(condition() ? true : undefined), patienceMs, why);
}

/** Does `body` for every item, three at a time: for what takes a process after another and disturbs nobody. */
export async function threeAbreast<Item>(items: readonly Item[], body: (item: Item) => Promise<void>): Promise<void> {
  const queue = [...items];
  const drive = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await body(item);
  };
  await Promise.all([drive(), drive(), drive()]);
}

/** Waits until one of these nodes says so. */
export async function anySaid(nodes: readonly MeshNode[], words: string): Promise<void> {
  await untilTrue(
    () => nodes.some((node) => node.log.includes(words)),
    () => `no node says "${words}":\n${nodes.map((node) => node.log).join("\n---\n")}`,
  );
}

/**
 * Shows what holds while the leases of the nodes that `show` is given go on: it takes them in with `counts` before it begins. On a busy machine one may end
 * before its node is back, or before another leader renews it, and then work starts again, as it must: that was another situation, and the next
 * round is to be the right one.
 */
export async function whileLeasesHold(
  show: (counts: (nodes: readonly MeshNode[]) => void) => Promise<void>,
): Promise<void> {
  for (let round = 1; ; round++) {
    const before = new Map<MeshNode, number>();
    try {
      return await show((nodes) => nodes.forEach((node) => before.set(node, leasesEnded(node))));
    } catch (error) {
      if (round === 5 || [...before].every(([node, count]) => leasesEnded(node) === count)) throw error;
      console.log(`round ${round}: a lease has ended meanwhile; once more`);
    }
  }
}

/** How often the guard of that node had to kill work because of it. */
function leasesEnded(node: MeshNode): number {
  const file = path.join(node.data, "guard.log");
  return existsSync(file) ? readFileSync(file, "utf8").split("the lease has ended").length - 1 : 0;
}

/** One figure of `/metrics`; undefined while it is not there. */
export async function metric(node: MeshNode, name: string): Promise<number | undefined> {
  const page = (await node.api("GET", "/metrics")).body as string;
  const value = new RegExp(String.raw`^${name} (-?[0-9.]+)$`, "m").exec(page)?.[1];
  return value === undefined ? undefined : Number(value);
}

/**
 * Waits until none of these nodes has the entry after `index`, or any before it, in its log. Its state must be durable before a log goes (D3), which takes
 * as long as it takes.
 */
export async function untilForgotten(nodes: readonly MeshNode[], index: number): Promise<void> {
  for (const node of nodes) {
    let first: number | undefined;
    await until(
      async () => {
        first = await metric(node, "skein_raft_first_index");
        return first !== undefined && first > index + 1 ? true : undefined;
      },
      patienceMs,
      () => `the log of node ${node.ready.node} still begins at ${first}, and not after ${index + 1}:\n${node.log}`,
    );
  }
}

/** A command of the binary while it runs, in the context of `node`: its bytes as they come. Kill it, or wait for `exited`. */
export class Running implements AsyncDisposable {
  readonly child: Bun.Subprocess<"ignore" | Blob, "pipe", "pipe">;
  readonly #chunks: Uint8Array[] = [];
  readonly #read: Promise<void>;

  constructor(node: MeshNode, words: readonly string[], stdin?: string) {
    const child = Bun.spawn([binary, ...words], {
      env: {
        PATH: process.env["PATH"],
        SKEIN_DATA: node.data,
        XDG_CONFIG_HOME: node.data,
        HOME: node.data,
        ...ownMark(),
      },
      stdin: stdin === undefined ? "ignore" : new Blob([stdin]),
      stdout: "pipe",
      stderr: "pipe",
    });
    this.child = child;
    this.#read = (async () => {
      for await (const chunk of child.stdout) this.#chunks.push(chunk);
    })();
  }

  /** All of standard output so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Waits until standard output contains `text`. */
  async said(text: string): Promise<void> {
    await untilTrue(
      () => this.bytes.includes(text),
      () => `"${text}" was not said, but ${JSON.stringify(this.bytes.toString().slice(-500))}`,
    );
  }

  /** Its exit code, with all output read. */
  async ended(): Promise<{ readonly code: number; readonly stdout: Buffer; readonly stderr: string }> {
    const [code, stderr] = await Promise.all([this.child.exited, new Response(this.child.stderr).text(), this.#read]);
    return { code, stdout: this.bytes, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
  }
}

/** The mark by which the test runner finds what a file left behind. */
function ownMark(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      name.startsWith("SKEIN_TEST_") && value !== undefined ? [[name, value]] : [],
    ),
  );
}
