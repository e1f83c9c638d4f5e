/** Text of a line, or why it cannot be one. */
export type LinePart = { readonly text: string } | { readonly problem: string };

/** The shell that cron is to run, and the command for it, with the variables that it has to set by itself. */
export function commandLine(job: Readonly<Record<string, unknown>>): {
  readonly shell: string;
  readonly write: (env: Readonly<Record<string, string>>) => LinePart;
} {
  const run = job["run"] as string | readonly string[];
  const isShell = typeof run !== "string" && run.length === 3 && run[1] === "-c" && /^\/\S*sh$/.test(run[0]!);
  const command = typeof run === "string" ? run : isShell ? run[2]! : run.map(quoted).join(" ");
  const dir = job["dir"] as string | undefined;
  return {
    shell: isShell ? run[0]! : "/bin/sh",
    write: (env) => {
      // Where HOME is set for all lines cron begins in it.
      const isThere = dir === undefined || (!("HOME" in env) && homeOf(job) === dir);
      const names = Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`);
      const begin = `${names.length > 0 ? `export ${names.join(" ")}; ` : ""}${isThere ? "" : `cd ${quoted(dir)} || exit; `}`;
      return asLine(`${begin}${command}`);
    },
  };
}

function homeOf({ env }: Readonly<Record<string, unknown>>): unknown {
  return (env as Readonly<Record<string, unknown>> | undefined)?.["HOME"];
}

/** A % is the end of a command for cron, unless it has a backslash. */
function asLine(command: string): LinePart {
  if (/[\n\r]/.test(command)) return { problem: "the command has several lines: put them into a script" };
  if (/(?<!\\)(?:\\\\)*\\%/.test(command))
    return { problem: "a % behind a backslash cannot stand in a crontab: put the command into a script" };
  return { text: command.replaceAll("%", "\\%") };
}

/** What stands behind the command. cron ends it with a newline. */
export function inputLine(stdin: string | undefined): LinePart {
  if (stdin === undefined || stdin === "") return { text: "" };
  if (/\\[\n%]/.test(stdin))
    return { problem: "standard input with a backslash before % or the end of a line cannot stand in a crontab" };
  if (stdin.includes("\r")) return { problem: "standard input with a carriage return cannot stand in a crontab" };
  return { text: `%${stdin.replace(/\n$/, "").replaceAll("%", "\\%").replaceAll("\n", "%")}` };
}

function quoted(word: string): string {
  return /^[\w@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
