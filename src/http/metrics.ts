import type { FireLagCounts } from "../node/api.ts";
import { zoneGroups } from "../lib/zone-groups.ts";
import { liveMembers } from "../scheduler/owners.ts";
import { limits } from "../lib/limits.ts";
import { listNodes, type Totals, totals } from "../state/queries.ts";
import { calendarsKnownUntil } from "../state/tables/calendar.ts";
import type { ReadTx } from "../state/tx.ts";
import { type HttpParts, type Route, route } from "./route.ts";

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** GET /metrics in the Prometheus text format, from local state; no token. */
export function metricsRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply, watchers } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/metrics",
      right: undefined,
      doc: "Figures of this node and of the cluster as this node knows it, for Prometheus.",
      answers: "text/plain",
      async handle() {
        const read = await node.read((tx) => ({ sums: totals(tx), reported: reported(tx) }), { consistency: "stale" });
        const status = node.status();
        const page = new Page();
        // A node in quarantine knows nothing of the cluster that is right, and is the one to look at.
        if (read.ok) {
          addSums(page, read.value.value.sums);
          addReported(page, read.value.value.reported);
        } else if (status.quarantine === null) return reply.refusal(read.why);
        const index = read.ok ? read.value.index : undefined;
        page.gauge("skein_node_tasks_running", "Tasks running on this node.", status.tasksRunning);
        if (status.schedulesOwned !== null)
          page.gauge("skein_schedules_owned", "Schedules that this node works out.", status.schedulesOwned);
        page.counter(
          "skein_schedules_moved_total",
          "Schedules of the cluster that went from one member to another, as this process has counted.",
          status.schedulesMoved,
        );
        const clockMs = status.clocks.get(node.id);
        if (clockMs !== undefined)
          page.gauge(
            "skein_clock_difference_seconds",
            "This host's wall clock less the median of the members'.",
            clockMs / 1_000,
          );
        page.family(
          "counter",
          "skein_schedule_steps_refused_total",
          "Steps of schedules that this process proposed and the log refused: early (its clock is ahead), stale (another one was taken first), gone.",
          Object.entries(node.stepsRefused).map(([why, count]): Sample => [{ why }, count]),
        );
        page.histogram(
          "skein_fire_lag_seconds",
          "How late schedules of the cluster fired, jitter not counted, since this process began.",
          node.fireLags,
        );
        page.gauge(
          "skein_state_quarantined",
          "1 while this node's state, which was found to differ, is being replaced.",
          status.quarantine === null ? 0 : 1,
        );
        page.counter("skein_state_quarantines_total", "Times that this process was quarantined.", status.quarantines);
        page.gauge(
          "skein_state_compared_index",
          "Newest log index at which this node, leading, found another node's state to be the same.",
          status.compared,
        );
        page.gauge(
          "skein_state_undecided",
          "1 while states of nodes differ and no quorum says which one is right.",
          status.undecided === null ? 0 : 1,
        );
        page.gauge(
          "skein_snapshot_trouble",
          "1 while this node cannot make a copy of its state for a member that needs it.",
          status.snapshotTrouble === null ? 0 : 1,
        );
        page.gauge(
          "skein_disk_full",
          "1 while this node's disk has no room for what it must write.",
          status.diskFull ? 1 : 0,
        );
        page.gauge("skein_is_leader", "1 when this node leads.", status.role === "leader" ? 1 : 0);
        page.gauge("skein_has_leader", "1 when this node can serve writes through a leader.", status.ready ? 1 : 0);
        page.gauge("skein_raft_term", "Raft term.", status.term);
        page.gauge("skein_raft_commit_index", "Newest log index known to be committed.", status.commit);
        page.gauge("skein_raft_applied_index", "Newest log index applied to this node's state.", status.applied);
        page.gauge("skein_raft_last_index", "Newest log index stored on this node.", status.lastIndex);
        page.gauge(
          "skein_raft_first_index",
          "Oldest log index stored on this node; who lacks older ones needs a snapshot.",
          status.firstIndex,
        );
        page.gauge("skein_members", "Members, voters and learners.", status.voters.length + status.learners.length);
        page.gauge(
          "skein_peers_connected",
          "Peers that this node has a socket to.",
          status.peers.filter((one) => one.connected).length,
        );
        page.counter("skein_peer_messages_sent_total", "Messages sent to peers.", status.transport.sent);
        page.counter("skein_peer_messages_received_total", "Messages received from peers.", status.transport.received);
        page.counter(
          "skein_peer_messages_lost_total",
          "Messages lost to backpressure or closed sockets.",
          status.transport.lost,
        );
        if (node.heartbeat !== undefined) {
          const { taken, refused, failed } = node.heartbeat.counts;
          page.counter("skein_zabbix_values_taken_total", "Values that a Zabbix server or proxy took.", taken);
          page.counter("skein_zabbix_values_refused_total", "Values that it did not take.", refused);
          page.counter("skein_zabbix_heartbeats_failed_total", "Heartbeats that none answered.", failed);
        }
        const { sent, received } = node.bundles.traffic;
        page.counter("skein_bundle_sent_bytes_total", "Bytes of files of bundles given to other members.", sent);
        page.counter(
          "skein_bundle_received_bytes_total",
          "Bytes of files of bundles got from other members.",
          received,
        );
        page.gauge("skein_watchers", "HTTP requests that wait or stream.", watchers.count);
        page.family("gauge", "skein_build_info", "Version of the binary.", [[{ version: node.version }, 1]]);
        return reply.text(page.text(), "text/plain; version=0.0.4; charset=utf-8", index);
      },
    }),
  ];
}

function addSums(page: Page, sums: Totals): void {
  page.counter("skein_jobs_submitted_total", "Jobs accepted by the cluster.", sums.submitted);
  page.family(
    "counter",
    "skein_jobs_finished_total",
    "Jobs of the cluster that ended, by state.",
    Object.entries(sums.finished).map(([state, count]): Sample => [{ state }, count]),
  );
  page.gauge("skein_jobs_unfinished", "Jobs of the cluster that have not ended.", sums.jobsUnfinished);
  page.gauge("skein_jobs_kept", "Finished jobs of the cluster that are still remembered.", sums.jobsFinished);
  page.gauge("skein_dead_letters", "Jobs of the cluster that have failed and were not run again.", sums.deadLetters);
  page.gauge(
    "skein_inventories_failing",
    "Inventories whose command gives nothing good: the last good version is in force.",
    sums.inventoriesFailing,
  );
  page.gauge(
    "skein_bundle_sources_failing",
    "Bundles whose repository cannot be had: the newest version stays in force.",
    sums.bundleSourcesFailing,
  );
  page.gauge(
    "skein_tasks_running",
    "Tasks of the cluster that nodes were given and that have not ended, those that wait there for their turn too.",
    sums.tasksRunning,
  );
  page.gauge("skein_queue_depth", "Tasks of the cluster waiting to be started.", sums.tasksQueued);
  addSchedules(page, sums);
}

/** Reasons that were never given are there as well: an alert is to see the first one as a rise. */
const skipReasons = ["missed", "overlap", "paused", "window", "limit", "refused"];

function addSchedules(page: Page, { schedules, schedulesPaused, instants }: Totals): void {
  page.gauge("skein_schedules", "Schedules of the cluster.", schedules);
  page.family("gauge", "skein_schedules_paused", "1 while all schedules of the cluster are paused together.", [
    [{ all: "true" }, schedulesPaused ? 1 : 0],
  ]);
  page.counter("skein_fires_total", "Instants of schedules that made a job.", instants["fired"] ?? 0);
  page.family(
    "counter",
    "skein_fires_skipped_total",
    "Instants of schedules that made no job, by reason; of many missed ones those that were counted.",
    skipReasons.map((reason): Sample => [{ reason }, instants[reason] ?? 0]),
  );
}

/** What people are to be warned of before schedules go wrong. */
function reported(tx: ReadTx) {
  const nodes = listNodes(tx);
  const members = liveMembers(nodes);
  return {
    zoneData: zoneGroups(nodes.filter(({ id }) => members.includes(id))).length,
    calendars: calendarsKnownUntil(tx, limits.calendars),
  };
}

function addReported(page: Page, { zoneData, calendars }: ReturnType<typeof reported>): void {
  page.gauge(
    "skein_zone_data_versions",
    "Different data of time zones among the members that work out schedules: with more than 1 these may fire at other times with each.",
    zoneData,
  );
  page.family(
    "gauge",
    "skein_calendar_until_timestamp_seconds",
    "Up to when what repeats in an imported calendar is known; it is to be imported again before.",
    calendars.map(({ name, until }): Sample => [{ calendar: name }, until / 1_000]),
  );
}

class Page {
  #lines: string[] = [];

  counter(name: string, help: string, value: number): void {
    this.family("counter", name, help, [[{}, value]]);
  }

  gauge(name: string, help: string, value: number): void {
    this.family("gauge", name, help, [[{}, value]]);
  }

  family(type: "counter" | "gauge", name: string, help: string, samples: readonly Sample[]): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) {
      const pairs = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
      this.#lines.push(`${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`);
    }
  }

  histogram(name: string, help: string, { buckets, sum, count }: FireLagCounts): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} histogram`);
    for (const [upTo, below] of buckets) this.#lines.push(`${name}_bucket{le="${upTo}"} ${below}`);
    this.#lines.push(`${name}_bucket{le="+Inf"} ${count}`, `${name}_sum ${sum}`, `${name}_count ${count}`);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}
