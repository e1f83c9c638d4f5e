import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";

/** `skein cluster ca|rotate-ca` */
export function addClusterAuthority(cluster: Command, cli: Cli): void {
  const show = cluster
    .command("ca")
    .description("print the certificates of the cluster's authority, for --ca and SKEIN_CA on other hosts");
  cli.verb(show, async (session) => {
    const { ca, authorities } = await session.client.authorities();
    const value = { ca, authorities };
    session.output.result({
      value,
      ids: authorities.map((one) => one.fingerprint),
      table: (out) => out.line(ca.trim()),
    });
    return exit.done;
  });
  const rotate = cluster
    .command("rotate-ca")
    .description("replace the cluster's authority and every certificate, step by step, while everything goes on");
  cli.verb(rotate, async (session) => {
    const { authority } = await session.client.rotateAuthority();
    session.output.result({
      value: { authority },
      ids: [authority],
      table: (out) => {
        out.line(`authority ${authority} takes over once every member has followed`);
        session.output.note(
          "'skein cluster status' shows how far it is; join tokens made before end with the former one",
          "dim",
        );
      },
    });
    return exit.done;
  });
}
