import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { formatDuration } from "../lib/units.ts";
import type { ClusterView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { addClusterAuthority, authorityText } from "./cluster-authority.ts";
import { addClusterChanges, levelText } from "./cluster-change.ts";
import { addClusterRecover } from "./cluster-recover.ts";
import { CliError, exit } from "./exit.ts";
import { printNodes } from "./nodes.ts";
import type { Output } from "./output.ts";
import { clusterTolerance } from "./tolerance.ts";
import { durationFlag } from "./wait.ts";
import { zonesText } from "./zones-note.ts";

const tokenTtlMs = 24 * 3_600_000;

/** `skein cluster status|token`, and what cluster-change.ts adds. */
export function addCluster(program: Command, cli: Cli): void {
  const cluster = program
    .command("cluster")
    .description("the cluster as a whole: its state, its settings, its leader, and tokens to join it");
  cli.verb(cluster.command("status").description("show leader, voters and nodes"), async (session) => {
    const view = await session.client.cluster();
    session.output.result({ value: view, ids: [view.cluster], table: (out) => printCluster(out, view) });
    return exit.done;
  });
  addClusterChanges(cluster, cli);
  addClusterRecover(cluster, cli);
  addClusterAuthority(cluster, cli);
  const token = cluster
    .command("token")
    .description("make a token that lets hosts join; it is shown once")
    .option("--ttl <duration>", `how long it is good for (default ${formatDuration(tokenTtlMs)})`)
    .option("--uses <n>", `how many hosts it lets in (default ${limits.joinTokenUsesDefault})`);
  cli.verb<{ readonly ttl?: string; readonly uses?: string }>(token, async (session, flags) => {
    const range = { minMs: limits.tokenTtlMinMs, maxMs: limits.joinTokenTtlMaxMs };
    const ttlMs = durationFlag("--ttl", flags.ttl, range) ?? tokenTtlMs;
    const uses =
      flags.uses === undefined ? limits.joinTokenUsesDefault : /^\d{1,9}$/.test(flags.uses) ? Number(flags.uses) : 0;
    if (uses < 1 || uses > limits.joinTokenUses)
      throw new CliError(exit.usage, `--uses "${flags.uses}" is not a whole number from 1 to ${limits.joinTokenUses}`);
    const secret = await session.client.joinToken({ ttlMs, uses });
    const address = session.target.addrs[0]!.replace(/^https?:\/\//, "").replace(/\/$/, "");
    session.output.result({
      value: { token: secret, ttl: formatDuration(ttlMs), uses },
      ids: [secret],
      table: (out) => {
        out.line(secret);
        session.output.note(
          `good for ${formatDuration(ttlMs)} and ${uses} hosts; on each: SKEIN_JOIN_TOKEN=TOKEN skein up --join ${address}`,
          "dim",
        );
      },
    });
    return exit.done;
  });
}

/** The voters are being replaced: whom that waits for, if anybody. */
function changeText({ voters, voters_outgoing: outgoing, nodes }: ClusterView): string | undefined {
  if (outgoing.length === 0) return undefined;
  const isUp = (node: number): boolean => nodes.find(({ id }) => id === node)?.state === "up";
  const down = [...new Set([...voters, ...outgoing])].filter((node) => !isUp(node));
  const waits = down.length === 0 ? "" : `; not known to be up: ${down.join(", ")}`;
  return `from the voters ${outgoing.join(", ")}: a majority of these is needed too, until it is done${waits}`;
}

function printCluster(out: Output, view: ClusterView): void {
  const leader = view.nodes.find((node) => node.id === view.leader);
  const wanted = view.voters_wanted === null ? "" : ` of at most ${view.voters_wanted}`;
  out.fields([
    ["cluster", view.cluster, "bold"],
    [
      "leader",
      view.leader === null ? "unknown" : `${view.leader} (${leader?.name ?? "?"})`,
      view.leader === null ? "red" : "green",
    ],
    ["epoch", view.epoch === "0" ? undefined : view.epoch],
    ["term", String(view.term)],
    ["index", `${view.index} committed, ${view.applied} applied here`],
    ["voters", `${view.voters.join(", ")}${wanted === "" ? "" : `  (${view.voters.length}${wanted})`}`],
    ["changing", changeText(view), "yellow"],
    ["tolerance", clusterTolerance(view)],
    ["level", levelText(view)],
    [
      "jobs",
      `${view.jobs.unfinished} unfinished (at most ${view.jobs.unfinished_max}), ${view.jobs.finished} finished (kept: ${view.jobs.finished_max})${view.jobs.dead === 0 ? "" : `, ${view.jobs.dead} dead letters (skein jobs dead)`}`,
    ],
    ["timing", `heartbeat ${view.heartbeat_ms}ms, election timeout ${view.election_timeout_ms}ms`],
    ["placement", view.placement],
    ["zones' data", zonesText(view.nodes), "yellow"],
    ...view.authorities.map((one) => ["authority", authorityText(one)] as const),
  ]);
  if (view.undecided !== null) {
    const groups = view.undecided.groups.map((group) => group.join(", ")).join(" | ");
    out.line(
      `the states of nodes differ at entry ${view.undecided.index}, and no quorum says which one is right: ${groups}`,
    );
  }
  out.line("");
  printNodes(out, view.nodes);
}
