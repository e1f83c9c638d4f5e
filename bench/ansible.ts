/**
 * A module on many hosts by real ansible, through driver ansible on one node, beside plain `ansible -f`: what do units, events and the mesh cost a host?
 * All hosts are one sshd on this machine. As many hosts at once: the node runs as many processes as it has slots, each with the forks that it chooses itself.
 *
 * `npm run bench -- ansible [--hosts=120] [--rounds=3] [--write]`
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { Mesh } from "../scripts/mesh.ts";
import { finished, submit } from "../scripts/mesh-jobs.ts";
import { Sshd } from "../scripts/sshd.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { conclude } from "./page/conclude.ts";
import { atMostTimes, shown } from "./page/rows.ts";
import { byAnsible, allAnswered, type Hosts, memoryMiBBelow, toolsMissing, toolVersions } from "./peers/ssh-tools.ts";

const count = option("hosts", 120);
const word = "up-and-well";
const command = `echo ${word}`;
/** What a node chooses for each of its processes, of which it has one for each slot. */
const slots = availableParallelism();
const forks = 4 * availableParallelism();

const missing = toolsMissing();
if (missing !== undefined) throw new Error(`no peer to compare with: ${missing}`);
const conditions = await printMachine();
const directory = mkdtempSync(path.join(tmpdir(), "skein-bench-ansible-"));
const sshd = await Sshd.start();
try {
  await using mesh = await Mesh.start({ nodes: 1, flags: ["--slots", String(slots)] });
  const node = await mesh.leader();
  const names = Array.from({ length: count }, (_, at) => `127.1.${at >> 7}.${(at & 127) + 1}`);
  const hosts = (parallel: number): Hosts => ({ names, sshd, parallel, directory });
  const nodeMiB = (): number => memoryMiBBelow([node.pid, ...node.guards()]);
  const skein = async (): Promise<Record<string, number>> => {
    const began = performance.now();
    let peakMiB = 0;
    const look = setInterval(() => (peakMiB = Math.max(peakMiB, nodeMiB())), 1000);
    const ssh = { port: sshd.port, key: sshd.key };
    const job = await submit(node, {
      driver: "ansible",
      ansible: { module: "shell", args: command },
      targets: names,
      ssh,
    });
    const { counts } = await finished(mesh, job, 1_200_000);
    clearInterval(look);
    return allAnswered(count, { seconds: (performance.now() - began) / 1000, answered: counts["succeeded"]!, peakMiB });
  };
  const plain = `\`ansible -f ${slots * forks}\``;
  const calm = `\`ansible -f ${forks}\``;
  const figures = await measureInTurns(
    [
      { name: "skein", measure: skein },
      {
        name: plain,
        measure: async () => allAnswered(count, await byAnsible(hosts(slots * forks), "shell", command, word)),
      },
      { name: calm, measure: async () => allAnswered(count, await byAnsible(hosts(forks), "shell", command, word)) },
    ],
    option("rounds", 3),
  );
  const of = (name: string, figure = "seconds"): readonly number[] => figures[name]![figure]!;
  conclude("ansible", conditions, {
    peers: toolVersions(),
    rows: [
      ...["skein", plain, calm].map((name) => shown(`${count} hosts, module shell: ${name}`, " s", of(name))),
      atMostTimes(`time of skein, to ${plain}`, 1.05, of("skein"), of(plain)),
      atMostTimes(`time of skein, to ${calm}`, 1.05, of("skein"), of(calm)),
      ...["skein", plain, calm].map((name) => shown(`memory at its most: ${name}`, " MiB", of(name, "peakMiB"))),
    ],
    figures,
  });
} finally {
  await sshd.stop();
  rmSync(directory, { recursive: true, force: true });
}
