import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { whyMissing } from "../../scripts/needed.ts";
import { factsScript, parseFacts } from "../../src/lib/facts.ts";
import { jobId } from "../../src/lib/ids.ts";
import { accept } from "../../src/lib/outcome.ts";
import type { AnsibleSpec, Report, Spec } from "../../src/state/types.ts";
import { isAlive, Rig, unitAssignmentOf, type UnitOfTargets, until } from "./rig.ts";
import { noSudoUser, SudoUser } from "./sudo-user.ts";
import { generateKey, Sshd } from "../../scripts/sshd.ts";

const missing =
  whyMissing("ansible", ["ansible-core"], () => Bun.which("ansible-playbook") !== null) ??
  whyMissing("sshd", ["openssh-server"], () => existsSync("/usr/sbin/sshd"), ["ssh.service", "ssh.socket"]);
if (missing !== undefined) console.log(`skipped: driver ansible: ${missing}`);
/** Where else than beside ansible its collections may be. */
const collections = process.env["ANSIBLE_COLLECTIONS_PATH"] ?? "/usr/share/ansible/collections";
const lines = "ansible_collections/ansible/posix/plugins/callback/jsonl.py";
const noLines = whyMissing(
  "ansible.posix.jsonl",
  ["ansible"],
  () => existsSync(`/usr/lib/python3/dist-packages/${lines}`) || existsSync(`${collections}/${lines}`),
);
if (noLines !== undefined) console.log(`skipped: ansible without skein's plugin: ${noLines}`);
const noSudo =
  process.getuid?.() === 0
    ? whyMissing("sudo", ["sudo"], () => Bun.which("sudo") !== null)
    : "only root writes the rule that it needs";
if (noSudo !== undefined) console.log(`skipped: ansible's become: ${noSudo}`);

/** Python starts several times for each host, and the machine may be busy. */
const patienceMs = 240_000;

const text = (report: Report): string => new TextDecoder().decode(report.tail);

describe.skipIf(missing !== undefined)("ansible, one process for the tasks of a unit", () => {
  let sshd: Sshd;
  let rig: Rig;
  let first = 0;
  beforeAll(async () => {
    sshd = await Sshd.start();
  });
  afterAll(() => sshd.stop());
  beforeEach(async () => {
    rig = new Rig();
    await rig.open({ leaseMs: 900_000 });
  });
  afterEach(() => rig.close());

  const of = (ansible: AnsibleSpec, more: Spec = {}): Spec => ({
    driver: "ansible",
    ansible,
    ssh: { port: sshd.port, key: sshd.key },
    ...more,
  });
  const local = (ansible: AnsibleSpec, more: Spec = {}): Spec => of({ connection: "local", ...ansible }, more);
  const taken = (spec: Spec, targets: readonly string[], by = rig): UnitOfTargets => {
    const unit = by.unit(spec, targets, first);
    first += targets.length;
    return unit;
  };
  const reportOf = ({ first: task }: UnitOfTargets, at: number, by = rig): Promise<Report> =>
    by.reportOf({ job: jobId(1), task: task + at, attempt: 1 }, patienceMs);
  const run = (spec: Spec, targets: readonly string[]): Promise<Report[]> => {
    const unit = taken(spec, targets);
    rig.executor.assign([], [unitAssignmentOf(unit)]);
    return Promise.all(targets.map((_, at) => reportOf(unit, at)));
  };
  /** An ansible before which the plugin is spoilt. */
  const spoiling = (): Spec => {
    mkdirSync(rig.path("bin"));
    const real = Bun.which("ansible-playbook")!;
    const words = `#!/bin/sh\necho 'import no_such_module' >>plugins/skein_events.py\nexec ${real} "$@"\n`;
    writeFileSync(rig.path("bin/ansible-playbook"), words, { mode: 0o755 });
    return { env: { PATH: `${rig.path("bin")}:${process.env["PATH"]}`, ANSIBLE_COLLECTIONS_PATH: collections } };
  };
  const waitFor = (path: string): Promise<true> => until(path, () => existsSync(path), patienceMs);

  test("a module: each host has its own verdict and output, and those that are not there cost only themselves", async () => {
    const args = 'echo out "$SKEIN_SSH"; echo err >&2; exit {{ 3 if inventory_hostname == "127.0.1.2" else 0 }}';
    const reports = await run(of({ module: "shell", args }), ["127.0.1.1", "127.0.1.2", "no-such-host.invalid"]);
    const [good, bad, away] = reports as [Report, Report, Report];
    expect(good).toMatchObject({ state: "succeeded", exitCode: 0, reason: undefined });
    // By the word in its environment what it might have left is found.
    expect(await rig.logText(good, "stdout")).toBe(`out c1:1.${good.task}.1;\n`);
    expect(await rig.logText(good, "stderr")).toBe("err\n");
    expect(bad).toMatchObject({ state: "failed", exitCode: 3 });
    expect(bad.reason).toContain('"shell" failed with code 3');
    expect(text(bad)).toContain("out");
    expect(away).toMatchObject({ state: "failed", exitCode: null });
    expect(away.reason).toMatch(/^unreachable: .*no-such-host/);
    expect(new Set(reports.map(({ startedAt }) => startedAt)).size).toBeLessThanOrEqual(2);
  });

  test("the key may lie in a directory of any name", async () => {
    const odd = rig.path("a key's 100%h");
    mkdirSync(odd);
    copyFileSync(sshd.key, `${odd}/the key`);
    const spec = of({ module: "raw", args: "true" }, { ssh: { port: sshd.port, key: `${odd}/the key` } });
    expect(await run(spec, ["127.0.1.1"])).toMatchObject([{ state: "succeeded", exitCode: 0 }]);
  });

  test("what is wrong with a key on the node is said of the node, and what the host does not take of the host", async () => {
    const keys = { web1: rig.path("none"), web2: rig.path("locked"), web3: rig.path("stranger") };
    generateKey(keys.web2, "secret words");
    generateKey(keys.web3);
    for (const [name, key] of Object.entries(keys))
      rig.hostFacts.set(name, { groups: [], vars: { ansible_host: "127.0.1.7", ansible_private_key_file: key } });
    const why = (await run(of({ module: "raw", args: "true" }), Object.keys(keys))).map(({ reason }) => reason);
    expect(why[0]).toStartWith(`could not be begun on node 7: its key ${keys.web1} does not exist (`);
    expect(why[1]).toStartWith(`could not be begun on node 7: its key ${keys.web2} is locked by a passphrase`);
    expect(why[2]).toMatch(/^unreachable: \S+: Permission denied \(.*authorized_keys/);
  });

  test("a playbook finds the groups and variables that inventories say of its hosts, which are reached as those say", async () => {
    const vars = { word: "ours", ansible_host: "127.0.1.77", ansible_port: sshd.port, ansible_user: "root" };
    rig.hostFacts.set("web1", { groups: ["prod", "web"], vars });
    rig.hostFacts.set("db1", { groups: ["db"], vars: { ...vars, word: "theirs", ansible_connection: "local" } });
    const say = { shell: "echo {{ word }} {{ group_names | join(',') }} {{ skein.job }} $SSH_CONNECTION" };
    const playbook = JSON.stringify([
      { hosts: "web", gather_facts: false, tasks: [say] },
      { hosts: "db", gather_facts: false, tasks: [say] },
    ]).replace("}, {", "},\n{");
    // The port of the job is for nobody: each host has its own.
    const spec = of({ playbook: `${playbook}\n` }, { ssh: { port: 1, user: "nobody", key: sshd.key } });
    const [web, db] = await run(spec, ["web1", "db1"]);
    expect([web?.state, web?.reason, db?.state, db?.reason]).toEqual(["succeeded", undefined, "succeeded", undefined]);
    expect(await rig.logText(web!, "stdout")).toMatch(/ours prod,web 1 \S+ \d+ 127\.0\.1\.77 \d+/);
    expect(await rig.logText(db!, "stdout")).toMatch(/theirs db 1\s/);
  });

  test("a host that hangs ends by the limit, there too, and the others go on", async () => {
    const pid = rig.path("pid");
    const hangs = {
      name: "hangs",
      shell: `echo $$ > ${pid}; exec sleep 600`,
      when: "inventory_hostname == '127.0.1.2'",
    };
    const playbook = [{ hosts: "all", gather_facts: false, tasks: [hangs, { debug: { msg: "gone on" } }] }];
    const spec = of({ playbook: `${JSON.stringify(playbook)}\n` }, { timeoutMs: 20_000, graceMs: 1_000 });
    const [one, hung, other] = await run(spec, ["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    for (const neighbour of [one!, other!]) {
      expect(neighbour).toMatchObject({ state: "succeeded" });
      expect(text(neighbour)).toContain("gone on");
    }
    expect(hung).toMatchObject({ state: "timeout", exitCode: null });
    expect(hung!.reason).toContain("ran longer than its timeout of 20s; killed: ");
    expect(isAlive(Number(readFileSync(pid, "utf8")))).toBe(false);
  });

  test("what an earlier attempt left is ended before a later one begins", async () => {
    const left = rig.path("left");
    const args = `nohup setsid sh -c 'echo $$ > ${left}; exec sleep 600' >/dev/null 2>&1 &`;
    const one = { task: 900, target: "127.0.1.1" };
    const report = async (spec: Spec, attempt: number): Promise<Report> => {
      const assignment = rig.assignment(spec, { ...one, attempt });
      rig.executor.assign([assignment]);
      return rig.reportOf(assignment, patienceMs);
    };
    expect(await report(of({ module: "shell", args }), 1)).toMatchObject({ state: "succeeded" });
    const pid = await rig.pidIn(left);
    expect(isAlive(pid)).toBe(true);
    expect(await report(of({ module: "shell", args: "true" }), 2)).toMatchObject({
      state: "succeeded",
      reason: "what earlier attempts left there: killed, 1 processes",
    });
    expect(isAlive(pid)).toBe(false);
  });

  test("what ansible itself does not end is ended with the process: of the others it is known that they are not done", async () => {
    // It takes the alarm that limits of tasks are kept by for itself, and runs once for all hosts.
    const playbook = JSON.stringify([
      { hosts: "all", gather_facts: false, tasks: [{ name: "wait", pause: { seconds: 600 } }] },
    ]);
    const [held, other] = await run(local({ playbook: `${playbook}\n` }, { timeoutMs: 1_000, graceMs: 500 }), [
      "a",
      "b",
    ]);
    expect(held).toMatchObject({ state: "timeout", reason: 'ran longer than its timeout of 1s (at "wait")' });
    expect(other).toMatchObject({ state: "lost" });
    expect(other!.reason).toContain("because of another host");
  });

  describe("in a bundle", () => {
    const tree = (): string => rig.path("trees/own/tree-1");
    /** What is in it; the executor runs in it, and takes it away. */
    const lay = (files: Readonly<Record<string, string>>): void => {
      rig.bundle = () => {
        for (const [name, content] of Object.entries(files)) {
          mkdirSync(join(tree(), dirname(name)), { recursive: true });
          writeFileSync(join(tree(), name), content);
        }
        return Promise.resolve(accept({ path: tree(), isOwn: true }));
      };
    };
    const bundle = { name: "site", digest: "d" };

    test("a playbook is a path in it: its roles, files, templates and configuration are found, and the tree goes with the process", async () => {
      const to = rig.path("copied");
      lay({
        "ansible.cfg": "[defaults]\nroles_path = ./ours\nstdout_callback = minimal\n",
        "plays/site.yml":
          "- hosts: all\n  gather_facts: false\n  roles: [web]\n  tasks:\n    - {command: cat ../word, connection: local, register: read}\n    - debug: {msg: '{{ read.stdout }}'}\n",
        "ours/web/tasks/main.yml": `- copy: {src: page, dest: ${to}}\n- template: {src: line.j2, dest: "${to}.{{ inventory_hostname }}"}\n`,
        "ours/web/files/page": "a page",
        "ours/web/templates/line.j2": "line of {{ inventory_hostname }}",
        word: "in the tree itself",
      });
      const key = readFileSync(sshd.key, "utf8");
      rig.secrets = () => Promise.resolve(accept({ ops: key }));
      const ssh = { port: sshd.port };
      const spec: Spec = { ...of({ playbook: "plays/site.yml" }), ssh, secrets: { sshKey: "ops" }, bundle };
      const reports = await run(spec, ["127.0.1.1", "127.0.1.2"]);
      expect(reports.map(({ state, reason }) => [state, reason])).toEqual([
        ["succeeded", undefined],
        ["succeeded", undefined],
      ]);
      expect(readFileSync(to, "utf8")).toBe("a page");
      expect(readFileSync(`${to}.127.0.1.2`, "utf8")).toBe("line of 127.0.1.2");
      expect(await rig.logText(reports[0]!)).toContain("in the tree itself");
      await until("the tree goes", () => !existsSync(tree()), patienceMs);
    });

    test("a module alone finds files of it, and a later attempt too", async () => {
      lay({ "files/page": "a page" });
      const to = rig.path("copied");
      const spec: Spec = { ...of({ module: "copy", args: { src: "page", dest: to } }), bundle };
      const assignment = rig.assignment(spec, { task: first++, target: "127.0.1.1", attempt: 2 });
      rig.executor.assign([assignment]);
      const report = await rig.reportOf(assignment, patienceMs);
      expect(report).toMatchObject({ state: "succeeded" });
      expect(readFileSync(to, "utf8")).toBe("a page");
    });
  });

  describe("what went wrong before anything began is told of every host", () => {
    const hosts = ["a", "b"];
    const both = async (playbook: string, more: AnsibleSpec = {}): Promise<string> => {
      const reports = await run(local({ playbook, ...more }), hosts);
      expect(reports.map(({ state, exitCode }) => [state, exitCode])).toEqual(hosts.map(() => ["failed", null]));
      expect(text(reports[0]!)).toContain("ERROR");
      expect(reports[1]!.reason).toBe(reports[0]!.reason);
      return reports[0]!.reason!;
    };

    test("a playbook that is none, a module that is not there, a file that is not there", async () => {
      const broken = await both("- hosts: all\n  tasks: [\n");
      expect(broken).toContain("ansible failed with code 4: ERROR! ");
      // By its name, not by the place where it lay for a moment.
      expect(broken).toContain("in 'playbook.yml': line ");
      expect(await both("- hosts: all\n  tasks:\n    - no_such_module_here: {}\n")).toContain("no_such_module_here");
      expect(await both("/no/such/playbook.yml")).toContain("/no/such/playbook.yml");
    });

    test("a playbook that was sent alone, and wants a file beside it: a role, variables, tasks", async () => {
      for (const [wants, file] of [
        ["roles: [web]", "web"],
        ["vars_files: [ours.yml]", "ours.yml"],
        ["tasks: [{import_tasks: more.yml}]", "more.yml"],
      ]) {
        const reason = await both(`- hosts: all\n  gather_facts: false\n  ${wants}\n`);
        expect(reason).toContain(file!);
        expect(reason).toContain("only the playbook itself was sent: push its directory with `skein bundle push DIR`");
      }
    });

    test("a vault without its password; with it, by a secret, the playbook runs and the output does not show the password", async () => {
      const password = rig.path("password");
      writeFileSync(password, "very secret");
      const made = Bun.spawnSync(
        ["ansible-vault", "encrypt_string", "--vault-password-file", password, "--name", "word", "from the vault"],
        { env: { ...process.env, ANSIBLE_NOCOLOR: "1" } },
      );
      const vars = made.stdout.toString().replace(/^/gm, "    ");
      const playbook = `- hosts: all\n  gather_facts: false\n  vars:\n${vars}\n  tasks:\n    - debug: {msg: "{{ word }}, very secret"}\n`;
      const without = await run(local({ playbook }), ["a"]);
      expect(without[0]).toMatchObject({ state: "failed" });
      expect(`${without[0]!.reason}${text(without[0]!)}`).toContain("vault");
      rig.secrets = () => Promise.resolve({ ok: true, value: { v: "another one" } });
      const spec: Spec = { ...local({ playbook }), secrets: { vault: "v" } };
      const [wrong] = await run(spec, ["a"]);
      expect(wrong).toMatchObject({ state: "failed" });
      expect(`${wrong!.reason}${text(wrong!)}`).toContain("Decryption failed");
      rig.secrets = () => Promise.resolve({ ok: true, value: { v: "very secret" } });
      const [report] = await run(spec, ["a"]);
      expect(report).toMatchObject({ state: "succeeded" });
      expect(text(report!)).toContain("from the vault, ***");
    });

    test("a host that no play is for", async () => {
      const playbook = "- hosts: web\n  gather_facts: false\n  tasks:\n    - debug: {msg: here}\n";
      const reports = await run(local({ playbook }), hosts);
      expect(reports.map(({ state }) => state)).toEqual(["failed", "failed"]);
      expect(reports[0]!.reason).toContain("no play is for a");
      const grouped = await run(local({ playbook, groups: ["web"] }), hosts);
      expect(grouped.map(({ state }) => state)).toEqual(["succeeded", "succeeded"]);
    });
  });

  test.each([
    ["run", {}, []],
    ["checked", { check: true }, ["--check"]],
  ] as const)(
    "a playbook's verdicts are those of ansible's own recap, of every host; what happened there is in its log: %s",
    async (how, more, words) => {
      const isRun = how === "run";
      const hosts = Array.from({ length: 60 }, (_, at) => `h${at}`);
      const playbook = rig.path("site.yml");
      writeFileSync(playbook, site(rig.path("made")));
      const units = [hosts.slice(0, 30), hosts.slice(30)].map((some) =>
        taken(local({ playbook, diff: true, vars: { word: "given" }, ...more }), some),
      );
      rig.executor.assign([], units.map(unitAssignmentOf));
      const reports = await Promise.all(units.flatMap((unit) => unit.targets.map((_, at) => reportOf(unit, at))));
      const recap = recapOf(playbook, hosts, ["--diff", "-e", "word=given", ...words]);
      const ours = Object.fromEntries(hosts.map((host, at) => [host, reports[at]!.state]));
      expect(ours).toEqual(
        Object.fromEntries(hosts.map((host) => [host, recap[host] === true ? "succeeded" : "failed"])),
      );
      // It is no proof where all are alike.
      expect(new Set(Object.values(ours))).toEqual(new Set(["succeeded", "failed"]));
      expect(reports[5]!.reason).toContain('"some fail" failed');
      const log = await rig.logText(reports[3]!);
      expect(log).toContain("failed, ignored: ignored");
      expect(log).toContain("ok: rescuer");
      expect(log).toContain("(item two)");
      expect(log).toContain("handled");
      expect(await rig.logText(reports[0]!)).toContain("+given");
      expect(existsSync(rig.path("made"))).toBe(isRun);
    },
  );

  describe("a host that other hosts kept from going on has not succeeded, though ansible's recap counts no failure of it", () => {
    const fails = { name: "fails", command: "false", when: "inventory_hostname == 'b'" };
    const tasks = [{ name: "first", debug: { msg: "one" } }, fails, { name: "last", debug: { msg: "two" } }];
    const played = async (plays: readonly Record<string, unknown>[]): Promise<Record<string, string>> => {
      const hosts = ["a", "b", "c", "d"];
      const whole = plays.map((play) => ({ hosts: "all", gather_facts: false, tasks, ...play }));
      const reports = await run(local({ playbook: `${JSON.stringify(whole)}\n` }), hosts);
      return Object.fromEntries(hosts.map((host, at) => [host, `${reports[at]!.state}: ${reports[at]!.reason ?? ""}`]));
    };

    test("any_errors_fatal, and a play that nobody came to", async () => {
      const ended = await played([{ any_errors_fatal: true }, { hosts: "d" }]);
      expect(ended["b"]).toContain('failed: "fails" failed with code 1');
      for (const host of ["a", "c", "d"])
        expect(ended[host]).toStartWith('failed: not finished (after "fails"): the playbook was broken off');
    });

    test("max_fail_percentage, and batches that were not begun", async () => {
      const ended = await played([{ serial: 2, max_fail_percentage: 10 }]);
      expect(ended["a"]).toStartWith('failed: not finished (after "fails")');
      for (const host of ["c", "d"]) expect(ended[host]).toStartWith("failed: not begun: the playbook was broken off");
    });

    test("but who was through before, or went on, has", async () => {
      const ended = await played([{ serial: 1, any_errors_fatal: true }]);
      expect(ended).toMatchObject({ a: "succeeded: ", c: expect.stringContaining("failed: not begun") });
      expect(await played([{}])).toMatchObject({ a: "succeeded: ", c: "succeeded: ", d: "succeeded: " });
    });
  });

  test("what setup finds is told as facts, as the script of skein would say them, and that of nobody else", async () => {
    const said = parseFacts(Bun.spawnSync(["sh", "-c", factsScript]).stdout.toString())!;
    const { init: _init, os_name: _name, packages: _packages, python: _python, ...expected } = said;
    const tasks = [{ setup: {}, delegate_to: "b" }, { set_fact: { ansible_kernel: "none" } }];
    const playbook = `${JSON.stringify([
      { hosts: "a", gather_facts: true, tasks: [{ command: "false" }] },
      { hosts: "b", gather_facts: false, tasks },
    ])}\n`;
    const [gathered, other] = await run(local({ playbook }), ["a", "b"]);
    expect(gathered).toMatchObject({ state: "failed", facts: expected });
    expect(other!.facts).toBeUndefined();
    const [alone] = await run(local({ module: "setup", args: "gather_subset=min" }), ["c"]);
    expect(alone!.facts).toMatchObject({ kernel: expected["kernel"], hostname: expected["hostname"] });
  });

  describe("a host that a play is for has succeeded where nothing was to do there, as ansible says", () => {
    const played = async (
      plays: readonly Record<string, unknown>[],
      more: AnsibleSpec = {},
      spec: Spec = {},
    ): Promise<string[]> => {
      const whole = plays.map((play) => ({ hosts: "all", gather_facts: false, ...play }));
      const hosts = ["a", "b", "c", "d"];
      const reports = await run(local({ playbook: `${JSON.stringify(whole)}\n`, ...more }, spec), hosts);
      return reports.map(({ state, reason }) => `${state}: ${reason ?? ""}`);
    };
    const all = (words: string): string[] => Array.from({ length: 4 }, () => words);

    test("the only task is run once; no task has the tag; a play has no task at all", async () => {
      expect(await played([{ tasks: [{ command: "true", run_once: true }] }])).toEqual(all("succeeded: "));
      expect(await played([{ tasks: [{ command: "true", tags: "a" }] }], { tags: ["b"] })).toEqual(all("succeeded: "));
      expect(await played([{ serial: 2 }])).toEqual(all("succeeded: "));
      // Of all batches: meta: end_batch is the other one.
      expect(await played([{ serial: 2, tasks: [{ meta: "end_play" }] }])).toEqual(all("succeeded: "));
    });

    test("but not where the task that is run once failed, nor where other plays are for others, whatever becomes of those", async () => {
      const [once, ...others] = await played([{ tasks: [{ name: "fails", command: "false", run_once: true }] }]);
      expect(once).toStartWith('failed: "fails" failed with code 1');
      for (const other of others) expect(other).toStartWith("failed: not begun: the playbook was broken off");
      const noPlay = (host: string): string =>
        `failed: nothing was done on this host: no play is for ${host} (see hosts: in the playbook)`;
      const some = await played([
        { hosts: "a,b", tasks: [{ name: "fails", command: "false", when: "inventory_hostname == 'a'" }] },
      ]);
      expect(some).toEqual([
        expect.stringContaining('"fails" failed with code 1'),
        "succeeded: ",
        noPlay("c"),
        noPlay("d"),
      ]);
    });

    test.skipIf(noLines !== undefined)(
      "which is not known where ansible does not take our plugin, and is said",
      async () => {
        const tasks = [{ command: "true", run_once: true }];
        const [once, ...others] = await played([{ tasks }], {}, spoiling());
        expect(once).toStartWith("succeeded: told by ansible.posix.jsonl");
        for (const other of others)
          expect(other).toStartWith("failed: nothing was done on this host: either no play is for it");
      },
    );
  });

  test("how many of its tasks went well ends the log of each host", async () => {
    const tasks = [
      { debug: { msg: "one" } },
      { command: "false", ignore_errors: true },
      { command: "false", when: "inventory_hostname == 'b'" },
      { debug: { msg: "three" } },
    ];
    const playbook = `${JSON.stringify([{ hosts: "all", gather_facts: false, tasks }])}\n`;
    const [through, failed] = await run(local({ playbook }), ["a", "b"]);
    expect(text(through!)).toEndWith(
      "recap: ok=3 changed=1 unreachable=0 failed=0 skipped=1 rescued=0 ignored=1 success=66%\n",
    );
    expect([through!.recap, failed!.recap]).toEqual([
      { tasks: 3, ok: 2, failed: 1, changed: 1 },
      { tasks: 4, ok: 1, failed: 2, changed: 1 },
    ]);
    // The last one was never reached.
    expect(text(failed!)).toEndWith(
      "recap: ok=2 changed=1 unreachable=0 failed=1 skipped=0 rescued=0 ignored=1 success=25%\n",
    );
  });

  describe("where ansible does not take our plugin", () => {
    const playbook = `${JSON.stringify([
      {
        hosts: "all",
        gather_facts: false,
        tasks: [
          { name: "ignored", command: "false", ignore_errors: true },
          { name: "fails", command: "sh -c 'echo words; exit 3'", when: "inventory_hostname == 'b'" },
          { name: "hangs", command: "sleep 600", when: "inventory_hostname == 'c'" },
          { name: "last", debug: { msg: "last" } },
        ],
      },
    ])}\n`;

    test.skipIf(noLines !== undefined)(
      "ansible.posix.jsonl tells of each host, and what is lost by that is said",
      async () => {
        const [good, bad, hung] = await run(local({ playbook }, { ...spoiling(), timeoutMs: 15_000 }), ["a", "b", "c"]);
        expect(good).toMatchObject({ state: "succeeded", exitCode: 0 });
        expect(good!.reason).toStartWith("told by ansible.posix.jsonl");
        expect(text(good!)).toContain("ok: last");
        expect(bad).toMatchObject({ state: "failed", exitCode: 3 });
        expect(bad!.reason).toStartWith('"fails" failed with code 3');
        expect(text(bad!)).toContain("words\n");
        expect(hung).toMatchObject({ state: "timeout" });
      },
    );

    test("without that collection, too, nothing is run, and the reason says what to install", async () => {
      const spec = spoiling();
      const made = rig.path("made");
      const [report] = await run(
        local(
          { module: "command", args: `touch ${made}` },
          // Collections that are installed beside ansible itself are found whatever the path says.
          { env: { ...spec.env, ANSIBLE_COLLECTIONS_PATH: "/none", ANSIBLE_COLLECTIONS_SCAN_SYS_PATH: "0" } },
        ),
        ["a"],
      );
      expect(report).toMatchObject({ state: "failed", exitCode: null });
      expect(report!.reason).toContain("no_such_module");
      expect(report!.reason).toContain("install that ('ansible-galaxy collection install ansible.posix'");
      expect(existsSync(made)).toBe(false);
    });
  });

  test.skipIf(noSudo !== undefined)("become is by sudo: what is to be another user's is", async () => {
    const sudoers = "/etc/sudoers.d/skein-tests";
    const made = rig.path("made");
    const tasks = [
      { name: "who", command: "id -un", become: true, become_user: "nobody" },
      { name: "write", copy: { dest: made, content: "x" }, become: true },
      { name: "nobody there", command: "true", become: true, become_user: "no-such-user" },
    ];
    writeFileSync(sudoers, "root ALL=(ALL) NOPASSWD: ALL\n", { mode: 0o440 });
    try {
      const playbook = `${JSON.stringify([{ hosts: "all", gather_facts: false, tasks }])}\n`;
      const [report] = await run(of({ playbook }, { env: { ANSIBLE_PIPELINING: "True" } }), ["127.0.1.1"]);
      expect(await rig.logText(report!, "stdout")).toContain("changed: who\nnobody\n");
      expect(existsSync(made)).toBe(true);
      expect(report).toMatchObject({ state: "failed" });
      expect(report!.reason).toContain('"nobody there" failed');
      const whole = {
        ...of({ module: "command", args: "id -un" }),
        ssh: { port: sshd.port, key: sshd.key, become: "nobody" },
      };
      const [become] = await run({ ...whole, env: { ANSIBLE_PIPELINING: "True" } }, ["127.0.1.2"]);
      expect(become).toMatchObject({ state: "succeeded" });
      expect(text(become!)).toBe("nobody\n");
    } finally {
      rmSync(sudoers, { force: true });
    }
  });

  test.skipIf(noSudoUser !== undefined)("become's password is a secret's: a wrong or missing one is told", async () => {
    using user = new SudoUser();
    chmodSync(sshd.dir, 0o755); // whoever logs in reads which key may
    const tasks = [{ name: "who", command: "id -un", become: true }];
    const playbook = `${JSON.stringify([{ hosts: "all", gather_facts: false, tasks }])}\n`;
    const ssh = { port: sshd.port, key: sshd.key, user: user.name };
    const secrets = { becomePassword: "sudo" };
    const given = (password: string): void => {
      rig.secrets = () => Promise.resolve(accept({ sudo: `${password}\n` }));
    };
    given(user.password);
    const [played] = await run({ ...of({ playbook }), ssh, secrets }, ["127.0.1.1"]);
    expect(await rig.logText(played!, "stdout")).toContain("changed: who\nroot\n");
    const module = { ...of({ module: "command", args: "id -un" }), ssh: { ...ssh, become: "root" }, secrets };
    const [alone] = await run(module, ["127.0.1.2"]);
    expect([alone!.state, text(alone!)]).toEqual(["succeeded", "root\n"]);
    given("something else");
    const [wrong] = await run(module, ["127.0.1.3"]);
    expect(wrong).toMatchObject({ state: "failed", reason: expect.stringContaining("Incorrect sudo password") });
    const { secrets: _, ...without } = module;
    const [missing] = await run(without, ["127.0.1.4"]);
    expect(missing).toMatchObject({ state: "failed", reason: expect.stringContaining("Missing sudo password") });
  });

  test.skipIf(noSudoUser !== undefined)("what a host leaves is ended as the user that it became", async () => {
    using user = new SudoUser();
    chmodSync(sshd.dir, 0o755);
    rig.secrets = () => Promise.resolve(accept({ sudo: user.password }));
    const pid = rig.path("pid");
    const spec: Spec = {
      ...of({ module: "shell", args: `trap '' TERM; echo $$ > ${pid}; while :; do sleep 600; done` }),
      ssh: { port: sshd.port, key: sshd.key, user: user.name, become: "root" },
      secrets: { becomePassword: "sudo" },
      timeoutMs: 8_000,
    };
    const [report] = await run(spec, ["127.0.1.1"]);
    expect(report).toMatchObject({ state: "timeout" });
    expect(report!.reason).toContain("killed: ");
    expect(isAlive(Number(readFileSync(pid, "utf8").trim()))).toBe(false);
  });

  test("check mode changes nothing, and shows what would be changed", async () => {
    const made = rig.path("made");
    const [report] = await run(
      local({ module: "copy", args: { dest: made, content: "one\ntwo\n" }, check: true, diff: true }),
      ["a"],
    );
    expect(report).toMatchObject({ state: "succeeded" });
    expect(await rig.logText(report!)).toContain("+two");
    expect(existsSync(made)).toBe(false);
  });

  describe("what ends too early", () => {
    const held = (pid: string): AnsibleSpec => ({
      module: "shell",
      args: `if [ "{{ inventory_hostname }}" = 127.0.1.2 ]; then echo $$ > ${pid}; while [ ! -e ${pid}.go ]; do sleep 0.1; done; fi; echo done`,
    });
    const targets = ["127.0.1.1", "127.0.1.2"];

    test("the node's process is killed: what was done is kept, what runs goes on, and is found by the next one", async () => {
      const own = new Rig();
      try {
        const pid = own.path("pid");
        const unit = taken(of(held(pid)), targets, own);
        const node = await own.otherNode([], 900_000, [unit]);
        await waitFor(pid);
        await node.crash();
        await own.open({ units: [unit], leaseMs: 900_000 });
        expect(await reportOf(unit, 0, own)).toMatchObject({ state: "succeeded" });
        writeFileSync(`${pid}.go`, "");
        const late = await reportOf(unit, 1, own);
        expect(late).toMatchObject({ state: "succeeded" });
        expect(text(late)).toBe("done\n");
      } finally {
        await own.close();
      }
    });

    test("the lease ends: what was done is kept, what runs is ended, on its host too", async () => {
      const own = new Rig();
      try {
        const pid = own.path("pid");
        const unit = taken(of(held(pid)), targets, own);
        const node = await own.otherNode([], 20_000, [unit]);
        await waitFor(pid);
        const remote = await own.pidIn(pid);
        await node.crash();
        await until("the end of the command", () => !isAlive(remote), patienceMs);
        await own.open({ units: [unit], leaseMs: 900_000 });
        expect(await reportOf(unit, 0, own)).toMatchObject({ state: "succeeded" });
        const lost = await reportOf(unit, 1, own);
        expect(lost).toMatchObject({ state: "lost" });
        expect(lost.reason).toContain("the lease of its node ended");
      } finally {
        await own.close();
      }
    });

    test("the guard is killed: what was done is kept, and what ran is lost", async () => {
      const pid = rig.path("pid");
      const unit = taken(local(held(pid)), targets);
      rig.executor.assign([], [unitAssignmentOf(unit)]);
      await waitFor(pid);
      expect(await reportOf(unit, 0)).toMatchObject({ state: "succeeded" });
      process.kill(rig.guardPid(), "SIGKILL");
      expect(await reportOf(unit, 1)).toMatchObject({ state: "lost" });
      await until("the end of all of it", () => rig.marked().every((one) => one === rig.guardPid()), patienceMs);
    });

    test("ansible is killed: the host that was done keeps its verdict, the other one is lost", async () => {
      const pid = rig.path("pid");
      const unit = taken(local(held(pid)), targets);
      rig.executor.assign([], [unitAssignmentOf(unit)]);
      await waitFor(pid);
      expect(await reportOf(unit, 0)).toMatchObject({ state: "succeeded" });
      // Some of them end by themselves: ssh's helpers, and whom it waited for.
      for (const one of rig.marked()) Bun.spawnSync(["kill", "-KILL", String(one)]);
      expect(await reportOf(unit, 1)).toMatchObject({ state: "lost", exitCode: null });
    });

    test("cancelled: one of them waits for the others, all of them are ended at once", async () => {
      const pid = rig.path("pid");
      const args = `echo $$ > ${pid}{{ inventory_hostname }}; while [ ! -e ${pid}.go ]; do sleep 0.1; done`;
      const unit = taken(of({ module: "shell", args }), targets);
      const assignment = unitAssignmentOf(unit);
      rig.executor.assign([], [assignment]);
      for (const target of targets) await waitFor(`${pid}${target}`);
      const remotes = await Promise.all(targets.map((target) => rig.pidIn(`${pid}${target}`)));
      rig.executor.stop([assignment.at(unit.first)]);
      rig.executor.stop([assignment.at(unit.first + 1)]);
      const reports = await Promise.all([0, 1].map((at) => reportOf(unit, at)));
      expect(reports.map(({ state }) => state)).toEqual(["cancelled", "cancelled"]);
      expect(reports[0]!.reason).toStartWith("killed: ");
      expect(remotes.filter(isAlive)).toEqual([]);
    });
  });
});

/** What ansible alone says of the same playbook: whether nothing went wrong on a host in the end. */
function recapOf(playbook: string, hosts: readonly string[], more: readonly string[]): Record<string, boolean> {
  const said = Bun.spawnSync(["ansible-playbook", "-i", `${hosts.join(",")},`, "-c", "local", ...more, playbook], {
    env: { ...process.env, ANSIBLE_NOCOLOR: "1", ANSIBLE_RETRY_FILES_ENABLED: "0" },
  }).stdout.toString();
  const recap = said.slice(said.indexOf("PLAY RECAP"));
  return Object.fromEntries(
    [...recap.matchAll(/^(\S+) +: ok=.*unreachable=(\d+) +failed=(\d+)/gm)].map(([, host, away, failed]) => [
      host!,
      away === "0" && failed === "0",
    ]),
  );
}

/** Twelve tasks: most are ansible's own, which take no process on the host, so that sixty of them are soon done. */
function site(made: string): string {
  const number = "inventory_hostname[1:] | int";
  return `
- hosts: all
  gather_facts: false
  become: true
  become_user: root
  tasks:
    - name: number
      set_fact: {number: "{{ ${number} }}"}
    - name: some fail
      fail: {msg: "no good"}
      when: number | int % 10 == 5
    - name: ignored
      fail: {msg: "never mind"}
      ignore_errors: true
      when: number | int % 3 == 0
    - name: with a rescue
      block:
        - name: to be rescued
          fail: {msg: "help"}
          when: number | int % 3 == 0
      rescue:
        - name: rescuer
          debug: {msg: "rescued"}
      always:
        - name: always
          debug: {msg: "always"}
    - name: a rescue that fails
      block:
        - name: to be rescued in vain
          fail: {msg: "help"}
          when: number | int % 10 == 7
      rescue:
        - name: no rescuer
          fail: {msg: "beyond help"}
    - name: loop
      debug: {msg: "{{ item }}"}
      loop: [one, two, three]
    - name: a loop that fails in part
      fail: {msg: "{{ item }}"}
      when: number | int == 8 and item == "b"
      loop: [a, b]
    - name: write
      copy: {dest: "${made}", content: "{{ word }}\\n"}
      when: number | int == 0
    - name: change
      debug: {msg: "changed"}
      changed_when: number | int % 3 == 0
      notify: handle
    - name: a module that fails
      command: "false"
      when: number | int == 11
    - name: a check
      assert: {that: "number | int != 21"}
    - name: last
      debug: {msg: "last"}
  handlers:
    - name: handle
      debug: {msg: "handled"}
`;
}
