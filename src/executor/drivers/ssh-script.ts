/**
 * What runs on a target that has no skein, as text for its /bin/sh. It comes by standard input and not as the words of a command, so that neither the login shell of
 * the target nor the length of a command line has a say in it, and values of `env` are in nobody's list of processes. A task's own standard input comes
 * after it on the same stream; then the script is read byte by byte so that not one of the task's is taken.
 *
 * Beside the command something watches whether the connection is still there, and ends all of the attempt when it is not: whoever opened it may be dead, and
 * nobody else would come by (as where a task of `on_lost: fail` is lost with its node). Where a task has no standard input of its own, the guard holds that of the connection
 * open for as long as it lasts, so that its end is the connection's: that takes no process but a shell that waits. Elsewhere one looks every few seconds.
 *
 * It speaks to the guard on standard error, in lines that begin with a word made for this attempt alone (ssh-marks.ts):
 *
 *   killed N LEFT     of earlier attempts of the task N processes were ended, and LEFT could not be
 *   unlimited         the target has no way to keep the limit
 *   started           the command begins now
 *   exit N SECONDS    it has ended with that code, and so long it ran by the target's own clock, where that has one: who reads this may come to it late
 */
export interface RemoteTask {
  readonly run: string | readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly dir?: string | undefined;
  /** Absent: none. */
  readonly timeoutMs?: number | undefined;
  readonly graceMs: number;
  /** What the guard's lines begin with. */
  readonly word: string;
  /** CLUSTER:JOB.TASK, which is in the environment of everything that attempts of the task start, with the attempt's number. */
  readonly marker: string;
  readonly attempt: number;
  /** What earlier attempts left there must be gone, or the command does not begin. */
  readonly mustBeAlone: boolean;
  /** Nothing comes after the script, and the stream stays open for as long as the connection. */
  readonly isHeld: boolean;
  /** Between sudo and the server there is a shell (become.ts). */
  readonly isBehindShell?: boolean;
}

/** The variable that everything of an attempt has on its target. */
export const remoteMarker = "SKEIN_SSH";

/** As one word of a POSIX shell. */
export function quote(text: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The words that read a script from standard input and run it. For a login shell of any kind. `bytes`: how long it is, where something comes after it. */
export function readScript(bytes?: number): string {
  return `exec ${shellFor(bytes)}`;
}

/** The same as another user, by sudo that asks for nothing. */
export function readScriptAs(user: string, bytes?: number): string {
  return `exec sudo -n -H -u ${quote(user)} -- ${shellFor(bytes)}`;
}

/** A shell that has its commands by standard input takes what it can get of that at once. */
function shellFor(bytes: number | undefined): string {
  return bytes === undefined ? "sh" : `sh -c 'eval "$(dd bs=1 count=${bytes} 2>/dev/null)"'`;
}

/** As a whole or not at all: nothing of it runs before its end has come. What it runs reads nothing of the stream, which is 3. */
function whole(lines: readonly string[]): string {
  return ["{", ...lines, "} 3<&0 </dev/null\n"].join("\n");
}

/** The script of an attempt. */
export function taskScript(task: RemoteTask): string {
  const { word, marker, attempt, env, dir } = task;
  const lines = [
    ...(attempt > 1
      ? [...killEarlier(word, marker, attempt), ...(task.mustBeAlone ? [`[ "$left" = 0 ] || exit 0`] : [])]
      : []),
    ...watched(task),
    ...Object.entries({ ...env, [remoteMarker]: `${marker}.${attempt};` }).map(
      ([name, value]) => `export ${name}=${quote(value)}`,
    ),
    ...(dir === undefined ? [] : [`cd ${quote(dir)} || { ${tell(word, "exit 126")}; exit 126; }`]),
    `set -- ${(typeof task.run === "string" ? ["sh", "-c", task.run] : task.run).map(quote).join(" ")}`,
    uptimeAs("skein_began"),
    ...limited(task),
    "code=$?",
    uptimeAs("skein_ended"),
    'kill "$skein_watch" 2>/dev/null',
    `printf '%s exit %d %s\\n' ${word} "$code" "\${skein_began:+$((\${skein_ended%.*} - \${skein_began%.*}))}" >&2`,
    'exit "$code"',
  ];
  return task.isHeld ? whole(lines) : lines.join("\n");
}

/** Ends what that one attempt left on the target, and says how that went. */
export function killScript(word: string, marker: string, attempt: number): string {
  return whole(killLines(word, marker, `= ${attempt}`));
}

/** The same for all attempts of the task before that one. */
export function killEarlierScript(word: string, marker: string, attempt: number): string {
  return whole(killEarlier(word, marker, attempt));
}

function killEarlier(word: string, marker: string, attempt: number): string[] {
  return killLines(word, marker, `-lt ${attempt}`);
}

/** Seconds since the target began, without a process for it; nothing where it does not say. */
function uptimeAs(variable: string): string {
  return `${variable}=; { read -r ${variable} _ </proc/uptime; } 2>/dev/null`;
}

function tell(word: string, what: string): string {
  return `printf '%s\\n' ${quote(`${word} ${what}`)} >&2`;
}

/** What ends the attempt with its connection. It has not the marker of what it ends, and holds nothing of the connection open that keeps that from its end. */
function watched(task: RemoteTask): string[] {
  const { word, marker, attempt } = task;
  return [
    // Before the variables of the task: none of these is one of them.
    "(",
    ...(task.isHeld ? ["while read -r _; do :; done"] : lookedFor(task)),
    // The shell beside it has its own end as soon as what it waits for is killed, and would end this before all is.
    "trap '' TERM",
    ...killLines(word, marker, `= ${attempt}`),
    `) ${task.isHeld ? "<&3 3<&-" : "</dev/null"} >/dev/null 2>&1 & skein_watch=$!`,
  ];
}

/** How soon a command ends after its connection, where something looks for that. */
const watchSeconds = 5;

/** Until the server's process of the connection is gone, which is the parent of this shell, or, where sudo is between them, above that. */
const lookedFor = ({ isBehindShell }: RemoteTask): readonly string[] => [
  "up=$PPID",
  "name=",
  // Between a login as one user and a shell as another; sudo may have a process of its own for a terminal.
  'while { read -r name <"/proc/$up/comm"; } && [ "$name" = sudo ]; do read -r _ _ _ up _ <"/proc/$up/stat"; done',
  ...(isBehindShell === true ? ['[ "$name" != sh ] || read -r _ _ _ up _ <"/proc/$up/stat"'] : []),
  // Another user's process is there as well, though it takes no signal from this one.
  'there() { if [ -d /proc/self ]; then [ -d "/proc/$up" ]; else kill -0 "$up" 2>/dev/null; fi; }',
  // What cannot be seen from here (hidepid) is not known to be gone later.
  "there || exit",
  `while sleep ${watchSeconds}; do there || break; done`,
];

/** The limit is the target's own: whatever becomes of the connection, nothing outlives it there. */
function limited({ timeoutMs, graceMs, word, isHeld }: RemoteTask): string[] {
  const command = isHeld ? '"$@" 3<&-' : '"$@"';
  if (timeoutMs === undefined) return [tell(word, "started"), command];
  const seconds = Math.max(1, Math.ceil(timeoutMs / 1000));
  const grace = Math.max(1, Math.ceil(graceMs / 1000));
  return [
    "skein_limit=none",
    "if command -v timeout >/dev/null 2>&1; then skein_limit=timeout",
    "elif command -v perl >/dev/null 2>&1; then skein_limit=perl",
    `else ${tell(word, "unlimited")}`,
    "fi",
    tell(word, "started"),
    'case "$skein_limit" in',
    `timeout) timeout -k ${grace} ${seconds} ${command};;`,
    `perl) perl -e ${quote(perlTimeout)} ${grace} ${seconds} ${command};;`,
    `*) ${command};;`,
    "esac",
  ];
}

/** What timeout(1) does, by perl: the command is the head of a group, and all of that is ended. */
const perlTimeout = `
my ($grace, $seconds) = splice @ARGV, 0, 2;
my $pid = fork;
if (!$pid) { setpgrp 0, 0; exec { $ARGV[0] } @ARGV or exit 127; }
my $late = 0;
$SIG{ALRM} = sub { kill $late ? "KILL" : "TERM", -$pid; alarm $grace unless $late++; };
alarm $seconds;
1 until waitpid($pid, 0) == $pid || !$!{EINTR};
my $status = $?;
exit($late ? ($late > 1 ? 137 : 124) : $status & 127 ? 128 + ($status & 127) : $status >> 8);`.trim();

/** Found by what they have in their environment, which sessions and process groups of their own do not hide. `which`: of the attempt's number. */
function killLines(word: string, marker: string, which: string): string[] {
  const variable = `${remoteMarker}=${marker}.`;
  return [
    "killed=0",
    "left=0",
    "for round in 1 2 3 4 5; do",
    "left=0",
    // What has ended and is still listed has no environment any more, and is not found again.
    `for file in $(grep -ls ${quote(variable)} /proc/[0-9]*/environ 2>/dev/null); do`,
    `attempt=$(tr '\\0' '\\n' <"$file" 2>/dev/null | sed -n 's/^${variable.replaceAll(".", "\\.")}\\([0-9]*\\);$/\\1/p' | head -n 1)`,
    `[ -n "$attempt" ] && [ "$attempt" ${which} ] || continue`,
    "left=$((left + 1))",
    "pid=${file#/proc/}",
    'kill -9 "${pid%/environ}" 2>/dev/null && [ "$round" = 1 ] && killed=$((killed + 1))',
    "done",
    '[ "$left" = 0 ] && break',
    "sleep 0.2 2>/dev/null || sleep 1",
    "done",
    "[ -d /proc/self ] || left=unknown",
    `printf '%s killed %s %s\\n' ${word} "$killed" "$left" >&2`,
  ];
}
