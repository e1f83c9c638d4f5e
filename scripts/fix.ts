/** `npm run fix`: what a machine can put right: the reference page from the code, then lint fixes, and the formatter has the last word. */
import { onInterrupt, run, tool } from "./steps.ts";

onInterrupt(() => {});
const reference = await run(tool("bun"), ["scripts/reference.ts"], { timeoutMs: 60_000 });
if (reference.code !== 0) console.log(reference.output.trimEnd());
const lint = await run(tool("oxlint"), ["--fix", "-f", "unix"], { timeoutMs: 5 * 60_000 });
if (lint.code !== 0) console.log(lint.output.trimEnd());
const format = await run(tool("oxfmt"), ["."], { timeoutMs: 5 * 60_000 });
if (format.code !== 0) console.log(format.output.trimEnd());
process.exit(reference.code === 0 && lint.code === 0 && format.code === 0 ? 0 : 1);
