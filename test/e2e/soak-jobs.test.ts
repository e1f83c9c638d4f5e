import { describe, expect, test } from "bun:test";
import { noNamespaces } from "../../scripts/namespaces.ts";
import type { Fault } from "../../scripts/soak-nemesis.ts";
import type { JobsSoak } from "../../scripts/soak-jobs.ts";
import { root, run } from "../../scripts/steps.ts";

/**
 * Jobs of all shapes through trouble, in short: `npm run soak -- --jobs=10000 --minutes=3` is the long one. That its judges see what is wrong is in
 * soak-jobs-judge.test.ts.
 */

/** Chosen anew each time; a run that failed is repeated with SKEIN_TEST_SEED. */
const seed = Number(process.env["SKEIN_TEST_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));
const reason = noNamespaces();
if (reason !== undefined) console.log(`skipped one-way: ${reason}`);
const faults: readonly Fault[] = reason === undefined ? ["kill", "freeze", "one-way"] : ["kill", "freeze"];

describe(`jobs with retries, keys, graphs, arrays and limits (SKEIN_TEST_SEED=${seed})`, () => {
  test(`${faults.join(", ")}, and a node that is destroyed: every job ends once and as it had to, no task is alive twice, no log is lost`, async () => {
    const words = ["soak", "--jobs=500", "--minutes=0.03", `--seed=${seed}`, `--faults=${faults.join(",")}`];
    // Where networks are cut, in one of its own, which only a process of its own can have.
    const ended = await run("node", [`${root}/scripts/setup.mjs`, ...words], { timeoutMs: 500_000 });
    if (ended.code !== 0) console.log(ended.output);
    expect(ended.code).toBe(0);
    const line = ended.output.split("\n").find((each) => each.startsWith("{"))!;
    const { submitted, refused, ends, troubles, logs, retries } = JSON.parse(line) as JobsSoak;
    expect(submitted + refused).toBe(500);
    expect(Object.keys(ends).toSorted()).toEqual(["cancelled", "failed", "skipped", "succeeded"]);
    expect(Object.keys(troubles).toSorted()).toEqual([...faults, "replace"].toSorted());
    expect(logs).toBeGreaterThan(0);
    expect(retries).toBeGreaterThan(0);
  }, 600_000);
});
