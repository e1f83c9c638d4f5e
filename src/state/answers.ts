import type { Placement } from "../lib/placement.ts";
import type { Change, JobState, NodeState, Role, TaskState, Wish } from "./types.ts";
import type { Resources } from "../lib/resources.ts";
import type { Labels } from "../lib/selector.ts";
import type { Parameters } from "./template.ts";

/** What the API shows beside jobs and tasks (those are in types.ts). Types only: http fills them, client reads them. */

export interface NodeView {
  readonly id: number;
  readonly name: string;
  readonly role: "voter" | "learner";
  readonly leader: boolean;
  readonly state: NodeState;
  /** The leader is not connected to it, or has not heard it for an election timeout; null: no leader said so in time. */
  readonly silent: boolean | null;
  /** host:port of the HTTP API, as the log has it. */
  readonly api: string;
  /** host:port of the peer port, as the node said itself in its `starts`-th start; of two answers the one with more starts is right. */
  readonly peer: string;
  readonly starts: number;
  readonly labels: Labels;
  readonly slots: number;
  /** What it has beside, memory in bytes. */
  readonly resources: Resources;
  /** The zones' data that it works schedules out by; null: it has not said. */
  readonly zones: string | null;
  /** Attempts that the state gives to this node now. */
  readonly running: number;
  /** Entries behind the leader; null where it is not known (only the leader knows it of others). */
  readonly lag: number | null;
  /** What is left of the node's lease, in milliseconds; known to the leader only. */
  readonly lease_ms: number | null;
  /** How far its wall clock is from the median of all, in milliseconds; null where it is not known. The leader knows it of all. */
  readonly clock_ms: number | null;
  readonly version: string;
  readonly level: number;
  readonly seen_at: string;
  /** What a person asked for with promote or demote; null: it is left to the leader. */
  readonly wish: Wish | null;
  /** Its state was found to differ from a quorum's at this entry and is being replaced; null: it was not. */
  readonly quarantine: number | null;
  /** Why it can give its state to no member that needs it, as when its disk has no room for the copy; null: it can, none asks, or it is not the node that answers. */
  readonly snapshot_trouble: string | null;
  /** Of the node that was asked: its disk has no room, and it serves neither writes nor reads; null: of another one. */
  readonly disk_full: boolean | null;
  /** What the node shows to its peers, as it said last; null: it has not said so yet. */
  readonly certificate: {
    readonly fingerprint: string;
    readonly authority: string;
    readonly expires_at: string;
  } | null;
}

export interface ClusterView {
  readonly cluster: string;
  /** "0" from the foundation on; another one after every `cluster recover` and `restore`. */
  readonly epoch: string;
  readonly level: number;
  /** The newest level that every member says it understands: what the leader raises the cluster to, unless that is held. */
  readonly level_understood: number;
  readonly level_held: boolean;
  readonly term: number;
  readonly leader: number | null;
  /** Newest index known to be committed, and what the answering node has applied. */
  readonly index: number;
  readonly applied: number;
  readonly voters: readonly number[];
  /** While the voters change: those of before. A majority of them is needed as well, until the change is over. */
  readonly voters_outgoing: readonly number[];
  readonly voters_wanted: number | null;
  /** Of the answering node: the member that feeds it (null: the leader itself), and the learners that it feeds. */
  readonly fed_by: number | null;
  readonly feeds: readonly number[];
  readonly heartbeat_ms: number;
  readonly election_timeout_ms: number;
  /** Of the whole cluster, and how many unfinished ones are taken and finished ones kept. */
  readonly jobs: {
    readonly unfinished: number;
    readonly unfinished_max: number;
    readonly finished: number;
    readonly finished_max: number;
    /** Jobs that have failed and were not run again. */
    readonly dead: number;
  };
  /** Which of the nodes with room a task goes to. */
  readonly placement: Placement;
  /** States of nodes differ at entry `index` and no quorum says which one is right: nodes of one group agree. */
  readonly undecided: { readonly index: number; readonly groups: readonly (readonly number[])[] } | null;
  /** The authorities that are believed; two while one takes the other's place. `waits_for`: the nodes that its next step waits for. */
  readonly authorities: readonly {
    readonly fingerprint: string;
    readonly phase: "coming" | "issuing" | "leaving";
    readonly expires_at: string;
    readonly waits_for: readonly number[];
  }[];
  readonly nodes: readonly NodeView[];
}

/** A job that has failed and was not run again; see dead.ts. */
export interface DeadLetterView {
  readonly id: number;
  readonly name: string;
  readonly tasks: number;
  /** Tasks that ended badly. */
  readonly failed: number;
  readonly submitted_at: string;
  readonly finished_at: string;
  readonly submitted_by: string;
  readonly labels: Labels;
  /** Why the job ended, where its tasks alone do not say it. */
  readonly reason?: string;
  /** The first task that ended badly, where it is among the first ones. */
  readonly example?: {
    readonly task: number;
    readonly state: TaskState;
    readonly attempts: number;
    readonly node: number | null;
    readonly exit_code: number | null;
    readonly signal: string | null;
    readonly reason?: string;
  };
}

/** Answer of POST /v1/dead-letters/replay. */
export interface ReplayView {
  readonly replayed: readonly { readonly id: number; readonly retry_of: number }[];
  readonly refused: readonly { readonly id: number; readonly code: string; readonly message: string }[];
  /** Where to go on: there are more, or there may be. */
  readonly next?: string;
}

/** Answer of POST /v1/jobs/wait: the states of all jobs, in the order asked for. */
export interface WaitView {
  readonly finished: boolean;
  readonly jobs: readonly { readonly id: number; readonly state: JobState }[];
  /** They were there when the waiting began and are known no more: finished, and forgotten before anybody looked how. */
  readonly forgotten?: readonly number[];
}

/** What GET /v1/events tells of. */
export type EventTopic = "job" | "task" | "node" | "cluster" | "inventory" | "bundle" | "audit";

/** A change as events spell it: the end of an attempt that is tried again says when, if not at once; ends of tasks of a unit are listed like "0-99,105". */
type Told<One> = One extends { readonly topic: "task"; readonly kind: "ended" }
  ? Omit<One, "notBefore" | "unit" | "ms"> & { readonly not_before?: string }
  : One extends { readonly topic: "task"; readonly kind: "unit-ended" }
    ? Omit<One, "tasks" | "ms"> & { readonly tasks: string }
    : One;

/** One event of GET /v1/events, told apart by `topic` and `kind`. */
export type EventView = {
  /** INDEX.N: resume after it. */
  readonly id: string;
  readonly at: string;
} & Told<Extract<Change, { readonly topic: EventTopic }>>;

/** A piece of output as the log stream carries it: `text` when its bytes are UTF-8, else `base64`. */
export interface LogPieceView {
  readonly task: number;
  readonly attempt: number;
  readonly stream: "stdout" | "stderr";
  readonly at: string;
  readonly text?: string;
  readonly base64?: string;
}

/** A version of a bundle. */
export interface BundleVersionView {
  readonly version: number;
  /** The SHA-256 of its manifest, which stands for all that is in it. */
  readonly digest: string;
  readonly bytes: number;
  readonly files: number;
  readonly set_at: string;
  readonly set_by: string;
  readonly source: string | null;
  /** On how many nodes it is to be, and on which it is. */
  readonly copies: number;
  readonly nodes: readonly number[];
  /** Unfinished jobs that have it. */
  readonly jobs: number;
}

/** A bundle as lists show it: its newest version. */
export interface BundleView extends BundleVersionView {
  readonly name: string;
}

/** The repository that a bundle is pinned from by itself, and how that goes. */
export interface BundleSourceView {
  readonly name: string;
  readonly url: string;
  /** null: the repository's own branch. */
  readonly ref: string | null;
  readonly subdir: string | null;
  /** Names of secrets: the key that it is fetched with, and what pushes are signed with. */
  readonly key: string | null;
  readonly webhook: string | null;
  readonly copies: number;
  readonly timeout: string;
  /** null: only when a push is told of. */
  readonly every: string | null;
  readonly set_at: string;
  readonly set_by: string;
  /** What the ref stood for when it was last seen, and the version that this became. */
  readonly commit: string | null;
  readonly version: number | null;
  /** When it is looked at next, and who asked for that: null, the schedule. */
  readonly next_at: string | null;
  readonly asked_by: string | null;
  /** When it was looked at last, for whom ("schedule", "webhook:NAME", somebody), and when that last went well. */
  readonly last_at: string | null;
  readonly last_by: string | null;
  readonly good_at: string | null;
  /** Why it cannot be had, since when and how often; absent: it can. */
  readonly failing?: { readonly since: string; readonly times: number; readonly reason: string };
}

/** What is to be looked at by itself. */
export interface BundleSourceInput extends GitBundleInput {
  readonly every?: string | undefined;
  /** The name of a secret. */
  readonly webhook?: string | undefined;
}

/** What is in a version of a bundle. */
export interface BundleContentView {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly entries: readonly unknown[];
}

/** What a name is to stand for, all of whose files are there. */
export interface KeptBundleInput {
  readonly name: string;
  readonly entries: readonly unknown[];
  readonly copies?: number | undefined;
  /** Where it comes from. */
  readonly source?: string | undefined;
}

/** What it stands for now. */
/** What a git repository has, for the node that is asked to fetch it. */
export interface GitBundleInput {
  readonly name: string;
  readonly url: string;
  readonly ref?: string | undefined;
  readonly subdir?: string | undefined;
  /** The name of a secret. */
  readonly key?: string | undefined;
  readonly copies?: number | undefined;
  readonly timeout?: string | undefined;
}

export interface GitBundleView extends KeptBundleView {
  readonly commit: string;
  readonly files: number;
  readonly bytes: number;
}

export interface KeptBundleView {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly nodes: readonly number[];
  /** False: it stood for the very same before. */
  readonly is_new: boolean;
}

/** With those before, newest first. */
export interface BundleVersionsView {
  readonly name: string;
  readonly versions: readonly BundleVersionView[];
}

/** A token as lists show it: never its secret, nor the hash. */
/** A secret without its value, which nobody is shown. */
export interface SecretView {
  readonly name: string;
  /** How often it was set. */
  readonly revision: number;
  readonly set_at: string;
  readonly set_by: string;
  /** `lost`: its key is not in this cluster (restored from a backup, or never passed on): it must be set again. */
  readonly state: "usable" | "lost";
}

export interface TokenView {
  readonly id: string;
  readonly kind: "api" | "join";
  readonly name: string;
  /** Of an API token. */
  readonly role?: Role;
  readonly state: "active" | "revoked" | "expired" | "used";
  readonly expires_at: string | null;
  /** Uses left of a join token; null: not counted. */
  readonly uses: number | null;
  /** The node that it belongs to and is revoked with; null: a person's. */
  readonly node: number | null;
}

/** A token that was just made: the only time that its text is shown. */
export interface NewTokenView {
  readonly id: string;
  readonly token: string;
  readonly name: string;
  readonly role: Role;
  readonly expires_at: string | null;
}

/** A job spec with parameters. Lists leave the spec out. */
export interface TemplateView {
  readonly name: string;
  readonly revision: number;
  readonly description?: string;
  readonly parameters: Parameters;
  /** As it was written, with {{placeholders}}. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly set_at: string;
  readonly set_by: string;
}

/** What became of a calendar that was set. */
export interface SetCalendarView {
  readonly name: string;
  readonly revision: number;
  /** false: it was so before. */
  readonly changed: boolean;
  readonly spans: number;
  readonly windows: number;
  /** As {@link CalendarView.until}. */
  readonly until: string | null;
  /** Of an iCalendar file: the events that are taken, and what was left out. */
  readonly file?: {
    readonly events: number;
    readonly transparent: number;
    readonly cancelled: number;
    readonly empty: number;
    readonly outside: number;
    readonly others: number;
  };
}

/** When schedules do not fire, or only then. Lists leave out `span_list` and `schedules`. */
export interface CalendarView {
  readonly name: string;
  readonly revision: number;
  readonly description?: string;
  /** How many there are. */
  readonly spans: number;
  readonly windows: readonly { readonly cron: string; readonly tz: string; readonly for: string }[];
  /** What repeats in its file was followed up to here, and goes on; null: it holds all. */
  readonly until: string | null;
  readonly on: boolean;
  /** When that is otherwise; null: as far as is known it stays so. */
  readonly changes_at: string | null;
  readonly set_at: string;
  readonly set_by: string;
  /** Those that are not over. */
  readonly span_list: readonly { readonly from: string; readonly to: string }[];
  /** Names of schedules that go by it. */
  readonly schedules: readonly string[];
}

/** One change that somebody asked for. */
export interface AuditView {
  readonly id: number;
  /** The entry of the log that carried it. */
  readonly index: number;
  readonly at: string;
  /** `token` is "" where a node acted by itself. */
  readonly by: { readonly token: string; readonly name: string; readonly role: Role | "node" };
  /** The node that was asked; 0: nobody was, the leader changed the voters. */
  readonly node: number;
  readonly command: string;
  readonly what: string;
  /** "ok", or the code of the refusal. */
  readonly outcome: string;
  /** How many alike, one after the other, this stands for. */
  readonly times: number;
}

/** One of the cluster's authorities: public. */
export interface AuthorityView {
  readonly fingerprint: string;
  /** PEM. */
  readonly certificate: string;
  /** The same as the authority before vouches for it, PEM. */
  readonly crossed: string | null;
  readonly phase: "coming" | "issuing" | "leaving";
}

/** GET /v1/ca */
export interface AuthoritiesView {
  /** All that are believed now, PEM. */
  readonly ca: string;
  readonly authorities: readonly AuthorityView[];
  /** Those of before, the oldest first: each vouches for the next one, and so leads who knows one of them to the present one. */
  readonly former?: readonly { readonly certificate: string; readonly crossed: string | null }[];
  /** The API shows a certificate of the user's own, which is none of the cluster's. */
  readonly own_certificate: boolean;
}

/** One reason why something waits: a word for programs, a sentence for people. */
export interface ReasonView {
  readonly code: ReasonCode;
  readonly message: string;
  /** When it ends by itself, where that is known. */
  readonly until?: string;
}

export type ReasonCode =
  | "ended" // nothing waits any more
  | "cancelling"
  | "stopped" // nothing more of it is started (max_failures)
  | "held"
  | "start_at"
  | "after"
  | "key"
  | "pause" // before the next batch
  | "approval" // of the next batch
  | "batch" // those before it have not ended
  | "parallel"
  | "bundle" // no member has all of it any more
  | "given" // a node has more of its tasks than it runs at once
  | "backoff"
  | "no-node" // no node there is can run it
  | "no-room" // nodes that could are full, drained or away
  | "queue" // others come before it
  | "next"; // a node has room: it is about to start

/** How a node stands to a task that waits. */
export interface NodeReasonView {
  readonly node: number;
  readonly name: string;
  /** `never`: not as it is; `away`: takes no work now; `full`: no room now; `free`: the task could start there. */
  readonly state: "never" | "away" | "full" | "free";
  readonly reasons: readonly string[];
}

/** Tasks of a job that wait for the same. */
export interface WaitingView {
  readonly tasks: number;
  /** Their first task. */
  readonly first: number;
  /** With each_node: the only node that may run it. */
  readonly pinned?: number;
  readonly reasons: readonly ReasonView[];
  readonly nodes: readonly NodeReasonView[];
  /** Nodes beyond those that are listed. */
  readonly nodes_more?: number;
}

/** GET /v1/jobs/:id/explain */
export interface ExplainView {
  readonly job: number;
  readonly name: string;
  readonly state: JobState;
  readonly queued: number;
  readonly running: number;
  /** What keeps the whole job from starting more. */
  readonly reasons: readonly ReasonView[];
  readonly waiting: readonly WaitingView[];
  /** Waiting tasks that were not looked at one by one. */
  readonly waiting_more?: number;
  /** Jobs that come before it by priority and age (between submitters the share decides); null: it is in no queue. */
  readonly ahead: number | null;
}

/** One job of POST /v1/plan. */
export interface PlannedView {
  readonly name: string;
  readonly driver: string;
  readonly tasks: number;
  readonly slots: number;
  /** The first of its tasks, as they would be. */
  readonly first: readonly {
    readonly task: number;
    readonly index?: number;
    readonly matrix?: Readonly<Record<string, string | number | boolean>>;
    readonly target?: string;
  }[];
  /** How many batches they make, and how many tasks the first ones have. */
  readonly batches?: { readonly of: number; readonly sizes: readonly number[] };
  /** Where its tasks would start at once. */
  readonly placement: readonly { readonly node: number; readonly name: string; readonly tasks: number }[];
  /** Tasks that would wait, and why. */
  readonly waits: number;
  readonly reasons: readonly ReasonView[];
  readonly nodes: readonly NodeReasonView[];
  readonly nodes_more?: number;
}

/** POST /v1/plan. Nothing of it is stored. */
export interface PlanView {
  /** What a submit would be refused with; null: it would be accepted. */
  readonly refusal: {
    readonly code: string;
    readonly message: string;
    readonly details?: readonly { readonly path: string; readonly message: string }[];
  } | null;
  readonly jobs: readonly PlannedView[];
}

/** What whoever submits jobs under that name has; see tables/submitter.ts and tables/load.ts. */
export interface SubmitterView {
  readonly name: string;
  readonly weight: number;
  /** How many unfinished jobs they may have: their own limit, or everybody's; null: any number. */
  readonly jobs_max: number | null;
  /** How many they have; null: they are not counted, because nobody's are limited. */
  readonly jobs: number | null;
}

export type ScheduleState = "active" | "paused" | "ended";

/** A schedule: as it was written, with every default said, and how far it has come. */
export interface ScheduleView {
  readonly name: string;
  readonly description?: string;
  readonly cron?: string;
  readonly every?: string;
  readonly at?: string;
  readonly tz: string;
  readonly start?: string;
  readonly end?: string;
  readonly jitter?: string;
  readonly missed?: "latest" | "all" | "skip";
  readonly catch_up?: string;
  readonly missed_most?: number;
  readonly overlap?: "skip" | "queue" | "queue_all" | "replace" | "allow";
  /** By itself. */
  readonly paused: boolean;
  readonly limit?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
  readonly owner?: string;
  readonly history?: number;
  readonly calendars?: readonly string[];
  /** A job spec; not in lists. */
  readonly job?: Readonly<Record<string, unknown>>;
  readonly template?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly id: number;
  /** The log's index of its last change. */
  readonly revision: number;
  readonly state: ScheduleState;
  /** All schedules are paused together. */
  readonly mesh_paused: boolean;
  /** Jobs of its instants since it was set, which `limit` counts; not those that were fired by hand. */
  readonly runs: number;
  /** When it fires next, its jitter added; null: `no_next` says why. */
  readonly next: string | null;
  readonly no_next?: NoNextView;
  /** Its newest instant that was to make a job: which job, and how that fares; null and "refused": it could not be made. */
  readonly last: { readonly at: string; readonly job: number | null; readonly state: string | null } | null;
  /** How many instants in a row came to a job that failed, or to none that could be made. */
  readonly failing: number;
  readonly set_at: string;
  readonly set_by: string;
  /** The member that works it out; null: it has ended, or nobody can. */
  readonly node: number | null;
}

/** Why there is no next instant, or none behind some. */
export interface NoNextView {
  /** `shut`: its calendars let none of those that it has left fire; `far`: nor those before `looked_until`, and further ones were not looked at. */
  readonly reason: "paused" | "ended" | "shut" | "far";
  /** For people. */
  readonly message: string;
  readonly looked_until?: string;
}

/** An instant to come. */
export interface UpcomingView {
  readonly at: string;
  /** With a jitter: when it fires. */
  readonly due?: string;
  /** In the schedule's zone. */
  readonly local: string;
  /** What daylight saving does to it. */
  readonly note?: string;
}

/** GET /v1/schedules/:schedule */
export interface ScheduleDetailView extends ScheduleView {
  readonly upcoming: readonly UpcomingView[];
  /** Why there are fewer of them than it shows. */
  readonly upcoming_end?: NoNextView;
}

/** A line of a schedule's history: an instant that made a job, or a run of instants that made none for the same reason. */
export interface FireView {
  /** The instant, or the first one of the run. */
  readonly at: string;
  /** The last one of the run. */
  readonly until?: string;
  /** Of how many instants; absent: one. */
  readonly count?: number;
  /** There are more of them, which were not counted to the end. */
  readonly at_least?: boolean;
  readonly fired_at?: string;
  /** How much later than its instant and its jitter. */
  readonly lag_ms?: number;
  readonly job?: number;
  /** How its job ended, or what it does now; absent: it is forgotten. */
  readonly state?: string;
  readonly reason?: "missed" | "overlap" | "paused" | "window" | "limit" | "refused";
  /** "by NAME" of one that somebody asked for; why a job could not be made. */
  readonly message?: string;
}

/** What became of a schedule that was set. */
export interface SetScheduleView {
  readonly name: string;
  readonly id: number;
  readonly revision: number;
  /** False: it was as it is. */
  readonly changed: boolean;
}

/** Who works out how many schedules, and what a change of the members would move. */
export interface ScheduleOwnersView {
  readonly ring: ScheduleRing;
  readonly schedules: number;
  /** Of these: to be looked at within a minute. */
  readonly due: number;
  /** Of whoever has most, over everybody's share; null: there are none. */
  readonly max_over_mean: number | null;
  /** Those that work out schedules now, and those that would. */
  readonly members: readonly ScheduleOwnerView[];
  readonly change?: {
    readonly moved: number;
    /** Of all schedules, and what cannot be avoided by any rule that gives everybody as many. */
    readonly moved_share: number;
    readonly ideal_share: number;
    /** Between two members that were there before and stay. */
    readonly needless: number;
    readonly max_over_mean: number | null;
  };
}

/** rendezvous: what members go by; tooz: the ring of OpenStack's tooz, to compare with. */
export type ScheduleRing = "rendezvous" | "tooz";

export interface ScheduleOwnerView {
  readonly node: number;
  /** null: it is not there yet. */
  readonly name: string | null;
  /** The zones' data that it goes by; null: it has not said, or is not there yet. */
  readonly zones: string | null;
  readonly schedules: number;
  readonly share: number;
  readonly due: number;
  /** After the change that was asked about; without a word of one it is not told. */
  readonly after?: number;
}

/** An inventory: what is in force, and what sets it. */
export interface InventoryView {
  readonly name: string;
  /** 0: its command has given nothing yet. */
  readonly version: number;
  readonly hosts: number;
  readonly groups: number;
  readonly set_at: string;
  readonly set_by: string;
  readonly source?: InventorySourceView;
}

/** The command that an inventory is set by, and how that goes. */
export interface InventorySourceView {
  readonly command: string | readonly string[];
  readonly every: string;
  readonly format: "json" | "ini" | "list";
  readonly on?: string;
  readonly timeout?: string;
  readonly by: string;
  /** When it is run next. */
  readonly next_at: string | null;
  /** That runs it now. */
  readonly job?: number;
  /** When it last gave something good; null: never yet. */
  readonly good_at: string | null;
  /** Why it gives nothing good, since when and how often; absent: it does. */
  readonly failing?: { readonly since: string; readonly times: number; readonly reason: string };
}

/** One inventory with its groups, as one version has them. */
export interface InventoryDetailView extends InventoryView {
  /** Which version the groups are of. */
  readonly shown: number;
  readonly group_list: readonly {
    readonly name: string;
    /** Those of its children as well. */
    readonly hosts: number;
    readonly children: readonly string[];
    readonly vars: Readonly<Record<string, unknown>>;
  }[];
}

/** A version of an inventory that can be put back. Counts: what is other than in the one before. */
export interface InventoryVersionView {
  readonly version: number;
  readonly at: string;
  readonly by: string;
  readonly origin: string;
  readonly hosts: number;
  readonly groups: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly changed_groups: number;
}

/** What an inventory says of a host. */
export interface InventoryHostView {
  readonly host: string;
  readonly version: number;
  readonly groups: readonly string[];
  readonly vars: Readonly<Record<string, unknown>>;
}

/** What came of setting an inventory. */
export interface SetInventoryView {
  readonly name: string;
  /** In force now. */
  readonly version: number;
  /** False: it was as it is. */
  readonly changed: boolean;
  readonly hosts: number;
  readonly groups: number;
  readonly differences: {
    readonly added: number;
    readonly removed: number;
    readonly changed: number;
    readonly groups: number;
  };
}

/** What is known of a target. */
export interface FactsView {
  readonly target: string;
  readonly at: string;
  /** That has asked it. */
  readonly job: number;
  readonly facts: Readonly<Record<string, string>>;
  /** What was other the time before: what it was, and what it is. */
  readonly changed: Readonly<Record<string, readonly [string | null, string | null]>>;
}
