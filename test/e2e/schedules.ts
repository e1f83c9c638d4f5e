import { expect } from "bun:test";
import { type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import type { FireView } from "../../src/state/answers.ts";

/** Schedules of a mesh of the real binary, and what they came to. */

/** Sets them, all or none. */
export async function set(node: MeshNode, ...schedules: Record<string, unknown>[]): Promise<void> {
  const answer = await node.api("POST", "/v1/schedules", { schedules });
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
}

/** What a schedule has come to, oldest first. */
export async function history(node: MeshNode, name: string): Promise<FireView[]> {
  const { body } = await node.api("GET", `/v1/schedules/${name}/fires?limit=1000`);
  return (body as { fires: FireView[] }).fires.toReversed();
}

/** What becomes true sooner or later, asked again and again. */
export async function becomes(what: string, isSo: () => Promise<boolean>): Promise<void> {
  await until(
    async () => ((await isSo()) ? true : undefined),
    patienceMs,
    () => `it never became true that ${what}`,
  );
}

/** Every second between the first and the last line, each told of once. */
export function secondsOf(lines: readonly FireView[]): Map<number, string> {
  const seconds = new Map<number, string>();
  for (const { at, count = 1, reason, job } of lines) {
    for (let place = 0; place < count; place++) {
      const second = Date.parse(at) + place * 1_000;
      expect(seconds.has(second), `${at} is told of twice`).toBe(false);
      seconds.set(second, reason ?? (job === undefined ? "nothing" : "fired"));
    }
  }
  const all = [...seconds.keys()];
  for (let at = Math.min(...all); at <= Math.max(...all); at += 1_000) expect(seconds.has(at)).toBe(true);
  return seconds;
}
