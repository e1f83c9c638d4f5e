import { connect } from "node:net";
import { Fault } from "../lib/fault.ts";
import { formatHostPort, type HostPort } from "../lib/host-port.ts";

/**
 * The sender's side of Zabbix's trapper protocol (Zabbix manual, "Sender protocol" and "Header"): one request a connection, each side one frame.
 *
 *   frame  "ZBXD", flags 0x01, length (4 bytes, little endian), reserved (4 bytes, zero), that many bytes of JSON
 */

/** One value of an item of type "Zabbix trapper". */
export interface TrapperValue {
  /** The host's technical name in Zabbix. */
  readonly host: string;
  /** As it stands in the item, parameters in brackets included. */
  readonly key: string;
  readonly value: number | string;
  /** When it was so, epoch ms. */
  readonly atMs: number;
}

/** What the server made of a request. It gives no reasons: an unknown host, an unknown key and a sender that an item does not allow are all `failed`. */
export interface TrapperAnswer {
  readonly processed: number;
  readonly failed: number;
}

const magic = Buffer.from("ZBXD\u0001", "latin1");
const headBytes = 13;
const answerBytesMax = 64 * 1024;
const connectMs = 3000;
/** A server that thinks that more is to come says nothing: the whole exchange has its own limit. */
const exchangeMs = 5000;

/** Sends values to one server or proxy. Rejects with a Fault where it is not reached, does not answer in time, or answers something else. */
export function sendValues(server: HostPort, values: readonly TrapperValue[]): Promise<TrapperAnswer> {
  const place = formatHostPort(server);
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const socket = connect({ host: server.host, port: server.port });
    const fail = (code: "peer-unreachable" | "peer-timeout" | "protocol", message: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Fault(code, message, "safe"));
    };
    let timer = setTimeout(
      () => fail("peer-timeout", `${place} takes no connection within ${connectMs / 1000} s`),
      connectMs,
    );
    socket.on("connect", () => {
      clearTimeout(timer);
      timer = setTimeout(
        () => fail("peer-timeout", `${place} has not answered within ${exchangeMs / 1000} s`),
        exchangeMs,
      );
      socket.write(frameOf(values));
    });
    socket.on("data", (part: Buffer) => {
      parts.push(part);
      bytes += part.length;
      if (bytes > answerBytesMax) return fail("protocol", `${place} answers more than anything that Zabbix says`);
      const answer = readAnswer(Buffer.concat(parts));
      if (answer === undefined) return;
      if (typeof answer === "string") return fail("protocol", `${place} ${answer}`);
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    });
    socket.on("error", (error) => fail("peer-unreachable", `${place} is not reached: ${error.message}`));
    socket.on("close", () =>
      fail("protocol", `${place} closed the connection without an answer: is it a Zabbix server or proxy?`),
    );
  });
}

/** A request as it goes over the wire. */
export function frameOf(values: readonly TrapperValue[]): Buffer {
  const data = values.map(({ host, key, value, atMs }) => ({
    host,
    key,
    value: String(value),
    clock: Math.floor(atMs / 1000),
    ns: (Math.floor(atMs) % 1000) * 1_000_000,
  }));
  const body = Buffer.from(JSON.stringify({ request: "sender data", data }), "utf8");
  const head = Buffer.alloc(headBytes);
  magic.copy(head);
  head.writeUInt32LE(body.length, magic.length);
  return Buffer.concat([head, body]);
}

/** undefined: it is not whole yet; a text: what is wrong with it. `success` alone does not mean that anything was taken, so the counts are read. */
function readAnswer(bytes: Buffer): TrapperAnswer | string | undefined {
  if (!magic.subarray(0, bytes.length).equals(bytes.subarray(0, magic.length))) return "does not answer as Zabbix does";
  if (bytes.length < headBytes) return undefined;
  const length = bytes.readUInt32LE(magic.length);
  if (length > answerBytesMax) return "answers more than anything that Zabbix says";
  if (bytes.length < headBytes + length) return undefined;
  const text = bytes.toString("utf8", headBytes, headBytes + length);
  const counts = /processed: (\d+); failed: (\d+);/.exec(text);
  return counts === null
    ? `refused the values: ${text.slice(0, 200)}`
    : { processed: Number(counts[1]), failed: Number(counts[2]) };
}
