/**
 * BullMQ's own client and worker against one Redis, in a process of its own as every client of a mesh is. Prints one JSON object:
 * `bun bench/peers/bullmq-load.ts '{"port":6379,"do":"add","atOnce":256,"batch":1,"warmSeconds":5,"seconds":5}'` adds jobs, that many calls under way;
 * `… '{"port":6379,"do":"process","jobs":20000,"atOnce":100}'` adds jobs first, which is not counted, and then runs them, that many at once.
 */
import { Queue, Worker } from "bullmq";

interface Add {
  readonly do: "add";
  readonly port: number;
  readonly atOnce: number;
  /** Jobs in a call: 1 is `add`, more are `addBulk`. */
  readonly batch: number;
  readonly warmSeconds: number;
  readonly seconds: number;
}

interface Process {
  readonly do: "process";
  readonly port: number;
  readonly atOnce: number;
  readonly jobs: number;
}

const name = "bench";
const wanted = JSON.parse(process.argv[2]!) as Add | Process;
const connection = { host: "127.0.0.1", port: wanted.port };
const queue = new Queue(name, { connection });
await queue.waitUntilReady();
console.log(JSON.stringify(wanted.do === "add" ? await add(wanted) : await processAll(wanted)));
await queue.close();
process.exit();

async function add({ atOnce, batch, warmSeconds, seconds }: Add): Promise<Record<string, number>> {
  const began = performance.now();
  const from = began + warmSeconds * 1000;
  const until = from + seconds * 1000;
  const latencies: number[] = [];
  let sent = 0;
  const caller = async (): Promise<void> => {
    for (;;) {
      const at = performance.now();
      if (at >= until) return;
      if (batch === 1) await queue.add("noop", { job: sent++ });
      else await queue.addBulk(Array.from({ length: batch }, () => ({ name: "noop", data: { job: sent++ } })));
      const now = performance.now();
      if (now >= from && now < until) latencies.push(now - at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  const rate = sorted.length / seconds;
  return { requestsPerSecond: rate, jobsPerSecond: rate * batch, p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function processAll({ atOnce, jobs }: Process): Promise<Record<string, number>> {
  const batch = 1000;
  for (let first = 0; first < jobs; first += batch) {
    const count = Math.min(batch, jobs - first);
    await queue.addBulk(Array.from({ length: count }, (_, at) => ({ name: "noop", data: { job: first + at } })));
  }
  const began = performance.now();
  let left = jobs;
  await new Promise<void>((resolve, reject) => {
    const worker = new Worker(name, () => Promise.resolve(), { connection, concurrency: atOnce });
    worker.on("completed", () => {
      left -= 1;
      if (left === 0) resolve();
    });
    worker.on("failed", (_, error) => reject(error));
    worker.on("error", reject);
  });
  return { tasksPerSecond: jobs / ((performance.now() - began) / 1000) };
}
