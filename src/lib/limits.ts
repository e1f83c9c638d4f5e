import { assert } from "./assert.ts";

/**
 * Every limit in one place (L1). Past one: a typed refusal (429, 413, 422 with a reason), never a slow death.
 * Units are in the names. The relations between them are asserted below, when the program starts.
 */
export const limits = {
  // HTTP
  bodyBytes: 16 * 1024 * 1024,
  specsPerRequest: 10_000,
  /** A request larger than this is looked at in turns of at most that length, between which the node lives on: no request may keep a leader from saying that it leads. */
  atOnceBytes: 128 * 1024,
  turnMs: 10,
  /** A turn that was asked for so long ago does not come any more. */
  turnLostMs: 10_000,
  /** Of a request's specs: once so many are wrong with it, those behind are not looked at any more. */
  problemsPerRequest: 1_000,
  listDefault: 100,
  listMax: 1000,
  /** Of specs or ends of output on one page of a list, which then goes on with `next`; one item is always there. */
  pageBytes: 4 * 1024 * 1024,
  /** Of specs that are looked through for one page, where a filter matches few. */
  scanBytes: 32 * 1024 * 1024,
  waitMs: 10 * 60_000,
  /** A write that no leader has been handed yet is kept for this long, then 503. */
  unroutedWriteMs: 2_000,
  /** Writes of one node's callers without an outcome, and what they weigh; more are answered 429. */
  pendingWrites: 50_000,
  pendingWriteBytes: 128 * 1024 * 1024,
  /** A linearizable read waits this long for a leader and for the state to reach the index, then 503. */
  readWaitMs: 5_000,
  /** A look at the cluster waits this long for the leader to say who does not answer it. */
  silenceAskMs: 300,
  idempotencyKeyLength: 128,
  idempotencyKeepMs: 24 * 3_600_000,
  watchersPerNode: 20_000,
  /** Changes that a reader of events may be behind before it is disconnected. */
  watcherBacklogChanges: 50_000,
  /** That a reader of events names; who wants more reads all. */
  eventJobs: 1000,
  /** Silence on an event or log stream after which a comment is sent, so that both ends notice a dead connection. */
  streamKeepAliveMs: 15_000,
  /** Whoever reads a backup takes the next piece of it within this time, or is sent away: a node makes one at a time. */
  backupStallMs: 60_000,
  joinBodyBytes: 64 * 1024,
  /** Of a certificate, or a request for one, as text. */
  certificateBytes: 8 * 1024,
  /** Names of hosts in one certificate. */
  certificateHosts: 32,
  /** `tail` of a log looks this far back for its lines. */
  logTailBytes: 8 * 1024 * 1024,
  logPageBytes: 256 * 1024,
  /** Of events on the disk, for readers that were away; a file of them is dropped at a time. */
  eventsKeptBytes: 256 * 1024 * 1024,
  eventSegmentBytes: 1024 * 1024,
  /** Of events in memory, near enough: most readers were away for less. */
  eventsInMemoryBytes: 32 * 1024 * 1024,
  eventsInMemoryMs: 10 * 60_000,

  // Jobs
  arrayTasks: 10_000_000,
  /** Of `array`, as text. */
  arrayTextLength: 64 * 1024,
  /** Combinations of a matrix' values, before anything is excluded. */
  matrixPoints: 1_000_000,
  matrixKeys: 64,
  /** Entries of exclude, and of include. */
  matrixRules: 256,
  /** A matrix with its rules, as JSON. */
  matrixBytes: 128 * 1024,
  /** Targets of one job. */
  targetsPerJob: 100_000,
  /** Of one name, and of the names of all jobs of a request together: what a leader checks, and every node writes, at once. */
  targetLength: 253,
  targetBytes: 8 * 1024 * 1024,
  /** Names that are asked for at once; tasks and jobs that are looked at for a page of results, and jobs where no names are given. */
  resultTargets: 1_000,
  resultsLooked: 10_000,
  resultJobsLooked: 50_000,
  /** What was written for the targets is kept in the spec up to here; of more only the list is (state/targets.ts). Every task's spec is read. */
  targetTextKept: 4 * 1024,
  // Inventories and facts (state/tables/inventory.ts, state/tables/fact.ts)
  inventories: 1_000,
  inventoryNameLength: 64,
  /** Whose variables a job's targets have. */
  inventoriesPerJob: 100,
  inventoryHosts: 100_000,
  inventoryGroups: 10_000,
  /** Variables of one host or group, and of all of an inventory, as JSON. */
  inventoryVarsEach: 64 * 1024,
  inventoryVars: 8 * 1024 * 1024,
  /** Former ones that can be put back. */
  inventoryVersions: 20,
  /** Of an inventory, as a row: about so large, and never larger (one host with its variables and groups fits). */
  inventoryPieceBytes: 32 * 1024,
  inventoryPieceMost: 512 * 1024,
  /** Of pieces that go in one command. */
  inventoryPutBytes: 1024 * 1024,
  /** Pieces that nothing names stay so long: whoever sends them names them then. */
  inventoryPieceKeepMs: 600_000,
  inventoryPiecesSwept: 200,
  inventoryEveryMinMs: 10_000,
  inventoryCommandLength: 8 * 1024,
  inventoryTimeoutMs: 60_000,
  inventoryOutputBytes: 16 * 1024 * 1024,
  factTargets: 200_000,
  factBytes: 4 * 1024,
  factKeys: 64,
  factsPerCommand: 500,

  /** A list goes as so many rows as it has names, through this. */
  targetsPerSweptRow: 20,
  /** Targets of a job that a node is given together before it is known how long they take. */
  unitTargets: 30,
  // Calendars (lib/calendar-events.ts)
  calendars: 1_000,
  calendarSpans: 10_000,
  calendarWindows: 32,
  calendarWindowMs: 366 * 86_400_000,
  /** Of one, as JSON, of those that are read for one page of a list, and of all together. */
  calendarBytes: 1024 * 1024,
  calendarPageBytes: 1024 * 1024,
  calendarsBytes: 64 * 1024 * 1024,
  /** Days and times that are looked at for all that repeats in a file (lib/ical-walk.ts). */
  calendarSteps: 2_000_000,
  /** Schedules that are named where one keeps a calendar from going. */
  calendarSchedulesNamed: 10,
  templates: 1_000,
  // Schedules
  schedules: 5_000_000,
  schedulesPerRequest: 1_000,
  /** In the address of a request. */
  schedulesNamed: 100,
  /** So that the key of its jobs ("cron:NAME") is one as well. */
  scheduleNameLength: 128,
  scheduleBytes: 256 * 1024,
  scheduleTags: 32,
  scheduleCalendars: 16,
  /** Changes of when a schedule fires, and of these and its pauses together, of which instants are not dealt with yet. */
  scheduleChangesAhead: 64,
  schedulePausesAhead: 1_000,
  /** Pauses of the whole mesh that are remembered: a schedule that was not looked at since an older one fires what fell into that. */
  schedulePauses: 1_000,
  firesKept: 1_000,
  /** With `missed: all`. */
  firesMadeUp: 1_000,
  /** An instant that is looked at later than this is missed: what becomes of it is for the schedule to say. Before that it fires, late. */
  fireLateMs: 10_000,
  /** An instant that finds no room among all unfinished jobs waits for it so long; then it is refused, and not missed. */
  fireRoomMs: 5_000,
  /** Unfinished jobs of before a schedule's `overlap` was changed, that the next one waits for; so many of all its unfinished ones are looked at for that. */
  formerJobs: 100,
  formerJobsLooked: 1_000,
  /** The leader looks after schedules that their owner has left alone for so long. */
  fireCoverMs: 1_000,
  stepsPerCommand: 256,
  stepsInFlight: 2_048,
  /** Lines of history that the steps of one command write at most, a job with each that fires; and those that one member has under way. */
  linesPerCommand: 2_000,
  linesInFlight: 8_000,
  /** Of one step: past any of these the rest follows in another one. */
  skipsPerStep: 200,
  firesPerStep: 1_100,
  instantsPerStep: 50_000,
  /** Instants of a pause or of long ago are counted up to here. */
  instantsCounted: 10_000,
  /** A template's parameters and spec, as JSON. */
  templateBytes: 256 * 1024,
  templateParameters: 64,
  /** Of the tasks that a retry chooses, as ranges. */
  pickTextLength: 2 * 1024 * 1024,
  /** Dead letters that one command runs again, and one request. */
  replayedPerCommand: 256,
  replayedPerRequest: 1_000,
  /** Rows of pinned tasks that it makes, before it leaves the rest to the next one. */
  replayedRows: 1_000,
  /** Rows of tasks that are looked at in one go for a choice among them. */
  chooseRows: 20_000,
  /** Rows of tasks that go with their jobs in one entry; those of larger jobs go in steps, after their job. */
  forgetRows: 10_000,
  forgetAtOnceRows: 1_000,
  sweepRows: 5_000,
  /** Of all submitters together, and finished ones that are kept; fewer where the cluster is told so (state/tables/bounds.ts). */
  unfinishedJobs: 5_000_000,
  finishedJobs: 1_000_000,
  /** Whoever waits for a job is to find it once it has ended. */
  finishedJobsMin: 100,
  /** Jobs that a new leader lets in before its state has what was logged before it: by no more may the bounds be passed. */
  admittedUnseen: 10_000,
  jobTtlMs: 7 * 86_400_000,
  nameLength: 200,
  /** Of an expression of cron. */
  cronLength: 500,
  labelLength: 128,
  labelsPerThing: 64,
  environmentBytes: 128 * 1024,
  commandBytes: 1024 * 1024,
  stdinBytes: 8 * 1024 * 1024,
  tailDefaultBytes: 2 * 1024,
  tailMaxBytes: 64 * 1024,
  tailPerJobBytes: 64 * 1024 * 1024,
  logKeepBytes: 64 * 1024 * 1024,
  lostRetries: 10,
  reportBytes: 1024 * 1024,
  /** Of the words that say why an attempt ended as it did. */
  reasonLength: 4096,
  assignmentsPerEntry: 1024,
  /** Tasks that a node is given together, at most (state/tables/unit.ts). */
  unitTasks: 4096,
  /** Tasks of one job that a node has been given and that have not ended, in units whose size was not asked for. */
  unitTasksOut: 8192,
  /** A unit whose size is not asked for keeps its node busy for about so long. */
  unitMs: 250,
  /** What waits at a node beyond what it runs is about so much of its work (scheduler/ahead.ts), and no more tasks than this. */
  aheadMs: 150,
  aheadTasks: 4096,
  /** A node whose way there and back is longer is given what it ends in this time. */
  aheadWayMs: 2_000,
  /** Tasks are short that take no longer in the mean, once so many have ended. */
  aheadTaskMs: 50,
  aheadSeen: 16,
  /** A node gives back what has waited there for room for so long. */
  aheadReturnMs: 1_000,
  /** Steps of what a leader's view takes in, between which others may have their turn: changes of one entry, and jobs that are read for them. */
  viewStepChanges: 256,
  viewStepJobs: 128,
  expirePerEntry: 500,
  /** Counted by submitter in one entry, when that begins. */
  countedJobs: 5_000,
  /** Submitters that are shown because of how many jobs they have. */
  loadsShown: 100,
  /** The largest share of one submitter. */
  shareWeight: 1_000,
  /** Named resources of a task, and of a node. */
  resourcesPerSpec: 16,
  resourcesPerNode: 32,
  /** Jobs beside its own that one command opens, skips or cancels; the rest is done by later entries (state/gates.ts). */
  releasesPerCommand: 256,
  /** Tasks that wait and that one command ends, of a job that is stopped; the rest is done by later entries (state/ending.ts). */
  stoppedPerCommand: 1_024,
  /** Jobs that one job waits for, and all jobs of a request together. */
  afterPerJob: 10_000,
  afterPerRequest: 50_000,
  jobKeyLength: 200,
  /** Sizes of batches that a spec lists; the last one repeats. */
  batchSizes: 100,
  /** Nodes that are gone through one by one to say why a task waits, and waiting tasks; the rest is counted. */
  explainNodes: 200,
  explainTasks: 1_000,
  /** Jobs that are named where one waits for others. */
  explainParents: 10,
  /** Tasks of a planned job that are shown one by one. */
  planTasksShown: 20,

  // Leases (J3)
  leaseMs: 6_000,
  leaseRenewMs: 1_500,
  lostAfterMs: 8_000,
  /** What a lease names beside what was asked for, and the state has not reached: so much is told apart. */
  coversPending: 64,
  /** An attempt that its node has not begun by then goes to another one that could begin it. */
  recallAfterMs: 2_000,
  /** A wall clock that is further off the members' median is reported, and its node leads only while no other can (J4). */
  clockToleranceMs: 5_000,
  /** The leader assigns nothing to a node that is further behind than this. */
  assignLagEntries: 1_000,
  assignLagMs: 250,

  // Elections (raft/)
  /** The unit of consensus' time: its intervals are whole numbers of it. */
  tickMs: 10,
  heartbeatMs: 50,
  heartbeatMaxMs: 250,
  /** T: without a word of the leader for T to 2T a follower asks for votes. */
  electionTimeoutMs: 600,
  electionTimeoutMaxMs: 2_000,
  /** T is at least so many heartbeats. At rest every second one is left out. */
  heartbeatsPerTimeout: 8,

  // Members (scheduler/voters.ts)
  /** A learner this close may vote, once it has been so for promoteStableMs without a break. */
  promoteLagEntries: 100,
  promoteStableMs: 300,
  /** A voter that was silent for this long gives its place to a learner that is ready. */
  replaceVoterMs: 10_000,

  // Learners fed by other members (node/relay*.ts)
  /** So many learners are fed by the leader itself; when there are more, all are fed through a tree. */
  relayDirectLearners: 8,
  /** So many members a node that has just joined a large mesh dials before it knows whom it is to meet. */
  relayFirstContacts: 3,
  /** Learners that one member feeds. */
  relayFanOut: 8,
  /** Entries of one stretch of the hash chain, which begins anew after each. */
  relayChainEntries: 256,
  /** Positions whose chain value is remembered, so that what is passed on is what was checked. */
  relayChainKept: 16_384,
  /** What has gathered for so long is sent down together. */
  relayFlushMs: 20,
  /** A learner with nothing new is answered after this, so that silence means something. */
  relayIdleMs: 450,
  /** No answer for this long: another feeder is asked. */
  relaySilenceMs: 1_000,
  /** The leader's word is older than this when it comes: another feeder is asked. Each hop from the root on allows as much more. */
  relayStaleMs: 2_000,
  relayStalePerHopMs: 500,
  /** A change of positions is told upward after this, together with others; what has not changed, every relayReportMs. */
  relayReportSoonMs: 50,
  relayReportMs: 1_000,
  /** A learner of which nothing was reported for this long is fed by the leader itself. */
  relayUnheardMs: 3_000,
  /** A learner that a feeder sends to reads no more before what it got is durable, past this. */
  relayBacklogBytes: 8 * 1024 * 1024,
  /** Read from the log's file in one go for a learner that is far behind. */
  relayDiskReadBytes: 256 * 1024,
  /** How often a learner tries the feeder that it should have by the plan. */
  relayImproveMs: 30_000,

  // Execution (executor/)
  graceDefaultMs: 10_000,
  /** Attempts that run for longer are announced, so that their start is known while they run. */
  startedAfterMs: 200,
  /** Results wait so long for others, while their node has more to begin. */
  reportGatherMs: 20,
  /** The same where all of them are tasks of units. */
  unitGatherMs: 100,
  /** What a main process left behind in its group: TERM, then KILL after this. */
  leftoverGraceMs: 200,
  /** After the main process has ended: output is read on until it was silent for this long, and never longer than pipeHeldMs. */
  pipeSilentMs: 250,
  pipeHeldMs: 2_000,
  sweepEveryMs: 500,
  /** Scratch directories that were not touched are kept for the next attempts: as many as end between two sweeps of a busy node. */
  scratchSpares: 1_000,
  /** How often the CPU time of an attempt with a limit is looked at, where a control group counts it. */
  cpuWatchMs: 100,
  outboxBytes: 8 * 1024 * 1024,
  /** For a guard to answer that lives: one that ends is seen at once. A host whose tasks take all of it may come back from a crash slowly. */
  guardStartMs: 30_000,
  reportRetryMs: 2_000,
  /** A pack of output is sealed at this size, or when nothing came for so long. */
  packBytes: 64 * 1024 * 1024,
  packIdleMs: 10 * 60_000,
  /** What an attempt prints past this has packs of its own. */
  packOwnAfterBytes: 1024 * 1024,
  /** A pack of at least this size of which less than half is wanted is written anew. */
  packCompactBytes: 1024 * 1024,
  /** One that has not grown for so long is written by nobody any more, sealed or not. */
  packOverMs: 15 * 60_000,
  /** Packs of this node, and those that it keeps for others: the oldest go first past it, each kind by itself. */
  packsBytes: 16 * 1024 * 1024 * 1024,
  /** How often packs are looked at for what was appended; a copy is behind by about as much. */
  packLookMs: 200,
  /** While nothing is to be copied, who is gone is looked up so often. */
  packMembersMs: 1_000,
  packCopyChunkBytes: 1024 * 1024,
  /** A member that did not take a copy is not asked again for so long. */
  packHolderFailedMs: 5_000,
  /** Packs whose copy is on a node that is lost for so long are copied to another one. */
  packHolderLostMs: 60_000,
  /** How long a task with `sync: true` waits for its copy before it ends as failed, unless its `timeout` is shorter. */
  packSyncMs: 10 * 60_000,
  packsPerEntry: 256,

  // Log and peers
  entryBytes: 17 * 1024 * 1024,
  /** Commands gathered into one entry; more wait for the next drain. */
  commandsPerEntry: 512,
  entryBatchBytes: 1024 * 1024,
  uncommittedBytes: 64 * 1024 * 1024,
  appendMessageBytes: 1024 * 1024,
  inflightAppends: 64,
  frameBytes: 32 * 1024 * 1024,
  sendBufferBytes: 48 * 1024 * 1024,
  /** A longer frame goes in pieces of so much, and so many of them are under way: what is small and urgent waits behind no more (transport/pieces.ts). */
  pieceBytes: 256 * 1024,
  piecesUnderWay: 8,
  rpcTimeoutMs: 5_000,
  rpcPending: 10_000,
  /** Committed entries handed to apply and not reported applied; more wait in the log. */
  unappliedBytes: 64 * 1024 * 1024,
  /** Reads that wait for proof of leadership; more are answered with "ask again". */
  pendingReads: 10_000,
  logWindowBytes: 32 * 1024 * 1024,
  /** Of the newest entries, read back into memory at start: what a slow follower may still need, not what a busy hour leaves. */
  logRestoreBytes: 4 * 1024 * 1024,
  /** Entries kept behind what is applied and durable, for followers that are a little behind: so many, or so many bytes of them. */
  logTrailingEntries: 20_000,
  logTrailingBytes: 64 * 1024 * 1024,
  /** A follower that is connected and slower is waited for up to here; past it, as after being away for more than is kept in any case, it gets a snapshot. */
  logHeldEntries: 200_000,
  logHeldBytes: 256 * 1024 * 1024,
  /** What follows on from a snapshot is kept up to here while its receiver gets it and catches up: as much as is written while a large state travels. */
  logSnapshotEntries: 2_000_000,
  logSnapshotBytes: 1024 * 1024 * 1024,
  /** A state that was applied to is synced at least this often, so that the log before it can go. */
  checkpointEveryMs: 10_000,
  /** A thread that owns a file has said by then that it lives. What it has to read after that takes as long as it takes. */
  workerStartMs: 60_000,
  /** What is kept of its WAL for the next commits once all of it is in the file. */
  stateWalKeptBytes: 64 * 1024 * 1024,
  /** Of rows that are copied at once: between two pieces it is seen whether the copy may go on. */
  copyPieceRows: 10_000,
  /** A copy of the state leaves this share of the file system free, so that log and state can go on, within these bounds, and of a tiny one no more than that share. */
  copyReservePercent: 5,
  copyReserveBytes: 64 * 1024 * 1024,
  copyReserveMostBytes: 1024 * 1024 * 1024,
  copyReserveMostPercent: 25,
  /** A copy is ended when the WAL, which its view holds back, is larger than this and than the state. */
  copyWalBytes: 256 * 1024 * 1024,
  /** After a copy that could not be made the next one is tried no sooner than this, then after twice as long each time, up to the most. */
  copyRetryMs: 1_000,
  copyRetryMostMs: 60_000,
  snapshotChunkBytes: 1024 * 1024,
  snapshotChunksInFlight: 4,
  /** Of one sender, to all its receivers together: what serves them must not keep it from what it is there for. */
  snapshotBytesPerSecond: 32 * 1024 * 1024,
  /** Receivers of one sender at once; more wait their turn. */
  snapshotReceivers: 2,
  /** A receiver that asks for no chunk for this long is taken for gone. */
  snapshotIdleMs: 15_000,
  applyBatchCommands: 256,
  /** Rows of unfinished jobs that the state's writer keeps in memory: some ten MiB. More, and those of longer specs, are read where they are needed. */
  heldJobs: 16_384,
  heldJobSpecLength: 1_024,
  /** A cut of apply also ends here: about 5 ms of rows. */
  applyBatchBytes: 256 * 1024,
  nodes: 1_000,
  /** How many voters can be wished for: more make every write slower and nothing safer. */
  votersWanted: 99,
  /** A node that comes back hears of a leader, or that it is a member no more, within this time, before it says that it is ready all the same. */
  firstWordMs: 2_000,
  /** What is told of addresses while somebody leads is in the log of all by then; where nobody leads any more it is told on. */
  addressesLoggedMs: 2_000,
  /** A member that did not answer with its addresses is asked again after this, then after twice as long each time, up to the most. */
  addressesAgainMs: 500,
  addressesAgainMostMs: 8_000,
  /** Certificates of authorities that were replaced, by which what names one of them is led to the present one. */
  formerAuthorities: 16,
  /** So many of them are shown in TLS: clients take no longer chains. */
  shownAuthorities: 8,
  /** Rolling hashes after the newest entries, for comparing with the others'. */
  hashesKept: 16_384,
  /** A node tells its newest hash so long after it has applied something. */
  hashReportMs: 1_000,
  /** A state is given to others once a quorum has the same hash, or nobody had another one within this time. */
  hashVouchMs: 3_000,
  /** Wrong states that were replaced and are kept for inspection. */
  quarantinedStates: 2,

  // A new epoch after a lost quorum (lib/epoch.ts)
  /** Ids left out: entries that are lost may have given them to somebody. */
  epochSkipsNodes: 1_000,
  epochSkipsJobs: 1_000_000,

  // More time for running tasks
  timeoutMaxMs: 366 * 86_400_000,
  extensionsPerCommand: 1024,
  extensions: 10_000,

  // Driver ssh (executor/guard/ssh-attempt.ts)
  /** Of a command or module on a host, and of each host's part of a playbook, where the spec has no timeout: a host with a broken disk ends too. */
  hostTimeoutMs: 600_000,
  playbookTimeoutMs: 3_600_000,
  /** Until a target has answered and said what it is. */
  sshConnectMs: 10_000,
  /** From then until its command begins: keys, the login, a shell. On a busy node, or at a host that asks a slow directory who somebody is, they take long. */
  sshLoginMs: 30_000,
  /** More than the target's own limit and grace, until the connection is broken off. */
  sshLateMs: 5_000,
  /** For the look after what a broken connection has left on a target. */
  sshKillMs: 20_000,

  // Driver ansible (executor/guard/ansible-group.ts)
  /** Until ansible has read its playbook and begins. */
  ansibleStartMs: 300_000,
  ansibleWatchMs: 500,
  /** Hosts of one process, at most; and at least, where there are so many: it takes a second to begin. */
  ansibleHosts: 200,
  ansibleHostsLeast: 8,
  /** Of each text of a result, in characters; and of a playbook's. */
  ansibleTextLength: 1024 * 1024,
  playbookBytes: 1024 * 1024,
  /** What one fork of ansible takes, about. */
  ansibleForkBytes: 100 * 1024 * 1024,

  // Driver http (executor/guard/http-attempt.ts)
  httpUrlLength: 8 * 1024,
  httpHeaders: 64,
  httpHeaderLength: 16 * 1024,
  httpRedirects: 5,

  // Secrets (node/secrets.ts)
  secrets: 10_000,
  secretNameLength: 128,
  /** Of a value. A shorter one would be found by chance in any output, and cannot be hidden there. */
  secretMinCharacters: 4,
  secretBytes: 64 * 1024,
  /** Names of secrets in one spec. */
  secretsPerSpec: 64,
  /** Encrypted anew in one entry. */
  secretsPerEntry: 16,
  /** Jobs that are named where a secret cannot be removed because of them. */
  secretJobsNamed: 5,
  /** A task waits so long, at first and at most, before it asks for its secrets again. */
  secretRetryMs: 100,
  secretRetryMaxMs: 2_000,
  /** After so long it fails. */
  secretWaitMs: 120_000,
  /** Tasks that only one node may run wait for it so long after it was lost. */
  pinnedWaitMs: 24 * 3_600_000,

  // Bundles (node/bundles.ts)
  /** Names of bundles. */
  bundles: 1_000,
  /** Versions of one that are kept, and with them what only they have: the newest. */
  bundleVersions: 10,
  /** Files, directories and links of one. */
  bundleEntries: 50_000,
  bundleBytes: 4 * 1024 * 1024 * 1024,
  bundleFileBytes: 2 * 1024 * 1024 * 1024,
  bundlePathBytes: 1024,
  bundleSourceLength: 2 * 1024,
  /** Members that keep a bundle, unless it is said otherwise, and at most. */
  bundleCopies: 2,
  bundleCopiesMost: 7,
  /** A file is read, sent and stored in one piece up to here; a larger one piece by piece. */
  blobPieceBytes: 1024 * 1024,
  /** How long a member may take for a piece: beside much other work the disk is slow, and what comes too late was read and sent for nothing. */
  bundleAskMs: 20_000,
  /** Files of pushes that have not come to an end, which are not swept meanwhile: of older ones only those stay that are new. */
  blobsPinned: 500_000,
  /** Small files that are asked for, and read or written, at once. */
  blobsPerRequest: 256,
  blobsAbreast: 16,
  /** Digests that a member is asked about at once. */
  blobsAskedFor: 10_000,
  /** Checkouts by git that run on a node at once, and how long one may take, unless it is said otherwise, and at most. */
  bundleCheckouts: 2,
  bundleCheckoutMs: 10 * 60_000,
  bundleCheckoutMostMs: 60 * 60_000,
  /** Bundles that are pinned from a repository by themselves; how often that may be looked at, and after how long it is tried again where it failed, at first and at most, and where all have too much to do. */
  bundleSources: 1_000,
  bundleSourceEveryMinMs: 10_000,
  bundleSourceAgainMs: 60_000,
  bundleSourceAgainMostMs: 60 * 60_000,
  bundleSourceBusyMs: 2_000,
  /** Repositories that the leader has looked at at once. */
  bundleSourcesAtOnce: 4,
  /** Of a message that tells of a push, such messages that a node reads at once, how long one may take to arrive, and how long one with a wrong secret waits for its answer: whoever sends them has shown nothing yet. */
  webhookBytes: 8 * 1024 * 1024,
  webhooksAtOnce: 8,
  webhookReadMs: 10_000,
  webhookWrongMs: 250,
  /** Requests with files of a push that a node takes at once. */
  bundleUploads: 8,
  /** Members that one gives files to at once; the others find another one, or wait. */
  bundleReaders: 3,
  /** Who has asked for nothing for so long is none of them any more. */
  bundleReaderMs: 1_000,
  /** Pieces that a member asks of another one at once. */
  bundleRequests: 4,
  /** A member that did not answer, or gave what was wrong, is not asked again for so long; one that has no place free, for so long. */
  bundleFailedMs: 10_000,
  bundleBusyMs: 200,
  /** A push waits so long for files that other members have; then they are sent. */
  bundleSoonMs: 5_000,
  /** The leader gives files to members only where nobody else has given any for so long. */
  bundleLeaderAfterMs: 10_000,
  /** Where nothing comes of a bundle the log says so, so often. */
  bundleTellMs: 60_000,
  /** A task waits so long for its bundle; then it fails. So long, too, a push waits for the members that are to keep it. */
  bundleWaitMs: 10 * 60_000,
  /** How long a member may take for the bundle that it is to keep, before it is asked again whether it has it. */
  bundleTakeMs: 20_000,
  /** How often a node looks after the bundles that it keeps; a member that is lost for so long keeps none. */
  bundleLookMs: 5_000,
  bundleLostMs: 60_000,
  /** Of copies that a node has only because tasks ran in them there, so much stays; what was used longest ago goes. */
  bundleFetchedBytes: 16 * 1024 * 1024 * 1024,
  /** Files that no bundle has, and trees of none, stay for so long: somebody may be about to use them. */
  blobKeptMs: 60 * 60_000,
  /** Of these, so many go at once. */
  blobsSwept: 500,
  bundlesSwept: 50,
  bundlesPerEntry: 256,
  /** A tree that tasks share is looked at again, whether somebody has changed it, when it was last so long ago. */
  treeCheckMs: 5_000,

  // Tokens and the audit
  tokens: 10_000,
  /** One without any time would let nobody in. */
  tokenTtlMinMs: 1,
  tokenTtlMaxMs: 10 * 365 * 86_400_000,
  joinTokenTtlMaxMs: 365 * 86_400_000,
  joinTokenUses: 1_000_000,
  /** Of a token of which nobody has said how many hosts it lets in. */
  joinTokenUsesDefault: 10,
  /** Kept of each class: what people do to jobs must not push out what they do to the cluster. */
  auditRows: 50_000,
  auditKeepMs: 365 * 86_400_000,
  auditTextLength: 200,
} as const;

assert(limits.admittedUnseen >= limits.specsPerRequest, "the largest request can be let in by a new leader");
assert(limits.fireRoomMs * 2 <= limits.fireLateMs, "what found no room is refused before it is missed");
assert(limits.firesPerStep + limits.skipsPerStep <= limits.linesPerCommand, "any step fits a command");
assert(limits.linesPerCommand <= limits.admittedUnseen, "a command of steps can be let in by a new leader");
assert(limits.linesInFlight <= limits.specsPerRequest, "a member asks for no more jobs at once than a request does");
assert(limits.entryBytes >= limits.bodyBytes, "an accepted body must fit an entry");
assert(limits.frameBytes > limits.entryBytes, "an entry must fit a frame");
assert(limits.sendBufferBytes > limits.frameBytes, "a frame must fit the send buffer");
assert(limits.logHeldEntries >= limits.logTrailingEntries, "what is kept in any case is kept for followers too");
assert(
  limits.logSnapshotEntries >= limits.logHeldEntries,
  "who gets a snapshot is waited for no less than who is slow",
);
assert(limits.copyWalBytes > limits.stateWalKeptBytes, "what is kept of the WAL ends no copy");
assert(limits.snapshotChunkBytes * 2 < limits.frameBytes, "a chunk must fit a frame");
assert(limits.lostAfterMs > limits.leaseMs, "a lease must have ended before its node is declared lost (J3)");
assert(limits.leaseMs - limits.leaseRenewMs >= 2 * limits.electionTimeoutMaxMs, "a lease outlives an election (J3)");
assert(
  limits.electionTimeoutMs >= limits.heartbeatsPerTimeout * limits.heartbeatMs &&
    limits.electionTimeoutMaxMs >= limits.heartbeatsPerTimeout * limits.heartbeatMaxMs,
  "a follower hears several heartbeats within T",
);
assert(limits.replaceVoterMs > limits.lostAfterMs, "a voter is replaced after its work was given to others");
assert(limits.relaySilenceMs > 2 * limits.relayIdleMs, "one late answer is not silence");
assert(limits.relayUnheardMs > 2 * limits.relayReportMs, "one lost report is not the end of a relay");
assert(limits.leaseMs > 2 * limits.leaseRenewMs, "one lost renewal must not end a lease");
assert(limits.packOverMs > limits.packIdleMs, "a pack that may be appended to is not taken for whole");
assert(limits.packCopyChunkBytes * 2 < limits.frameBytes, "a piece of a pack must fit a frame");
assert(limits.blobPieceBytes * 2 < limits.frameBytes, "a piece of a file must fit a frame");
assert(limits.blobPieceBytes <= limits.bodyBytes, "a piece of a file must fit a request");
assert(limits.tailMaxBytes * 2 < limits.reportBytes, "a report holds at least one full tail");
