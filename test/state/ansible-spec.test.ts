import { describe, expect, test } from "bun:test";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { isNormalised, specSchema } from "../../src/state/commands/spec-schema.ts";
import { secretPlaces } from "../../src/state/secrets.ts";
import { displayName, renderSpec } from "../../src/state/spec.ts";

const of = (ansible: unknown, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  driver: "ansible",
  targets: ["web[1-3]"],
  ansible,
  ...more,
});

describe("a spec of driver ansible", () => {
  test("says what is run, and reads the same when it is shown", () => {
    const written = of(
      {
        playbook: "- hosts: all\n",
        vars: { depth: 3, nested: { list: [1, "two", null] } },
        groups: ["web"],
        check: true,
        diff: true,
        tags: ["one", "two"],
        skip_tags: ["three"],
        vault: { secret: "v" },
        forks: 5,
        connection: "local",
      },
      { ssh: { user: "ops", become: "root" } },
    );
    const spec = specSchema.parse(written);
    expect(spec.secrets).toEqual({ vault: "v" });
    expect(secretPlaces(spec)).toEqual([{ path: "ansible.vault", secret: "v" }]);
    expect(JSON.stringify(spec.ansible)).not.toContain("secret");
    expect(renderSpec(spec)["ansible"]).toEqual(written["ansible"]);
    expect(isNormalised({ ...spec, targets: { from: ["a"], list: "0".repeat(43), count: 1 } })).toBe(true);
  });

  test("a list of plays is kept as the text of a playbook, and words that are short may stand for lists", () => {
    const spec = specSchema.parse(of({ playbook: [{ hosts: "all", tasks: [] }], tags: "a, b" }));
    expect(spec.ansible).toEqual({ playbook: '[{"hosts":"all","tasks":[]}]\n', tags: ["a", "b"] });
    expect(specSchema.parse(of(renderSpec(spec)["ansible"])).ansible).toEqual(spec.ansible);
  });

  test("has a name for people", () => {
    const nameOf = (ansible: unknown): string => displayName(specSchema.parse(of(ansible)));
    expect(nameOf({ module: "shell", args: "uptime" })).toBe("shell uptime");
    expect(nameOf({ module: "copy", args: { dest: "/a" } })).toBe("copy");
    expect(nameOf({ playbook: "/srv/site.yml" })).toBe("site.yml");
    expect(nameOf({ playbook: "- hosts: all\n" })).toBe("ansible");
  });

  test.each([
    [of({}), "ansible.module", "is required, or a playbook"],
    [of({ module: "ping", playbook: "/a.yml" }), "ansible.playbook", "goes not with module"],
    [of({ playbook: "/a.yml", args: "x" }), "ansible.args", "is for a module"],
    [of({ module: "ping", tags: ["x"] }), "ansible.tags", "is for a playbook"],
    [of({ module: "no good" }), "ansible.module", "must be the name of a module"],
    [of({ playbook: [] }), "ansible.playbook", "must be a path on the node (absolute) or in the job's bundle"],
    [of({ playbook: "site.yml" }), "ansible.playbook", "or the job needs a bundle"],
    [of({ playbook: "../site.yml" }, { bundle: "site" }), "ansible.playbook", "leads out of a bundle"],
    [
      of({ module: "ping" }, { bundle: { name: "site", read_only: true } }),
      "bundle.read_only",
      "for driver shell only",
    ],
    [of({ playbook: "/a.yml", tags: ["a,b"] }), "ansible.tags", "must be a list of tags"],
    [of({ playbook: "/a.yml", groups: ["all hosts"] }), "ansible.groups", "must be a list of the names of groups"],
    [of({ module: "ping", vault: "pass" }), "ansible.vault", "must be an absolute path on the node"],
    [of({ module: "ping", forks: 0 }), "ansible.forks", "must be at least 1"],
    [of({ module: "ping", connection: "../x" }), "ansible.connection", "must be the name of a connection"],
    [of({ module: "ping", frob: 1 }), "ansible.frob", "no such key"],
    [of("ping"), "ansible", "must be a map like"],
    [of(undefined), "ansible", "is required"],
    [of({ module: "ping" }, { targets: undefined }), "targets", "is required"],
    [of({ module: "ping" }, { run: "x" }), "run", "leave it out"],
    [of({ module: "ping" }, { unit: 500 }), "unit", "for at most 200 hosts"],
    [of({ module: "ping" }, { ssh: { strict: true } }), "ssh.strict", "is for driver ssh only"],
    [{ run: "x", ansible: { module: "ping" } }, "ansible", "is for driver ansible only"],
  ])("%j is refused where it is wrong", (spec, path, message) => {
    const read = specSchema.safeParse(spec);
    expect(read.success).toBe(false);
    expect(problemsOf(read.error!).find((problem) => problem.path === path)?.message).toContain(message);
  });
});
