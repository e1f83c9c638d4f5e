import type { Command } from "commander";
import type { ClusterView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";
import { instantText } from "./views.ts";

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
        session.output.note("'skein cluster status' shows how far it is; join tokens made before stay good", "dim");
      },
    });
    return exit.done;
  });
}

/** One of the authorities, and what it waits for. */
export function authorityText({
  fingerprint,
  phase,
  expires_at,
  waits_for,
}: ClusterView["authorities"][number]): string {
  if (phase === "issuing") return `${fingerprint}, good until ${instantText(expires_at)}`;
  const [nodes, have] = waits_for.length === 1 ? ["node", "has"] : ["nodes", "have"];
  const who = waits_for.length === 0 ? "" : ` once ${nodes} ${waits_for.join(", ")} ${have} followed`;
  return `${fingerprint}, ${phase === "coming" ? "takes over" : "goes"}${who}`;
}
