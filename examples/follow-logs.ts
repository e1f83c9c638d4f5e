/** Follows the output of a job while it runs, also when the node that sends it goes: nothing is missed, nothing comes twice. */
import { SkeinClient } from "skein-client";

const client = new SkeinClient({
  addrs: (process.env["SKEIN_ADDR"] ?? "http://127.0.0.1:7400").split(","),
  token: process.env["SKEIN_TOKEN"],
});

const { ids } = await client.submit({ run: "for n in 1 2 3; do echo line $n; sleep 0.2; done" });
for await (const piece of client.logs(ids[0]!, { follow: true })) {
  if (piece.kind === "output") process.stdout.write(piece.bytes);
  else console.error(piece.message);
}
