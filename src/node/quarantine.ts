import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";
import { syncDirectory, writeSynced } from "../storage/files.ts";
import type { Finding } from "./divergence.ts";

/**
 * A node whose state is wrong (S1). It goes on storing the log, which is right, so that the quorum stays as large as it was; but it applies
 * nothing, answers no reads, takes no writes and starts no work, until a good node's state is in the place of its own. It leads only when
 * nobody else can, being the one with the longest log, and only to hand over. That holds over restarts:
 *
 *   DATA/quarantine.json         from the finding until the new state is in place
 *   DATA/quarantine/state-N.db   the wrong states, N being the entry that they had applied; the newest few are kept for who looks for the reason
 */
export interface QuarantinePorts {
  readonly dataDir: string;
  /** Another node that leads: there is nobody to ask while this one does. */
  leader(): NodeId;
  /** A state is on its way already. */
  isReceiving(): boolean;
  /** Asks the leader for a state that this node's log follows on from. Throws Fault. */
  want(leader: NodeId, finding: Finding): Promise<void>;
  /** Consensus takes no proposals meanwhile, and hands over when it leads. */
  trustState(isTrusted: boolean): void;
  readonly log: (level: "info" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Beside the files of the state that it speaks of. */
export const quarantineMark = "quarantine.json";

/** Whether this node is in quarantine, and its way out. */
export class Quarantine {
  readonly #ports: QuarantinePorts;
  #finding: Finding | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Since the start of this process. */
  #times = 0;

  constructor(ports: QuarantinePorts) {
    this.#ports = ports;
    this.#finding = readQuarantine(ports.dataDir);
  }

  get finding(): Finding | undefined {
    return this.#finding;
  }

  get isActive(): boolean {
    return this.#finding !== undefined;
  }

  /** How often this process went into quarantine. */
  get times(): number {
    return this.#times;
  }

  /** What it is answered to whoever wants to read or write here; undefined: it is not in quarantine. */
  refusal(): (Outcome<never> & { readonly ok: false }) | undefined {
    if (this.#finding === undefined) return undefined;
    return refuse(
      "unavailable",
      `the state of this node was found to differ from the others' at entry ${this.#finding.index} and is being replaced: ask another node`,
      { retryAfterMs: 1000, retry: "safe" },
    );
  }

  /** Once consensus runs: goes on with what was begun before a restart. */
  start(): void {
    if (this.#finding === undefined) return;
    this.#ports.log("error", "this node is in quarantine still: its state differs from the others'", {
      index: this.#finding.index,
    });
    this.#enter();
  }

  begin(finding: Finding): void {
    if (this.#finding !== undefined) return;
    this.#finding = finding;
    this.#times += 1;
    this.#ports.log("error", "the state of this node differs from that of a quorum: quarantined until it is replaced", {
      index: finding.index,
    });
    writeSynced(join(this.#ports.dataDir, quarantineMark), JSON.stringify(finding));
    syncDirectory(this.#ports.dataDir);
    this.#enter();
  }

  #enter(): void {
    this.#ports.trustState(false);
    this.#ask();
    this.#timer ??= setInterval(() => this.#ask(), limits.hashReportMs);
  }

  #ask(): void {
    const leader = this.#ports.leader();
    if (leader === nobody || this.#finding === undefined || this.#ports.isReceiving()) return;
    this.#ports.want(leader, this.#finding).catch(() => {}); // asked again by the timer
  }

  /** Where the wrong state is put; makes room for it. undefined: the present state is not a wrong one. */
  asideFor(applied: number): string | undefined {
    if (this.#finding === undefined) return undefined;
    const directory = join(this.#ports.dataDir, "quarantine");
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const kept = readdirSync(directory).sort((a, b) => numberIn(b) - numberIn(a));
    for (const name of kept.slice(limits.quarantinedStates - 1)) rmSync(join(directory, name), { force: true });
    const path = join(directory, `state-${applied}.db`);
    rmSync(path, { force: true });
    return path;
  }

  /** A good state has taken the place of the wrong one, durably. */
  end(applied: number): void {
    if (this.#finding === undefined) return;
    this.#finding = undefined;
    rmSync(join(this.#ports.dataDir, quarantineMark), { force: true });
    syncDirectory(this.#ports.dataDir);
    this.close();
    this.#ports.trustState(true);
    this.#ports.log("info", "this node has the others' state again and leaves quarantine", { index: applied });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function numberIn(name: string): number {
  return Number(/\d+/.exec(name)?.[0] ?? 0);
}

/** What the node of that directory was told of its state; undefined: it is right. A mark that cannot be read is a mark all the same: its own state is not to be trusted more for that. */
export function readQuarantine(dataDir: string): Finding | undefined {
  const path = join(dataDir, quarantineMark);
  if (!existsSync(path)) return undefined;
  try {
    const { index, quorum } = JSON.parse(readFileSync(path, "utf8")) as Finding;
    if (Number.isSafeInteger(index) && typeof quorum === "string") return { index, quorum };
  } catch {
    // as if it said nothing
  }
  return { index: 0, quorum: "" };
}
