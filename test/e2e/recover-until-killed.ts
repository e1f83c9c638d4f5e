import { StoppedNode } from "../../src/node/recover.ts";

/** Recovers from the data directory that is named, says each step, and kills itself at the n-th (0: at none). */
const [directory, at] = process.argv.slice(2);
let steps = 0;
const node = StoppedNode.open(directory!);
node.recover([], "a test", node, (name) => {
  process.stdout.write(`${name}\n`);
  steps += 1;
  if (steps === Number(at)) process.kill(process.pid, "SIGKILL");
});
node.close();
