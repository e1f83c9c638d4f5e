/** Schedules on a mesh, measured by `skein bench cron`. */
import type { Mesh } from "../../scripts/mesh.ts";
import { benchAnswer } from "../harness.ts";

/** What one measurement is of. */
export interface CronWork {
  readonly schedules: number;
  readonly everySeconds: number;
  readonly seconds: number;
  readonly spread?: boolean;
}

/** Its figures, under names that tell their unit. Throws when an instant was doubled, missed or early. */
export async function cronFigures(mesh: Mesh, work: CronWork): Promise<Record<string, number>> {
  const { schedules, everySeconds, seconds, spread } = work;
  const answer = (await benchAnswer(mesh, "cron", [
    `--schedules=${schedules}`,
    `--every=${everySeconds}s`,
    `--seconds=${seconds}`,
    ...(spread === true ? ["--spread"] : []),
  ])) as unknown as Answer;
  return {
    fires: answer.fires,
    p50Ms: answer.late_ms.p50,
    p99Ms: answer.late_ms.p99,
    maxMs: answer.late_ms.max,
    startedP50Ms: answer.started_late_ms.p50,
    startedP99Ms: answer.started_late_ms.p99,
    setPerSecond: answer.set_per_second,
  };
}

interface Answer {
  readonly fires: number;
  readonly set_per_second: number;
  readonly late_ms: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly started_late_ms: { readonly p50: number; readonly p99: number };
}
