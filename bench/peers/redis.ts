/** One Redis on loopback, unreplicated, with its append-only file: what job queues on Redis are commonly run on. Needs Debian's `redis-server`. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "../../scripts/mesh.ts";
import { freePorts } from "./free-ports.ts";

/** When Redis syncs its file: `everysec` may lose the last second of what it acknowledged, `always` syncs before it answers. */
export type AppendFsync = "everysec" | "always";

/** "Redis server v=7.0.15 …", or undefined when there is none on the path. */
export function redisVersion(): string | undefined {
  try {
    return execFileSync("redis-server", ["--version"], { encoding: "utf8" }).split(" sha=")[0]!.trim();
  } catch {
    return undefined;
  }
}

export interface Redis {
  readonly port: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one with an empty directory, which goes with it. Throws when it does not say itself that it appends and syncs as asked. */
export async function startRedis(fsync: AppendFsync): Promise<Redis> {
  const directory = mkdtempSync(path.join(process.env["SKEIN_BENCH_DIR"] ?? tmpdir(), "skein-bench-redis-"));
  const [port] = (await freePorts(1)) as [number];
  const options = { port: `${port}`, bind: "127.0.0.1", dir: directory, save: "", loglevel: "warning" };
  const words = Object.entries({ ...options, appendonly: "yes", appendfsync: fsync });
  const server = spawn(
    "redis-server",
    words.flatMap(([name, value]) => [`--${name}`, value]),
    { stdio: "ignore" },
  );
  const ended = new Promise<void>((resolve) => {
    server.on("exit", () => resolve());
    server.on("error", () => resolve());
  });
  // A benchmark that is interrupted ends without coming back to whoever holds this.
  const atExit = (): void => {
    server.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", atExit);
  const stop = async (): Promise<void> => {
    process.removeListener("exit", atExit);
    server.kill("SIGKILL");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const asked = ["appendonly", "yes", "appendfsync", fsync];
    await until(
      async () => ((await ask(port, "PING\r\n").catch(() => "")).startsWith("+PONG") ? true : undefined),
      20_000,
      () => "redis-server does not answer",
    );
    const said = await ask(port, "CONFIG GET appendonly appendfsync\r\n");
    const values = said.split("\r\n").filter((line) => line !== "" && !/^[*$]/.test(line));
    if (asked.toSorted().join() !== values.toSorted().join())
      throw new Error(`redis-server runs with ${values.join(" ")} and not with ${asked.join(" ")}`);
    return { port, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One inline command and what comes back to it, which is short. */
async function ask(port: number, command: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: "127.0.0.1" }, () => socket.write(command));
    let answer = "";
    socket.setEncoding("utf8").on("data", (text) => {
      answer += text;
      // A simple answer is one line; a list says in its first line how many texts follow, of two lines each.
      const lines = answer.split("\r\n");
      const count = /^\*(\d+)$/.exec(lines[0]!)?.[1];
      if (lines.length > 1 + 2 * Number(count ?? 0)) socket.end();
    });
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}
