import type { Mutant } from "./mutant.ts";

const ours = { simulation: "cron", needsNoFaults: true } as const;

/** What an evaluator works out by itself counts as what is so: the test takes such a step. */
const byState = {
  simulation: "test",
  checkers: ["test"],
  test: {
    file: "test/state/schedules.test.ts",
    name: "refuses a step of another revision, another watermark, another scope, or of what is still to come",
  },
} as const;

/** Bugs of clustered cron, as others had them or as a former try of ours had them (C1). */
export const cronMutants: readonly Mutant[] = [
  {
    ...ours,
    name: "76",
    title: "who works out a schedule believes its own view of it",
    source: "tooz partitioners; rundeck#2515, #8576",
    bug: "Two members believe that a schedule is theirs, and a step is taken whatever watermark it was worked out from: an instant makes two jobs.",
    patches: [
      {
        file: "src/state/firing.ts",
        old: 'if (row.revision !== revision || row.watermark !== from) return "stale";',
        new: 'if (row.revision !== revision) return "stale";',
      },
    ],
    checkers: ["cron twice", "cron unasked"],
  },
  {
    ...ours,
    name: "77",
    title: "the watermark is moved by another entry than the one with the jobs",
    source: "dkron#1210; nomad periodic",
    bug: "The jobs are made first and the watermark follows with the next step: who looks in between makes them again.",
    patches: [
      {
        file: "src/state/firing.ts",
        old: "    watermark: to,\n    check_at: firing.hasReachedLimit",
        new: "    watermark: fires.length > 0 ? from : to,\n    check_at: firing.hasReachedLimit",
      },
    ],
    checkers: ["cron twice", "cron unasked"],
  },
  {
    ...byState,
    name: "78",
    title: "a step is refused by what it comes to alone",
    source: "design of this code (C1)",
    bug: "What ends at or before the watermark is refused, and what began elsewhere is taken: instants that another step dealt with come again.",
    patches: [
      {
        file: "src/state/firing.ts",
        old: 'if (row.revision !== revision || row.watermark !== from) return "stale";',
        new: 'if (to <= row.watermark) return "stale";',
      },
    ],
  },
  {
    ...byState,
    name: "79",
    title: "a step of what a schedule was before it was changed is taken",
    source: "netresearch/go-cron; a former try of ours",
    bug: "The revision is not looked at: what was worked out from another expression fires, or what was paused meanwhile.",
    patches: [
      {
        file: "src/state/firing.ts",
        old: 'if (row.revision !== revision || row.watermark !== from) return "stale";',
        new: 'if (row.watermark !== from) return "stale";',
      },
    ],
  },
  {
    ...ours,
    name: "80",
    title: "schedules go by the zone of the host",
    source: "croner#284; kubernetes before timeZone",
    bug: "The zone that a schedule names is read and forgotten.",
    patches: [
      {
        file: "src/lib/schedule-timing.ts",
        old: "recurring(new CronCalendar(read.plain, tz))",
        new: 'recurring(new CronCalendar(read.plain, "UTC"))',
      },
    ],
    checkers: ["cron lost", "cron unasked"],
  },
  {
    ...byState,
    name: "81",
    title: "a step from before a pause of all is taken after it",
    source: "a former try of ours",
    bug: "What concerns all schedules is not named by a step: a pause of the mesh, or a calendar, is jumped over by what was under way.",
    patches: [
      {
        file: "src/state/commands/schedule-step.ts",
        old: "const isOfOtherScope = scheduleScope(tx).scope !== scope;",
        new: "const isOfOtherScope = scope < 0;",
      },
    ],
  },
  {
    ...ours,
    name: "82",
    title: "the leader believes the clock of who evaluates",
    source: "design of this code (C1)",
    bug: "What is still to come by the leader's own clock is taken: a member whose clock is ahead fires early.",
    patches: [
      {
        file: "src/state/firing.ts",
        old: 'if (to > now || fires.some(isAhead) || isMissedAhead) return "early";',
        new: "",
      },
    ],
    checkers: ["cron early"],
  },
  {
    ...ours,
    name: "83",
    title: "instants of a pause are forgotten",
    source: "librefang#3828; duckle#296; netresearch/go-cron#296",
    bug: "The watermark passes over a pause, and nothing says what became of its instants.",
    patches: [
      {
        file: "src/scheduler/fires.ts",
        old: '    yield* collected.addAll("paused", instants, from, until);\n    return',
        new: "    return",
      },
    ],
    checkers: ["cron lost"],
  },
  {
    ...ours,
    name: "84",
    title: "overlap is decided by what is remembered of the last job",
    source: "nomad#14505",
    bug: "Not the unfinished jobs are asked for but how the last one ended, which says nothing of who still runs.",
    patches: [
      {
        file: "src/state/firing.ts",
        old: "return most > 0 && openJobsOf(tx, row.id, most).length >= most;",
        new: 'return most > 0 && row.last_state === "running" && openJobsOf(tx, 0, most).length >= most;',
      },
    ],
    checkers: ["cron overlap"],
  },
  {
    ...ours,
    name: "85",
    title: "a pause is of what comes in it alone",
    source: "a former try of ours",
    bug: "What waits for its jitter when a pause begins makes its job in the middle of it.",
    patches: [
      {
        file: "src/scheduler/fires.ts",
        old: "    jitterMs === 0\n      ? near",
        new: "    jitterMs >= 0\n      ? near",
      },
    ],
    checkers: ["cron paused"],
  },
  {
    ...ours,
    name: "86",
    title: "a change lets go of what waits for its jitter",
    source: "a former try of ours",
    bug: "Whoever sets another command for a schedule has what waits for its jitter fire at once.",
    patches: [
      {
        file: "src/scheduler/fires.ts",
        old: "const ripe = now >= releasedAt ? until : Math.min(until, now - jitterMs);",
        new: "const ripe = until < Infinity ? until : now - jitterMs;",
      },
      {
        file: "src/state/firing.ts",
        old: "return isChanged ? 0 :",
        new: "return former.length > 0 ? 0 :",
      },
    ],
    checkers: ["cron early"],
  },
  {
    ...byState,
    name: "87",
    title: "an instant is missed when who looks says so",
    source: "a former try of ours",
    bug: "A member whose clock is ahead records instants as missed that have only just come, and they make no job.",
    test: {
      file: "test/state/schedules.test.ts",
      name: "that an instant was missed is taken only once it is late",
    },
    patches: [{ file: "src/state/firing.ts", old: " || isMissedAhead) return", new: ") return" }],
  },
];
