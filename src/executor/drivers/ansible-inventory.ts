import type { HostFacts } from "../../lib/inventory.ts";

/** A host of the file, with what is said of it beside what its inventory says. */
export interface FileHost {
  readonly name: string;
  readonly facts: HostFacts | undefined;
  readonly vars: Readonly<Record<string, unknown>>;
}

/**
 * The inventory file of one process of ansible: the hosts of its unit alone, each with the groups and the merged variables that the inventories of its job say of it, so that
 * playbooks with `hosts: web` and `{{ variables }}` find what they look for. JSON is YAML. `vars` are said of all hosts and lose against a host's own.
 */
export function inventoryFile(
  hosts: readonly FileHost[],
  vars: Readonly<Record<string, unknown>>,
  groups: readonly string[] = [],
): string {
  const members = new Map<string, Record<string, null>>(groups.map((group) => [group, {}]));
  for (const { name, facts } of hosts) {
    for (const group of [...groups, ...(facts?.groups ?? [])]) {
      let of = members.get(group);
      if (of === undefined) members.set(group, (of = {}));
      of[name] = null;
    }
  }
  // ansible says itself who is in none.
  members.delete("ungrouped");
  const children = Object.fromEntries([...members].map(([group, of]) => [group, { hosts: of }]));
  const all = Object.fromEntries(
    hosts.map(({ name, facts, vars: own }): [string, Record<string, unknown>] => [name, { ...facts?.vars, ...own }]),
  );
  return JSON.stringify({ all: { hosts: all, vars, ...(members.size === 0 ? {} : { children }) } });
}
