/** An sshd of our own, for tests and benchmarks: on a free port, as the user who runs it. Works under Node and Bun. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { patienceMs, until } from "./mesh.ts";

/** It answers on all of 127.0.0.0/8: thousands of hosts, as it seems. */
export class Sshd {
  readonly port: number;
  /** The private key that it lets in. */
  readonly key: string;
  readonly dir: string;
  readonly #process: ChildProcess;
  readonly #atExit = (): void => {
    this.#process.kill("SIGTERM");
    rmSync(this.dir, { recursive: true, force: true });
  };

  private constructor(dir: string, port: number, child: ChildProcess) {
    this.dir = dir;
    this.port = port;
    this.key = path.join(dir, "key");
    this.#process = child;
    // Who is interrupted does not come back to stop it.
    process.once("exit", this.#atExit);
  }

  /** Resolves when it takes connections. */
  static async start(more: readonly string[] = []): Promise<Sshd> {
    const dir = mkdtempSync(path.join(tmpdir(), "skein-sshd-"));
    const port = await freePort();
    // Debian's sshd, as root, wants this directory, which its service makes.
    if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    for (const name of ["host", "key"]) generateKey(path.join(dir, name));
    const config = [
      `Port ${port}`,
      "ListenAddress 0.0.0.0",
      `HostKey ${path.join(dir, "host")}`,
      `AuthorizedKeysFile ${path.join(dir, "key.pub")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin yes",
      "MaxStartups 500:30:1000",
      "MaxSessions 100",
      "Subsystem sftp internal-sftp",
      // bash reads ~/.bashrc of whoever runs this for each command, which may take longer than all else, unless it is told that it is no first shell.
      "SetEnv SHLVL=1",
      ...more,
    ];
    writeFileSync(path.join(dir, "config"), config.join("\n"));
    const words = ["-D", "-E", path.join(dir, "log"), "-f", path.join(dir, "config")];
    const child = spawn("/usr/sbin/sshd", words, { stdio: "ignore" });
    const sshd = new Sshd(dir, port, child);
    await until(
      () => Promise.resolve(sshd.log().includes("Server listening") ? true : undefined),
      patienceMs,
      () => `sshd does not listen: ${sshd.log()}`,
    );
    return sshd;
  }

  /** Of the process that listens; its children are of connections. */
  get pid(): number {
    return this.#process.pid!;
  }

  log(): string {
    try {
      return readFileSync(path.join(this.dir, "log"), "utf8");
    } catch {
      return "";
    }
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    if (this.#process.exitCode === null && this.#process.signalCode === null && this.#process.kill("SIGTERM"))
      await ended;
    process.removeListener("exit", this.#atExit);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A new key without a passphrase, unless one is given. */
export function generateKey(at: string, passphrase = ""): void {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-f", at]);
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
export async function muteHost(port: number, hostname: string): Promise<{ stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, hostname, resolve));
  return {
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
