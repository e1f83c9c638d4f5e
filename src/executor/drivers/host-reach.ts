import { shellWords } from "../../lib/inventory-ini.ts";
import type { HostFacts, Vars } from "../../lib/inventory.ts";
import type { SshSpec } from "../../state/types.ts";

/** How one host is reached: as the spec says, and where an inventory says otherwise of this host, as that says. */
export interface HostReach {
  /** What ssh connects to. */
  readonly host: string;
  readonly ssh: SshSpec;
  /** The inventory's key, a path on the node; the spec's is not for this host then. */
  readonly hasOwnKey: boolean;
  /** Words of ssh's command line that come before all others: of what is given twice ssh takes the first. */
  readonly args: readonly string[];
}

/**
 * A job's `ssh:` is said of all of its hosts, an inventory's variables of one: these win, as they do with ansible (whose own names they have, as a file may be used with both).
 * What stands in variables as a template is not for ssh to fill in, and is left out.
 */
export function reachOf(target: string, ssh: SshSpec, facts: HostFacts | undefined): HostReach {
  if (facts === undefined) return { host: target, ssh, hasOwnKey: false, args: [] };
  const { vars } = facts;
  const user = textOf(vars, "ansible_user", "ansible_ssh_user");
  const port = Number(textOf(vars, "ansible_port", "ansible_ssh_port"));
  const key = textOf(vars, "ansible_ssh_private_key_file", "ansible_private_key_file");
  return {
    host: textOf(vars, "ansible_host", "ansible_ssh_host") ?? target,
    ssh: {
      ...withBecome(ssh, vars),
      ...(user === undefined ? {} : { user }),
      ...(Number.isInteger(port) && port > 0 && port < 65_536 ? { port } : {}),
      ...(key === undefined ? {} : { key }),
    },
    hasOwnKey: key !== undefined,
    args: ["ansible_ssh_common_args", "ansible_ssh_extra_args"].flatMap((name) => {
      const words = shellWords(textOf(vars, name) ?? "");
      return typeof words === "string" ? [] : words;
    }),
  };
}

function withBecome(ssh: SshSpec, vars: Vars): SshSpec {
  const { ansible_become: wanted } = vars;
  if (wanted === false) {
    const { become: _become, ...rest } = ssh;
    return rest;
  }
  const user = textOf(vars, "ansible_become_user");
  if (wanted === true) return { ...ssh, become: user ?? ssh.become ?? "root" };
  return ssh.become !== undefined && user !== undefined ? { ...ssh, become: user } : ssh;
}

/** Of the first of these variables that there is. */
function textOf(vars: Vars, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = vars[name];
    if (typeof value !== "string" && typeof value !== "number") continue;
    const text = String(value);
    if (text !== "" && !/\{[{%]|[\n\0]/.test(text)) return text;
  }
  return undefined;
}
