import { describe, expect, test } from "bun:test";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { specSchema, isNormalised } from "../../src/state/commands/spec-schema.ts";
import { secretPlaces } from "../../src/state/secrets.ts";
import { renderSpec } from "../../src/state/spec.ts";

const over = (ssh: Record<string, unknown>, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  driver: "ssh",
  run: "uptime",
  targets: ["web[1-3]"],
  ssh,
  ...more,
});

describe("a spec of driver ssh", () => {
  test("has a limit though it says none: a host with a broken disk ends too", () => {
    expect(specSchema.parse(over({})).timeoutMs).toBe(600_000);
    expect(specSchema.parse(over({}, { timeout: "3h" })).timeoutMs).toBe(10_800_000);
    const ansible = { driver: "ansible", targets: ["a"], ansible: { module: "ping" } };
    expect(specSchema.parse(ansible).timeoutMs).toBe(600_000);
    expect(specSchema.parse({ ...ansible, ansible: { playbook: "/srv/site.yml" } }).timeoutMs).toBe(3_600_000);
    expect(specSchema.parse({ run: "true" }).timeoutMs).toBeUndefined();
  });

  test("says how targets are reached, and reads the same when it is shown", () => {
    const written = over({
      user: "ops",
      port: 2222,
      key: { secret: "ops-key" },
      known_hosts: "strict",
      jump: "gate.lan,ops@inner:22",
      become: "root",
      become_password: { secret: "ops-sudo" },
      connect: "5s",
      put: [{ from: "/srv/a", to: "a" }],
      fetch: [{ from: "/var/log/x", to: "/srv/logs" }],
      strict: true,
    });
    const spec = specSchema.parse(written);
    expect(spec).toMatchObject({
      driver: "ssh",
      secrets: { sshKey: "ops-key", becomePassword: "ops-sudo" },
      ssh: { user: "ops", port: 2222, knownHosts: "strict", become: "root", connectMs: 5000, strict: true },
    });
    expect(JSON.stringify(spec.ssh)).not.toMatch(/ops-key|ops-sudo/);
    expect(secretPlaces(spec)).toEqual([
      { path: "ssh.key", secret: "ops-key" },
      { path: "ssh.become_password", secret: "ops-sudo" },
    ]);
    const alone = specSchema.parse(over({ become_password: { secret: "s" } }));
    expect(renderSpec(alone)["ssh"]).toEqual({ become_password: { secret: "s" } });
    expect(renderSpec(spec)["ssh"]).toEqual(written["ssh"]);
    expect(renderSpec(specSchema.parse(over({ key: "/root/.ssh/id" })))["ssh"]).toEqual({ key: "/root/.ssh/id" });
    expect(renderSpec(specSchema.parse(over({ known_hosts: "accept-new", strict: false })))["ssh"]).toBeUndefined();
  });

  test.each([
    [{ user: "-oProxyCommand=x" }, "ssh.user", "must be a user's name"],
    [{ become: "root", become_password: "hunter2" }, "ssh.become_password", "a password stands in no spec"],
    [{ port: 0 }, "ssh.port", "must be at least 1"],
    [{ key: "id_rsa" }, "ssh.key", "must be an absolute path on the node"],
    [{ known_hosts: "maybe" }, "ssh.known_hosts", `must be "accept-new", "strict", "off"`],
    [{ jump: "-J x" }, "ssh.jump", "must be a host"],
    [{ jump: "a b" }, "ssh.jump", "must be a host"],
    [{ jump: "gate,,inner" }, "ssh.jump", "must be a host"],
    [{ jump: "a@b@c" }, "ssh.jump", "must be a host"],
    [{ connect: "100ms" }, "ssh.connect", "must be from 1s to 10m"],
    [{ put: [{ from: "a", to: "b" }] }, "ssh.put[0].from", "must be an absolute path on the node"],
    [{ put: [{ from: "../a", to: "b" }] }, "ssh.put[0].from", "a path in the job's bundle"],
    [{ put: [{ from: "/a" }] }, "ssh.put[0].to", "must be a path on the target"],
    [{ put: [] }, "ssh.put", "must not be empty"],
    [{ fetch: [{ from: "-x", to: "/a" }] }, "ssh.fetch[0].from", "must not begin with a dash"],
    [{ password: "x" }, "ssh.password", "no such key"],
  ])("%p is refused where it is wrong", (ssh, path, message) => {
    const read = specSchema.safeParse(over(ssh));
    expect(read.success).toBe(false);
    const found = problemsOf(read.error!).find((problem) => problem.path === path);
    expect(found?.message).toContain(message);
  });

  test.each([
    [{ driver: "ssh", run: "x" }, "targets", "is required"],
    [over({}, { run: undefined }), "run", "is required"],
    [over({}, { user: "www" }), "user", "{become: …}"],
    [over({}, { limits: { files: 64 } }), "limits", "of processes on the node"],
    [{ run: "x", ssh: { port: 22 } }, "ssh", "is for drivers ssh and ansible only"],
  ])("%p lacks something, or has too much", (spec, path, message) => {
    const read = specSchema.safeParse(spec);
    expect(read.success).toBe(false);
    expect(problemsOf(read.error!).find((problem) => problem.path === path)?.message).toContain(message);
  });

  test("a payload that no release wrote is none", () => {
    const spec = specSchema.parse({ driver: "noop" });
    expect(isNormalised({ ...spec, ssh: { port: 22 } })).toBe(true);
    expect(isNormalised({ ...spec, ssh: { port: "22" } })).toBe(false);
    expect(isNormalised({ ...spec, ssh: { put: [{ from: "/a" }] } })).toBe(false);
  });
});
