import { readFileSync } from "node:fs";

/** Whom a task runs as, as the host knows that user. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
  /** It is not who the guard is: the launcher has to become that user. */
  readonly isOther: boolean;
}

/** The user of that name; a text: why nothing can run as that one here. */
export function findUser(name: string): User | string {
  const line = lookUp(name);
  if (line === undefined) return `there is no user ${name} on this node`;
  const [, , uid, gid, , home, shell] = line.split(":");
  const own = process.getuid?.() ?? -1;
  const user = { name, uid: Number(uid), gid: Number(gid), home: home || "/", shell: shell || "/bin/sh" };
  if (user.uid === own) return { ...user, isOther: false };
  if (own !== 0) return `the node does not run as root, and only root can run tasks as another user (${name})`;
  if (Bun.which("setpriv") === null)
    return `there is no setpriv (of util-linux) on this node, which user: ${name} takes`;
  return { ...user, isOther: true };
}

/** Its line as in /etc/passwd, of whatever source of users the host has. */
function lookUp(name: string): string | undefined {
  if (Bun.which("getent") !== null) {
    const found = Bun.spawnSync(["getent", "passwd", name], { stdout: "pipe", stderr: "ignore", env: {} });
    if (found.exitCode === 0) return found.stdout.toString().trim();
    if (found.exitCode === 2) return undefined;
  }
  try {
    return readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((line) => line.startsWith(`${name}:`));
  } catch {
    return undefined;
  }
}
