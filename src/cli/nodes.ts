import type { Command } from "commander";
import { memoryResource } from "../lib/resources.ts";
import { formatSize } from "../lib/units.ts";
import { limits } from "../lib/limits.ts";
import type { NodeView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { eachNode } from "./each-node.ts";
import { exit } from "./exit.ts";
import { addNodeChanges } from "./nodes-change.ts";
import type { Output } from "./output.ts";
import { stateColour } from "./text.ts";
import { instantText, labelsText } from "./views.ts";
import { goals, membersOf, noteVoters, timeoutOption, type VotersGoal, waitMsOf } from "./voters-note.ts";

/** `skein nodes ls|show|drain|undrain|rm`, and what nodes-change.ts adds. */
export function addNodes(program: Command, cli: Cli): void {
  const nodes = program.command("nodes").description("list, show, drain, label, promote, demote and remove nodes");
  cli.verb(nodes.command("ls").description("list the nodes"), async (session) => {
    const all = await session.client.nodes();
    session.output.result({
      value: { nodes: all },
      ids: all.map((node) => node.id),
      table: (out) => printNodes(out, all),
    });
    return exit.done;
  });
  cli.verb<object, [string]>(
    nodes.command("show").description("show a node").argument("<node>", "id or name"),
    async (session, _flags, name) => {
      const node = await session.client.node(name);
      session.output.result({ value: node, ids: [node.id], table: (out) => printNode(out, node) });
      return exit.done;
    },
  );
  addChange(nodes, cli, {
    name: "drain",
    description: "give nodes no more work; what runs there goes on",
    done: "is draining",
    change: (session, node) => session.client.call("node.drain", { node }, { idempotent: true }),
  });
  addChange(nodes, cli, {
    name: "undrain",
    description: "give draining nodes work again",
    done: "takes work again",
    change: (session, node) => session.client.call("node.undrain", { node }, { idempotent: true }),
  });
  addChange(nodes, cli, {
    name: "rm",
    description: "remove nodes for good, once nothing runs on them (a healthy node leaves by `skein leave`)",
    done: "is removed",
    change: (session, node) => session.client.call("node.remove", { node }),
    goal: goals.removed,
  });
  addNodeChanges(nodes, cli);
}

interface NodeChange {
  readonly name: string;
  readonly description: string;
  readonly done: string;
  readonly change: (session: Session, node: string) => Promise<{ readonly node: number }>;
  /** Of one that changes who votes. */
  readonly goal?: (nodes: readonly number[]) => VotersGoal;
}

function addChange(parent: Command, cli: Cli, { name, description, done, change, goal }: NodeChange): void {
  const command = parent.command(name).description(description).argument("<nodes...>", "ids or names");
  if (goal !== undefined) command.option(...timeoutOption);
  cli.verb<{ readonly timeout?: string }, [string[]]>(command, async (session, { timeout }, names) => {
    const waitMs = waitMsOf(session, timeout);
    const members = goal === undefined ? [] : await membersOf(session);
    const changed = await eachNode(session, names, (one) => change(session, one));
    session.output.result({
      value: changed.length === 1 ? changed[0] : { nodes: changed },
      ids: changed.map((one) => one.node),
      table: (out) => changed.forEach((one) => out.line(`node ${one.node} ${done}`)),
    });
    if (goal !== undefined) await noteVoters(session, goal(changed.map((one) => one.node)), waitMs, members);
    return exit.done;
  });
}

/** The table of `nodes ls` and `cluster status`. */
export function printNodes(out: Output, nodes: readonly NodeView[]): void {
  out.rows(
    [
      { title: "ID", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "ROLE", colour: stateColour },
      { title: "STATE", colour: stateColour },
      { title: "API", shrinks: true },
      { title: "RUNNING", align: "right" },
      { title: "LAG", align: "right" },
      { title: "VERSION" },
      { title: "LABELS", shrinks: true },
    ],
    nodes.map((node) => [
      String(node.id),
      node.name,
      node.leader ? "leader" : node.role,
      stateOf(node),
      node.api,
      `${node.running}/${node.slots}`,
      node.lag === null ? "-" : String(node.lag),
      node.version,
      labelsText(node.labels),
    ]),
  );
  for (const line of lostQuorum(nodes)) out.line(line);
  for (const { id, name, clock_ms, snapshot_trouble, disk_full } of nodes) {
    if (disk_full === true)
      out.line(`the disk of node ${id} (${name}) is full: it serves neither writes nor reads until there is room`);
    if (typeof snapshot_trouble === "string")
      out.line(`node ${id} (${name}) can give its state to no member that needs it: ${snapshot_trouble}`);
    if (clock_ms !== null && Math.abs(clock_ms) > limits.clockToleranceMs)
      out.line(`the clock of node ${id} (${name}) is ${clockText(clock_ms)} the others'`);
  }
}

/** Nobody leads, and so many voters are away that nobody can: who they are, and what there is to do. */
function lostQuorum(nodes: readonly NodeView[]): string[] {
  const voters = nodes.filter(({ role }) => role === "voter");
  const away = voters.filter(({ silent, state }) => silent === true || state === "lost");
  if (nodes.some(({ leader }) => leader) || 2 * (voters.length - away.length) > voters.length) return [];
  const names = away.map(({ id, name }) => `${id} (${name})`).join(", ");
  return [
    `no quorum: of ${voters.length} voters ${away.length} are not connected: ${names}. Writes wait until ${Math.floor(voters.length / 2) + 1} are up again.`,
    "If they are gone for good: `skein cluster recover` on what is left, with the nodes stopped.",
  ];
}

/** A node in quarantine is up and of no use; one that the leader does not hear is up until it is held for lost. */
function stateOf(node: NodeView): string {
  if (node.silent === true && node.state !== "lost") return "silent";
  return node.quarantine === null ? node.state : "quarantined";
}

function clockText(differenceMs: number): string {
  return `${(Math.abs(differenceMs) / 1000).toFixed(1)} s ${differenceMs < 0 ? "behind" : "ahead of"}`;
}

function printNode(out: Output, node: NodeView): void {
  out.fields([
    ["node", String(node.id), "bold"],
    ["name", node.name],
    ["role", node.leader ? "leader" : node.role],
    ["wish", node.wish === null ? undefined : `to be a ${node.wish}`],
    ["state", stateOf(node), stateColour(stateOf(node))],
    [
      "quarantine",
      node.quarantine === null ? undefined : `its state differed from the others' at entry ${node.quarantine}`,
    ],
    ["no snapshots", node.snapshot_trouble ?? undefined, "red"],
    [
      "disk",
      node.disk_full === true ? "full: it serves neither writes nor reads until there is room" : undefined,
      "red",
    ],
    ["api", node.api],
    ["peer", node.peer],
    ["running", `${node.running} of ${node.slots} slots`],
    ["resources", resourcesText(node.resources) || undefined],
    ["lag", node.lag === null ? undefined : `${node.lag} entries`],
    ["lease", node.lease_ms === null ? undefined : `${node.lease_ms} ms left`],
    ["clock", node.clock_ms === null ? undefined : `${clockText(node.clock_ms)} the median`],
    ["zones' data", node.zones ?? undefined],
    ["labels", labelsText(node.labels) || undefined],
    ["version", `${node.version}, level ${node.level}`],
    ["certificate", certificateText(node)],
    ["seen", instantText(node.seen_at)],
  ]);
}

function certificateText({ certificate }: NodeView): string | undefined {
  if (certificate === null) return undefined;
  return `${certificate.fingerprint} of authority ${certificate.authority}, good until ${instantText(certificate.expires_at)}`;
}

/** `cores=8 license=2 memory=31.2GiB` */
function resourcesText(resources: NodeView["resources"]): string {
  return Object.entries(resources)
    .map(([name, amount]) => `${name}=${name === memoryResource ? formatSize(amount) : amount}`)
    .join(" ");
}
