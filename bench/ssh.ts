/**
 * A command on hosts that have no skein, by one node, beside what people use: `xargs -P` with ssh (which is the floor: the processes and nothing else), clush, and
 * `ansible -m raw`. All hosts are one sshd on this machine, so both ends of every handshake are paid for here, by everybody.
 *
 * `npm run bench -- ssh [--hosts=300] [--parallel=30] [--rounds=3] [--write]`
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Mesh } from "../scripts/mesh.ts";
import { finished, submit } from "../scripts/mesh-jobs.ts";
import { Sshd } from "../scripts/sshd.ts";
import { type Contender, measureInTurns, option, printMachine } from "./harness.ts";
import { conclude } from "./page/conclude.ts";
import { atMostTimes, shown } from "./page/rows.ts";
import {
  byAnsible,
  byClush,
  byXargs,
  allAnswered,
  type Hosts,
  memoryMiBBelow,
  toolsMissing,
  toolVersions,
} from "./peers/ssh-tools.ts";

const count = option("hosts", 300);
const parallel = option("parallel", 30);
const word = "up-and-well";
const command = `echo ${word}`;
const titles: Readonly<Record<string, string>> = {
  skein: "skein, a node with its guard",
  xargs: "`xargs -P ssh`",
  clush: "clush",
  ansible: "`ansible -m raw`",
};

const missing = toolsMissing();
if (missing !== undefined) throw new Error(`no peer to compare with: ${missing}`);
const conditions = await printMachine();
const directory = mkdtempSync(path.join(tmpdir(), "skein-bench-ssh-"));
const sshd = await Sshd.start();
try {
  await using mesh = await Mesh.start({ nodes: 1 });
  const node = await mesh.leader();
  const names = Array.from({ length: count }, (_, at) => `127.1.${at >> 7}.${(at & 127) + 1}`);
  const hosts: Hosts = { names, sshd, parallel, directory };
  const skein = async (): Promise<Record<string, number>> => {
    const began = performance.now();
    let peakMiB = 0;
    const look = setInterval(() => (peakMiB = Math.max(peakMiB, nodeMiB())), 1000);
    const job = await submit(node, {
      driver: "ssh",
      run: command,
      targets: names,
      parallel,
      ssh: { port: sshd.port, key: sshd.key },
      timeout: "60s",
    });
    const { counts } = await finished(mesh, job, 600_000);
    clearInterval(look);
    return allAnswered(count, { seconds: (performance.now() - began) / 1000, answered: counts["succeeded"]!, peakMiB });
  };
  const nodeMiB = (): number => memoryMiBBelow([node.pid, ...node.guards()]);
  const contenders: Contender[] = [
    { name: "skein", measure: skein },
    { name: "xargs", measure: async () => allAnswered(count, await byXargs(hosts, command, word)) },
    { name: "clush", measure: async () => allAnswered(count, await byClush(hosts, command, word)) },
    { name: "ansible", measure: async () => allAnswered(count, await byAnsible(hosts, "raw", command, word)) },
  ];
  const figures = await measureInTurns(contenders, option("rounds", 3));
  const seconds = (name: string): readonly number[] => figures[name]!["seconds"]!;
  conclude("ssh", conditions, {
    peers: toolVersions(),
    rows: [
      ...contenders.map(({ name }) => shown(`${count} hosts by ${titles[name]}`, " s", seconds(name))),
      atMostTimes("time of skein, to that of `xargs -P ssh`", 1.1, seconds("skein"), seconds("xargs")),
      atMostTimes("time of skein, to that of clush", 1, seconds("skein"), seconds("clush")),
      atMostTimes("time of skein, to that of `ansible -m raw`", 1, seconds("skein"), seconds("ansible")),
      ...contenders.map(({ name }) =>
        shown(`memory at its most, ${titles[name]} and all it starts`, " MiB", figures[name]!["peakMiB"]!),
      ),
    ],
    figures,
  });
} finally {
  await sshd.stop();
  rmSync(directory, { recursive: true, force: true });
}
