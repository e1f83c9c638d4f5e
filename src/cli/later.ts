import type { Command } from "commander";
import { CliError, exit } from "./exit.ts";

/** A verb of the contract that this version does not have. */
interface LaterVerb {
  /** "console", or "bench fanout". */
  readonly words: string;
  /** What serves meanwhile. */
  readonly meanwhile?: string;
}

/** Verbs of docs/contract.md that come later: refused by name, so that nobody looks for a typing mistake. */
export const laterVerbs: readonly LaterVerb[] = [
  { words: "load" },
  { words: "alert" },
  { words: "console", meanwhile: "`skein cluster status` and `skein jobs ls` show the same" },
  { words: "bench failover" },
  { words: "bench fanout" },
];

/** Puts the verbs that come later where they will be: out of the help, the suggestions and the completion, but known. */
export function addLater(program: Command): void {
  for (const { words, meanwhile } of laterVerbs) {
    const parts = words.split(" ");
    const name = parts.at(-1)!;
    const parent = parts.length === 1 ? program : program.commands.find((one) => one.name() === parts[0])!;
    parent
      .command(name, { hidden: true })
      .argument("[words...]")
      .helpOption(false)
      .allowUnknownOption()
      .action(() => {
        const instead = meanwhile ?? "`skein --help` lists what there is";
        throw new CliError(
          exit.usage,
          `'${words}' is not built yet in this version (docs/status.md says what is); ${instead}`,
        );
      });
  }
}
