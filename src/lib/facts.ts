import { limits } from "./limits.ts";

/** What is known of a host: names and short texts. */
export type Facts = Readonly<Record<string, string>>;

/**
 * What a host is asked: a script for any POSIX shell, which prints `name=value` lines. It says nothing that changes by itself, as free memory does: what is other
 * than the last time is told.
 */
export const factsScript = `p() { [ -z "$2" ] || printf '%s=%s\\n' "$1" "$2"; }
p hostname "$(uname -n 2>/dev/null)"
p kernel "$(uname -r 2>/dev/null)"
p arch "$(uname -m 2>/dev/null)"
if [ -r /etc/os-release ]; then
  ( . /etc/os-release; p os "$ID"; p os_version "$VERSION_ID"; p os_codename "$VERSION_CODENAME"; p os_name "$PRETTY_NAME" )
else
  p os "$(uname -s 2>/dev/null | tr '[:upper:]' '[:lower:]')"
fi
p cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null)"
p memory_mb "$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null)"
p init "$(cat /proc/1/comm 2>/dev/null)"
p python "$(command -v python3 2>/dev/null)"
for m in apt-get dnf yum zypper apk pacman; do
  if command -v "$m" >/dev/null 2>&1; then p packages "$m"; break; fi
done
exit 0
`;

/** The lines of what it printed that say something; undefined: none does. */
export function parseFacts(text: string): Facts | undefined {
  const facts = new Map<string, string>();
  let bytes = 0;
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z][a-z0-9_]{0,63})=(\P{C}{1,512})$/u.exec(line.trim()) ?? [];
    if (name === undefined || value === undefined || facts.size >= limits.factKeys) continue;
    bytes += name.length + value.length;
    if (bytes > limits.factBytes / 2) break;
    facts.set(name, value);
  }
  return facts.size === 0 ? undefined : Object.fromEntries([...facts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
