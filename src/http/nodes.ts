import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";
import type { NodeStatus } from "../node/api.ts";
import { authorityState, type CertificateRow, findNode, listNodes, runningByNode } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { NodeRow } from "../state/types.ts";
import type { NodeView } from "../state/answers.ts";
import { type HttpParts, readJson, readState, type Route, route } from "./route.ts";
import { duration } from "./shapes.ts";
import { whileWatching } from "./wait.ts";

const leaveDefaultMs = 60_000;
const leaveMaxMs = 24 * 3_600_000;

/** Members as this node knows them: answered from local state at once, quorum or not. */
export function nodeRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/nodes",
      right: "read",
      doc: "The members, from local state.",
      async handle({ exchange }) {
        const silent = await node.silent();
        const read = await readState(parts, exchange, "stale", (tx) =>
          nodeViews(tx, listNodes(tx), node.status(), silent),
        );
        if (!read.ok) return reply.refusal(read.why);
        return reply.json({ nodes: read.value.value }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/nodes/:node",
      right: "read",
      doc: "One member by id or name, from local state.",
      async handle({ exchange }) {
        const name = exchange.req.param("node") ?? "";
        const silent = await node.silent();
        const read = await readState(parts, exchange, "stale", (tx) => {
          const row = findNode(tx, name);
          return row === undefined ? undefined : nodeViews(tx, [row], node.status(), silent)[0];
        });
        if (!read.ok) return reply.refusal(read.why);
        const view = read.value.value;
        if (view === undefined)
          return reply.refusal(refuse("not-found", `there is no node ${name}: list nodes to see them`).why);
        return reply.json(view, read.value.index);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/nodes/self/leave",
      right: "nodes:write",
      doc: "Drains the node that is asked, hands its leadership over, removes it from the cluster and stops it.",
      body: z.strictObject({ timeout: duration(leaveMaxMs).optional() }),
      handle: ({ exchange, body, by }) =>
        whileWatching(
          parts,
          exchange,
          async () => {
            const outcome = await node.leave(body.timeout ?? leaveDefaultMs, by);
            return outcome.ok ? reply.json(outcome.value) : reply.refusal(outcome.why);
            // That it stops serving is what was asked for.
          },
          "answer",
        ),
    }),
    {
      method: "POST",
      path: "/v1/join",
      right: undefined,
      doc: "What a joining node sends. Proven by its join token, which does not travel.",
      status: 200,
      async serve(exchange) {
        const body = await readJson(exchange.req.raw, limits.joinBodyBytes);
        if (!body.ok) return reply.refusal(body.why);
        const outcome = await node.join(body.value);
        return outcome.ok ? reply.json(outcome.value) : reply.refusal(outcome.why);
      },
    },
  ];
}

/** Rows of the state with what this node knows of who votes, who leads and who keeps up. `silent`: who does not answer the leader, where that is known. */
export function nodeViews(
  tx: ReadTx,
  rows: readonly NodeRow[],
  status: NodeStatus,
  silent: readonly NodeId[] | undefined,
): NodeView[] {
  const running = runningByNode(tx);
  const shown = new Map(authorityState(tx).certificates.map((row) => [row.node, row]));
  const peers = new Map(status.peers.map((one) => [one.node, one]));
  const addresses = new Map(status.addresses.map((one) => [one.node, one]));
  return rows.map((row) => {
    const peer = peers.get(row.id);
    const known = addresses.get(row.id);
    const isSelf = row.id === status.id;
    return {
      id: row.id,
      name: row.name,
      role: status.voters.includes(row.id) ? "voter" : "learner",
      leader: status.leader === row.id,
      state: row.state,
      silent: silent === undefined ? unheardVoter(row.id, status, peer) : silent.includes(row.id),
      api: row.api,
      peer: known?.address ?? row.peer,
      starts: known?.starts ?? 0,
      labels: row.labels,
      slots: row.slots,
      resources: row.resources ?? {},
      zones: row.zones ?? null,
      running: running.get(row.id) ?? 0,
      lag: isSelf ? Math.max(0, status.commit - status.applied) : (peer?.lag ?? null),
      lease_ms: peer?.leaseMs ?? null,
      clock_ms: status.clocks.get(row.id) ?? null,
      version: row.version,
      level: row.level,
      seen_at: formatInstant(row.seenAt),
      wish: row.wish ?? null,
      quarantine: row.quarantine ?? null,
      snapshot_trouble: isSelf ? status.snapshotTrouble : null,
      disk_full: isSelf ? status.diskFull : null,
      certificate: certificateView(shown.get(row.id)),
    };
  });
}

/** Where nobody leads, nobody says who is silent; but a voter that this one has no socket to is what keeps the others from electing. null: not known. */
function unheardVoter(
  id: NodeId,
  { leader, voters }: NodeStatus,
  peer: NodeStatus["peers"][number] | undefined,
): true | null {
  return leader === null && voters.includes(id) && peer?.connected === false ? true : null;
}

function certificateView(row: CertificateRow | undefined): NodeView["certificate"] {
  if (row === undefined) return null;
  return { fingerprint: row.fingerprint, authority: row.authority, expires_at: formatInstant(row.expiresAt) };
}
