import type { Command } from "commander";
import { addOutputFlags, type Cli } from "./cli.ts";
import { ByteProgress } from "./byte-progress.ts";
import { defaultDataDir, expandHome } from "./context.ts";
import { CliError, exit } from "./exit.ts";
import { nodeNameProblem } from "./up.ts";

interface RestoreFlags {
  readonly data?: string;
  readonly name?: string;
}

/** `skein restore FILE --data DIR` */
export function addRestore(program: Command, cli: Cli): void {
  const command = program
    .command("restore")
    .description("make a new cluster of one node from a backup, in an empty data directory; others then join it")
    .argument("<file>", "a file that `skein backup` wrote")
    .option("--data <dir>", "data directory of the new node, empty or not there yet (SKEIN_DATA, default ~/.skein)")
    .option("--name <name>", "name of the node (default: the host's)");
  addOutputFlags(command);
  cli.local<RestoreFlags, [string]>(command, async (flags, global, file) => {
    const dataDir = expandHome(flags.data ?? global.data ?? defaultDataDir(cli.env), cli.env);
    const problem = flags.name === undefined ? undefined : nodeNameProblem(flags.name);
    if (problem !== undefined) throw new CliError(exit.usage, `--name ${problem}`);
    const output = cli.output(global);
    const progress = new ByteProgress(cli.io.stderr, "restore", output.errorColours);
    try {
      const restored = await cli.actions.restore({
        file,
        dataDir,
        name: flags.name,
        progress: (done, total) => progress.show(done, total),
      });
      progress.hide();
      const { manifest, cluster, epoch, node, name } = restored;
      const from = { cluster: manifest.cluster, index: manifest.index, made_at: manifest.made_at };
      output.result({
        value: { cluster, epoch, node, name, data: dataDir, from },
        ids: [cluster],
        table: (out) => {
          out.line(
            `cluster ${cluster} (epoch ${epoch}) is made of cluster ${manifest.cluster} as it was at ${manifest.made_at}, entry ${manifest.index}; node ${node} (${name}) is its only member`,
          );
          out.line("work that was running then counts as lost: it is tried again, or has ended, as its on_lost says");
          out.line("API tokens of people are good as before; join tokens and members' tokens are not");
          out.line("");
          out.line("next:");
          out.line(`  skein up --data ${dataDir}`);
          out.line(`  skein cluster token --data ${dataDir}      # a token for those who are to join`);
        },
      });
    } finally {
      progress.hide();
    }
    return exit.done;
  });
}
