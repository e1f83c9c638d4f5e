/** What people run a command on many hosts with today, as peers: `xargs -P` with ssh, clush, ansible. Each with its best settings for the same keys, ports and parallelism. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { treeBelow } from "../../scripts/processes.ts";
import type { Sshd } from "../../scripts/sshd.ts";

/** What all of them are told alike. */
export interface Hosts {
  readonly names: readonly string[];
  readonly sshd: Sshd;
  /** At once. */
  readonly parallel: number;
  /** An empty directory for their files. */
  readonly directory: string;
}

/** A run: how long it took, and how many hosts printed the word that the command prints. */
export interface Ran {
  readonly seconds: number;
  readonly answered: number;
  /** Of the program and all that it started, at its most: memory that nobody shares, and its part of what is shared. */
  readonly peakMiB: number;
}

/** Why one of the programs is not there, or undefined. */
export function toolsMissing(): string | undefined {
  const missing = ["xargs", "ssh", "clush", "ansible"].filter((name) => versionOf(name) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(", ")} not found`;
}

/** "OpenSSH_9.2p1, clush 1.9.1, ansible 2.14.18". */
export function toolVersions(): string {
  return ["xargs", "ssh", "clush", "ansible"].map((name) => versionOf(name)).join(", ");
}

function versionOf(name: string): string | undefined {
  try {
    const said = execFileSync("sh", ["-c", `${name} ${name === "ssh" ? "-V" : "--version"} 2>&1`], {
      encoding: "utf8",
    });
    return said.split("\n")[0]!.trim();
  } catch {
    return undefined;
  }
}

function sshOptions({ sshd, directory }: Hosts): string[] {
  const set = {
    Port: String(sshd.port),
    IdentityFile: sshd.key,
    IdentitiesOnly: "yes",
    BatchMode: "yes",
    LogLevel: "ERROR",
    StrictHostKeyChecking: "accept-new",
    UserKnownHostsFile: path.join(directory, "known_hosts"),
  };
  return Object.entries(set).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** One ssh process each, and nothing around it: the floor. */
export function byXargs(hosts: Hosts, command: string, word: string): Promise<Ran> {
  const one = ["ssh", ...sshOptions(hosts), "-T", "{}", command];
  return timed("xargs", ["-P", String(hosts.parallel), "-I", "{}", ...one], `${hosts.names.join("\n")}\n`, word);
}

export function byClush(hosts: Hosts, command: string, word: string): Promise<Ran> {
  const list = path.join(hosts.directory, "hosts");
  writeFileSync(list, `${hosts.names.join("\n")}\n`);
  const words = ["--hostfile", list, "-f", String(hosts.parallel), "-o", sshOptions(hosts).join(" "), command];
  return timed("clush", words, "", word);
}

/** `module` raw needs nothing of the host; shell needs its Python, as any other. */
export function byAnsible(hosts: Hosts, module: "raw" | "shell", command: string, word: string): Promise<Ran> {
  const list = path.join(hosts.directory, "inventory");
  const { sshd } = hosts;
  const set = `ansible_port=${sshd.port} ansible_ssh_private_key_file=${sshd.key} ansible_python_interpreter=/usr/bin/python3`;
  writeFileSync(list, `${hosts.names.map((name) => `${name} ${set}`).join("\n")}\n`);
  const words = ["-i", list, "all", "-f", String(hosts.parallel), "-m", module, "-a", command];
  const known = path.join(hosts.directory, "known_hosts");
  return timed("ansible", words, "", word, {
    ANSIBLE_HOME: path.join(hosts.directory, "ansible"),
    ANSIBLE_LOCAL_TEMP: path.join(hosts.directory, "ansible", "tmp"),
    ANSIBLE_SSH_CONTROL_PATH_DIR: path.join(hosts.directory, "cp"),
    ANSIBLE_NOCOLOR: "1",
    ANSIBLE_SSH_ARGS: `-o ControlMaster=auto -o ControlPersist=5s -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=${known}`,
  });
}

async function timed(
  program: string,
  words: readonly string[],
  stdin: string,
  word: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const began = performance.now();
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  let said = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (complaints += chunk));
  child.stdin.end(stdin);
  let peakMiB = 0;
  const look = setInterval(() => (peakMiB = Math.max(peakMiB, memoryMiBBelow([child.pid!]))), 1000);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearInterval(look);
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${complaints.slice(-2000)}`);
  return { seconds, answered: said.split(word).length - 1, peakMiB };
}

/** The figures of a run in which every host answered: one that did not is no quick one. Throws. */
export function allAnswered(count: number, { answered, seconds, peakMiB }: Ran): { seconds: number; peakMiB: number } {
  if (answered !== count) throw new Error(`${answered} of ${count} hosts answered`);
  return { seconds, peakMiB };
}

/** Proportional memory of some processes and all below them. */
export function memoryMiBBelow(pids: readonly number[]): number {
  let kib = 0;
  // A guard may be below its node.
  for (const pid of treeBelow(pids)) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      kib += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // It has ended meanwhile.
    }
  }
  return kib / 1024;
}
