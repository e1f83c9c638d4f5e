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

/**
 * The same facts out of what ansible's own `setup` has found (its names, without "ansible_"), as the script would say them: a host is asked now by the one and now by the other, and what
 * differs is told as a change. undefined: it has found none of them.
 */
export function factsOfAnsible(said: Readonly<Record<string, unknown>>): Facts | undefined {
  const of = (name: string): string | undefined => {
    const value = said[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
  const distribution = of("distribution")?.toLowerCase().replaceAll(/\s+/g, "-");
  const os = distribution === undefined ? undefined : (ownIds[distribution] ?? distribution);
  const release = os !== undefined && byMajor.has(os) ? of("distribution_major_version") : of("distribution_version");
  const codename = of("distribution_release");
  const found = {
    hostname: of("nodename"),
    kernel: of("kernel"),
    arch: of("architecture"),
    os,
    os_version: release === "NA" ? undefined : release,
    os_codename: codename === "NA" ? undefined : codename,
    cores: of("processor_nproc") ?? of("processor_vcpus"),
    memory_mb: of("memtotal_mb"),
  };
  return parseFacts(
    Object.entries(found)
      .map(([name, value]) => (value === undefined ? "" : `${name}=${value.replaceAll("\n", " ")}`))
      .join("\n"),
  );
}

/** Distributions that call themselves otherwise in /etc/os-release than ansible calls them. */
const ownIds: Readonly<Record<string, string>> = {
  redhat: "rhel",
  oraclelinux: "ol",
  amazon: "amzn",
  archlinux: "arch",
  "linux-mint": "linuxmint",
};

/** Distributions that say no more than the first number of their version there. */
const byMajor: ReadonlySet<string> = new Set(["debian", "centos"]);

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
