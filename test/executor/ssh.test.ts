import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { whyMissing } from "../../scripts/needed.ts";
import { beginsWithinMs } from "../../src/executor/guard/ssh-attempt.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { isUnreachable } from "../../src/lib/unreachable.ts";
import { sshStart } from "../../src/executor/drivers/ssh.ts";
import { killScript, taskScript } from "../../src/executor/drivers/ssh-script.ts";
import { RemoteMarks } from "../../src/executor/guard/ssh-marks.ts";
import type { Report, Spec, SshSpec } from "../../src/state/types.ts";
import { isAlive, Rig, until } from "./rig.ts";
import { noSudoUser, SudoUser } from "./sudo-user.ts";
import { freePort, generateKey, muteHost, Sshd } from "../../scripts/sshd.ts";

const missing = whyMissing("sshd", ["openssh-server"], () => existsSync("/usr/sbin/sshd"), [
  "ssh.service",
  "ssh.socket",
]);
if (missing !== undefined) console.log(`skipped: driver ssh: ${missing}`);

const text = (report: Report): string => new TextDecoder().decode(report.tail);

describe.skipIf(missing !== undefined)("a command on a host that has no skein", () => {
  let sshd: Sshd;
  let rig: Rig;
  let task = 0;
  beforeAll(async () => {
    sshd = await Sshd.start();
  });
  afterAll(() => sshd.stop());
  beforeEach(async () => {
    rig = new Rig();
    await rig.open();
  });
  afterEach(() => rig.close());

  const over = (ssh: SshSpec = {}): SshSpec => ({ port: sshd.port, key: sshd.key, ...ssh });
  const run = (spec: Spec, more: { attempt?: number; task?: number; target?: string } = {}): Promise<Report> =>
    rig.run({ driver: "ssh", ssh: over(), ...spec }, { task: task++, target: "127.0.1.5", ...more });

  test("tells its exit code, even one that ssh has for itself, and both streams as they came", async () => {
    expect(await run({ run: "echo out; echo err >&2; exit 3" })).toMatchObject({ state: "failed", exitCode: 3 });
    const report = await run({ run: "printf out; printf err >&2; exit 255" });
    expect(report).toMatchObject({ state: "failed", exitCode: 255, reason: undefined });
    expect(await rig.logText(report, "stdout")).toBe("out");
    expect(await rig.logText(report, "stderr")).toBe("err");
    expect(await run({ run: "no-such-command-here" })).toMatchObject({ state: "failed", exitCode: 127 });
  });

  test("gets words, variables and standard input as they are, whatever a shell would make of them", async () => {
    const odd = `it's "odd" $HOME \`id\` \\ !x\nline`;
    const report = await run({
      run: ["sh", "-c", 'printf "%s|" "$1" "$ODD" "$SKEIN_TARGET" "$SKEIN_NODE"; cat', "x", odd],
      env: { ODD: odd },
      stdin: "given\0bytes\n",
    });
    expect(await rig.logText(report)).toBe(`${odd}|${odd}|127.0.1.5|7|given\0bytes\n`);
    expect((await run({ run: "cat; pwd", dir: "/tmp" })).tail).toEqual(new TextEncoder().encode("/tmp\n"));
    expect(await run({ run: "true", dir: "/no/such/dir" })).toMatchObject({ state: "failed", exitCode: 126 });
  });

  test("is reached as an inventory says of it, whatever the job says of all", async () => {
    const facts = { ansible_host: "127.0.1.66", ansible_port: String(sshd.port), ansible_user: "root" };
    rig.hostFacts.set("web1", { groups: [], vars: { ...facts, ansible_ssh_extra_args: "-o SendEnv='X Y'" } });
    rig.hostFacts.set("web2", { groups: [], vars: { ...facts, ansible_host: "{{ elsewhere }}" } });
    const spec = { run: 'echo "$SKEIN_TARGET ${SSH_CONNECTION% *}"', ssh: over({ port: 1, user: "nobody" }) };
    const report = await run(spec, { target: "web1" });
    expect(await rig.logText(report, "stdout")).toMatch(/^web1 \S+ \d+ 127\.0\.1\.66\n$/);
    // A template is ansible's to fill in: ssh goes by the name.
    const other = await run(spec, { target: "web2" });
    expect(other.reason).toMatch(/^unreachable: .*web2/);
  });

  test("the limit runs on the target: nothing of it is left there, in sessions of its own neither", async () => {
    const pids = rig.path("pids");
    const script = `trap '' TERM; echo $$ >> ${pids}; setsid sh -c 'echo $$ >> ${pids}; exec sleep 600' & sleep 600`;
    const report = await run({ run: script, timeoutMs: 1_000, graceMs: 1_000 });
    expect(report).toMatchObject({ state: "timeout", exitCode: null });
    expect(report.reason).toContain("ran longer than its timeout of 1s; killed: 1 processes");
    const all = readFileSync(pids, "utf8").trim().split("\n").map(Number);
    expect(all.length).toBe(2);
    expect(all.filter(isAlive)).toEqual([]);
  });

  test("cancelled: it is ended on the target too, and that is told", async () => {
    const pid = rig.path("pid");
    const assignment = rig.assignment(
      { driver: "ssh", ssh: over(), run: `echo $$ > ${pid}; exec sleep 600` },
      { target: "127.0.1.7" },
    );
    rig.executor.assign([assignment]);
    const remote = await rig.pidIn(pid);
    rig.executor.stop([assignment]);
    const report = await rig.reportOf(assignment);
    expect(report).toMatchObject({ state: "cancelled", exitCode: null });
    expect(report.reason).toStartWith("killed: ");
    expect(isAlive(remote)).toBe(false);
  });

  test("its node dies, and the lease ends: the guard ends it on the target too, and keeps that it is lost", async () => {
    const own = new Rig();
    try {
      const pid = own.path("pid");
      const run = `echo $$ > ${pid}; exec sleep 600`;
      const assignment = own.assignment({ driver: "ssh", ssh: over(), run }, { target: "127.0.1.7" });
      const node = await own.otherNode([assignment], 3_000);
      const remote = await own.pidIn(pid);
      await node.crash();
      await until("the end of the command", () => !isAlive(remote));
      await own.open({ held: [assignment] });
      const report = await own.reportOf(assignment);
      expect(report).toMatchObject({ state: "lost", exitCode: null });
      expect(report.reason).toContain("the lease of its node ended while it ran");
      expect(report.reason).toContain("killed: ");
    } finally {
      await own.close();
    }
  });

  test("what an earlier attempt left is ended before a later one begins, and what is not that task's goes on", async () => {
    const [left, other] = [rig.path("left"), rig.path("other")];
    // As a broken connection leaves it: nobody waits for these.
    const leave = (path: string): string => `nohup setsid sh -c 'echo $$ > ${path}; exec sleep 600' >/dev/null 2>&1 &`;
    await run({ run: leave(left) }, { task: 900 });
    await run({ run: leave(other) }, { task: 90 });
    const [mine, theirs] = await Promise.all([rig.pidIn(left), rig.pidIn(other)]);
    expect([mine, theirs].map(isAlive)).toEqual([true, true]);
    const report = await run({ run: "true" }, { task: 900, attempt: 2 });
    expect(report).toMatchObject({
      state: "succeeded",
      reason: "what earlier attempts left there: killed, 1 processes",
    });
    expect([mine, theirs].map(isAlive)).toEqual([false, true]);
    process.kill(theirs, "SIGKILL");
  });

  // Of a connection that carries the task's own input its end says nothing.
  test.each([{}, { stdin: "given" }])(
    "its guard is killed: the target ends what is left there by itself, and nobody has to come by (%p)",
    async (more) => {
      const own = new Rig();
      try {
        const pid = own.path("pid");
        const run = `trap '' TERM HUP; echo $$ > ${pid}; while :; do sleep 600; done`;
        const assignment = own.assignment({ driver: "ssh", ssh: over(), run, ...more }, { target: "127.0.1.7" });
        const node = await own.otherNode([assignment], 60_000);
        const remote = await own.pidIn(pid);
        process.kill(own.guardPid(), "SIGKILL");
        await node.crash();
        await own.open({ held: [assignment] });
        expect(await own.reportOf(assignment)).toMatchObject({ state: "lost" });
        await until("the end of the command", () => !isAlive(remote), 60_000);
      } finally {
        await own.close();
      }
    },
  );

  test("a guard of an earlier release is not told to hold a stream open, which it cannot", () => {
    const assignment = rig.assignment({ driver: "ssh", run: "true" }, { target: "web1" });
    const place = { node: nodeId(7), cluster: "c1", knownHosts: rig.path("known_hosts"), hostFacts: () => undefined };
    expect(sshStart(assignment, { ...place, holdsInput: true }, {}).ssh?.isHeld).toBe(true);
    expect(sshStart(assignment, { ...place, holdsInput: false }, {}).ssh?.isHeld).toBeUndefined();
  });

  test("goes by way of other hosts with the same key and the same trust in keys of hosts", async () => {
    const { port: _port, ...way } = over({ jump: `127.0.2.1:${sshd.port},root@127.0.2.2:${sshd.port}` });
    const ssh = { ...way, port: sshd.port, knownHosts: "strict" };
    const strange = await run({ run: "true", ssh });
    expect(strange.reason).toMatch(/^unreachable: .*(known_hosts|UNKNOWN port)/);
    const report = await run({ run: "echo $SSH_CONNECTION", ssh: { ...ssh, knownHosts: "accept-new" } });
    expect(report).toMatchObject({ state: "succeeded", exitCode: 0 });
    expect(await rig.logText(report)).toMatch(/127\.0\.1\.5 \d+\n$/);
    const known = readFileSync(rig.path("known_hosts"), "utf8");
    for (const host of ["127.0.2.1", "127.0.2.2", "127.0.1.5"]) expect(known).toContain(host);
  });

  test("its key and known_hosts may lie in a directory of any name, for jump hosts too", async () => {
    const odd = rig.path(`it's a "key" 100%h`);
    mkdirSync(odd);
    copyFileSync(sshd.key, `${odd}/the key`);
    await run({ run: "true" }, { target: "127.0.1.5" });
    await run({ run: "true" }, { target: "127.0.2.1" });
    copyFileSync(rig.path("known_hosts"), `${odd}/known hosts`);
    const ssh = over({ key: `${odd}/the key`, knownHosts: `${odd}/known hosts` });
    expect(await run({ run: "true", ssh })).toMatchObject({ state: "succeeded", exitCode: 0 });
    const jump = `127.0.2.1:${sshd.port}`;
    expect(await run({ run: "true", ssh: { ...ssh, jump } })).toMatchObject({ state: "succeeded", exitCode: 0 });
  });

  test("a target without timeout(1) keeps the limit by perl, all that the command started included; one without both says so", async () => {
    const lacking = (programs: readonly string[]): string => {
      const bin = rig.path(`bin-${programs.length}`);
      mkdirSync(bin);
      for (const name of ["sh", "sleep", "grep", "tr", "sed", "head", ...programs])
        symlinkSync(Bun.which(name)!, `${bin}/${name}`);
      return bin;
    };
    const pids = rig.path("pids");
    const run2 = `trap '' TERM; echo $$ >> ${pids}; sh -c 'trap "" TERM; echo $$ >> ${pids}; sleep 600' & sleep 600`;
    const report = await run({ run: run2, timeoutMs: 1_000, graceMs: 1_000, env: { PATH: lacking(["perl"]) } });
    expect(report).toMatchObject({ state: "timeout" });
    const all = readFileSync(pids, "utf8").trim().split("\n").map(Number);
    expect(all.length).toBe(2);
    expect(all.filter(isAlive)).toEqual([]);
    const none = await run({ run: "echo here", timeoutMs: 10_000, env: { PATH: lacking([]) } });
    expect(none).toMatchObject({ state: "succeeded" });
    expect(none.reason).toContain("neither timeout(1) nor perl");
    expect(await run({ run: "exit 7", timeoutMs: 10_000, env: { PATH: rig.path("bin-1") } })).toMatchObject({
      exitCode: 7,
    });
  });

  test("files are given out before it and fetched after it, over one connection", async () => {
    writeFileSync(rig.path("given"), "words");
    mkdirSync(rig.path("tree"));
    writeFileSync(rig.path("tree/leaf"), "leaf");
    const [there, back] = [rig.path("there"), rig.path("back")];
    mkdirSync(there);
    const ssh = over({
      put: [
        { from: rig.path("given"), to: `${there}/given` },
        { from: rig.path("tree"), to: `${there}/tree` },
      ],
      fetch: [{ from: `${there}/made`, to: back }],
    });
    const before = sshd.log().split("Accepted publickey").length;
    expect(await run({ run: `cat ${there}/given ${there}/tree/leaf > ${there}/made`, ssh })).toMatchObject({
      state: "succeeded",
    });
    expect(readFileSync(`${back}/127.0.1.5/made`, "utf8")).toBe("wordsleaf");
    expect(sshd.log().split("Accepted publickey").length - before).toBe(1);
    const missing = await run({ run: "true", ssh: over({ fetch: [{ from: "/no/such/file", to: back }] }) });
    expect(missing).toMatchObject({ state: "failed", exitCode: 0 });
    expect(missing.reason).toContain("could not be fetched");
    const lacking = await run({ run: "true", ssh: over({ put: [{ from: "/no/such/file", to: there }] }) });
    expect(lacking).toMatchObject({ state: "failed", exitCode: null });
    expect(lacking.reason).toContain("/no/such/file");
  });

  test("what is wrong on the node itself is said of the node: no host is unreachable for it, and none is asked where it is seen before", async () => {
    const why = async (ssh: SshSpec, more: Spec = {}): Promise<string> => {
      const report = await run({ run: "true", ssh: over(ssh), ...more });
      expect(report).toMatchObject({ state: "failed", exitCode: null });
      expect(isUnreachable(report)).toBe(false);
      return report.reason ?? "";
    };
    const asked = (): number => sshd.log().split("Connection closed").length;
    const before = asked();
    const none = rig.path("none");
    expect(await why({ key: none })).toBe(`could not be begun on node 7: its key ${none} does not exist`);
    expect(await why({ put: [{ from: none, to: "/tmp/x" }] })).toBe(
      `could not be begun on node 7: ${none}, which is to be put, does not exist`,
    );
    expect(asked()).toBe(before);

    const locked = rig.path("locked");
    generateKey(locked, "secret words");
    expect(await why({ key: locked })).toStartWith(
      `could not be begun on node 7: its key ${locked} is locked by a passphrase`,
    );
    rig.secrets = () => Promise.resolve(accept({ ops: readFileSync(locked, "utf8") }));
    const { key: _, ...ssh } = over();
    expect(await why({}, { ssh, secrets: { sshKey: "ops" } })).toStartWith(
      "could not be begun on node 7: the key of its secret is locked by a passphrase",
    );
    const torn = rig.path("torn");
    writeFileSync(torn, readFileSync(sshd.key, "utf8").slice(0, 100), { mode: 0o600 });
    expect(await why({ key: torn })).toStartWith(`could not be begun on node 7: its key ${torn} cannot be used: `);

    expect(await why({ knownHosts: none })).toMatch(
      /^could not be begun on node 7: its known_hosts file \S+\/none does not exist \(Host key verification failed/,
    );
    rig.hostFacts.set("127.0.1.5", { groups: [], vars: { ansible_ssh_extra_args: "-o NoSuchOption=1" } });
    expect(await why({})).toMatch(/^could not be begun on node 7: ssh does not take .*nosuchoption/);
  });

  test("a file that the target does not take is no host that is not there", async () => {
    writeFileSync(rig.path("given"), "words");
    const report = await run({ run: "true", ssh: over({ put: [{ from: rig.path("given"), to: "/no/such/place" }] }) });
    expect(report).toMatchObject({ state: "failed", exitCode: null });
    expect(report.reason).toMatch(/^a file could not be put: scp: .*\/no\/such\/place/);
  });

  test("the reason is what went wrong first, and names the jump host where it is that", async () => {
    const down = await run({ run: "true", ssh: over({ jump: `ops@127.0.13.9:${await freePort()}` }) });
    expect(down.reason).toMatch(
      /^unreachable: jump host ops@127\.0\.13\.9:\d+: ssh: connect to .*: Connection refused$/,
    );
    const jump = `127.0.2.1:${sshd.port}`;
    const beyond = await run({ run: "true", ssh: over({ jump, port: await freePort() }) });
    expect(beyond.reason).toBe("unreachable: its jump host does not reach it: stdio forwarding failed");
    const strange = await run({ run: "true", ssh: over({ jump: `127.0.2.77:${sshd.port}`, knownHosts: "strict" }) });
    expect(strange.reason).toStartWith(`unreachable: jump host 127.0.2.77:${sshd.port}: Host key verification failed`);
  });

  test("files are put out of a bundle, whose tree stays where it is", async () => {
    mkdirSync(rig.path("tree/conf"), { recursive: true });
    writeFileSync(rig.path("tree/conf/app"), "of the bundle");
    chmodSync(rig.path("tree/conf/app"), 0o640);
    const to = rig.path("put");
    rig.bundle = (_attempt, { driver }) =>
      Promise.resolve(driver === "ssh" ? accept({ path: rig.path("tree"), isOwn: false }) : refuse("invalid", "no"));
    const ssh = over({ put: [{ from: "conf", to }] });
    const report = await run({
      run: `stat -c %a ${to}/app; cat ${to}/app`,
      ssh,
      bundle: { name: "site", digest: "d" },
    });
    expect(await rig.logText(report)).toBe("640\nof the bundle");
    expect(existsSync(rig.path("tree/conf/app"))).toBe(true);
  });

  test("a key from a secret is in no place but the attempt's own directory, which goes", async () => {
    rig.secrets = () => Promise.resolve({ ok: true, value: { ops: readFileSync(sshd.key, "utf8") } });
    const { key: _, ...ssh } = over();
    const report = await run({ run: "echo in", ssh, secrets: { sshKey: "ops" } });
    expect(report).toMatchObject({ state: "succeeded", exitCode: 0 });
    expect(existsSync(rig.path(`scratch/1.${report.task}.1`))).toBe(false);
  });

  describe.skipIf(noSudoUser !== undefined)("is another user by a password from a secret", () => {
    const as = (user: SudoUser, given: string | undefined = user.password): { ssh: SshSpec } & Spec => {
      chmodSync(sshd.dir, 0o755); // whoever logs in reads which key may
      rig.secrets = () => Promise.resolve(accept(given === undefined ? {} : { sudo: `${given}\n` }));
      const ssh = over({ user: user.name, become: "root" });
      return given === undefined ? { ssh } : { ssh, secrets: { becomePassword: "sudo" } };
    };

    test("which stands in no argument and no environment, and is hidden in the output", async () => {
      using user = new SudoUser();
      const looks = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'";
      const report = await run({
        ...as(user),
        run: `id -un; cat >all; ${looks} >>all; cat all; rm all`,
        stdin: "given\n",
      });
      expect(report).toMatchObject({ state: "succeeded", exitCode: 0, reason: undefined });
      const shown = await rig.logText(report, "stdout");
      expect(shown).toStartWith("root\ngiven\n");
      expect(shown).toContain(`SKEIN_TARGET=127.0.1.5`);
      expect(shown).not.toContain("***");
      const printing = await run({ ...as(user), run: "cat", stdin: `it is ${user.password}.\n` });
      expect(await rig.logText(printing)).toBe("it is ***.\n");
    });

    test("which is passed over where a rule needs none, and files go and come beside it", async () => {
      using user = new SudoUser();
      user.allow("NOPASSWD: ALL");
      const report = await run({ ...as(user), run: "id -un; cat", stdin: "given\n" });
      expect(await rig.logText(report)).toBe("root\ngiven\n");
      user.allow("ALL");
      writeFileSync(rig.path("conf"), "x");
      const { ssh, ...spec } = as(user);
      const put = [{ from: rig.path("conf"), to: "conf" }];
      const copied = await run({ ...spec, ssh: { ...ssh, put }, run: `id -un; cat ~${user.name}/conf` });
      expect(await rig.logText(copied, "stdout")).toBe("root\nx");
    });

    test("a wrong one is tried once, a missing one not at all, and neither is waited for", async () => {
      using user = new SudoUser();
      const wrong = await run({ ...as(user, "something else"), run: "true", stdin: "more\nlines\n" });
      expect(wrong).toMatchObject({ state: "failed", exitCode: null });
      expect(wrong.reason).toMatch(/^could not become root: sudo: 1 incorrect password attempt .*become_password/);
      // Not a line of the script was taken for one.
      expect(await rig.logText(wrong)).not.toContain("SKEIN_");
      const { ssh } = as(user);
      const missing = await run({ ssh, run: "true" });
      expect(missing.reason).toMatch(/^could not become root: sudo: a password is required .*become_password/);
    });

    test("a user who is not there, and one whom the rules do not let, are told by sudo's own word for it", async () => {
      const nobody = await run({ run: "true", ssh: over({ become: "nosuchuser" }) });
      expect(nobody.reason).toMatch(/^could not become nosuchuser: sudo: unknown user:? nosuchuser \(/);
      using user = new SudoUser();
      user.allow("NOPASSWD: /bin/true");
      const { ssh } = as(user);
      expect((await run({ ssh, run: "true" })).reason).toMatch(/^could not become root: /);
    });

    test("what outlives its limit is ended as that user, and what outlives its connection ends by itself", async () => {
      using user = new SudoUser();
      const pids = rig.path("pids");
      const stays = `trap '' TERM HUP; echo $$ >> ${pids}; while :; do sleep 600; done`;
      const script = `setsid sh -c '${stays.replaceAll("'", `'\\''`)}' & sleep 600`;
      const report = await run({ ...as(user), run: script, timeoutMs: 1_000, graceMs: 1_000 });
      expect(report).toMatchObject({ state: "timeout", exitCode: null });
      expect(report.reason).toMatch(/ran longer than its timeout of 1s; killed: \d+ processes/);
      expect(isAlive(Number(readFileSync(pids, "utf8").trim()))).toBe(false);
      rmSync(pids);
      const running = run({ ...as(user), run: stays });
      const pid = await rig.pidIn(pids);
      // Its connection breaks on the target's side; whoever opened it comes by as well, and may be the one who ends it.
      for (const server of Bun.spawnSync(["pgrep", "-f", `^sshd: ${user.name}@`])
        .stdout.toString()
        .trim()
        .split("\n"))
        process.kill(Number(server), "SIGKILL");
      expect((await running).reason).toStartWith("unreachable: the connection broke while the command ran; ");
      await until("the end of the command", () => !isAlive(pid), 60_000);
    });

    test("its guard is killed: the target ends it by itself, though sudo and a shell are between", async () => {
      using user = new SudoUser();
      const own = new Rig();
      try {
        const pid = own.path("pid");
        const spec = as(user);
        own.secrets = rig.secrets;
        const run = `trap '' TERM HUP; echo $$ > ${pid}; while :; do sleep 600; done`;
        const assignment = own.assignment({ driver: "ssh", ...spec, run }, { target: "127.0.1.7" });
        await own.open();
        own.executor.assign([assignment]);
        const remote = await own.pidIn(pid);
        process.kill(own.guardPid(), "SIGKILL");
        await until("the end of the command", () => !isAlive(remote), 60_000);
      } finally {
        await own.close();
      }
    });
  });

  describe("costs only itself", () => {
    test("a host where nobody listens, one that never answers, one that refuses the key, one whose key has changed", async () => {
      const closed = await run({ run: "true", ssh: over({ port: await freePort() }) });
      expect(closed).toMatchObject({ state: "failed", exitCode: null });
      expect(closed.reason).toMatch(/^unreachable: .*Connection refused/);

      const port = await freePort();
      const mute = await muteHost(port, "127.0.9.9");
      const silent = await run({ run: "true", ssh: over({ port, connectMs: 1_000 }) }, { target: "127.0.9.9" });
      mute.stop();
      expect(silent.reason).toMatch(/^unreachable: .*(banner exchange|said nothing)/);

      generateKey(rig.path("stranger"));
      const refused = await run({ run: "true", ssh: over({ key: rig.path("stranger") }) });
      expect(refused.reason).toMatch(/^unreachable: .*Permission denied.*authorized_keys/);

      await run({ run: "true" });
      const known = readFileSync(rig.path("known_hosts"), "utf8");
      expect(known).toContain("127.0.1.5");
      writeFileSync(
        rig.path("known_hosts"),
        known.replace(/AAAA\S+/g, readFileSync(`${sshd.key}.pub`, "utf8").split(" ")[1]!),
      );
      const changed = await run({ run: "true" });
      expect(changed.reason).toMatch(/^unreachable: .*Host key verification failed.*known_hosts/);
      expect(await run({ run: "true", ssh: over({ knownHosts: "off" }) })).toMatchObject({ state: "succeeded" });
      const strict = await run({ run: "true", ssh: over({ knownHosts: "strict" }) }, { target: "127.0.1.99" });
      expect(strict.reason).toContain("Host key verification failed");
    });

    test("one that freezes after it has begun: its limit is kept here, and that it may go on is told", async () => {
      const pid = rig.path("session");
      // The server's own process of this session: its parent's parent, perhaps.
      const assignment = rig.assignment(
        {
          driver: "ssh",
          ssh: over(),
          run: `echo $PPID > ${pid}; exec sleep 600`,
          timeoutMs: 1_000,
          graceMs: 1_000,
        },
        { target: "127.0.1.8" },
      );
      rig.executor.assign([assignment]);
      const shell = await rig.pidIn(pid);
      const session = sshdAbove(shell);
      process.kill(session, "SIGSTOP");
      const report = await rig.reportOf(assignment);
      expect(report).toMatchObject({ state: "timeout" });
      expect(report.reason).toStartWith("ran longer than its timeout of 1s; killed: ");
      process.kill(session, "SIGCONT");
      await until("the end of the session", () => !isAlive(session));
    });

    test("one whose command leaves something behind that holds its output open", async () => {
      const pid = rig.path("pid");
      const report = await run({ run: `sh -c 'echo $$ > ${pid}; exec sleep 600' & exit 0` });
      expect(report).toMatchObject({ state: "succeeded", exitCode: 0 });
      process.kill(await rig.pidIn(pid), "SIGKILL");
    });

    test("one that floods: the output is kept up to what is wanted", async () => {
      const report = await run({ run: "yes flood", timeoutMs: 1_000, graceMs: 500, output: { keepBytes: 10_000 } });
      expect(report).toMatchObject({ state: "timeout", log: { bytes: 10_000 } });
      expect(report.reason).toContain("the log is truncated");
      expect(text(report)).toContain("flood");
    });
  });
});

test("how long a command ran is told by its target: whoever reads late that it began knows it all the same", async () => {
  const script = taskScript({
    run: "sleep 1.2; exit 124",
    env: {},
    graceMs: 1_000,
    word: "w",
    marker: "c:1.0",
    attempt: 1,
    mustBeAlone: false,
    isHeld: false,
  });
  const ran = Bun.spawn(["sh", "-c", script], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const marks = new RemoteMarks("w", () => 0);
  marks.push(await Bun.readableStreamToBytes(ran.stderr));
  expect(marks.news).toMatchObject({ exitCode: 124, startedAt: 0 });
  expect(marks.news.ranSeconds).toBeGreaterThanOrEqual(1);
});

test("a command ends with the stream that is held open for it, and with nothing else", async () => {
  const script = (run: string): string =>
    taskScript({
      run,
      env: {},
      timeoutMs: 600_000,
      graceMs: 1_000,
      word: "w",
      marker: "held:1.0",
      attempt: 1,
      mustBeAlone: false,
      isHeld: true,
    });
  const start = (run: string): Bun.Subprocess<"pipe", "pipe", "pipe"> => {
    const ran = Bun.spawn(["sh"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    void ran.stdin.write(script(run));
    void ran.stdin.flush();
    return ran;
  };
  const ending = start("cat; exit 3");
  expect(await ending.exited).toBe(3);
  expect(await ending.stderr.text()).toContain("w exit 3 ");
  void ending.stdin.end();

  const ran = start("echo $$; exec sleep 600");
  const { value } = await ran.stdout.getReader().read();
  const pid = Number(new TextDecoder().decode(value));
  expect(isAlive(pid)).toBe(true);
  void ran.stdin.end();
  await until("the end of the command", () => !isAlive(pid));
  await ran.exited;
});

test("a script of which not all has come does nothing", async () => {
  const whole = killScript("w", "cut:1.0", 1);
  const ran = Bun.spawn(["sh"], { stdin: Buffer.from(whole.slice(0, -8)), stdout: "pipe", stderr: "pipe" });
  await ran.exited;
  expect(await ran.stderr.text()).not.toContain("w killed");
});

test("a command goes on where its target does not show the process of its connection", async () => {
  const script = taskScript({
    run: "sleep 7",
    env: {},
    graceMs: 1_000,
    word: "w",
    marker: "c:1.0",
    attempt: 1,
    mustBeAlone: false,
    isHeld: false,
  });
  // The number of no process, as one that is hidden looks.
  const ran = Bun.spawn(["dash", "-c", `PPID=4194305\n${script}`], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const marks = new RemoteMarks("w", () => 0);
  marks.push(await Bun.readableStreamToBytes(ran.stderr));
  expect(marks.news).toMatchObject({ exitCode: 0 });
});

test("files that are given out first have their time: a connection that is at work is no silent one", () => {
  const start = { connectMs: 10_000 };
  expect(beginsWithinMs(start, 1)).toBe(40_000);
  expect(beginsWithinMs(start, 2)).toBeGreaterThan(40_000);
  expect(beginsWithinMs({ ...start, isCopying: true, limitMs: 600_000 }, 1)).toBe(640_000);
  expect(beginsWithinMs({ ...start, isCopying: true }, 1)).toBeUndefined();
});

/** The sshd that serves the session in which that process is. */
function sshdAbove(pid: number): number {
  for (let at = pid; at > 1;) {
    const stat = readFileSync(`/proc/${at}/stat`, "latin1");
    if (stat.includes("(sshd)")) return at;
    at = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  }
  throw new Error(`no sshd above ${pid}`);
}
