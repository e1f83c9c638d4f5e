import type { Sink } from "./io.ts";
import { toleranceText } from "./tolerance.ts";

/** What a node that has just started says about itself. */
export interface Started {
  readonly kind: "created" | "joined" | "resumed";
  readonly cluster: string;
  readonly node: number;
  readonly name: string;
  readonly dataDir: string;
  /** HOST:PORT of its API. */
  readonly api: string;
  /** HOST:PORT of addresses that serve the API in the clear off loopback. */
  readonly exposed: readonly string[];
  /** How many vote, as far as this node knows, and whether it is one of them. */
  readonly voters: number;
  readonly votes: boolean;
  /** Makes a join token, good for 24 h and 10 uses; undefined: none could be made. */
  makeToken(): Promise<string | undefined>;
}

/**
 * Tells a person who has started a node what it is, and the two commands that come next. A join token itself is shown on a
 * terminal only: elsewhere the words end in a journal that others read. The command takes it from the environment, since
 * every user of the host sees arguments in `ps`.
 */
export async function greet(sink: Sink, started: Started): Promise<void> {
  const { kind, cluster, node, name, dataDir, api, exposed, voters, votes } = started;
  const say = (line: string): void => sink.write(`${line}\n`);
  const what = {
    created: `cluster ${cluster} created, this is node ${node} (${name})`,
    joined: `joined cluster ${cluster} as node ${node} (${name})`,
    resumed: `back in cluster ${cluster} as node ${node} (${name})`,
  }[kind];
  say(`${what}   data ${dataDir}`);
  const more = kind === "created" ? ", and 3 hosts that of 1" : votes ? "" : "; this node does not vote (yet)";
  if (voters > 0)
    say(`  ${voters === 1 ? "1 voter" : `${voters} voters`}: the cluster ${toleranceText(voters)}${more}`);
  for (const address of exposed) {
    say(`warning: the API is served in the clear on ${address}: tokens and jobs can be read on the way`);
  }
  const token = kind === "created" && sink.isTty ? await started.makeToken() : undefined;
  const value = token ?? "$(skein cluster token -o quiet)";
  const note = token === undefined ? "" : "   # valid 24h, 10 uses";
  say(`  join another host:  SKEIN_JOIN_TOKEN=${value} skein up --join ${api}${note}`);
  say("  run something:      skein run --each-node -- hostname");
}
