/** `npm run fix`: what a machine can put right, lint fixes first, because the formatter has the last word. */
import { onInterrupt, run, tool } from "./steps.ts";

onInterrupt(() => {});
const lint = await run(tool("oxlint"), ["--fix", "-f", "unix"], { timeoutMs: 5 * 60_000 });
if (lint.code !== 0) console.log(lint.output.trimEnd());
const format = await run(tool("oxfmt"), ["."], { timeoutMs: 5 * 60_000 });
if (format.code !== 0) console.log(format.output.trimEnd());
process.exit(lint.code === 0 && format.code === 0 ? 0 : 1);
