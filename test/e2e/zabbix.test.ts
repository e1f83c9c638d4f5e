import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";
import { whyMissing } from "../../scripts/needed.ts";

const program = "/usr/sbin/zabbix_proxy";
const schema = "/usr/share/zabbix-proxy-sqlite3/schema.sql.gz";
const missing = whyMissing("zabbix_proxy", ["zabbix-proxy-sqlite3"], () => existsSync(program) && existsSync(schema), [
  "zabbix-proxy.service",
]);
if (missing !== undefined) console.log(`skipped: heartbeats to a real Zabbix proxy: ${missing}`);

const nodeKeys = ["skein.heartbeat", "skein.leader", "skein.ready", "skein.running", "skein.lag", "skein.quarantined"];

/** Debian's proxy over a file that was filled by hand, without a server behind it: what it takes stands in proxy_history. */
class ZabbixProxy {
  readonly directory = mkdtempSync(path.join(tmpdir(), "skein-zabbix-"));
  port = 0;
  #process: ChildProcess | undefined;
  #said = "";

  async start(): Promise<void> {
    this.port = await freePort();
    const file = path.join(this.directory, "proxy.db");
    const database = new Database(file);
    database.run(gunzipSync(readFileSync(schema)).toString("utf8"));
    database.run(
      "insert into hosts (hostid, host, name, status) values (1, 'mesh-a1', 'mesh-a1', 0), (2, 'whole mesh', 'whole mesh', 0)",
    );
    let item = 0;
    const add = (host: number, key: string, type: number): void => {
      item += 1;
      database.run(
        "insert into items (itemid, hostid, type, name, key_, value_type, status) values (?, ?, 2, ?, ?, ?, 0)",
        [item, host, key, key, type],
      );
      database.run("insert into item_rtdata (itemid) values (?)", [item]);
    };
    for (const key of nodeKeys) add(1, key, 3);
    add(2, "skein.mesh.members", 3);
    add(2, "skein.mesh.nodes", 4);
    database.close();
    mkdirSync(path.join(this.directory, "sockets"));
    const settings = {
      Server: "127.0.0.9",
      Hostname: "proxy",
      ListenIP: "127.0.0.1",
      ListenPort: this.port,
      LogType: "console",
      DBName: file,
      AllowRoot: 1,
      StartTrappers: 2,
      StartPollersUnreachable: 1,
      PidFile: path.join(this.directory, "pid"),
      SocketDir: path.join(this.directory, "sockets"),
    };
    const configuration = path.join(this.directory, "proxy.conf");
    writeFileSync(
      configuration,
      Object.entries(settings)
        .map(([key, one]) => `${key}=${one}\n`)
        .join(""),
    );
    this.#process = spawn(program, ["-f", "-c", configuration], { stdio: ["ignore", "pipe", "pipe"], detached: true });
    for (const stream of [this.#process.stdout!, this.#process.stderr!])
      stream.on("data", (part: Buffer) => (this.#said += part.toString()));
    await until(
      () => Promise.resolve(this.#said.includes("started [trapper #1]") ? true : undefined),
      patienceMs,
      () => `the proxy does not begin: ${this.#said.slice(-1000)}`,
    );
  }

  /** The newest values by key. */
  values(): Record<string, string> {
    const database = new Database(path.join(this.directory, "proxy.db"), { readonly: true });
    try {
      // The proxy writes at moments of its own, and locks its file for as long.
      database.run("pragma busy_timeout = 10000");
      const rows = database
        .query<{ key: string; value: string }, []>(
          "select i.key_ as key, h.value as value from proxy_history h join items i on i.itemid = h.itemid order by h.id",
        )
        .all();
      return Object.fromEntries(rows.map(({ key, value }) => [key, value]));
    } finally {
      database.close();
    }
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child?.pid !== undefined && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(this.directory, { recursive: true });
  }
}

/** Zabbix takes no port above 32767, and what the system gives is mostly above it. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

describe.skipIf(missing !== undefined)("a node beside a real Zabbix proxy", () => {
  const proxy = new ZabbixProxy();
  beforeAll(() => proxy.start(), 2 * patienceMs);
  afterAll(() => proxy.stop());

  test("is seen by it, the leader tells of the mesh, and what is not known there is said", async () => {
    await using mesh = await Mesh.start({
      nodes: 1,
      flags: [
        "--zabbix",
        `127.0.0.1:1,127.0.0.1:${proxy.port}`,
        "--zabbix-host",
        "mesh-a1",
        "--zabbix-mesh",
        "whole mesh",
      ],
    });
    const node = mesh.nodes[0]!;
    const values = await until(
      () => {
        const found = proxy.values();
        return Promise.resolve(found["skein.ready"] === "1" && "skein.mesh.nodes" in found ? found : undefined);
      },
      patienceMs,
      () => `the proxy has ${JSON.stringify(proxy.values())}`,
    );
    expect(values).toMatchObject({
      "skein.heartbeat": "1",
      "skein.leader": "1",
      "skein.running": "0",
      "skein.mesh.members": "1",
    });
    expect(JSON.parse(values["skein.mesh.nodes"]!)).toEqual([{ "{#NODE}": "node-1", "{#ID}": "1" }]);
    // Its host has no such items: skein.mesh.running and others.
    await node.said("Zabbix takes");
    const metrics = await (await fetch(`${node.ready.api}/metrics`)).text();
    expect(metrics).toMatch(/^skein_zabbix_values_taken_total [1-9]/m);
    expect(metrics).toMatch(/^skein_zabbix_values_refused_total [1-9]/m);
  });
});
