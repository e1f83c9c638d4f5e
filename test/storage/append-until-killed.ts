import { Log, run } from "./support.ts";

/** A process for the crash test: appends without end and prints each token once it is durable. */
const log = new Log(process.argv[2]!);
const restored = await log.store.open();
let last: number = restored.lastIndex;
for (let printed = 0; ;) {
  for (let burst = 0; burst < 5; burst++) {
    log.append(run(last + 1, last + 3, 1));
    last += 3;
  }
  const token = log.append(run(last + 1, last + 1, 1));
  last += 1;
  await log.until(() => (log.tokens.at(-1) ?? 0) >= token);
  for (; printed < log.tokens.length; printed++) process.stdout.write(`${last}\n`);
}
