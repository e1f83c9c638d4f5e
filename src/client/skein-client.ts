/** What the package skein-client is: the typed client of a Skein mesh, for Node, Bun and browsers. docs/client.md shows how it is used. */
export { SkeinClient } from "./client.ts";
export { ApiError, Unreachable } from "./errors.ts";
export { PartlySubmitted } from "./submit-many.ts";
export type { LogPiece } from "./follow.ts";
export type {
  AfterJob,
  Duration,
  HttpSpec,
  SshCopy,
  SshSpec,
  JobSpec,
  MatrixRule,
  MatrixSpec,
  NoopSpec,
  OutputSpec,
  RetriesSpec,
  SecretReference,
  Size,
  TaskLimits,
} from "./job-spec.ts";
export type {
  AuditQuery,
  DeadQuery,
  EventQuery,
  FireQuery,
  JobQuery,
  LogQuery,
  NewToken,
  PageQuery,
  ResultQuery,
  RetryOptions,
  RunOptions,
  ScheduleQuery,
  TaskQuery,
  TokenQuery,
} from "./queries.ts";
export type { ScheduleSpec } from "./schedule-spec.ts";
export type { SubmitOptions, Submitted } from "./submit.ts";
export type { SubmitManyOptions, SubmittedBatch } from "./submit-many.ts";
export type { AddressHealth, Fetch, TransportOptions } from "./transport.ts";
export type { WaitOptions } from "./wait.ts";
export type {
  ClusterView,
  DeadLetterView,
  EventTopic,
  EventView,
  ExplainView,
  FireView,
  NodeView,
  PlanView,
  ReplayView,
  ScheduleDetailView,
  ScheduleState,
  ScheduleView,
  SetScheduleView,
  UpcomingView,
  WaitView,
} from "../state/answers.ts";
export type {
  AskedState,
  AttemptView,
  JobState,
  JobView,
  LogView,
  RecapView,
  ResultView,
  TaskCounts,
  TaskState,
  TaskView,
} from "../state/types.ts";
