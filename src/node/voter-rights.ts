import type { NodeId } from "../lib/ids.ts";
import { commandByName } from "../state/commands/index.ts";
import type { CommandRecord } from "../state/entry.ts";
import type { NodeRow } from "../state/types.ts";

/**
 * Who may take a voter's voice. An operator may remove and demote learners; a voter takes an admin, because with every voter that goes the
 * cluster bears one failure less. Who votes is known to consensus and not to the state, so this is decided where a command is taken, and again
 * by the leader for forwarded ones, and never in apply (S1).
 */
export interface VoterRightsPorts {
  find(reference: string | number): NodeRow | undefined;
  isVoter(node: NodeId): boolean;
  /** The node that a token ends with; null: a person's. */
  nodeOfToken(id: string): NodeId | null | undefined;
}

const removal = commandByName("node.remove").tag;
const demotion = commandByName("node.demote").tag;

/** Why this may not be done in that name; undefined: nothing is against it. */
export function voterProblem(record: CommandRecord, ports: VoterRightsPorts): string | undefined {
  const [tag, token, name, role, payload] = record;
  if ((tag !== removal && tag !== demotion) || role === "admin" || role === "node") return undefined;
  const { node: reference, forget } = payload as { readonly node: string | number; readonly forget?: boolean };
  if (tag === demotion && forget === true) return undefined; // the leader decides then
  const row = ports.find(reference);
  if (row === undefined || !ports.isVoter(row.id)) return undefined;
  // The token that a host was given when it joined takes that host out again ('skein leave'), and no other.
  if (tag === removal && ports.nodeOfToken(token) === row.id) return undefined;
  const what = tag === removal ? "removing" : "demoting";
  const instead = tag === removal ? `, have one demote it first ('skein nodes demote ${row.name}'),` : "";
  return (
    `node ${row.name} votes, and ${what} a voter takes an admin's token, which that of ${name} (${role}) is not: ` +
    `use one with --token or SKEIN_TOKEN${instead} or run 'skein leave' on its host`
  );
}
