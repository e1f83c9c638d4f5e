/**
 * The bound of everything that starts processes: a bare loop in this runtime that spawns and reaps `/bin/true` as the guard spawns tasks (a session of
 * its own, both outputs as pipes, read to their end, no standard input), and does nothing else.
 * `bun bench/peers/spawn-loop.ts '{"count":2000,"atOnce":4}'` prints one JSON object.
 */
const { count, atOnce } = JSON.parse(process.argv[2]!) as { count: number; atOnce: number };
const options = {
  cwd: "/",
  env: { PATH: "/usr/bin:/bin" },
  detached: true,
  stdin: "ignore",
  stdout: "pipe",
  stderr: "pipe",
} as const;

async function readToEnd(stream: ReadableStream<Uint8Array>): Promise<void> {
  const reader = stream.getReader();
  while (!(await reader.read()).done);
}

async function once(): Promise<void> {
  const child = Bun.spawn(["/bin/true"], options);
  const [code] = await Promise.all([child.exited, readToEnd(child.stdout), readToEnd(child.stderr)]);
  if (code !== 0) throw new Error(`/bin/true ended with exit code ${code}`);
}

let left = count;
const loop = async (): Promise<void> => {
  while (left-- > 0) await once();
};
const began = performance.now();
await Promise.all(Array.from({ length: atOnce }, loop));
console.log(JSON.stringify({ tasksPerSecond: count / ((performance.now() - began) / 1000) }));
