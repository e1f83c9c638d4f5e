import { accessSync, constants } from "node:fs";
import { readFile } from "node:fs/promises";
import { unreachableMark } from "../../lib/unreachable.ts";
import type { SshNeeds, SshStart } from "./frames.ts";

/*
 * Why a host was not reached, in words for people. What is wrong on this node (a key, a file that is to be put, a word of a configuration) is told apart from what the host did: no
 * host is "unreachable" for that, and to run the task again on those that were would not help.
 */

/** What is wrong here and can be seen before anybody is asked; undefined: nothing. It costs a look at the key, and one at each file that is put. */
export function wrongHere({ node, key, put = [] }: SshNeeds): string | undefined {
  const ofKey = key === undefined ? undefined : missingKey(key);
  if (ofKey !== undefined) return notBegun(node, `its key ${key} ${ofKey}`);
  for (const path of put) {
    const why = unreadable(path);
    if (why !== undefined) return notBegun(node, `${path}, which is to be put, ${why}`);
  }
  return undefined;
}

/** Why no command began, by all that was said before one did: by ssh, by scp, by sudo. */
export async function unreached(
  said: string,
  { become, needs, files }: Pick<SshStart, "become" | "needs" | "files">,
): Promise<string> {
  const line = tellingLine(said);
  const key = needs?.key === undefined ? files.find(({ name }) => name === "key")?.text : { path: needs.key };
  const here = await faultHere(said, line, key, needs?.knownHosts);
  if (here !== undefined) return `${notBegun(needs?.node, here)} (${line})`;
  if (isOfCopying(line)) return `a file could not be put: ${line}`;
  // A shell was there, and sudo said no.
  const isOfSudo = become !== undefined && /sudo|^Sorry, user/.test(line);
  const what = isOfSudo ? `could not become ${become}: ` : unreachableMark;
  return `${what}${hopOf(said, line, needs?.jump)}${line}${adviceOn(said, key !== undefined)}`;
}

/** The same of what ansible says of a host: it hands on what ssh said, as one line. Other words of it stay as they are. */
export async function unreachedByAnsible(reason: string, ssh: SshStart): Promise<string> {
  const said = ansibleSays.test(reason) ? reason.replace(ansibleSays, "").replaceAll("; ", "\n") : undefined;
  return said !== undefined && cause.test(tellingLine(said)) ? await unreached(said, ssh) : reason;
}

const ansibleSays = new RegExp(
  `^${unreachableMark}(?:Failed to connect to the host via ssh|Data could not be sent to remote host .* over ssh): `,
);

/** What of all that was said tells the most: the first line that is a cause. What follows it is mostly what came of it; of lines that are none it is the last. */
export function tellingLine(said: string): string {
  const lines = said.trim().split(/[\r\n]+/);
  return (lines.find((line) => cause.test(line)) ?? lines.at(-1) ?? "").trim().slice(0, 500);
}

const configurationFault =
  /^(?:command-line|\/\S*conf\S*?):? line \d+: |^\S+: terminating, \d+ bad configuration|^unknown option -- |^Bad owner or permissions on /;

const cause = new RegExp(
  [
    configurationFault.source,
    "connect to (?:host|address) ",
    "Could not resolve hostname",
    String.raw`Permission denied \(`,
    "Host key verification failed",
    "Unable to negotiate",
    "Too many authentication failures",
    "banner exchange",
    "stdio forwarding failed",
    // What sudo only warns of, and what comes of another fault, is no cause.
    "^sudo: (?!unable to resolve host|error initializing|setrlimit|no password was provided)",
    "^Sorry, user ",
    "is not in the sudoers file",
    "^scp: ",
  ].join("|"),
);

const changed = "REMOTE HOST IDENTIFICATION HAS CHANGED";

function notBegun(node: number | undefined, why: string): string {
  return `could not be begun on ${node === undefined ? "this node" : `node ${node}`}: ${why}`;
}

/** undefined: it can be read. */
function unreadable(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? "does not exist" : `cannot be read (${code})`;
  }
}

function missingKey(path: string): string | undefined {
  const why = unreadable(path);
  // An agent may have the key of which only the public half lies here.
  return why === undefined || unreadable(`${path}.pub`) === undefined ? undefined : why;
}

/** The connection is there, and it is the file that is not taken. */
function isOfCopying(line: string): boolean {
  return /^scp: (?!Connection|Received disconnect)/.test(line);
}

/** What is wrong here after all, which the host's answer makes one look for. `key`: its text, or where it lies; undefined: no certain one. */
async function faultHere(
  said: string,
  line: string,
  key: string | { readonly path: string } | undefined,
  knownHosts: string | undefined,
): Promise<string | undefined> {
  if (configurationFault.test(line)) return "ssh does not take what it is told";
  if (line.includes("Host key verification failed") && knownHosts !== undefined && !said.includes(changed)) {
    const why = unreadable(knownHosts);
    return why === undefined ? undefined : `its known_hosts file ${knownHosts} ${why}`;
  }
  if (key === undefined || !line.includes("Permission denied (")) return undefined;
  const name = typeof key === "string" ? "the key of its secret" : `its key ${key.path}`;
  const missing = typeof key === "string" ? undefined : missingKey(key.path);
  if (missing !== undefined) return `${name} ${missing}`;
  const [, loading] = /^Load key .*: ([^\r\n]+)/m.exec(said) ?? [];
  if (loading !== undefined) return `${name} cannot be used: ${loading}`;
  const text = typeof key === "string" ? key : await readFile(key.path, "latin1").catch(() => "");
  return isLocked(text)
    ? `${name} is locked by a passphrase, and no agent has it open: use an agent, or a key without one`
    : undefined;
}

/** ssh passes over such a key without a word where nobody is there to be asked. */
function isLocked(text: string): boolean {
  if (/^Proc-Type: 4,ENCRYPTED|^-----BEGIN ENCRYPTED PRIVATE KEY-----/m.test(text)) return true;
  const [, body] = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]*)-----END/.exec(text) ?? [];
  if (body === undefined) return false;
  // A name that ends in a zero, and the cipher with its length before it.
  const cipher = Buffer.from(body, "base64").subarray("openssh-key-v1\0".length);
  return cipher.length > 8 && cipher.toString("latin1", 4, 8) !== "none";
}

/** Whether it is one of the hosts on the way that this is about. */
function hopOf(said: string, line: string, jump: string | undefined): string {
  if (jump === undefined) return "";
  if (line.includes("stdio forwarding failed")) return "its jump host does not reach it: ";
  // ssh names the host whose key it does not trust in a line of its own.
  const words = (line.includes("Host key verification failed") ? said : line)
    .split(/[^\w.:-]+/)
    .map((word) => word.replace(/:+$/, ""));
  const hop = jump.split(",").find((one) => words.includes(one.replaceAll(/^.*@|:\d+$|[[\]]/g, "")));
  return hop === undefined ? "" : `jump host ${hop}: `;
}

/** What to do about the commonest ones. `isKeyGiven`: one that was named, and can be read. */
function adviceOn(said: string, isKeyGiven: boolean): string {
  if (said.includes(changed))
    return " (its key is another one than the one that was known: if that is right, take the old one out of known_hosts)";
  if (said.includes("Host key verification failed"))
    return " (its key is not the one in known_hosts, or there is none: of a jump host too)";
  if (said.includes("Permission denied ("))
    return isKeyGiven
      ? " (the key is not taken there: is its public half in authorized_keys of that user?)"
      : " (no key was taken: is the public key in authorized_keys of that user, and the key without a passphrase or in an agent?)";
  if (said.includes("unknown user")) return " (there is no such user on the target)";
  if (said.includes("a password is required") || said.includes("a terminal is required"))
    return " (sudo asks for a password: give it by ssh.become_password, or allow it without, NOPASSWD)";
  if (/incorrect password attempt|no password was provided/.test(said))
    return " (sudo does not take ssh.become_password: it wants the password of the user who logs in)";
  return "";
}

/** What ssh said without its large warnings: the heading of one is kept, and which key in which file it means. They are longer than a reason, and what it comes to is at their end. */
export function withoutBanners(said: string): string {
  return said
    .replaceAll(/@{9,}\r?\n?/g, "")
    .replaceAll(/@\s+(WARNING: .*?)\s*@/g, "$1")
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !ofBanners.test(line))
    .join("\n");
}

/** Sentences of the warning of a changed key that say nothing of this host. */
const ofBanners =
  /^(IT IS POSSIBLE THAT|Someone could be eavesdropping|It is also possible that a host key|The fingerprint for the|SHA256:|MD5:|Please contact your system|Add correct host key|remove with:|ssh-keygen -f)/;
