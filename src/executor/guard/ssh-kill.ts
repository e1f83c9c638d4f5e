import { wallMs } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { attemptKey } from "../names.ts";
import type { AttemptContext } from "./attempt.ts";
import type { SshStart, Start } from "./frames.ts";
import { RemoteMarks } from "./ssh-marks.ts";
import { spawn } from "./spawn.ts";
import { signalGroup } from "./terminate.ts";

/**
 * Asks a target to end what an attempt has left there, over a connection of its own, after the attempt's processes on this host are gone. Gives in words
 * what became of it: that is a part of the result, since whoever reads it must know whether the command may still be at work.
 */
export async function killThere(start: Start, ssh: SshStart, context: AttemptContext): Promise<string> {
  const { needs: _, ...rest } = ssh;
  const { kill, word } = rest;
  const local = { ...localOf(start, kill, context), stdin: kill.stdin, ssh: { ...rest, ...kill, isHeld: false } };
  const { places, inherited, scratch } = context;
  const spawned = spawn(local, places, inherited, scratch);
  if (!spawned.ok) return `not confirmed: ${spawned.why.reason}`;
  const { child } = spawned;
  const marks = new RemoteMarks(word, wallMs);
  const timer = setTimeout(() => signalGroup(child.pid, "SIGKILL"), limits.sshKillMs);
  await Promise.all([drain(child.stdout), drain(marks.filter(child.stderr)), child.exited]);
  clearTimeout(timer);
  signalGroup(child.pid, "SIGKILL"); // proxies of a jump host, where there are some
  const swept = context.sweeper.sweep(attemptKey(start));
  await swept;
  if (spawned.scratch !== undefined) await scratch.giveBack(spawned.scratch, swept).catch(() => {});
  const { killed } = marks.news;
  if (killed === undefined) return "not confirmed: the target does not say whether the command goes on there";
  if (killed.left === undefined) return "not confirmed: the target does not show its processes";
  if (killed.left > 0) return `not confirmed: ${killed.left} of its processes go on there`;
  return killed.processes === 0
    ? "killed: nothing of it was left there"
    : `killed: ${killed.processes} processes of it on the target`;
}

async function drain(stream: ReadableStream<Uint8Array>): Promise<void> {
  try {
    for await (const _ of stream);
  } catch {
    // A pipe that breaks has ended.
  }
}

/** The same attempt as a process of this host. Of the guard's own environment it has what ssh needs beside: the agent. */
export function localOf(start: Start, { argv }: Pick<SshStart, "argv">, { inherited }: AttemptContext): Start {
  const agent = inherited["SSH_AUTH_SOCK"];
  const { timeoutMs: _, ...rest } = start;
  return { ...rest, run: argv, env: agent === undefined ? {} : { SSH_AUTH_SOCK: agent } };
}
