import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { listNodes } from "../state/queries.ts";
import type { SourceLook } from "../state/sourcing.ts";
import { dueBundleSources, type StoredBundleSource } from "../state/tables/bundle-source.ts";
import type { Looked } from "./bundle-looks.ts";
import type { DutyPorts } from "./duties.ts";

type BundleSourceDutyPorts = Pick<
  DutyPorts,
  "self" | "view" | "propose" | "now" | "log" | "isHere" | "configuration" | "lookAtSource"
>;

/**
 * A duty of the leader: bundles that are pinned from a repository by themselves. When one is due, a member looks at it (bundle-looks.ts): a voter, since keys leave these for nobody, another one
 * than before where that failed, and the leader last. What cannot be had changes nothing but what is known of it. All that this goes by is in the state: the next leader goes on where this one was.
 */
export class BundleSourceDuty {
  readonly #ports: BundleSourceDutyPorts;
  readonly #underWay = new Set<string>();
  /** Until when nobody is asked: all had too much to do. */
  #busyUntil = 0;

  constructor(ports: BundleSourceDutyPorts) {
    this.#ports = ports;
  }

  /** Has looked at what is due, each once at a time. */
  look(): void {
    const { view, now } = this.#ports;
    if (this.#busyUntil > now()) return;
    for (const row of view((tx) => dueBundleSources(tx, now()))) {
      if (this.#underWay.size >= limits.bundleSourcesAtOnce) return;
      if (this.#underWay.has(row.name)) continue;
      this.#underWay.add(row.name);
      void this.#step(row).finally(() => this.#underWay.delete(row.name));
    }
  }

  async #step(row: StoredBundleSource): Promise<void> {
    const { name, revision, asked, commit_id: base } = row;
    const look = { name, revision, asked, base };
    const { kind, why } = await this.#lookBySome(row, look);
    // The next look at the state finds what became of it.
    if (kind === "pinned" || kind === "over") return;
    if (kind === "busy") {
      this.#busyUntil = this.#ports.now() + limits.bundleSourceBusyMs;
      return;
    }
    const failure = kind === "same" ? null : why.slice(0, failureLength);
    if (failure !== null) this.#ports.log("warn", `bundle ${name} cannot be pinned from ${row.url}: ${failure}`);
    await this.#ports.propose("bundle.source.note", { ...look, failure });
  }

  /** By the first member that can. */
  async #lookBySome(row: StoredBundleSource, look: SourceLook): Promise<{ kind: Looked["kind"]; why: string }> {
    const reasons: string[] = [];
    let isSomeBusy = false;
    for (const node of this.#members(row)) {
      const looked = await this.#lookBy(node, look, row.timeout_ms);
      if (looked.kind === "busy") isSomeBusy = true;
      else if (looked.kind === "unable") reasons.push(`node ${node}: ${looked.why}`);
      else if (looked.kind === "failed") return { kind: "failed", why: `by node ${node}: ${looked.why}` };
      else return { kind: looked.kind, why: "" };
    }
    if (isSomeBusy) return { kind: "busy", why: "" };
    return { kind: "failed", why: `no member could look at it (${reasons.join("; ")})` };
  }

  async #lookBy(node: NodeId, look: SourceLook, timeoutMs: number): Promise<Looked> {
    try {
      return await this.#ports.lookAtSource(node, look, timeoutMs + limits.bundleWaitMs + spareMs);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // It may still be at it: whatever it finds is right, and another one at the same time does no harm.
      return { kind: error.code === "peer-timeout" ? "failed" : "unable", why: error.message };
    }
  }

  #members({ key, failures }: StoredBundleSource): NodeId[] {
    const { self, view, isHere } = this.#ports;
    const { voters } = this.#ports.configuration();
    const here = view(listNodes).filter(({ id, state }) => id !== self && state === "up" && isHere(id));
    const able = here.filter(({ id }) => key === null || voters.includes(id)).map(({ id }) => id);
    const from = able.length === 0 ? 0 : failures % able.length;
    return [...able.slice(from), ...able.slice(0, from), self];
  }
}

const failureLength = 2_000;
/** For the way there and back. */
const spareMs = 60_000;
