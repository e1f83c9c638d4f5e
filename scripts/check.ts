/** `npm run check`: types, lint, format, dead code and the tidy test. Writes nothing; `npm run fix` does. */
import { checks } from "./checks.ts";
import { formatMs, onInterrupt, run, tool } from "./steps.ts";

onInterrupt(() => {});
const tidy = { name: "tidy", run: () => run(tool("bun"), ["test", "./test/tidy.test.ts"], { timeoutMs: 5 * 60_000 }) };
let failed = 0;
for (const check of [...checks, tidy]) {
  const ended = await check.run();
  console.log(`${ended.code === 0 ? "ok    " : "FAILED"} ${check.name}  ${formatMs(ended.ms)}`);
  if (ended.code === 0) continue;
  failed++;
  console.log(ended.output.trimEnd());
}
process.exit(failed === 0 ? 0 : 1);
