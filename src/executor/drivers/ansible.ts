import { randomBytes } from "node:crypto";
import { availableParallelism, freemem } from "node:os";
import { assert } from "../../lib/assert.ts";
import type { HostFacts } from "../../lib/inventory.ts";
import { limits } from "../../lib/limits.ts";
import type { AnsibleSpec, Assignment, Spec, SshSpec } from "../../state/types.ts";
import type { AnsibleMember, AnsibleStart, SshStart, Start } from "../guard/frames.ts";
import { identityOf } from "../identity.ts";
import { nameOf } from "../names.ts";
import { becomePasswordOf, redacting, type SecretValues, valuesOf } from "../secrets.ts";
import { type FileHost, inventoryFile } from "./ansible-inventory.ts";
import { ansiblePlugin } from "./ansible-plugin.ts";
import { approach } from "./become.ts";
import { type HostReach, reachOf } from "./host-reach.ts";
import { shellStart } from "./shell.ts";
import { needsOf, optionsOf, type SshPlace, withLineEnd } from "./ssh.ts";
import { killEarlierScript, killScript, quote } from "./ssh-script.ts";

/**
 * Driver ansible: the node's own ansible-core, one process for all tasks of a unit, each about a host. What happens on each host is told by a callback plugin of ours
 * (ansible-plugin.ts), on a descriptor of its own; the exit code says nothing that is relied on. A module alone is run as a playbook of one task, so that it is
 * bounded, marked and told of in the same way.
 *
 * Paths of what the driver gives are relative: the process runs in the attempt's own directory. Where that is the tree of a bundle (its ansible.cfg holds, but for what is set here),
 * they lie below a directory in it, and a playbook that is none of the tree's beside its own, so that roles, files and templates of the tree are found.
 */
export function ansibleStart(assignments: readonly Assignment[], place: SshPlace, secrets: SecretValues): Start {
  const [first] = assignments;
  assert(first?.spec.ansible !== undefined, "driver ansible has something to run, on a host at least");
  const { job, task, attempt, fence, spec } = first;
  const { ansible, ssh = {} } = first.spec;
  const local = shellStart(first, place.node, secrets);
  const values = valuesOf(named({ key: spec.secrets?.sshKey, vault: spec.secrets?.vault }), secrets);
  const password = becomePasswordOf(spec, secrets);
  const isReached = ansible.connection === undefined || ansible.connection === "ssh";
  const inDir = spec.bundle === undefined ? "" : treePlace;
  const keyAt = (key: string, own?: string): string | undefined => own ?? (values["key"] === undefined ? ssh.key : key);
  const hosts = assignments.map((one): Host => {
    const facts = place.hostFacts(one);
    const reach = reachOf(hostOf(one), ssh, facts);
    const own = reach.hasOwnKey ? reach.ssh.key : undefined;
    const optionsWith = (key: string): string[] => [
      ...reach.args,
      ...optionsOf(reach.ssh, keyAt(key, own), place.knownHosts),
    ];
    const hereKey = own ?? (values["key"] === undefined ? ssh.key : undefined);
    return { one, facts, reach, hereKey, options: optionsWith(`${inDir}key`), optionsAside: optionsWith("key") };
  });
  const options = optionsOf(ssh, keyAt(`${inDir}key`), place.knownHosts);
  const keyFile = values["key"] === undefined ? [] : [{ name: "key", text: withLineEnd(values["key"]) }];
  const earlier =
    isReached && attempt > 1 && isBySsh(hosts[0]!) ? endingEarlier(hosts[0]!, password, place, inDir) : undefined;
  const words = wordsOf(
    ansible,
    assignments.length,
    ansible.vault ?? (values["vault"] === undefined ? undefined : `${inDir}vault`),
    inDir,
  );
  const members = hosts.map((host): AnsibleMember => {
    const reached = isReached && isBySsh(host) ? { ssh: killing(host, keyFile, password, place) } : {};
    return { ...nameOf(host.one), host: hostOf(host.one), ...reached };
  });
  return {
    job,
    task,
    attempt,
    fence,
    identity: identityOf(first),
    run: ["skein-driver-ansible"],
    env: {
      ANSIBLE_HOST_KEY_CHECKING: "True",
      ANSIBLE_RETRY_FILES_ENABLED: "0",
      // A module in one exchange and not five. With sudo some hosts refuse it (requiretty), so a playbook's own configuration decides.
      ...(ansible.module !== undefined && ssh.become === undefined ? { ANSIBLE_PIPELINING: "1" } : {}),
      ...withoutTask(local.env),
      ...(password === undefined ? {} : { ANSIBLE_BECOME_PASSWORD_FILE: `./${inDir}become` }),
      ...pluginEnvironment(spec, isReached, local.keepBytes, inDir),
    },
    graceMs: local.graceMs,
    tailBytes: local.tailBytes,
    keepBytes: local.keepBytes,
    ...redacting(spec, secrets),
    ansible: {
      argv: earlier === undefined ? words : [...earlier.argv, ...words],
      files: [
        { name: "plugins/skein_events.py", text: ansiblePlugin },
        { name: "inventory.json", text: inventoryOf(hosts, ansible, ssh, options, place, inDir) },
        ...(ansible.vars === undefined ? [] : [{ name: "vars.json", text: JSON.stringify(ansible.vars) }]),
        ...(values["vault"] === undefined ? [] : [{ name: "vault", text: values["vault"] }]),
        ...(password === undefined ? [] : [{ name: "become", text: `${password}\n` }]),
        ...keyFile,
        ...(earlier === undefined ? [] : [{ name: "kill", text: earlier.script }]),
      ]
        .map(({ name, text }) => ({ name: `${inDir}${name}`, text }))
        .concat(playbookFile(ansible, inDir)),
      members,
      isAdHoc: ansible.module !== undefined,
      ...(earlier === undefined ? {} : { word: earlier.word }),
      ...(spec.timeoutMs === undefined ? {} : { limitMs: spec.timeoutMs }),
    },
  };
}

function named(names: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(names).flatMap(([key, name]) => (name === undefined ? [] : [[key, name]])));
}

function hostOf({ target }: Assignment): string {
  assert(target !== undefined, "a task of driver ansible has a target");
  return target;
}

/** What is said of one task is no word of the process, which is for several: playbooks find it in the variable skein of each host. */
function withoutTask(env: Readonly<Record<string, string>>): Record<string, string> {
  const { SKEIN_TASK: _task, SKEIN_ATTEMPT: _attempt, SKEIN_TARGET: _target, ...rest } = env;
  return rest;
}

function wordsOf(ansible: AnsibleSpec, hosts: number, vault: string | undefined, inDir: string): string[] {
  const { playbook, vars, check, diff, tags, skipTags } = ansible;
  const path = playbook !== undefined && !isText(playbook) ? playbook : givenPlaybook(inDir);
  return [
    "sh",
    "-c",
    orByLines,
    "skein",
    "-i",
    `${inDir}inventory.json`,
    "-f",
    String(Math.min(hosts, ansible.forks ?? forksHere())),
    ...(vars === undefined ? [] : ["-e", `@${inDir}vars.json`]),
    ...(vault === undefined ? [] : ["--vault-password-file", vault]),
    ...(check === true ? ["--check"] : []),
    ...(diff === true ? ["--diff"] : []),
    ...(tags === undefined ? [] : ["--tags", tags.join(",")]),
    ...(skipTags === undefined ? [] : ["--skip-tags", skipTags.join(",")]),
    path,
  ];
}

/**
 * Ansible with our plugin; where that cannot be used (it has told nothing, and no task has begun: these are the codes of a callback that cannot be loaded), once more with
 * ansible.posix.jsonl, whose lines guard/ansible-lines.ts reads. That one knows no limit of a host, so that of a task is all there is.
 */
const orByLines = `
ansible-playbook "$@"
code=$?
if [ ! -e "$ANSIBLE_CALLBACK_PLUGINS/begun" ] && { [ $code -eq 1 ] || [ $code -eq 250 ]; }; then
  echo '{"event":"instead"}' >&3
  ANSIBLE_STDOUT_CALLBACK=ansible.posix.jsonl ANSIBLE_TASK_TIMEOUT=$SKEIN_TASK_TIMEOUT ansible-playbook "$@" >&3
  code=$?
fi
[ $code -le 128 ] || kill -$((code - 128)) $$
exit $code
`;

/** As many as this host's processors and free memory bear. */
function forksHere(): number {
  const byMemory = Math.floor(freemem() / limits.ansibleForkBytes);
  return Math.max(1, Math.min(4 * availableParallelism(), byMemory));
}

/** A playbook that was given as text has several lines; a path has one. */
function isText(playbook: string): boolean {
  return playbook.includes("\n");
}

/** Where what the driver gives lies in a bundle's tree. */
const treePlace = ".skein/";

function givenPlaybook(inDir: string): string {
  return inDir === "" ? "playbook.yml" : ".skein-playbook.yml";
}

function playbookFile({ module, args, playbook = "" }: AnsibleSpec, inDir: string): AnsibleStart["files"] {
  const name = givenPlaybook(inDir);
  if (module === undefined) return isText(playbook) ? [{ name, text: playbook }] : [];
  const task = { name: module, [module]: args ?? {} };
  const play = { name: module, hosts: "all", gather_facts: false, strategy: "free", tasks: [task] };
  return [{ name, text: JSON.stringify([play]) }];
}

/** A task's host, with what inventories say of it. */
interface Host {
  readonly one: Assignment;
  readonly facts: HostFacts | undefined;
  readonly reach: HostReach;
  /** Its key, where that is a file of the node. */
  readonly hereKey: string | undefined;
  readonly options: readonly string[];
  /** The same where no bundle's tree is around. */
  readonly optionsAside: readonly string[];
}

/** An inventory may say of single hosts that they are reached otherwise: what is left on those is not looked for. */
function isBySsh({ facts }: Host): boolean {
  const connection = facts?.vars["ansible_connection"];
  return connection === undefined || connection === "ssh" || connection === "smart";
}

/** Names of hosts are the targets as they are. */
function inventoryOf(
  hosts: readonly Host[],
  ansible: AnsibleSpec,
  ssh: SshSpec,
  options: readonly string[],
  { cluster }: SshPlace,
  inDir: string,
): string {
  const members = hosts.map(({ one, facts, options: own }): FileHost => {
    const { job, task, attempt, fence } = one;
    return {
      name: hostOf(one),
      facts,
      vars: {
        skein: { job, task, attempt, fence },
        skein_marker: `${cluster}:${job}.${task}.${attempt};`,
        ...(facts === undefined ? {} : { ansible_ssh_args: sshArgs(own, inDir) }),
      },
    };
  });
  const { user, port, become, connectMs } = ssh;
  const vars = {
    ...(ansible.connection === undefined ? {} : { ansible_connection: ansible.connection }),
    ...(user === undefined ? {} : { ansible_user: user }),
    ...(port === undefined ? {} : { ansible_port: port }),
    ...(become === undefined ? {} : { ansible_become: true, ansible_become_user: become }),
    ansible_ssh_timeout: Math.max(1, Math.ceil((connectMs ?? limits.sshConnectMs) / 1000)),
    ansible_ssh_args: sshArgs(options, inDir),
  };
  return inventoryFile(members, vars, ansible.groups);
}

/** A connection is shared by the tasks of a host, and ends with the attempt: the guard finds it by its environment. */
function sshArgs(options: readonly string[], inDir: string): string {
  const shared = ["-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", `ControlPath=./${inDir}%C`];
  return [...options, ...shared].map(quote).join(" ");
}

/** What ansible-plugin.ts looks for, and what makes ansible load it and nothing else of the kind. */
function pluginEnvironment(
  { ansible, timeoutMs }: Spec,
  isMarked: boolean,
  keepBytes: number,
  inDir: string,
): Record<string, string> {
  return {
    SKEIN_EVENTS: "3",
    SKEIN_TEXT_MOST: String(Math.min(limits.ansibleTextLength, keepBytes)),
    ...(timeoutMs === undefined ? {} : { SKEIN_LIMIT_MS: String(timeoutMs) }),
    SKEIN_TASK_TIMEOUT: String(Math.ceil((timeoutMs ?? 0) / 1000)),
    ...(ansible?.module === undefined ? {} : { SKEIN_AD_HOC: "1" }),
    ...(isMarked ? { SKEIN_MARKED: "1" } : {}),
    ANSIBLE_CALLBACK_PLUGINS: `./${inDir}plugins`,
    ANSIBLE_STDOUT_CALLBACK: "skein_events",
    ANSIBLE_LOCAL_TEMP: `./${inDir}tmp`,
    ANSIBLE_NOCOLOR: "1",
    PYTHONUNBUFFERED: "1",
  };
}

/** How what an attempt has left on its host is ended. */
function killing(
  host: Host,
  keyFile: SshStart["files"],
  password: string | undefined,
  { cluster, node }: SshPlace,
): SshStart {
  const { one, reach, hereKey } = host;
  const word = newWord();
  const script = killScript(word, `${cluster}:${one.job}.${one.task}`, one.attempt);
  const { command, stdin } = approach(script, { become: reach.ssh.become, password, word, isLast: true });
  const argv = commandFor(command, host, host.optionsAside);
  return {
    argv,
    files: reach.hasOwnKey ? [] : keyFile,
    word,
    connectMs: reach.ssh.connectMs ?? limits.sshConnectMs,
    kill: { argv, stdin },
    needs: needsOf(reach.ssh, hereKey, node),
  };
}

/** Words that go before those of a later attempt: what earlier ones left on its host is ended first. Such an attempt is alone in its process. */
function endingEarlier(
  host: Host,
  password: string | undefined,
  { cluster }: SshPlace,
  inDir: string,
): { readonly argv: readonly string[]; readonly script: string; readonly word: string } {
  const word = newWord();
  const { one, reach } = host;
  const earlier = killEarlierScript(word, `${cluster}:${one.job}.${one.task}`, one.attempt);
  const { command, stdin } = approach(earlier, { become: reach.ssh.become, password, word, isLast: true });
  const kill = commandFor(command, host, host.options).map(quote).join(" ");
  return { argv: ["sh", "-c", `${kill} <./${inDir}kill; exec "$@"`, "skein"], script: stdin, word };
}

function commandFor(command: string, { reach }: Host, options: readonly string[]): string[] {
  return ["ssh", ...options, "-T", "--", reach.host, command];
}

function newWord(): string {
  return `skein-${randomBytes(9).toString("base64url")}`;
}
