import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Directory } from "./support.ts";

const source = join(import.meta.dir, "../../src");

/** A program that opens a log and says what came of it; what main.ts is to the real binary. */
const program = `
import { SqliteLogStore } from "${source}/storage/log-store.ts";
const store = new SqliteLogStore({ path: process.argv[2], onDurable() {}, onFault() {} });
try {
  const { lastIndex } = await store.open();
  await store.close();
  console.log("opened", lastIndex);
} catch (error) {
  console.log("fault", error.message);
}
`;

/** As scripts/build.ts does it: workers are further entry points, all named flat. */
async function build(directory: Directory, ...workers: string[]): Promise<string> {
  writeFileSync(directory.file("main.ts"), program);
  const binary = directory.file("program");
  const entryPoints = [directory.file("main.ts"), ...workers.map((worker) => join(source, worker))];
  const built = Bun.spawn(
    [process.execPath, "build", "--compile", "--entry-naming", "[name].[ext]", ...entryPoints, "--outfile", binary],
    { stdout: "ignore" },
  );
  expect(await built.exited).toBe(0);
  return binary;
}

test("in a compiled binary the log's worker is found among the entry points", async () => {
  using directory = new Directory();
  const binary = await build(directory, "storage/log-worker.ts");
  const child = Bun.spawn([binary, directory.file("log.db")], { cwd: directory.path, stdout: "pipe" });
  expect(await child.stdout.text()).toBe("opened 0\n");
}, 60_000);

test("a binary that lacks the worker says so instead of hanging", async () => {
  using directory = new Directory();
  const binary = await build(directory);
  const child = Bun.spawn([binary, directory.file("log.db")], { cwd: directory.path, stdout: "pipe" });
  expect(await child.stdout.text()).toStartWith("fault the log's worker");
  expect(await child.exited).toBe(0);
}, 60_000);
