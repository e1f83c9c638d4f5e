import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { assert } from "../../lib/assert.ts";
import { limits } from "../../lib/limits.ts";
import type { NodeId } from "../../lib/ids.ts";
import type { HostFacts } from "../../lib/inventory.ts";
import type { Assignment, SshCopy, SshSpec } from "../../state/types.ts";
import { fetchFailed, type SshNeeds, type SshStart, type Start } from "../guard/frames.ts";
import { identityOf } from "../identity.ts";
import { becomePasswordOf, redacting, type SecretValues, valuesOf } from "../secrets.ts";
import { approach } from "./become.ts";
import { reachOf } from "./host-reach.ts";
import { shellStart } from "./shell.ts";
import { killScript, quote, taskScript } from "./ssh-script.ts";

/** What the node knows beside the assignment. */
export interface SshPlace {
  readonly node: NodeId;
  readonly cluster: string;
  /** Where keys of hosts are kept that were seen for the first time. */
  readonly knownHosts: string;
  /** The guard can hold the standard input of a connection open (frames.ts). */
  readonly holdsInput: boolean;
  /** What inventories say of the target. */
  hostFacts(assignment: Assignment): HostFacts | undefined;
}

/**
 * Driver ssh: a command on a host that has no skein, by the node's own OpenSSH. One connection does for an attempt, unless files are copied: then one that is opened first
 * is shared by all of its steps. The limit runs on the target (ssh-script.ts), so that nothing stays there whatever becomes of the connection; what is left after a
 * break is looked for by its environment and killed, by the guard after the attempt or by the next attempt before it begins.
 */
export function sshStart(assignment: Assignment, place: SshPlace, secrets: SecretValues, tree?: string): Start {
  const { job, task, attempt, spec, target } = assignment;
  assert(target !== undefined, "a task of driver ssh has a target");
  const asked = withTree(spec.ssh ?? {}, tree);
  const { host, ssh, hasOwnKey, args } = reachOf(target, asked, place.hostFacts(assignment));
  // What the process would be on this node says the contract's variables and values of secrets.
  const local = shellStart(assignment, place.node, secrets);
  const word = `skein-${randomBytes(9).toString("base64url")}`;
  const marker = `${place.cluster}:${job}.${task}`;
  const stdin = spec.stdin ?? "";
  const password = becomePasswordOf(spec, secrets);
  const isBehindShell = ssh.become !== undefined && password !== undefined;
  // What goes to sudo by way of a shell has to end, or that shell does not.
  const isHeld = stdin === "" && place.holdsInput && !isBehindShell;
  const script = taskScript({
    run: local.run,
    env: local.env,
    dir: spec.dir,
    timeoutMs: spec.timeoutMs,
    graceMs: local.graceMs,
    word,
    marker,
    attempt,
    mustBeAlone: ssh.strict === true || spec.onLost === "fail",
    isHeld,
    isBehindShell,
  });
  const keyText = valuesOf(spec.secrets?.sshKey === undefined ? undefined : { key: spec.secrets.sshKey }, secrets)[
    "key"
  ];
  const isKeyGiven = keyText !== undefined && !hasOwnKey;
  const options = [...args, ...optionsOf(ssh, isKeyGiven ? "key" : ssh.key, place.knownHosts)];
  const becoming = { become: ssh.become, password, word };
  const way = approach(script, { ...becoming, isLast: isHeld });
  const command = (words: string): string[] => ["ssh", ...options, "-T", "--", host, words];
  const kill = approach(killScript(word, marker, attempt), { ...becoming, isLast: true });
  const connectMs = ssh.connectMs ?? limits.sshConnectMs;
  const files = isKeyGiven ? [{ name: "key", text: withLineEnd(keyText) }] : [];
  const own: SshStart = {
    argv: isCopying(ssh) ? ["sh", "-c", copying(ssh, options, { host, target }, way.command)] : command(way.command),
    files,
    word,
    connectMs,
    ...(ssh.become === undefined ? {} : { become: ssh.become }),
    ...(isCopying(ssh) ? { isCopying: true } : {}),
    ...(isHeld ? { isHeld } : {}),
    ...(spec.timeoutMs === undefined ? {} : { limitMs: spec.timeoutMs }),
    kill: { argv: command(kill.command), stdin: kill.stdin },
    needs: needsOf(ssh, isKeyGiven ? undefined : ssh.key, place.node),
  };
  return {
    job,
    task,
    attempt,
    fence: assignment.fence,
    identity: identityOf(assignment),
    run: ["skein-driver-ssh"],
    env: {},
    stdin: way.stdin + stdin,
    graceMs: local.graceMs,
    tailBytes: local.tailBytes,
    keepBytes: local.keepBytes,
    ...redacting(spec, secrets),
    ssh: own,
  };
}

/** What of this node it relies on. `key`: a path. */
export function needsOf({ knownHosts, put, jump }: SshSpec, key: string | undefined, node: NodeId): SshNeeds {
  return {
    node,
    // What ssh itself makes of a tilde is not for us to say.
    ...(key?.startsWith("/") === true ? { key } : {}),
    ...(knownHosts?.startsWith("/") === true ? { knownHosts } : {}),
    ...(put === undefined ? {} : { put: put.map(({ from }) => from) }),
    ...(jump === undefined ? {} : { jump }),
  };
}

/** With what is put from the bundle at its place on this node. */
function withTree(ssh: SshSpec, tree: string | undefined): SshSpec {
  if (tree === undefined || ssh.put === undefined) return ssh;
  return { ...ssh, put: ssh.put.map(({ from, to }) => ({ from: resolve(tree, from), to })) };
}

/** A key as ssh takes it. */
export function withLineEnd(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}

/** ssh's own options: nothing asks, nothing waits for ever, not for an answer, nor for a host that says no more. */
export function optionsOf(ssh: SshSpec, key: string | undefined, knownHosts: string): string[] {
  const { user, port, jump } = ssh;
  const all = commonOptions(ssh, key, knownHosts);
  return [
    ...all,
    ...(user === undefined ? [] : ["-o", `User=${user}`]),
    ...(port === undefined ? [] : ["-o", `Port=${port}`]),
    ...(jump === undefined ? [] : ["-o", `ProxyCommand=${throughHops(jump.split(","), all)}`]),
  ];
}

/** What holds for the hosts on the way as well. */
function commonOptions(ssh: SshSpec, key: string | undefined, knownHosts: string): string[] {
  const seconds = Math.max(1, Math.ceil((ssh.connectMs ?? limits.sshConnectMs) / 1000));
  const set: Record<string, string> = {
    BatchMode: "yes",
    ConnectTimeout: String(seconds),
    ServerAliveInterval: "5",
    ServerAliveCountMax: "3",
    LogLevel: "ERROR",
    ClearAllForwardings: "yes",
    EscapeChar: "none",
    PermitLocalCommand: "no",
    HashKnownHosts: "no",
    ...hostKeys(ssh.knownHosts ?? "accept-new", knownHosts),
    ...(key === undefined ? {} : { IdentityFile: fileWord(key), IdentitiesOnly: "yes" }),
  };
  return Object.entries(set).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/**
 * A command that ssh gives to a shell to reach a host by way of others, the last of which it connects through. ssh's own ProxyJump gives those no options but its configuration's: they would have neither the
 * spec's key nor its policy on keys of hosts, and might ask somebody.
 */
function throughHops(hops: readonly string[], options: readonly string[]): string {
  const [, user, bracketed, bare, port] = /^(?:([^@]+)@)?(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(hops.at(-1)!) ?? [];
  const before = hops.slice(0, -1);
  const words = [
    "ssh",
    ...options,
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", port]),
    ...(before.length === 0 ? [] : ["-o", `ProxyCommand=${throughHops(before, options)}`]),
  ];
  // A percent sign is ssh's own here, once for each hop.
  const escaped = words.map((word) => quote(word.replaceAll("%", "%%")));
  return [...escaped, "-W", "'[%h]:%p'", "--", quote(bracketed ?? bare ?? hops.at(-1)!)].join(" ");
}

function hostKeys(policy: string, own: string): Record<string, string> {
  const files = `${fileWord(own)} ~/.ssh/known_hosts`;
  if (policy === "off") return { StrictHostKeyChecking: "no", UserKnownHostsFile: "/dev/null" };
  if (policy === "accept-new" || policy === "strict")
    return { StrictHostKeyChecking: policy === "strict" ? "yes" : "accept-new", UserKnownHostsFile: files };
  return { StrictHostKeyChecking: "yes", UserKnownHostsFile: fileWord(policy) };
}

/** A path in ssh's configuration, as it is: a space would end it there, and a percent sign begins what ssh fills in. */
function fileWord(path: string): string {
  return `"${path.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`;
}

function isCopying({ put = [], fetch = [] }: SshSpec): boolean {
  return put.length + fetch.length > 0;
}

/** Steps that share a connection, in one process group: what ends the group ends all of them. The command's end is the attempt's, whatever is fetched after it. */
function copying(
  ssh: SshSpec,
  options: readonly string[],
  { host: to, target }: { readonly host: string; readonly target: string },
  read: string,
): string {
  const shared = [...options, "-o", "ControlPath=./c"].map(quote).join(" ");
  const host = to.includes(":") ? `[${to}]` : to;
  const put = ({ from, to: path }: SshCopy): string =>
    `scp -q -r -p ${shared} -- ${quote(from)} ${quote(`${host}:${path}`)} </dev/null || exit 255`;
  // Of many targets what is fetched has the same name.
  const get = ({ from, to: path }: SshCopy): string => {
    const place = quote(`${path.replace(/\/+$/, "")}/${target}`);
    return `mkdir -p ${place} && scp -q -r -p ${shared} -- ${quote(`${host}:${from}`)} ${place} </dev/null || code=${fetchFailed}`;
  };
  return [
    `ssh ${shared} -o ControlMaster=yes -N -T -- ${quote(to)} </dev/null & master=$!`,
    'until [ -S ./c ]; do kill -0 "$master" 2>/dev/null || exit 255; sleep 0.05; done',
    ...(ssh.put ?? []).map(put),
    `ssh ${shared} -T -- ${quote(to)} ${quote(read)}; code=$?`,
    ...(ssh.fetch ?? []).map(get),
    'kill "$master" 2>/dev/null; wait "$master" 2>/dev/null',
    'exit "$code"',
  ].join("\n");
}
