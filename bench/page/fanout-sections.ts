/** What docs/benchmarks-fanout.md is made of, in this order: a benchmark each, with what it does. */
import type { Section } from "./books.ts";

/** By the name that `npm run bench -- NAME` has. */
export const fanoutSections = {
  targets: {
    title: "Ten thousand targets",
    text: "A job of 10,000 `noop` targets that nobody has named before, each with 1 KiB of output, on three nodes: until it is acknowledged; from the same moment until every node has the last result in its state; all results read by pages of 1,000 from a node that does not lead, each looked at. Then the same fleet once more, and results of single targets, one request at a time, from a state that has all jobs before (which is what is asked: newest first, output included).",
  },
  everywhere: {
    title: "A command on every node",
    text: "`skein run --each-node -b -- …` on 100 real nodes of this binary, all on this machine, as a person gives it: from the start of the program until it has shown all output, folded, and ended. The nodes wait for one another longer than by default (`cluster set heartbeat=200ms election-timeout=2s`), the voters are scheduled before the others (nice -10), and they are measured once they are at rest and each has run a task. Once all print the same, once each prints another line (100 groups).",
  },
  ssh: {
    title: "A command on 300 hosts, by ssh",
    text: "`echo` on 300 addresses of one sshd on this machine, 30 at once: driver ssh on one node, and what people use today, each with its best settings and the same keys, all in turns. Both ends of every handshake are paid for here, by everybody, so that `xargs -P` with nothing but ssh processes is the floor. Memory is what a program and all that it starts take at their most (proportional: what is shared counts in parts), looked at every second.",
  },
  ansible: {
    title: "A module on many hosts, by ansible",
    text: "Module `shell` on addresses of one sshd on this machine: driver ansible on one node as it comes (units of 30, a process of ansible for each slot, 4 forks for each core), and plain `ansible` with as many hosts at once in all, and with as many as one of the node's processes has. What is more with skein: a process of ansible for each unit, inventories, events, and the results in the state.",
  },
  fleet: {
    title: "A thousand hosts, some of them bad",
    text: "A command on 1,000 ssh targets by three nodes, 30 at once, in units of 30, with a limit of 20 s for each: once all are well; once 1 % are mute (they take the connection and say nothing), 1 % freeze when the command has begun, 1 % refuse, and 1 % flood (`yes`) until their limit ends them; and this again while an executor is killed with SIGKILL, with all it runs, is started again, and then the leader is killed so. Every target must have one verdict, and the right one. *Left* are processes of ssh, and of commands on their hosts, once frozen ones may go on. Hosts whose result was committed before the first kill must not run again, and others at most once more for each of the two kills that met them.",
  },
  bundles: {
    title: "A tree of files on ten nodes",
    text: "A bundle of 10,000 files and 200 MiB that nobody has seen before, on ten nodes of this machine: pushed to the leader by the command line until two nodes have it on their disks; pushed once more; laid out read-only on every node, where a task takes the checksum of all of it, which is looked at; and this once more. All ten write to one disk, each every file twice: as it is kept, and as it is laid out. The leader is to send it twice at most: those that have it give it on.",
  },
} as const satisfies Readonly<Record<string, Section>>;
