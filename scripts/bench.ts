/** `npm run bench -- NAME [--option=value]...`: builds the binary where it is out of date, then runs bench/NAME.ts. */
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { buildIfChanged } from "./build.ts";
import { Mesh } from "./mesh.ts";
import { filesBelow, onInterrupt, root } from "./steps.ts";

const name = process.argv[2] ?? "";
const file = path.join(root, "bench", `${name}.ts`);
if (!/^[a-z-]+$/.test(name) || !existsSync(file)) {
  const names = filesBelow(
    "bench",
    (each) => /^bench.[a-z-]+\.ts$/.test(each) && !/(harness|processes)\.ts$/.test(each),
  );
  console.error(
    `usage: npm run bench -- ${names.map((each) => path.basename(each, ".ts")).join("|")} [--option=value]...`,
  );
  process.exit(2);
}
onInterrupt(() => Mesh.stopAll());
await buildIfChanged();
try {
  await import(pathToFileURL(file).href);
} finally {
  await Mesh.stopAll();
}
