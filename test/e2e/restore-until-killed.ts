import { restore } from "../../src/node/restore.ts";

/** Restores the file into the directory, says each step, and kills itself at the n-th. */
const [file, dataDir, at] = process.argv.slice(2);
let steps = 0;
await restore({
  file: file!,
  dataDir: dataDir!,
  name: "restored",
  version: "0",
  environment: {},
  progress: () => {},
  step: (name) => {
    process.stdout.write(`${name}\n`);
    steps += 1;
    if (steps === Number(at)) process.kill(process.pid, "SIGKILL");
  },
});
