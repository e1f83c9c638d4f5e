import { runGuard } from "../../src/executor/guard/guard.ts";

/** The guard as a process of its own, as `skein guard --data DIR` would be. */
process.exit(await runGuard({ dataDir: process.argv[2]! }));
