import { type Command, Option } from "commander";
import { CommandClient } from "../client/command-client.ts";
import { type Environment, findTarget, type Target } from "./context.ts";
import { CliError, exit, Interrupted, OutputClosed } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { Output, type OutputFormat, outputFormats } from "./output.ts";
import type { BackupManifest } from "../lib/backup-file.ts";
import type { Epoch } from "../lib/epoch.ts";
import type { Survivor } from "../lib/survivors.ts";
import type { Role } from "../state/types.ts";
import type { UpOptions } from "./up-options.ts";

/** What the command line cannot do by HTTP; src/main.ts brings it. */
export interface CliActions {
  readonly version: string;
  /** Runs a node in the foreground; gives the exit code, or throws CliError or Fault. */
  up(options: UpOptions): Promise<number>;
  /** A node that is stopped, by its data directory, locked until it is closed. Throws CliError or Fault. */
  openStopped(dataDir: string): StoppedNode;
  /** Makes a new cluster of a backup, in an empty data directory. Throws CliError or Fault. */
  restore(options: RestoreRequest): Promise<RestoredCluster>;
  /** A request for a new token, proven by what the data directory holds. Throws CliError or Fault. */
  askForToken(
    dataDir: string,
    wanted: { readonly name: string; readonly role: Role; readonly expiresAt: number | null },
  ): AskedToken;
}

/** `skein restore`. */
export interface RestoreRequest {
  readonly file: string;
  readonly dataDir: string;
  readonly name: string | undefined;
  progress(done: number, total: number): void;
}

/** What came of it. */
export interface RestoredCluster {
  readonly manifest: BackupManifest;
  readonly cluster: string;
  readonly epoch: string;
  readonly node: number;
  readonly name: string;
}

/** What `cluster recover` does with the data of a node that is stopped; node/recover.ts is it. */
export interface StoppedNode {
  readonly dataDir: string;
  readonly survivor: Survivor;
  /** host:port of its peer port. */
  readonly peer: string;
  /** A change of epoch that was decided earlier and broke off has just been carried out. */
  readonly hasGoneOn: boolean;
  /** Why nothing is to be made of its data; undefined: it may be. */
  readonly unfit: string | undefined;
  /** The cluster goes on in that newer epoch, as this node was told, in words what to do. */
  readonly fence: { readonly epoch: Epoch; readonly words: string } | undefined;
  /** host:port where that member was when this node was last in touch with the others; undefined: it did not know of it. */
  knownPeer(node: number): string | undefined;
  /** Who is where a member was last, as this node's certificate finds out. */
  ask(member: { readonly node: number; readonly api: string; readonly peer: string }): Promise<Presence>;
  /** Makes a new epoch of what it has, with the log of `head`; on disk when it returns. */
  recover(others: readonly Survivor[], what: string, head: StoppedNode): Epoch;
  /** Goes on in the epoch that was made of another node's data. */
  rejoin(epoch: Epoch, of: { readonly node: number; readonly peer: string }): void;
  close(): void;
}

/** Who answers at an address; transport/who-is-there.ts finds it. */
export type Presence =
  | { readonly kind: "silent" }
  | { readonly kind: "member"; readonly node: number; readonly epoch: Epoch }
  | { readonly kind: "unproven"; readonly what: string; readonly epoch?: Epoch | undefined };

/** What `token create --recover` sends, where to, and the token that it is about. */
export interface AskedToken {
  readonly addr: string;
  /** What that address is judged by, PEM. */
  readonly ca: string;
  readonly id: string;
  readonly token: string;
  readonly request: object;
}

/** Flags of every verb that talks to a mesh. */
export interface GlobalFlags {
  readonly addr?: string;
  readonly token?: string;
  readonly data?: string;
  readonly ca?: string;
  readonly output?: OutputFormat;
  /** False after --no-color. */
  readonly color?: boolean;
}

export type VerbHandler<Flags, Operands extends readonly unknown[]> = (
  session: Session,
  flags: Flags,
  ...operands: Operands
) => Promise<number>;

/** One invocation. Verbs register themselves through it; it keeps the exit code. */
export class Cli {
  readonly env: Environment;
  readonly io: CliIo;
  readonly actions: CliActions;
  /** Of the verb that ran. */
  exitCode: number = exit.done;

  constructor(env: Environment, io: CliIo, actions: CliActions) {
    this.env = env;
    this.io = io;
    this.actions = actions;
  }

  /** Makes `command` a verb that talks to a mesh: adds the global flags and the handler. */
  verb<Flags, Operands extends readonly unknown[] = []>(command: Command, handler: VerbHandler<Flags, Operands>): void {
    addGlobalFlags(command);
    this.local<Flags, Operands>(command, async (flags, global, ...operands) => {
      const session = new Session(this, findTarget(global, this.env), this.output(global));
      return handler(session, flags, ...operands);
    });
  }

  /** A verb that talks to nobody: its handler gets the flags alone. */
  local<Flags, Operands extends readonly unknown[] = []>(
    command: Command,
    handler: (flags: Flags, global: GlobalFlags, ...operands: Operands) => Promise<number>,
  ): void {
    command.action(async (...given: unknown[]) => {
      // commander gives the operands, then the flags, then the command.
      const operands = given.slice(0, -2) as unknown as Operands;
      this.exitCode = await handler(command.opts() as Flags, globalFlagsOf(command), ...operands);
    });
  }

  output(flags: GlobalFlags): Output {
    const fromEnvironment = this.env["SKEIN_OUTPUT"];
    const format = flags.output ?? (fromEnvironment === "" ? undefined : fromEnvironment) ?? "table";
    const known = outputFormats.find((one) => one === format);
    if (known === undefined) {
      throw new CliError(exit.usage, `SKEIN_OUTPUT is "${format}": use ${outputFormats.join(", ")}`);
    }
    return new Output(this.io, known, flags.color !== false && (this.env["NO_COLOR"] ?? "") === "");
  }
}

/** What a verb works with. */
export class Session {
  readonly cli: Cli;
  readonly io: CliIo;
  readonly target: Target;
  readonly client: CommandClient;
  readonly output: Output;

  constructor(cli: Cli, target: Target, output: Output) {
    this.cli = cli;
    this.io = cli.io;
    this.target = target;
    this.client = new CommandClient(target);
    this.output = output;
  }

  /** The newest job. */
  readonly findLast = async (): Promise<number | undefined> => (await this.client.jobs({ limit: 1 })).jobs[0]?.id;

  /**
   * Runs work that waits. Its signal aborts with Interrupted at Ctrl-C, and with OutputClosed when nobody reads standard output
   * any more; the work then rejects with that.
   */
  async interruptible<Value>(work: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    const abort = new AbortController();
    const off = this.io.onInterrupt(() => abort.abort(new Interrupted("interrupted")));
    const { closed } = this.io.stdout;
    const onClosed = (): void => abort.abort(new OutputClosed("standard output was closed"));
    if (closed.aborted) onClosed();
    closed.addEventListener("abort", onClosed, { once: true });
    try {
      return await work(abort.signal);
    } finally {
      off();
      closed.removeEventListener("abort", onClosed);
    }
  }
}

/** The global flags, to stand before or after the verb. */
export function addGlobalFlags(command: Command): void {
  command
    .optionsGroup("Global options:")
    .option("--addr <urls>", "addresses of nodes, separated by commas (SKEIN_ADDR)")
    .option("--token <token>", "API token (SKEIN_TOKEN)")
    .option("--ca <file>", "certificates that https addresses are judged by (SKEIN_CA)")
    .option("--data <dir>", "take address and token from this data directory (SKEIN_DATA)");
  addOutputFlags(command);
}

/** The flags that choose the form of standard output. */
export function addOutputFlags(command: Command): void {
  command
    .addOption(new Option("-o, --output <format>", "form of standard output (SKEIN_OUTPUT)").choices(outputFormats))
    .option("--no-color", "no colours (NO_COLOR)");
}

/** Flags after the verb win over those before it. */
function globalFlagsOf(command: Command): GlobalFlags {
  const chain: Command[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) chain.unshift(at);
  const merged: GlobalFlags = Object.assign({}, ...chain.map((one) => one.opts<GlobalFlags>()));
  return { ...merged, color: chain.every((one) => one.opts<GlobalFlags>().color !== false) };
}
