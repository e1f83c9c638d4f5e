import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { unitsOf } from "../../src/state/planning.ts";
import { Pace, unitSize } from "../../src/scheduler/unit-size.ts";
import { specSchema } from "../../src/state/commands/spec-schema.ts";
import type { Groups } from "../../src/state/groups.ts";
import { resolveTargets, type ResolvedTargets } from "../../src/state/targets.ts";

const noGroups: Groups = { names: new Map(), contents: new Map(), hints: new Map() };
const resolved = (playbook: unknown, targets: string, more: Record<string, unknown> = {}): ResolvedTargets =>
  atOnce(resolveTargets([specSchema.parse({ driver: "ansible", ansible: { playbook }, targets, ...more })], noGroups));
const unitOf = (playbook: unknown, targets = "web[1-34]", more?: Record<string, unknown>): number | undefined =>
  resolved(playbook, targets, more).jobs[0]?.unit;

const restart = "- hosts: all\n  serial: 1\n  tasks:\n    - command: restart\n";

describe("a playbook that says something of all of its hosts together is one process for all hosts of the job", () => {
  test("however it is written", () => {
    for (const playbook of [
      restart,
      "- serial: 2\n  hosts: all\n",
      "- hosts: all\n  max_fail_percentage: 10\n",
      "- hosts: all\n  any_errors_fatal: yes\n",
      "- hosts: all\n  tasks:\n    - name: migrate\n      command: migrate\n      run_once: true\n",
      "- hosts: all\n  tasks: [{command: migrate, run_once: true}]\n",
      [{ hosts: "all", tasks: [{ block: [{ command: "migrate", run_once: true }] }] }],
      [{ hosts: "all", serial: "30%" }],
    ])
      expect(unitOf(playbook)).toBe(limits.ansibleHosts);
    // What is only said, or switched off, is none.
    for (const playbook of [
      "- hosts: all\n",
      "- hosts: all\n  tasks:\n    - debug: {msg: 'serial'}\n    # run_once: true\n",
      "- hosts: all\n  any_errors_fatal: false\n",
      [{ hosts: "all", tasks: [{ debug: { msg: '{"serial": 1}' } }] }],
      "/srv/site.yml",
    ])
      expect(unitOf(playbook)).toBeUndefined();
  });

  test("whatever room there is on however many nodes", () => {
    const [spec] = resolved(restart, "web[1-34]").jobs;
    const array = { ...unitsOf(spec!, 34), pace: new Pace() };
    for (const [lanes, nodes] of [
      [1, 1],
      [2, 3],
      [64, 10],
    ] as const)
      expect(unitSize(array, 34, lanes, nodes)).toEqual({ count: 34, width: 1 });
  });

  test("a spec that says how large units are keeps them, and one target needs none", () => {
    expect(unitOf(restart, "web[1-34]", { unit: 5 })).toBe(5);
    expect(unitOf(restart, "web1")).toBeUndefined();
  });

  test("more hosts than a process takes, and fewer at a time, are refused with what to do", () => {
    expect(unitOf(restart, "web[1-200]")).toBe(200);
    const [many] = resolved(restart, "web[1-201]").problems;
    expect(many?.path).toBe("jobs[0].ansible.playbook");
    expect(many?.message).toContain("has serial");
    expect(many?.message).toContain("use the job's own batch and max_failures instead, or set unit");
    expect(resolved(restart, "web[1-201]", { unit: 50 }).problems).toEqual([]);
    expect(resolved(restart, "web[1-34]", { parallel: 10 }).problems[0]?.message).toContain("use ansible.forks");
  });
});
