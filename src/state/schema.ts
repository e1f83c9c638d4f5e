/** What is taken out of a copy that leaves the cluster as a backup: who reads a join token's hash can join with it (K1). */
export const backupBlanks: readonly string[] = ["update token set hash = '' where kind = 'join'"];

/**
 * The tables of state.db. `meta` (applied index, rolling hash) belongs to storage and is not among them.
 *
 * A job is one row until its tasks differ: a task row appears when the task is first assigned (task >= job.next_task: no
 * row, its state is job.rest), so a million-task array is stored as cheaply as a single task. Tasks that a node is given together are one row
 * of `unit` until they differ (tables/unit.ts), and the names of its targets are kept once for all jobs with the same (tables/target.ts). The tasks of an each_node job have rows
 * from the beginning, pinned to their node. The only task of a job has no row before its second attempt. Counts live on the job row; `queued` is what is left of `tasks`.
 */
export const schema: readonly string[] = [
  `create table cluster (
    id integer primary key check (id = 1),
    cluster text not null,
    level integer not null,
    voters_wanted integer not null,
    created_at integer not null
  ) strict`,

  // One row. Ids are given from here and never twice; totals are kept so that nothing has to be counted.
  `create table counter (
    id integer primary key check (id = 1),
    at integer not null default 0,
    next_node integer not null default 1,
    next_job integer not null default 1,
    submitted integer not null default 0,
    succeeded integer not null default 0,
    failed integer not null default 0,
    cancelled integer not null default 0,
    skipped integer not null default 0,
    jobs_unfinished integer not null default 0,
    jobs_finished integer not null default 0,
    tasks_running integer not null default 0,
    tasks_queued integer not null default 0
  ) strict`,
  `insert into counter (id) values (1)`,

  // "drained": a person drained it and has not taken that back, which a loss in between does not change.
  `create table node (
    id integer primary key,
    name text not null unique,
    incarnation text not null,
    api text not null,
    peer text not null,
    labels text not null,
    slots integer not null,
    io_tasks integer not null,
    level integer not null,
    version text not null,
    state text not null,
    drained integer not null default 0,
    joined_at integer not null,
    seen_at integer not null
  ) strict`,

  `create table job (
    id integer primary key,
    name text not null,
    state text not null default 'queued',
    tasks integer not null,
    next_task integer not null default 0,
    rest text not null default 'queued',
    cancelling integer not null default 0,
    partial integer not null default 0,
    reason text,
    running integer not null default 0,
    succeeded integer not null default 0,
    failed integer not null default 0,
    timeout integer not null default 0,
    lost integer not null default 0,
    cancelled integer not null default 0,
    skipped integer not null default 0,
    submitted_at integer not null,
    started_at integer,
    finished_at integer,
    expires_at integer,
    submitted_by text not null,
    tail_bytes integer not null default 0,
    spec text not null
  ) strict`,
  `create index job_open on job (id) where finished_at is null`,
  // tables/only-task.ts: the first attempt of a job's only task, while it runs and, unless it is tried again, for ever.
  "alter table job add column only_node integer",
  "alter table job add column only_fence integer",
  "alter table job add column only_started_at integer",
  "alter table job add column only_end text",
  "alter table job add column only_tail blob",
  "create index job_only_running on job (only_node) where running = 1 and only_node is not null",
  `create index job_expiry on job (expires_at) where expires_at is not null`,

  `create table task (
    job integer not null,
    task integer not null,
    state text not null,
    attempt integer not null,
    node integer,
    pin integer,
    target text,
    fence integer not null default 0,
    tries integer not null default 0,
    losses integer not null default 0,
    not_before integer not null default 0,
    started_at integer,
    finished_at integer,
    exit_code integer,
    signal text,
    reason text,
    log_bytes integer,
    log_sha256 text,
    tail_dropped integer not null default 0,
    tail blob,
    primary key (job, task)
  ) strict, without rowid`,
  `create index task_running on task (node, job) where state = 'running'`,
  `create index task_waiting on task (job) where state = 'queued'`,

  // Attempts that ended and were followed by another one.
  `create table attempt (
    job integer not null,
    task integer not null,
    attempt integer not null,
    node integer,
    state text not null,
    started_at integer,
    finished_at integer,
    exit_code integer,
    signal text,
    reason text,
    log_bytes integer,
    log_sha256 text,
    primary key (job, task, attempt)
  ) strict, without rowid`,

  `create table token (
    id text primary key,
    kind text not null,
    hash text not null,
    name text not null,
    role text not null,
    expires_at integer,
    uses integer,
    revoked integer not null default 0,
    node integer
  ) strict, without rowid`,

  // "unexpired": jobs of the key that still exist. A key goes when that is 0 and its 24 h are over.
  `create table idempotency (
    token text not null,
    key text not null,
    digest text not null,
    first integer not null,
    count integer not null,
    unexpired integer not null,
    keep_until integer not null,
    primary key (token, key)
  ) strict, without rowid`,
  `create unique index idempotency_first on idempotency (first)`,
  `create index idempotency_dead on idempotency (keep_until) where unexpired = 0`,

  // S3: outcomes of batches that their origin may still ask for, and from which serial on.
  `create table batch_floor (origin integer primary key, floor integer not null) strict`,
  `create table batch_outcome (
    origin integer not null,
    serial integer not null,
    entry integer not null,
    outcomes text not null,
    primary key (origin, serial)
  ) strict, without rowid`,

  // Who asked for what: "class" bounds jobs and the rest apart, "number" counts within it.
  `create table audit (
    seq integer primary key,
    class text not null,
    number integer not null,
    entry integer not null,
    at integer not null,
    token text not null,
    name text not null,
    role text not null,
    origin integer not null,
    command text not null,
    what text not null,
    outcome text not null,
    times integer not null
  ) strict`,
  `create unique index audit_class on audit (class, number)`,

  // What a person asked for beside what the node says of itself: labels that outlive its restarts, and whether it is to vote. In tables
  // of their own, so that entries of level 1 lead to the rows that they always led to.
  `create table node_label (node integer primary key, labels text not null) strict`,
  `create table node_wish (node integer primary key, wish text not null) strict`,

  // Nodes whose state differs from the others', and the entry at which that was found.
  `create table node_quarantine (node integer primary key, entry integer not null) strict`,

  // A row: a person keeps the leader from raising the level.
  `create table level_hold (id integer primary key check (id = 1)) strict`,

  // A row: heartbeat and election timeout are not what a new cluster begins with.
  `create table timing (id integer primary key check (id = 1), heartbeat_ms integer not null, election_timeout_ms integer not null) strict`,

  // Public certificates alone (K1): of the authorities that are believed, and what each member shows. Holders know an authority's key.
  `create table authority (
    fingerprint text primary key,
    certificate text not null,
    crossed text,
    phase text not null
  ) strict, without rowid`,
  `create table node_certificate (
    node integer primary key,
    fingerprint text not null,
    authority text not null,
    expires_at integer not null,
    trusted text not null
  ) strict`,
  // Those of before, the oldest first: whoever knows one of them is led to the present one, and a removed node is known by it.
  `create table authority_former (
    number integer primary key,
    fingerprint text not null,
    certificate text not null,
    crossed text
  ) strict`,
  `create table authority_holder (
    authority text not null,
    node integer not null,
    primary key (authority, node)
  ) strict, without rowid`,

  // Values that only voters can read (K1): "key" names the authority whose key they are encrypted with (node/secrets.ts), "job" an unfinished one.
  `create table secret (
    name text primary key,
    revision integer not null,
    key text not null,
    sealed blob not null,
    set_at integer not null,
    set_by text not null
  ) strict, without rowid`,
  `create table secret_use (secret text not null, job integer not null, primary key (secret, job)) strict, without rowid`,
  // Jobs that wait for more than a node (gates.ts, tables/gate.ts). A plain job has null in both columns and is in none of the tables.
  "alter table job add column gate integer",
  "alter table job add column ties integer",
  // While the job is unfinished. "turn": 0 waits for its other gates, 1 for its key alone, 2 has the key.
  `create table job_gate (
    job integer primary key,
    start_at integer,
    deadline_at integer,
    after_left integer not null default 0,
    key text,
    turn integer not null default 0
  ) strict`,
  `create index job_gate_start on job_gate (start_at) where start_at is not null`,
  `create index job_gate_deadline on job_gate (deadline_at) where deadline_at is not null`,
  `create index job_gate_key on job_gate (key, turn, job) where key is not null`,
  // Who waits for the end of whom, until that was told.
  `create table job_after (
    parent integer not null,
    child integer not null,
    condition text not null,
    primary key (parent, child)
  ) strict, without rowid`,
  // What one command left to be done by later ones: ended jobs whose children are to be told, and keys whose jobs before one are to be cancelled.
  `create table job_release (parent integer primary key, state text not null) strict`,
  `create table job_replace (key text primary key, before integer not null) strict, without rowid`,
  // The same: jobs that were stopped, and of which tasks wait that are to end (tables/stopped.ts).
  `create table job_stopped (job integer primary key) strict`,

  // Where a job comes from, when nobody wrote its spec for it: {"retry_of": 5}, as JSON.
  "alter table job add column origin text",
  // Of a job that retries some tasks of another one: which tasks of its spec its own are (tables/pick.ts), some ranges a row. "first": the number of the row's first task.
  `create table pick (
    job integer not null,
    first integer not null,
    tasks text not null,
    primary key (job, first)
  ) strict, without rowid`,
  // Jobs that are gone, and whose tasks' rows are going (forgetting.ts).
  `create table remains (job integer primary key) strict`,
  // Which node has the copy of a node's pack of logs (N1): a row for a pack, however many tasks are in it.
  `create table pack_copy (node integer not null, pack text not null, holder integer not null, primary key (node, pack)) strict, without rowid`,
  `create index pack_copy_holder on pack_copy (holder)`,
  // What was added to the timeouts of running attempts.
  `create table task_extension (
    job integer not null,
    task integer not null,
    attempt integer not null,
    ms integer not null,
    primary key (job, task)
  ) strict, without rowid`,
  // What the node has beside slots (lib/resources.ts), as JSON; null: it has not said so.
  "alter table node add column resources text",

  // Job specs with parameters, as they were written (tables/template.ts). The floor: the highest revision of those that were removed.
  `create table template (
    name text primary key,
    revision integer not null,
    description text,
    parameters text not null,
    spec text not null,
    set_at integer not null,
    set_by text not null
  ) strict, without rowid`,
  `create table template_floor (id integer primary key check (id = 1), revision integer not null) strict`,
  // The share of whoever submits jobs under that name (tables/submitter.ts).
  `create table submitter (name text primary key, weight integer not null) strict, without rowid`,
  // A row: fewer jobs are taken or kept than may be (tables/bounds.ts).
  `create table job_bounds (id integer primary key check (id = 1), unfinished integer not null, finished integer not null) strict`,
  // How many unfinished jobs submitters may have and, where anybody's are limited, have (tables/load.ts).
  `create table submitter_limit (name text primary key, jobs integer not null) strict, without rowid`,
  `create table submitter_load (name text primary key, jobs integer not null) strict, without rowid`,
  "alter table counter add column counting integer",
  // How nodes are chosen (tables/placement.ts); null: spread.
  "alter table cluster add column placement text",
  // Dead letters (dead.ts): jobs that have failed and were not run again, which is what "replayed" says, with the id of the new job.
  "alter table job add column replayed integer",
  "create index job_dead on job (id) where state = 'failed' and replayed is null",
  "alter table counter add column dead integer",
  // Tasks of an array that a node has been given together (tables/unit.ts): what is known of them is packed into "runs".
  `create table unit (
    job integer not null,
    first integer not null,
    count integer not null,
    node integer not null,
    fence integer not null,
    width integer not null,
    running integer not null,
    runs blob,
    primary key (job, first)
  ) strict, without rowid`,
  // The voters as the audit said last (voters-audit.ts), as JSON.
  `create table noted_voters (id integer primary key check (id = 1), nodes text not null) strict`,
  `create index unit_running on unit (node, job) where running > 0`,
  // Since when a node is lost; of one that is not it says nothing.
  "alter table node add column lost_at integer",
  // The targets of jobs (tables/target.ts): lists of names, called by their digest, with how many jobs each has.
  `create table target_list (hash text primary key, count integer not null, jobs integer not null) strict, without rowid`,
  `create index target_list_unused on target_list (hash) where jobs = 0`,
  `create table target_names (list text not null, first integer not null, names text not null, primary key (list, first)) strict, without rowid`,
  `create table target_index (bucket integer not null, list text not null, entries blob not null, primary key (bucket, list)) strict, without rowid`,
  `create table job_target (list text not null, job integer not null, primary key (list, job)) strict, without rowid`,
  // Of each_node jobs: what was run on a node, newest first.
  "create index task_target on task (target, job) where target is not null",
  // Of jobs with batches (rolling.ts): tasks before this one may begin, so many had succeeded when the batch began, and until then the next one is put off.
  "alter table job_gate add column batch_end integer",
  "alter table job_gate add column batch_succeeded integer",
  "alter table job_gate add column pause_until integer",
  "create index job_gate_pause on job_gate (pause_until) where pause_until is not null",
  // Bundles (tables/bundle.ts): trees by their digest, what names stand for, and which nodes have them.
  `create table bundle (digest text primary key, bytes integer not null, files integer not null, copies integer not null, names integer not null, jobs integer not null) strict, without rowid`,
  "create index bundle_unused on bundle (digest) where names = 0 and jobs = 0",
  `create table bundle_version (
    name text not null,
    version integer not null,
    digest text not null,
    set_at integer not null,
    set_by text not null,
    source text,
    primary key (name, version)
  ) strict, without rowid`,
  `create table bundle_holder (digest text not null, node integer not null, primary key (digest, node)) strict, without rowid`,
  "create index bundle_holder_node on bundle_holder (node)",
  // Inventories (tables/inventory.ts). Whatever nothing has any more, or yet, goes some time after "at".
  `create table inventory (
    name text primary key,
    version integer not null,
    content text,
    hosts integer not null,
    groups integer not null,
    set_at integer not null,
    set_by text not null,
    source text,
    source_by text,
    due_at integer,
    job integer,
    good_at integer,
    failed_at integer,
    failures integer not null,
    failure text
  ) strict, without rowid`,
  `create table inventory_floor (id integer primary key check (id = 1), version integer not null) strict`,
  `create table inventory_version (
    inventory text not null,
    version integer not null,
    content text not null,
    hosts integer not null,
    groups integer not null,
    added integer not null,
    removed integer not null,
    changed integer not null,
    changed_groups integer not null,
    at integer not null,
    by text not null,
    origin text not null,
    primary key (inventory, version)
  ) strict, without rowid`,
  `create table inventory_content (content text primary key, uses integer not null, at integer not null) strict, without rowid`,
  `create index inventory_content_unused on inventory_content (at) where uses = 0`,
  `create table inventory_piece (hash text primary key, uses integer not null, at integer not null, text text not null) strict`,
  `create index inventory_piece_unused on inventory_piece (at) where uses = 0`,
  `create table job_inventory (job integer not null, content text not null, primary key (job, content)) strict, without rowid`,
  // What is known of targets, and jobs that ask them (tables/fact.ts).
  `create table fact (target text primary key, at integer not null, job integer not null, facts text not null, changed text not null) strict, without rowid`,
  `create index fact_age on fact (at, target)`,
  `create table fact_job (job integer primary key, next integer not null) strict`,
  // Playbooks, over their hosts that have ended (tables/recap.ts).
  `create table playbook_recap (
    job integer primary key,
    tasks integer not null,
    ok integer not null,
    failed integer not null,
    changed_hosts integer not null,
    unreachable_hosts integer not null
  ) strict`,
  // What a job has found to be other than before, while the job is there.
  `create table fact_change (job integer not null, target text not null, changed text not null, primary key (job, target)) strict, without rowid`,
  // The repositories that bundles are pinned from by themselves (tables/bundle-source.ts).
  `create table bundle_source (
    name text primary key,
    url text not null,
    ref text,
    subdir text,
    key text,
    copies integer not null,
    timeout_ms integer not null,
    every_ms integer,
    webhook text,
    revision integer not null,
    set_at integer not null,
    set_by text not null,
    due_at integer,
    asked integer not null,
    asked_by text,
    commit_id text,
    version integer,
    tried_at integer,
    tried_by text,
    good_at integer,
    failed_at integer,
    failures integer not null,
    failure text
  ) strict, without rowid`,
  "create index bundle_source_due on bundle_source (due_at) where due_at is not null",
  // Schedules (tables/schedule.ts). Nobody holds them in memory: "check_at" says when one is looked at next.
  `create table schedule (
    id integer primary key,
    name text not null,
    revision integer not null,
    definition text not null,
    former text,
    paused integer not null,
    watermark integer not null,
    check_at integer,
    runs integer not null,
    fires integer not null,
    fired_at integer,
    job integer,
    last_state text,
    failing integer not null,
    set_at integer not null,
    set_by text not null
  ) strict`,
  "create unique index schedule_name on schedule (name)",
  "create index schedule_check on schedule (check_at) where check_at is not null",
  // What their instants came to, newest last by "seq": "count" instants from "at" to "until" alike in one row (tables/schedule-fire.ts).
  `create table schedule_fire (
    schedule integer not null,
    seq integer not null,
    at integer not null,
    until integer not null,
    count integer not null,
    reason text,
    fired_at integer not null,
    job integer,
    state text,
    message text,
    primary key (schedule, seq)
  ) strict, without rowid`,
  // Unfinished jobs of fires.
  `create table schedule_open (job integer primary key, schedule integer not null, seq integer not null) strict`,
  "create index schedule_open_of on schedule_open (schedule)",
  // Schedules that are gone, and whose lines of history are going (forgetting.ts).
  `create table schedule_remains (schedule integer primary key) strict`,
  // Which schedules go by which calendars.
  `create table schedule_calendar (calendar text not null, schedule integer not null, primary key (calendar, schedule)) strict, without rowid`,
  // One row: what concerns all of them (tables/schedule-scope.ts).
  `create table schedule_scope (id integer primary key check (id = 1), scope integer not null, next_schedule integer not null, paused_at integer, pauses text not null) strict`,
  // How many instants came to what, by reason; "fired" among them.
  `create table schedule_total (what text primary key, count integer not null) strict, without rowid`,
  // Which zones' data it goes by (lib/zone-data.ts); null: it has not said.
  "alter table node add column zones text",
  // When schedules do not fire, or only then (tables/calendar.ts).
  `create table calendar (
    name text primary key,
    revision integer not null,
    description text,
    bytes integer not null,
    spans integer not null,
    windows integer not null,
    until integer,
    set_at integer not null,
    set_by text not null,
    events text not null
  ) strict`,
];
