import { readInventory } from "../lib/inventory-format.ts";
import type { Inventory } from "../lib/inventory.ts";
import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import { inTurns } from "../lib/turns.ts";
import { formatSize } from "../lib/units.ts";
import { findTask } from "../state/queries.ts";
import { sourceOf } from "../state/refreshing.ts";
import { pressingInventories, type StoredInventory } from "../state/tables/inventory.ts";
import type { TaskView } from "../state/types.ts";
import type { DutyPorts } from "./duties.ts";
import { setInventory } from "./inventories.ts";

type InventoryDutyPorts = Pick<DutyPorts, "view" | "propose" | "now" | "log" | "readLog">;

/**
 * A duty of the leader: inventories that a command gives (state/refreshing.ts). When one is due its job is submitted, and when that has ended what it printed becomes a new version, if it is another
 * one. What fails, takes too long or prints something else changes nothing but what is known of the command. All that it goes by is in the state: the next leader goes
 * on where this one was.
 */
export class InventoryDuty {
  readonly #ports: InventoryDutyPorts;
  readonly #underWay = new Set<string>();
  /** Since when nobody gives the output of these jobs. */
  readonly #unreadSince = new Map<number, number>();

  constructor(ports: InventoryDutyPorts) {
    this.#ports = ports;
  }

  /** Does what is due, each inventory by itself. */
  look(): void {
    const { view, now } = this.#ports;
    for (const row of view((tx) => pressingInventories(tx, now()))) {
      if (this.#underWay.has(row.name)) continue;
      this.#underWay.add(row.name);
      void this.#step(row).finally(() => this.#underWay.delete(row.name));
    }
  }

  async #step(row: StoredInventory): Promise<void> {
    const { name, job } = row;
    if (job === null) {
      await this.#ports.propose("inventory.refresh", { inventory: name });
      return;
    }
    const task = this.#ports.view((tx) => findTask(tx, job, 0));
    if (task !== undefined && !isTerminal(task.state)) return;
    const found = task === undefined ? `job ${job} was removed before anybody read it` : await this.#read(row, task);
    if (found === undefined) return; // later
    this.#unreadSince.delete(job);
    const failure = typeof found === "string" ? found : await this.#set(name, job, found);
    if (failure === undefined) return;
    this.#ports.log("warn", `the command that gives inventory ${name} failed: ${failure}`, { job });
    await this.#ports.propose("inventory.fail", { name, job, failure: failure.slice(0, failureLength) } as never);
  }

  /** What the job printed; or why there is no inventory in it; undefined: that cannot be said yet. */
  async #read(row: StoredInventory, task: TaskView): Promise<Inventory | string | undefined> {
    if (task.state !== "succeeded") return whyNot(task);
    const text = await this.#output(task);
    if (text === undefined) {
      const since = this.#unreadSince.get(task.job) ?? this.#ports.now();
      this.#unreadSince.set(task.job, since);
      const isLate = this.#ports.now() > since + outputPatienceMs;
      return isLate ? `job ${task.job} has ended, but its output cannot be read` : undefined;
    }
    if (typeof text !== "string") return `job ${task.job} printed more than ${formatSize(limits.inventoryOutputBytes)}`;
    if (text.trim() === "") return `job ${task.job} printed nothing`;
    const format = sourceOf(row)?.format ?? "json";
    const read = await inTurns(readInventory(text, format));
    if (read.ok) return read.inventory;
    const [first] = read.problems;
    const more = read.problems.length > 1 ? ` (and ${read.problems.length - 1} more)` : "";
    const where = first === undefined || first.path === "" ? "" : `${first.path}: `;
    return `what job ${task.job} printed is no inventory (read as ${format}): ${where}${first?.message ?? ""}${more}`;
  }

  /** All of its standard output; false: there is too much; undefined: nobody can give it now. */
  async #output({ job, task }: TaskView): Promise<string | false | undefined> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for (let offset = 0; ;) {
      const page = await this.#ports.readLog({ job, task, stream: "stdout", offset, maxBytes: 1024 * 1024, waitMs: 0 });
      if (!page.ok) return undefined;
      const { chunks, end, next } = page.value;
      for (const chunk of chunks) {
        pieces.push(chunk.bytes);
        bytes += chunk.bytes.length;
      }
      if (bytes > limits.inventoryOutputBytes) return false;
      if (end) return new TextDecoder().decode(Buffer.concat(pieces));
      if (next === offset && chunks.length === 0) return undefined;
      offset = next;
    }
  }

  async #set(name: string, job: number, inventory: Inventory): Promise<string | undefined> {
    const { view, propose } = this.#ports;
    const ports = {
      read: <Value>(query: Parameters<typeof view<Value>>[0]) =>
        Promise.resolve({ ok: true as const, value: { value: view(query), index: 0 } }),
      propose,
    };
    const outcome = await setInventory(ports, { name, inventory, origin: `job ${job}`, job });
    // The next look finds what became of it: it was set otherwise meanwhile, or another node leads.
    if (outcome.ok || outcome.why.code === "conflict" || outcome.why.code === "unavailable") return undefined;
    return outcome.why.code === "busy" ? undefined : outcome.why.message;
  }
}

const failureLength = 2_000;
/** Whoever ran it may be away for a moment. */
const outputPatienceMs = 60_000;

function whyNot({ job, state, exit_code: code, reason, tail }: TaskView): string {
  const lines = (tail ?? "").trim().split("\n");
  const last = lines.at(-1) ?? "";
  const said = reason ?? (code === null ? "" : `code ${code}`);
  const ended = state === "timeout" ? "took longer than it may" : state === "failed" ? "failed" : `was ${state}`;
  return `job ${job} ${ended}${said === "" ? "" : ` (${said})`}${last === "" ? "" : `: ${last.slice(0, 300)}`}`;
}
