/** Three etcd members on loopback, as the peer for durable writes over HTTP. Needs Debian's `etcd-server`; without it nothing is compared. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "../../scripts/mesh.ts";
import { run, tool } from "../../scripts/steps.ts";
import { freePorts } from "./free-ports.ts";

/** "etcd Version: 3.4.23", or undefined when there is no etcd on the path. */
export function etcdVersion(): string | undefined {
  try {
    return execFileSync("etcd", ["--version"], { encoding: "utf8" }).split("\n")[0];
  } catch {
    return undefined;
  }
}

/** Puts a second of 200 bytes through the HTTP gateway of a fresh cluster's leader; fsync on, which is its default. */
export async function etcdPuts(
  connections: number,
  warmSeconds: number,
  seconds: number,
): Promise<Record<string, number>> {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-bench-etcd-"));
  const ports = await freePorts(6);
  const members = [0, 1, 2].map((at) => ({ name: `m${at}`, client: ports[2 * at]!, peer: ports[2 * at + 1]! }));
  const initial = members.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(",");
  const processes = members.map(({ name, client, peer }) =>
    spawn(
      "etcd",
      [
        `--name=${name}`,
        `--data-dir=${path.join(directory, name)}`,
        `--listen-client-urls=http://127.0.0.1:${client}`,
        `--advertise-client-urls=http://127.0.0.1:${client}`,
        `--listen-peer-urls=http://127.0.0.1:${peer}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
        `--initial-cluster=${initial}`,
        "--log-level=error",
      ],
      { stdio: "ignore" },
    ),
  );
  // A benchmark that is interrupted ends without coming back here.
  const atExit = (): void => {
    for (const member of processes) member.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", atExit);
  try {
    const leader = await until(
      () => leaderOf(members.map((member) => member.client)),
      20_000,
      () => "etcd has no leader",
    );
    const body = JSON.stringify({ key: base64("a key like a job's"), value: base64("x".repeat(200)) });
    const load = {
      origins: [`http://127.0.0.1:${leader}`],
      path: "/v3/kv/put",
      body,
      connections,
      warmSeconds,
      seconds,
    };
    const said = await run(tool("bun"), ["bench/peers/http-load.ts", JSON.stringify(load)], {
      timeoutMs: (warmSeconds + seconds + 30) * 1000,
    });
    if (said.code !== 0) throw new Error(said.output);
    return JSON.parse(said.output) as Record<string, number>;
  } finally {
    await Promise.all(processes.map(end));
    process.removeListener("exit", atExit);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The client port of the member that leads. */
async function leaderOf(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/v3/maintenance/status`, { method: "POST", body: "{}" });
      const status = (await response.json()) as { leader?: string; header?: { member_id?: string } };
      if (status.leader !== undefined && status.leader === status.header?.member_id) return port;
    } catch {
      // It is not up yet.
    }
  }
  return undefined;
}

async function end(process: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => process.on("exit", resolve));
  if (!process.kill("SIGTERM")) return;
  await ended;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
