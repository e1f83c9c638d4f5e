import { SkeinClient } from "../../src/client/client.ts";

/** Run under Node by client.test.ts: submits a job and prints what waiting and its log give. The first address is dead. */
const [dead, alive, token] = process.argv.slice(2) as [string, string, string];
const client = new SkeinClient({ addrs: [dead, alive], token });
const { ids } = await client.submit({ run: "true" });
const waited = await client.wait(ids, { timeoutMs: 60_000 });
let output = "";
for await (const piece of client.logs(ids[0]!)) {
  if (piece.kind === "output") output += new TextDecoder().decode(piece.bytes);
}
process.stdout.write(JSON.stringify({ ids, finished: waited.finished, output }));
