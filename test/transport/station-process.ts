import { Station } from "./support.ts";

/** A node in a process of its own: `node port peerPort`. Prints its port, then answers requests until it is killed. */
const [node, port, peerPort] = process.argv.slice(2).map(Number);
const station = await Station.open(node!, { incarnation: String(process.pid) }, port);
station.knows({ id: 1, address: `127.0.0.1:${peerPort}` });
process.stdout.write(`${station.port}\n`);
