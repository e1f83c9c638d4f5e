import { arch, platform } from "node:os";
import type { Command } from "commander";
import { addOutputFlags, type Cli } from "./cli.ts";
import { exit } from "./exit.ts";

/** `skein version` */
export function addVersion(program: Command, cli: Cli): void {
  const command = program.command("version").description("print the version of this binary");
  addOutputFlags(command);
  cli.local(command, (_flags, global) => {
    const { version } = cli.actions;
    cli.output(global).result({
      value: { version, bun: Bun.version, platform: platform(), arch: arch() },
      ids: [version],
      table: (out) => out.line(`skein ${version} (bun ${Bun.version}, ${platform()} ${arch()})`),
    });
    return Promise.resolve(exit.done);
  });
}
