import { Fault } from "../lib/fault.ts";
import type { HostPort } from "../lib/host-port.ts";
import { listNodes, totals } from "../state/queries.ts";
import { sendValues, type TrapperAnswer, type TrapperValue } from "../transport/zabbix-trapper.ts";
import type { NodeApi } from "./api.ts";

/** Where a node's heartbeat goes, and as whom. */
export interface ZabbixOptions {
  /** Servers or proxies; the next one is asked where one does not answer. */
  readonly servers: readonly HostPort[];
  /** The node's technical host name in Zabbix. */
  readonly host: string;
  /** The host that stands for the whole mesh, of which whoever leads tells the nodes; undefined: there is none. */
  readonly meshHost: string | undefined;
}

/** What became of the heartbeats of this process, for /metrics. */
export interface HeartbeatCounts {
  /** Values that a server took. */
  readonly taken: number;
  /** Values that it did not: the host or the key is unknown there, or this sender is not allowed. */
  readonly refused: number;
  /** Heartbeats that no server answered. */
  readonly failed: number;
}

const everyMs = 10_000;

/**
 * A heartbeat to Zabbix from every node, so that the monitoring that is there already sees a node that is gone: `skein.heartbeat` stays away (a trigger with nodata). Nothing waits
 * for it and nothing is kept for later: where a beat is still on its way when the next one is due, that one is left out, so that a server that hangs costs one connection. Of
 * failures the first one is logged, and the end of them.
 */
export class ZabbixHeartbeat {
  readonly #node: Pick<NodeApi, "name" | "read" | "status">;
  readonly #options: ZabbixOptions;
  readonly #log: (level: "info" | "warn", message: string) => void;
  readonly #now: () => number;
  readonly #send: (server: HostPort, values: readonly TrapperValue[]) => Promise<TrapperAnswer>;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isBeating = false;
  #isStopped = false;
  /** The server that answered last: it is asked first. */
  #first = 0;
  /** As it was logged; undefined: all is well. */
  #trouble: "unreachable" | "refused" | undefined;
  #counts = { taken: 0, refused: 0, failed: 0 };

  constructor(
    node: Pick<NodeApi, "name" | "read" | "status">,
    options: ZabbixOptions,
    log: (level: "info" | "warn", message: string) => void,
    more: { readonly now?: () => number; readonly send?: typeof sendValues } = {},
  ) {
    this.#node = node;
    this.#options = options;
    this.#log = log;
    this.#now = more.now ?? Date.now;
    this.#send = more.send ?? sendValues;
  }

  get counts(): HeartbeatCounts {
    return { ...this.#counts };
  }

  start(): void {
    void this.beat();
    this.#timer = setInterval(() => void this.beat(), everyMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  /** One heartbeat, to the first server that answers. Rejects for a bug alone, and never once it was stopped. */
  async beat(): Promise<void> {
    if (this.#isBeating) return;
    this.#isBeating = true;
    try {
      const values = await this.#values();
      const { servers } = this.#options;
      const failures: string[] = [];
      for (let turn = 0; turn < servers.length; turn++) {
        const at = (this.#first + turn) % servers.length;
        try {
          this.#onAnswer(await this.#send(servers[at]!, values));
          this.#first = at;
          return;
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          failures.push(error.message);
        }
      }
      this.#counts.failed += 1;
      this.#tell("unreachable", `no heartbeat to Zabbix: ${failures.join("; ")}`);
    } catch (error) {
      // The node is going, and its state may be closed under a beat that was under way: that is no bug which has to end it.
      if (!this.#isStopped) throw error;
    } finally {
      this.#isBeating = false;
    }
  }

  #onAnswer({ processed, failed }: TrapperAnswer): void {
    this.#counts.taken += processed;
    this.#counts.refused += failed;
    if (failed === 0) return this.#tell(undefined, "heartbeats to Zabbix are taken again");
    const { host, meshHost } = this.#options;
    const hosts = meshHost === undefined ? `"${host}"` : `"${host}" or "${meshHost}"`;
    this.#tell(
      "refused",
      `Zabbix takes ${processed} of ${processed + failed} values of a heartbeat: it does not know the host ${hosts} or a key of the template, or does not allow this sender`,
    );
  }

  #tell(trouble: "unreachable" | "refused" | undefined, message: string): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#log(trouble === undefined ? "info" : "warn", message);
  }

  async #values(): Promise<TrapperValue[]> {
    const atMs = this.#now();
    const { host, meshHost } = this.#options;
    const status = this.#node.status();
    const sums = await this.#node.read(totals, { consistency: "stale" });
    const own: Record<string, number> = {
      "skein.heartbeat": 1,
      "skein.leader": status.role === "leader" ? 1 : 0,
      "skein.ready": status.ready ? 1 : 0,
      "skein.running": status.tasksRunning,
      "skein.lag": Math.max(0, status.commit - status.applied),
      "skein.quarantined": status.quarantine === null ? 0 : 1,
    };
    const values = Object.entries(own).map(([key, value]): TrapperValue => ({ host, key, value, atMs }));
    if (meshHost === undefined || status.role !== "leader" || !sums.ok) return values;
    const { jobsUnfinished, tasksRunning, tasksQueued, deadLetters, finished } = sums.value.value;
    const whole: Record<string, number | string> = {
      "skein.mesh.members": status.voters.length + status.learners.length,
      "skein.mesh.running": tasksRunning,
      "skein.mesh.queued": tasksQueued,
      "skein.mesh.jobs": jobsUnfinished,
      "skein.mesh.failed_total": finished.failed ?? 0,
      "skein.mesh.dead_letters": deadLetters,
      ...(await this.#discovery()),
    };
    return [
      ...values,
      ...Object.entries(whole).map(([key, value]): TrapperValue => ({ host: meshHost, key, value, atMs })),
    ];
  }

  /** The nodes, for low-level discovery: a host for each is made of the template's prototype. None where they cannot be read: of an empty list Zabbix would take all of them as lost. */
  async #discovery(): Promise<{ readonly "skein.mesh.nodes"?: string }> {
    const nodes = await this.#node.read(listNodes, { consistency: "stale" });
    if (!nodes.ok) return {};
    const found = nodes.value.value.map(({ id, name }) => ({ "{#NODE}": name, "{#ID}": String(id) }));
    return { "skein.mesh.nodes": JSON.stringify(found) };
  }
}
