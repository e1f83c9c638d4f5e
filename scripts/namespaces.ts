/**
 * Hosts of their own for the nodes of a mesh: network namespaces on one bridge, between which packets can be lost in silence, in both
 * directions or in one. The whole network lies in a namespace of this process's own (`enterOwnNetwork`), so the host's is not touched, and
 * everything is gone when this process is.
 *
 * A cut is an entry in the sender's neighbour table that names a hardware address nobody has: the bridge carries such packets to nobody. That
 * needs no packet filter, and says nothing to the sender.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { whyMissing } from "./needed.ts";

const inside = "SKEIN_TEST_OWN_NETWORK";
const nobodysAddress = "02:00:00:00:00:ff";
/** Addresses of the hosts' network. They are of the loopback block, which a node may serve without more ado; here it is routed. */
const network = "127.77.0";

/** Why there can be no namespaces here, for people; undefined: there can. */
export function noNamespaces(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  for (const [program, from] of [
    ["ip", "iproute2"],
    ["unshare", "util-linux"],
    ["nsenter", "util-linux"],
  ] as const) {
    const isThere = (): boolean => spawnSync(program, ["--version"]).error === undefined;
    const missing = whyMissing(`the program ${program}`, [from], isThere);
    if (missing !== undefined) return missing;
  }
  const probe = spawnSync("unshare", ["-n", "ip", "link", "add", "probe", "type", "bridge"], { encoding: "utf8" });
  return probe.status === 0 ? undefined : `no bridge can be made: ${probe.stderr.trim()}`;
}

/** Runs this very command again in a network of its own, and ends with its exit code; there it returns at once. */
export async function enterOwnNetwork(command: readonly string[]): Promise<void> {
  if (process.env[inside] !== undefined) {
    run(["ip", "link", "set", "lo", "up"]);
    return;
  }
  const child = spawn("unshare", ["-n", ...command], {
    stdio: "inherit",
    env: { ...process.env, [inside]: String(process.pid) },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  process.exit(await new Promise<number>((resolve) => child.on("exit", (code) => resolve(code ?? 1))));
}

/** One host per node, numbered from 1, and this process on the same bridge. */
export class Namespaces {
  readonly #holders: ChildProcess[] = [];
  readonly #cuts = new Set<string>();

  /** Must run in a network of its own. Throws with what a program said when one fails. */
  static async make(count: number): Promise<Namespaces> {
    if (process.env[inside] === undefined) throw new Error("this process is not in a network of its own");
    const made = new Namespaces();
    try {
      run(["ip", "link", "add", "mesh", "type", "bridge"]);
      routeLoopback([], "mesh", 254);
      for (let number = 1; number <= count; number++) await made.#addHost(number);
      return made;
    } catch (error) {
      made.close();
      throw error;
    }
  }

  async #addHost(number: number): Promise<void> {
    // It lives as long as our end of its input.
    const holder = spawn("unshare", ["-n", "cat"], { stdio: ["pipe", "ignore", "ignore"] });
    this.#holders.push(holder);
    const netOf = (pid: number | string): string => readlinkSync(`/proc/${pid}/ns/net`);
    for (const end = performance.now() + 5000; netOf(holder.pid!) === netOf("self");) {
      if (performance.now() > end) throw new Error("a network namespace was not made in 5 s");
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    run(["ip", "link", "add", `host${number}`, "type", "veth", "peer", "name", "eth0", "netns", String(holder.pid)]);
    run(["ip", "link", "set", `host${number}`, "master", "mesh", "up"]);
    routeLoopback(this.through(number), "eth0", number);
  }

  /** What runs a command on that host: the command's words come behind. */
  through(number: number): string[] {
    return ["nsenter", `--net=/proc/${this.#holders[number - 1]!.pid}/ns/net`, "--"];
  }

  address(number: number): string {
    return `${network}.${number}`;
  }

  /** What host `from` sends to host `to` is lost from now on, without a word. */
  cut(from: number, to: number): void {
    this.#cuts.add(`${from} ${to}`);
    this.#neighbour(from, ["replace", this.address(to), "lladdr", nobodysAddress, "dev", "eth0", "nud", "permanent"]);
  }

  /** Host `number` and all others in `others` do not hear each other. */
  isolate(number: number, others: readonly number[]): void {
    for (const other of others) {
      this.cut(number, other);
      this.cut(other, number);
    }
  }

  heal(): void {
    for (const one of this.#cuts) {
      const [from, to] = one.split(" ").map(Number);
      this.#neighbour(from!, ["del", this.address(to!), "dev", "eth0"]);
    }
    this.#cuts.clear();
  }

  close(): void {
    for (const holder of this.#holders) holder.stdin?.end();
    spawnSync("ip", ["link", "del", "mesh"]);
  }

  #neighbour(from: number, words: readonly string[]): void {
    run([...this.through(from), "ip", "neigh", ...words]);
  }
}

/** Gives an interface its address, and makes the loopback block beyond this host's own 127.0.0.1 a network like any other. */
function routeLoopback(through: readonly string[], device: string, number: number): void {
  const within = (...words: string[]): unknown => run([...through, ...words]);
  within("ip", "link", "set", "lo", "up");
  within("ip", "route", "replace", "local", "127.0.0.1/32", "dev", "lo", "table", "local");
  // Another mesh of this process may have been here before.
  const block = ["127.0.0.0/8", "dev", "lo"];
  if (run([...through, "ip", "route", "show", "table", "local", "exact", ...block]) !== "")
    within("ip", "route", "del", "local", ...block, "table", "local");
  within("sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet`);
  within("ip", "addr", "add", `${network}.${number}/24`, "dev", device, "scope", "global");
  within("ip", "link", "set", device, "up");
}

/** What it printed. */
function run(words: readonly string[]): string {
  const ended = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
  if (ended.status !== 0) throw new Error(`${words.join(" ")}: ${ended.stderr || String(ended.error)}`);
  return ended.stdout;
}
