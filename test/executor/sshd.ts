import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./rig.ts";

/** An sshd of our own on a free port, which answers on all of 127.0.0.0/8: thousands of hosts, as it seems. */
export class Sshd {
  readonly port: number;
  /** The private key that it lets in. */
  readonly key: string;
  readonly dir: string;
  readonly #process: Bun.Subprocess;

  private constructor(dir: string, port: number, child: Bun.Subprocess) {
    this.dir = dir;
    this.port = port;
    this.key = join(dir, "key");
    this.#process = child;
  }

  /** Resolves when it takes connections. */
  static async start(more: readonly string[] = []): Promise<Sshd> {
    const dir = mkdtempSync(join(tmpdir(), "skein-sshd-"));
    const port = await freePort();
    // Debian's sshd, as root, wants this directory, which its service makes.
    if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    for (const name of ["host", "key"]) generateKey(join(dir, name));
    const config = [
      `Port ${port}`,
      "ListenAddress 0.0.0.0",
      `HostKey ${join(dir, "host")}`,
      `AuthorizedKeysFile ${join(dir, "key.pub")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin yes",
      "MaxStartups 500:30:1000",
      "MaxSessions 100",
      "Subsystem sftp internal-sftp",
      ...more,
    ];
    writeFileSync(join(dir, "config"), config.join("\n"));
    const child = Bun.spawn(["/usr/sbin/sshd", "-D", "-E", join(dir, "log"), "-f", join(dir, "config")], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    const sshd = new Sshd(dir, port, child);
    await until("sshd listens", () => sshd.log().includes("Server listening"));
    return sshd;
  }

  log(): string {
    try {
      return readFileSync(join(this.dir, "log"), "utf8");
    } catch {
      return "";
    }
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.exited;
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A new key without a passphrase, unless one is given. */
export function generateKey(path: string, passphrase = ""): void {
  const made = Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
}

/** A port that nobody had a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "0.0.0.0", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** A host that takes connections and says nothing. */
export function muteHost(port: number, hostname: string): { stop(): void } {
  const listener = Bun.listen({ hostname, port, socket: { data: () => {} } });
  return { stop: () => listener.stop(true) };
}
