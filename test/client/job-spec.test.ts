import { expect, test } from "bun:test";
import type { z } from "zod";
import type { JobSpec } from "../../src/client/job-spec.ts";
import { specFields } from "../../src/state/commands/spec-schema.ts";

/** The client's type of a spec is written by hand, without the schema that nodes check with: what follows holds only while they agree, and tsc says so. */

type Deep<Value> = Value extends readonly (infer Item)[]
  ? Deep<Item>[]
  : Value extends object
    ? { -readonly [Key in keyof Value]: Deep<Value[Key]> }
    : Value;
type Written = z.input<typeof specFields>;
/** Refused by name until they are built. */
type Later = "load";

const isTaken = (spec: Deep<JobSpec>): Written => spec;
const known = (key: keyof JobSpec): Exclude<keyof Written, Later> => key;
const named = (key: Exclude<keyof Written, Later>): keyof JobSpec => key;

test("a spec of the client's type is one that nodes take, with every key of theirs", () => {
  const spec: JobSpec = {
    run: ["make", "-j4"],
    env: { MODE: "release", DEPTH: 3, PASSWORD: { secret: "door" } },
    limits: { cpu: "10m", memory: 2 ** 30 },
    matrix: { mode: ["a", "b"], threads: [1, 8], exclude: [{ mode: "a", threads: 8 }] },
    after: [17, "build", { job: 18, when: "failed" }],
    retries: { max: 3, backoff: "2s", on: ["failed"] },
    output: { tail: "2KiB", copies: 2, sync: true },
    max_failures: "10%",
    ssh: { user: "ops", key: { secret: "ops-key" }, put: [{ from: "/a", to: "a" }] },
    ansible: { playbook: "/srv/site.yml", tags: ["web"], vault: { secret: "v" } },
    bundle: { name: "site@3", read_only: true },
  };
  expect(specFields.safeParse(isTaken(spec as Deep<JobSpec>)).success).toBe(true);
  expect([known("run"), named("run")]).toEqual(["run", "run"]);
});
