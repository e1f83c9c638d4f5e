/**
 * The HTTP client of `skein bench submit` against any server, so that a peer is measured by the same client in the same run. Runs in bun:
 * `bun bench/peers/http-load.ts '{"origins":[…],"path":"/…","body":"…","connections":256,"seconds":5}'` prints one JSON object.
 */
import { makeLoad } from "../../src/cli/http-load.ts";

const { origins, path, body, connections, warmSeconds, seconds } = JSON.parse(process.argv[2]!) as {
  origins: string[];
  path: string;
  body: string;
  connections: number;
  warmSeconds: number;
  seconds: number;
};
const result = await makeLoad({
  origins,
  path,
  body,
  connections,
  headers: {},
  warmupMs: warmSeconds * 1000,
  measuredMs: seconds * 1000,
  signal: new AbortController().signal,
});
let done = 0;
let failed = 0;
for (const [status, count] of result.statuses) {
  if (status >= 200 && status < 300) done += count;
  else failed += count;
}
console.log(
  JSON.stringify({
    requestsPerSecond: done / result.seconds,
    failed,
    p50Ms: result.latencies.percentile(0.5),
    p99Ms: result.latencies.percentile(0.99),
  }),
);
