/**
 * Who ends the work when the guard is killed and no node is there to start another one: without it, what runs would outlive its lease and
 * be alive twice (J1, J3). It is a shell of its own session that reads process groups from a pipe which only the guard holds open; at
 * the end of the pipe, however the guard came to its end, it kills those that are left. It is started with the first attempt.
 */
export class Sentinel {
  readonly #onFault: (message: string) => void;
  readonly #groups = new Set<number>();
  #shell: Shell | undefined;
  /** Lines about groups that are gone, for the next write. */
  #gone = "";
  #later: ReturnType<typeof setTimeout> | undefined;

  constructor(onFault: (message: string) => void) {
    this.#onFault = onFault;
  }

  /** From now on the group ends with this process. */
  watch(group: number): void {
    this.#groups.add(group);
    if (this.#shell === undefined || this.#shell.exitCode !== null || this.#shell.signalCode !== null) this.#start();
    else this.#write(`+ ${group}\n`);
  }

  /** The group is gone: its number may be another's soon, but not for as long as it takes to wake the shell once for several. */
  forget(group: number): void {
    if (!this.#groups.delete(group)) return;
    this.#gone += `- ${group}\n`;
    this.#later ??= setTimeout(() => this.#write(""), forgetAfterMs).unref();
  }

  #start(): void {
    try {
      this.#shell = Bun.spawn(["/bin/sh", "-c", script], {
        detached: true, // a signal to the guard's own session must not reach it
        env: {},
        cwd: "/",
        stdin: "pipe",
        stdout: "ignore",
        stderr: "ignore",
      });
      this.#shell.unref();
      this.#gone = ""; // it never knew them
      this.#write([...this.#groups].map((group) => `+ ${group}\n`).join(""));
    } catch (error) {
      this.#onFault(`nothing watches over this guard: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Those that are gone first: their number may be among the new ones. */
  #write(lines: string): void {
    clearTimeout(this.#later);
    this.#later = undefined;
    const gone = this.#gone;
    this.#gone = "";
    try {
      const { stdin } = this.#shell!;
      void stdin.write(gone + lines);
      void stdin.flush();
    } catch {
      // It was killed: the next attempt starts another one, which is told of all groups.
    }
  }
}

const forgetAfterMs = 100;

type Shell = Bun.Subprocess<"pipe", "ignore", "ignore">;

const script = `
groups=" "
while read -r what group; do
  case "$what" in
    "+") groups="$groups$group " ;;
    "-") case "$groups" in *" $group "*) groups="\${groups%% $group *} \${groups#* $group }" ;; esac ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
`;
