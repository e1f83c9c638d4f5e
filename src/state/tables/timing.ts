import { limits } from "../../lib/limits.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** How often the leader is heard, and the T of its followers. */
export interface Timing {
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
}

const defaultTiming: Timing = {
  heartbeatMs: limits.heartbeatMs,
  electionTimeoutMs: limits.electionTimeoutMs,
};

const select = sql("select heartbeat_ms as heartbeatMs, election_timeout_ms as electionTimeoutMs from timing");
const upsert = change(
  "timing.set",
  "insert into timing (id, heartbeat_ms, election_timeout_ms) values (1, ?, ?) on conflict (id) do update set heartbeat_ms = excluded.heartbeat_ms, election_timeout_ms = excluded.election_timeout_ms",
);

/** What was set, or what holds before anything was. */
export function timingOf(tx: ReadTx): Timing {
  return tx.get<Timing>(select) ?? defaultTiming;
}

/** For all nodes, from this entry on. */
export function setTiming(tx: Tx, timing: Timing): void {
  tx.run(upsert, timing.heartbeatMs, timing.electionTimeoutMs);
}
