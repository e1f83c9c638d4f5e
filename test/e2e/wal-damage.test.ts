import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";

test("a bit that is wrong in the middle of a killed node's WAL: it does not go on as if its log were whole, and says the way back (D3)", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  const broken = mesh.nodes.find((node) => node !== leader)!;
  // Each is acknowledged before the next is sent: transactions of their own.
  for (let times = 0; times < 20; times++) await submit(leader, { run: "true", on: "node=nowhere" });
  await broken.kill();
  const file = path.join(broken.data, "log.db-wal");
  const wal = readFileSync(file);
  const sound = Buffer.from(wal);
  // In the first page of the present run, far before its last transaction.
  wal[500]! ^= 4;
  writeFileSync(file, wal);
  const ended = await broken.start().then(
    () => "it started",
    (error: unknown) => String(error),
  );
  expect(ended).toContain("exit code 7");
  expect(ended).toContain("log.db-wal is damaged at byte 32");
  expect(ended).toContain(`skein nodes rm ${broken.ready.node}`);
  expect(readFileSync(file).equals(wal)).toBe(true);
  // The others go on; and with the bit as it was, nothing is lost.
  await submit(leader, { run: "true", on: "node=nowhere" });
  writeFileSync(file, sound);
  await broken.start();
  await mesh.leader({ voters: 3, timeoutMs: 60_000 });
}, 120_000);
