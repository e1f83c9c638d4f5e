import { monotonicMs } from "../lib/clock.ts";
import type { NodeId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { noNode } from "../state/no-node.ts";
import type { NodeRow } from "../state/types.ts";

/** What a planned hand-over of the leadership needs of its surroundings. */
export interface TransferPorts {
  /** The leader that this node knows of. */
  leader(): NodeId | undefined;
  voters(): readonly NodeId[];
  find(reference: string | number): NodeRow | undefined;
  /** Notes it in the log, with who asked. */
  note(from: NodeId, to: NodeId | null): Promise<Outcome<unknown>>;
  /** Has the leader hand over, to the closest voter or to this one; false: nobody took over (yet). */
  handOver(leader: NodeId, to: NodeId | undefined): Promise<boolean>;
}

export interface TransferValue {
  readonly from: number;
  readonly leader: number;
}

const pollMs = 10;
/** For this node to hear of the new leader. */
const heardMs = 5000;

/** Hands the leadership over, to the voter that is named or the closest one, and waits until this node knows that it leads. */
export async function transferLeadership(
  reference: string | number | undefined,
  ports: TransferPorts,
): Promise<Outcome<TransferValue>> {
  const from = ports.leader();
  if (from === undefined)
    return refuse("unavailable", "no leader is known: repeat it when there is one", {
      retryAfterMs: 1000,
      retry: "safe",
    });
  let to: NodeId | undefined;
  if (reference !== undefined) {
    const row = ports.find(reference);
    if (row === undefined) return noNode(reference);
    if (row.id === from) return accept({ from, leader: from });
    if (!ports.voters().includes(row.id))
      return refuse(
        "conflict",
        `node ${row.name} is a learner and cannot lead: 'skein nodes promote ${row.name}' first`,
      );
    if (row.state !== "up") return refuse("conflict", `node ${row.name} is ${row.state}: name one that is up`);
    to = row.id;
  } else if (ports.voters().every((node) => node === from)) {
    return refuse("conflict", "there is no other voter that could lead: join another node, or promote one");
  }
  const noted = await ports.note(from, to ?? null);
  if (!noted.ok) return noted;
  const deadline = (await ports.handOver(from, to)) ? monotonicMs() + heardMs : -Infinity;
  while (monotonicMs() < deadline) {
    const leader = ports.leader();
    if (leader !== undefined && leader !== from) return accept({ from, leader });
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return refuse(
    "unavailable",
    `node ${from} still leads: ${to === undefined ? "no other voter took over" : `node ${to} did not take over`} in time; is it up and caught up ('skein nodes ls')?`,
    { retryAfterMs: 1000 },
  );
}

/** Why the node must not be removed now, and a leader's hand-over before it is. */
export async function prepareRemoval(
  row: NodeRow | undefined,
  ports: Pick<TransferPorts, "leader" | "voters" | "handOver"> & { members(): number; running(): number },
): Promise<Outcome<undefined>> {
  if (row === undefined) return accept(undefined); // the state says it better
  if (ports.members() === 1)
    return refuse("conflict", `node ${row.name} is the cluster's only one: stop it, and delete its data directory`);
  const voters = ports.voters();
  if (voters.length === 1 && voters[0] === row.id) {
    return refuse(
      "conflict",
      `node ${row.name} is the only voter, and the others would be without a leader for ever: promote another one first ('skein nodes promote'), or 'skein leave' there, which sees to it`,
    );
  }
  // Of one that holds tasks the state will refuse it: nobody is to lead instead for nothing.
  if (ports.leader() === row.id && ports.running() === 0 && !(await ports.handOver(row.id, undefined))) {
    return refuse(
      "unavailable",
      `node ${row.name} leads, and no other voter could take over: is another one up and caught up ('skein nodes ls')?`,
      { retryAfterMs: 1000, retry: "safe" },
    );
  }
  return accept(undefined);
}
