import { quote, readScript, readScriptAs } from "./ssh-script.ts";

/** How a script reaches the shell of a target: the words that ssh is given, and what comes by standard input. */
export interface Approach {
  readonly command: string;
  readonly stdin: string;
}

/** As whom it runs there. */
export interface Becoming {
  readonly become?: string | undefined;
  /** What sudo asks for; absent: it must not ask. */
  readonly password?: string | undefined;
  /** One that the password is not. */
  readonly word: string;
  /** Nothing comes after the script. */
  readonly isLast: boolean;
}

/**
 * The way of a script to its shell. A password goes before it on standard input, which is encrypted and which nobody but the shells of the attempt reads: it is in no argument and no
 * environment, neither here nor on the target (the shell's printf is no process), and in no file there.
 */
export function approach(script: string, { become, password, word, isLast }: Becoming): Approach {
  const bytes = isLast ? undefined : Buffer.byteLength(script);
  if (become === undefined) return { command: readScript(bytes), stdin: script };
  if (password === undefined) return { command: readScriptAs(become, bytes), stdin: script };
  const first = withPassword(become, word, Buffer.byteLength(script));
  return { command: readScript(Buffer.byteLength(first)), stdin: `${first}${password}\n${script}` };
}

/**
 * First sudo is asked with the password alone, then with all else behind it. So a wrong one is tried once and not as often as sudo asks, which might lock the account, and neither the
 * script nor the task's own input is ever taken for a password. Nothing is left to what sudo remembers (-k): where a rule lets this be done without a password, it does not read it, and what runs passes
 * over all lines up to `word`.
 */
function withPassword(user: string, word: string, bytes: number): string {
  const sudo = `sudo -k -S -p '' -H -u ${quote(user)} --`;
  return `unset skein_password skein_said
IFS= read -r skein_password || exit 1
skein_said=$(printf '%s\\n' "$skein_password" | ${sudo} sh -c : 2>&1 >/dev/null) || { printf '%s\\n' "$skein_said" >&2; exit 1; }
{ printf '%s\\n' "$skein_password" ${word}; unset skein_password; exec cat; } |
  ${sudo} sh -c 'while IFS= read -r line && [ "$line" != ${word} ]; do :; done; eval "$(dd bs=1 count=${bytes} 2>/dev/null)"'
exit $?
`;
}
