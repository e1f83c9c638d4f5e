import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import path from "node:path";
import { parse } from "yaml";
import { root } from "../../scripts/steps.ts";
import type { HostPort } from "../../src/lib/host-port.ts";
import { ZabbixHeartbeat } from "../../src/node/zabbix.ts";
import { refuse } from "../../src/lib/outcome.ts";
import { listNodes } from "../../src/state/queries.ts";
import { sendValues, type TrapperValue } from "../../src/transport/zabbix-trapper.ts";
import { Mesh } from "../http/fake-node.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that hands every connection over. */
async function listening(onConnection: (socket: Socket) => void): Promise<HostPort> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { host: "127.0.0.1", port: (server.address() as { port: number }).port };
}

function framed(text: string): Buffer {
  const body = Buffer.from(text);
  const head = Buffer.from("ZBXD\u0001\0\0\0\0\0\0\0\0", "latin1");
  head.writeUInt32LE(body.length, 5);
  return Buffer.concat([head, body]);
}

interface Sent {
  readonly request: string;
  readonly data: readonly {
    readonly host: string;
    readonly key: string;
    readonly value: string;
    readonly clock: number;
  }[];
}

/** Reads the one frame of a connection. */
function onFrame(socket: Socket, then: (sent: Sent) => void): void {
  let bytes = Buffer.alloc(0);
  socket.on("data", (part: Buffer) => {
    bytes = Buffer.concat([bytes, part]);
    if (bytes.length < 13 || bytes.length < 13 + bytes.readUInt32LE(5)) return;
    expect(bytes.toString("latin1", 0, 5)).toBe("ZBXD\u0001");
    then(JSON.parse(bytes.toString("utf8", 13)) as Sent);
  });
}

const success = (processed: number, failed: number): Buffer =>
  framed(
    `{"response":"success","info":"processed: ${processed}; failed: ${failed}; total: ${processed + failed}; seconds spent: 0.000075"}`,
  );
const value: TrapperValue = { host: "mesh-a1", key: "skein.text", value: "失败 ✓", atMs: 1_700_000_000_250 };

describe("values to a trapper", () => {
  test("arrive as they are, and the counts of the answer are read however it is cut", async () => {
    const got = Promise.withResolvers<Sent>();
    const server = await listening((socket) =>
      onFrame(socket, (sent) => {
        got.resolve(sent);
        const answer = success(1, 2);
        for (const byte of answer) socket.write(Uint8Array.of(byte));
      }),
    );
    expect(await sendValues(server, [value])).toEqual({ processed: 1, failed: 2 });
    expect(await got.promise).toEqual({
      request: "sender data",
      data: [{ host: "mesh-a1", key: "skein.text", value: "失败 ✓", clock: 1_700_000_000, ns: 250_000_000 }],
    } as never);
  });

  test("who refuses, hangs up or is somebody else is a fault that says so", async () => {
    const answered = (bytes: Buffer) => listening((socket) => onFrame(socket, () => socket.end(bytes)));
    const fault = async (server: HostPort) => sendValues(server, [value]).then(String, String);
    expect(await fault(await answered(framed('{"response":"failed","info":"cannot find pair"}')))).toContain(
      "refused the values",
    );
    expect(await fault(await answered(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")))).toContain(
      "does not answer as Zabbix does",
    );
    expect(await fault(await listening((socket) => socket.destroy()))).toMatch(/closed the connection|is not reached/);
    const gone = await listening(() => {});
    servers.pop()!.close();
    expect(await fault(gone)).toContain("is not reached");
  });
});

describe("a heartbeat", () => {
  const logged: string[] = [];
  const heartbeat = (options: { servers: readonly HostPort[]; meshHost?: string }) => {
    const mesh = new Mesh();
    logged.length = 0;
    return new ZabbixHeartbeat(mesh.node(), { host: "a1", meshHost: undefined, ...options }, (level, message) =>
      logged.push(`${level}: ${message}`),
    );
  };

  test("goes to the next server when one is gone, and stays with it", async () => {
    let beats = 0;
    const gone = await listening(() => {});
    servers.pop()!.close();
    const there = await listening((socket) =>
      onFrame(socket, ({ data }) => {
        beats += 1;
        expect(data.map(({ key }) => key)).toContain("skein.heartbeat");
        socket.end(success(data.length, 0));
      }),
    );
    const beating = heartbeat({ servers: [gone, there] });
    await beating.beat();
    await beating.beat();
    expect([beats, logged, beating.counts.failed]).toEqual([2, [], 0]);
  });

  test("that nobody takes is told once, and that it is taken again", async () => {
    let failed = 6;
    const server = await listening((socket) =>
      onFrame(socket, ({ data }) => socket.end(success(data.length - failed, failed))),
    );
    const beating = heartbeat({ servers: [server] });
    for (let beat = 0; beat < 3; beat++) await beating.beat();
    failed = 0;
    await beating.beat();
    expect(logged).toEqual([
      expect.stringMatching(/^warn: Zabbix takes 0 of 6 .*"a1"/),
      "info: heartbeats to Zabbix are taken again",
    ]);
    expect(beating.counts).toMatchObject({ refused: 18, taken: 6 });
  });

  test("that is still on its way is not followed by another one", async () => {
    let connections = 0;
    const release = Promise.withResolvers<Socket>();
    const mute = await listening((socket) => {
      connections += 1;
      socket.once("data", () => release.resolve(socket));
    });
    const beating = heartbeat({ servers: [mute] });
    const first = beating.beat();
    const held = await release.promise;
    await beating.beat();
    expect(connections).toBe(1);
    held.destroy();
    await first;
    expect([beating.counts.failed, logged.length]).toEqual([1, 1]);
  });

  test("that is under way when the node stops ends nothing else", async () => {
    const node = new Mesh().node();
    const reading = Promise.withResolvers<never>();
    node.read = () => reading.promise;
    const beating = new ZabbixHeartbeat(node, { servers: [], host: "a1", meshHost: undefined }, () => {});
    const beat = beating.beat();
    beating.stop();
    reading.reject(new Error("the state is closed"));
    await beat;
  });

  test("leaves the nodes out where they cannot be read: of an empty list all would be taken as lost", async () => {
    const node = new Mesh().node();
    const read = node.read.bind(node);
    node.read = ((query: unknown, options: never) =>
      query === listNodes
        ? Promise.resolve(refuse("unavailable", "no state"))
        : read(query as never, options)) as never;
    const keys: string[] = [];
    const server = await listening((socket) =>
      onFrame(socket, ({ data }) => {
        keys.push(...data.map(({ key }) => key));
        socket.end(success(data.length, 0));
      }),
    );
    await new ZabbixHeartbeat(node, { servers: [server], host: "a1", meshHost: "mesh" }, () => {}).beat();
    expect(keys).toContain("skein.mesh.members");
    expect(keys).not.toContain("skein.mesh.nodes");
  });

  test("has the keys of the template that is shipped, and the template has no others", async () => {
    const sent: { host: string; key: string }[] = [];
    const server = await listening((socket) =>
      onFrame(socket, ({ data }) => {
        sent.push(...data);
        socket.end(success(data.length, 0));
      }),
    );
    await heartbeat({ servers: [server], meshHost: "mesh" }).beat();
    const { zabbix_export: template } = parse(readFileSync(path.join(root, "docs/zabbix-template.yaml"), "utf8")) as {
      zabbix_export: { templates: { items: { key: string }[]; discovery_rules?: { key: string }[] }[] };
    };
    const keys = template.templates.map(({ items, discovery_rules: rules = [] }) =>
      [...items, ...rules].map(({ key }) => key),
    );
    expect(["a1", "mesh"].map((host) => sent.filter((one) => one.host === host).map(({ key }) => key))).toEqual(keys);
  });
});
