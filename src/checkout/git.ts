import { open, readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Problem } from "../lib/outcome.ts";
import { formatDuration } from "../lib/units.ts";
import { CheckoutFailure } from "./failure.ts";

/** What is to be checked out, and where. */
export interface CheckoutRequest {
  readonly url: string;
  /** A branch, a tag or a commit; undefined: what the repository has as its own. */
  readonly ref?: string | undefined;
  readonly subdir?: string | undefined;
  /** The private key for ssh; undefined: as ssh is configured on this host. */
  readonly keyFile?: string | undefined;
  /** Where keys of hosts are kept that were seen for the first time; undefined: as ssh is configured on this host. */
  readonly knownHosts?: string | undefined;
  /** Empty. */
  readonly directory: string;
  /** For all of it. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Checkout {
  /** The directory that the bundle is to be of. */
  readonly root: string;
  readonly commit: string;
}

/**
 * Checks a commit out by the system's git, with its submodules and without its history. Nothing ever asks, whatever git or ssh is configured to do: what would need a person fails with git's
 * own words. Files of git LFS are refused: git has only pointers to them. Throws CheckoutFailure.
 */
export async function checkOut(request: CheckoutRequest): Promise<Checkout> {
  const { url, ref, subdir, directory } = request;
  refuseOptions(request);
  const until = performance.now() + request.timeoutMs;
  const git = (...words: string[]): Promise<string> => runGit(words, request, until);
  const tree = join(directory, "tree");
  await runGit(["init", "--quiet", tree], { ...request, directory }, until);
  const inTree = (...words: string[]): Promise<string> => git("-C", tree, ...words);
  await inTree("remote", "add", "origin", url);
  const commit = await fetchRef(inTree, ref ?? "HEAD");
  await inTree("checkout", "--quiet", "--detach", commit);
  const submodules = (...how: string[]): Promise<string> =>
    inTree("submodule", "update", "--init", "--recursive", "--quiet", ...how);
  await submodules("--depth", "1").catch((error: unknown) => {
    if (isOver(error)) throw error;
    return submodules(); // from a server that gives no part of a history
  });
  const root = resolve(tree, subdir ?? ".");
  if (root !== tree && !root.startsWith(`${tree}/`))
    throw new CheckoutFailure("invalid", `--subdir ${subdir} is not in the repository`);
  const found = await stat(root).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new CheckoutFailure(
      "invalid",
      `there is no directory ${subdir} in ${url} at ${ref ?? "HEAD"} (${commit.slice(0, 12)})`,
    );
  const pointers = await lfsPointers(root);
  if (pointers.length > 0)
    throw new CheckoutFailure(
      "invalid",
      `${pointers.length} file${pointers.length === 1 ? " is" : "s are"} kept by git LFS, and git has only pointers to them: take them out of LFS, or push a directory in which they are`,
      pointers,
    );
  return { root, commit };
}

/** What the ref stands for, as the remote says without giving anything; undefined: it says nothing of it, as of a commit by its name. Throws CheckoutFailure. */
export async function remoteCommit(request: CheckoutRequest): Promise<string | undefined> {
  refuseOptions(request);
  const { url, ref = "HEAD" } = request;
  const said = await runGit(["ls-remote", url, ref, `${ref}^{}`], request, performance.now() + request.timeoutMs);
  const commits = new Map(said.split("\n").map((line) => line.split("\t").toReversed() as [string, string]));
  // Whatever ends like that is listed. A fetch takes the first of these, and of a tag what it is on.
  for (const place of ["", "refs/", "refs/tags/", "refs/heads/"]) {
    const commit = commits.get(`${place}${ref}^{}`) ?? commits.get(`${place}${ref}`);
    if (commit !== undefined) return commit;
  }
  return undefined;
}

function refuseOptions({ url, ref }: CheckoutRequest): void {
  if (Bun.which("git") === null) throw new CheckoutFailure("host", "there is no git on this host: install it");
  // What begins so is an option or a program to git.
  if (url.startsWith("-") || ref?.startsWith("-") === true || /^ext::/i.test(url))
    throw new CheckoutFailure(
      "invalid",
      `${url.startsWith("-") || /^ext::/i.test(url) ? url : ref} cannot be fetched from`,
    );
}

/** There is no use in another try. */
function isOver(error: unknown): boolean {
  return !(error instanceof CheckoutFailure) || error.kind === "late";
}

/** One commit alone where the server gives that, and else with what came before it, or all that there is. */
async function fetchRef(git: (...words: string[]) => Promise<string>, ref: string): Promise<string> {
  const found = async (name: string): Promise<string> =>
    (await git("rev-parse", "--verify", "--quiet", `${name}^{commit}`)).trim();
  try {
    await git("fetch", "--quiet", "--depth", "1", "--no-tags", "origin", ref);
    return await found("FETCH_HEAD");
  } catch (first) {
    if (isOver(first)) throw first;
    try {
      await git("fetch", "--quiet", "--no-tags", "origin", ref);
      return await found("FETCH_HEAD");
    } catch (second) {
      // The beginning of a commit's name, or one that the server does not give by its name.
      if (isOver(second) || !/^[0-9a-f]{4,64}$/.test(ref)) throw first;
      await git("fetch", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*");
      return await found(ref);
    }
  }
}

/** No prompt can come up: no terminal, no helper, no window; ssh fails rather than asks. */
function quietly({ keyFile, knownHosts }: CheckoutRequest): Record<string, string> {
  const kept = Object.fromEntries(
    Object.entries(process.env).filter(([name, value]) => value !== undefined && !ofAnother.test(name)),
  ) as Record<string, string>;
  const ssh = [
    "ssh",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=20",
    "-o",
    "ServerAliveInterval=10",
    "-o",
    "ServerAliveCountMax=3",
  ];
  if (keyFile !== undefined) ssh.push("-i", resolve(keyFile), "-o", "IdentitiesOnly=yes");
  if (knownHosts !== undefined)
    ssh.push(
      "-o",
      "StrictHostKeyChecking=accept-new",
      "-o",
      "HashKnownHosts=no",
      "-o",
      `UserKnownHostsFile="${knownHosts}" ~/.ssh/known_hosts`,
    );
  return {
    ...kept,
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "true",
    SSH_ASKPASS: "true",
    SSH_ASKPASS_REQUIRE: "never",
    GCM_INTERACTIVE: "never",
    GIT_LFS_SKIP_SMUDGE: "1",
    GIT_SSH_COMMAND: ssh.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" "),
    LC_ALL: "C",
  };
}

/** What says which repository or program git is to use instead. */
const ofAnother =
  /^(GIT_(DIR|WORK_TREE|INDEX_FILE|NAMESPACE|OBJECT_DIRECTORY|COMMON_DIR|SSH|SSH_VARIANT)|SSH_ASKPASS.*)$/;

async function runGit(words: readonly string[], request: CheckoutRequest, until: number): Promise<string> {
  const leftMs = until - performance.now();
  const late = (): CheckoutFailure =>
    new CheckoutFailure(
      "late",
      `git ${verbOf(words)} of ${withoutPassword(request.url)} took longer than ${formatDuration(request.timeoutMs)}: give it more with --timeout`,
    );
  if (leftMs <= 0) throw late();
  request.signal?.throwIfAborted();
  const options = [
    "-c",
    "protocol.ext.allow=never",
    "-c",
    "advice.detachedHead=false",
    "-c",
    "core.hooksPath=/dev/null",
  ];
  // A group of its own: git's helpers go with it.
  const child = Bun.spawn(["git", ...options, ...words], {
    cwd: request.directory,
    env: quietly(request),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const end = (): void => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // it has ended by itself
    }
  };
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    end();
  }, leftMs);
  request.signal?.addEventListener("abort", end, { once: true });
  try {
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    request.signal?.throwIfAborted();
    if (isLate) throw late();
    if (code === 0) return stdout;
    throw new CheckoutFailure(
      "host",
      `git ${verbOf(words)} of ${withoutPassword(request.url)} failed: ${explained(stderr) || `exit code ${code}`}`,
    );
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", end);
  }
}

function verbOf(words: readonly string[]): string {
  return words[0] === "-C" ? (words[2] ?? "") : (words[0] ?? "");
}

/** The last words, without what is drawn around them, and what to do where they do not say it. */
function explained(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .filter((line) => /[A-Za-z]/.test(line) && !/^(@|Please make sure|and the repository)/.test(line));
  const words = lines.slice(-3).join(" | ").slice(0, 500);
  const hint = hints.find(([form]) => form.test(stderr))?.[1];
  return hint === undefined ? words : `${hint} (${words})`;
}

const hints: readonly (readonly [RegExp, string])[] = [
  [
    /HOST IDENTIFICATION HAS CHANGED/,
    "the host has another key than before: if that is right, take its former one out of known_hosts",
  ],
  [
    /Host key verification failed/,
    "the key of the host is not known, and nobody is there to say that it is right: put it into known_hosts",
  ],
  [/Permission denied \(/, "the host knows neither the key nor the user"],
  [
    /terminal prompts disabled|Authentication failed/,
    "the server wants a name and a password, and nobody is there to type them",
  ],
  [
    /Could not resolve host|Connection refused|Failed to connect|timed out|No route to host|unreachable/i,
    "the host cannot be reached",
  ],
];

/** What is wrong with a private key, of which ssh itself says nothing where nobody is there to be asked; undefined: nothing that is known. */
export async function keyProblem(path: string): Promise<string | undefined> {
  if (Bun.which("ssh-keygen") === null) return undefined;
  const child = Bun.spawn(["ssh-keygen", "-y", "-P", "", "-f", path], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [said, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (code === 0) return undefined;
  return said.includes("passphrase")
    ? "is locked by a passphrase, and nobody is there to type it: set one without"
    : "is no private key that ssh can read: it needs all of its lines, the first and the last one too";
}

/** As it may be kept and shown where all may read it. */
export function withoutPassword(url: string): string {
  return url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, "$1");
}

const lfsBegins = Buffer.from("version https://git-lfs.github.com/spec/v1\n");
const pointerBytesMost = 1024;

/** Files that are pointers of git LFS. */
async function lfsPointers(root: string): Promise<Problem[]> {
  const found: Problem[] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      if (size > pointerBytesMost || size < lfsBegins.length) continue;
      const head = Buffer.alloc(lfsBegins.length);
      await file.read(head, 0, head.length, 0);
      if (head.equals(lfsBegins)) found.push({ path: path.slice(root.length + 1), message: "is a pointer of git LFS" });
    } finally {
      await file.close();
    }
  }
  return found;
}
