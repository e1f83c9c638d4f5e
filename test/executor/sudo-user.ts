import { rmSync, writeFileSync } from "node:fs";
import { whyMissing } from "../../scripts/needed.ts";

/** Why no user can be made here who may use sudo; undefined: one can. */
export const noSudoUser =
  process.getuid?.() === 0
    ? whyMissing("sudo", ["sudo", "passwd"], () => ["sudo", "useradd", "chpasswd"].every((one) => Bun.which(one)))
    : "only root makes the user that it needs";

let made = 0;

/** A user of this host whom sudo asks for a password, until `using` ends. */
export class SudoUser {
  readonly name = `skein${process.pid}x${made++}`;
  readonly password = "correct horse 'battery' $staple";

  constructor() {
    must(["useradd", "--create-home", "--shell", "/bin/sh", this.name]);
    must(["chpasswd"], `${this.name}:${this.password}\n`);
    this.allow("ALL");
  }

  /** "ALL", or what may go before it: "NOPASSWD: ALL". */
  allow(what: string): void {
    writeFileSync(this.#rule, `${this.name} ALL=(ALL) ${what}\n`, { mode: 0o440 });
  }

  get #rule(): string {
    return `/etc/sudoers.d/${this.name}`;
  }

  [Symbol.dispose](): void {
    rmSync(this.#rule, { force: true });
    // A connection that is kept for others may still be this user's.
    Bun.spawnSync(["userdel", "--force", "--remove", this.name]);
  }
}

function must(words: string[], stdin = ""): void {
  const { exitCode, stderr } = Bun.spawnSync(words, { stdin: Buffer.from(stdin) });
  if (exitCode !== 0) throw new Error(`${words[0]}: ${stderr.toString()}`);
}
