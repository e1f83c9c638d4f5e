import { limits } from "./limits.ts";
import { inGroups } from "./node-set.ts";
import type { Problem } from "./outcome.ts";

/**
 * An inventory as it is read from a file, whatever that was written in (inventory-ini.ts, inventory-tree.ts, inventory-list.ts): hosts in groups, groups in groups, variables
 * of both. It means what Ansible takes it for: every host is in `all`, one without a group of its own in `ungrouped`, and variables of the
 * nearer group win.
 */
export interface Inventory {
  /** In the order in which they came. */
  readonly hosts: ReadonlyMap<string, InventoryHost>;
  /** Those that were written; `all` and `ungrouped` only where they have variables. */
  readonly groups: ReadonlyMap<string, InventoryGroup>;
}

export type Vars = Readonly<Record<string, unknown>>;

export interface InventoryHost {
  /** Its own ones, without those that these are in. */
  readonly groups: ReadonlySet<string>;
  readonly vars: Vars;
}

export interface InventoryGroup {
  readonly children: ReadonlySet<string>;
  readonly vars: Vars;
}

export type InventoryRead =
  | { readonly ok: true; readonly inventory: Inventory }
  | { readonly ok: false; readonly problems: readonly Problem[] };

interface OpenHost {
  readonly groups: Set<string>;
  readonly vars: Record<string, unknown>;
}

interface OpenGroup {
  readonly children: Set<string>;
  readonly vars: Record<string, unknown>;
}

/** Every host is in the one, those in no other group in the second. They are not written down. */
export const everybody = "all";
const rest = "ungrouped";

/** As node sets can name it: `@inventory:group`. */
const groupForm = /^[^\s,!&^*@:[\]"'\\]+$/;
const hostForm = /^[A-Za-z0-9_:][A-Za-z0-9._:-]*$/;

/** Takes in what a file says, one thing after the other, and keeps what is wrong with it by its place. */
export class InventoryBuilder {
  readonly #hosts = new Map<string, OpenHost>();
  readonly #groups = new Map<string, OpenGroup>();
  readonly problems: Problem[] = [];

  refuse(path: string, message: string): void {
    if (this.problems.length < limits.problemsPerRequest) this.problems.push({ path, message });
  }

  /** Nothing more is to be read: there are too many hosts, or problems. */
  get isFull(): boolean {
    return this.#hosts.size > limits.inventoryHosts || this.problems.length >= limits.problemsPerRequest;
  }

  /** The group is there from now on. False: it cannot be. */
  group(name: string, path: string): boolean {
    if (name === everybody || name === rest) return true;
    if (this.#groups.has(name)) return true;
    if (!groupForm.test(name) || name.length > limits.nameLength) {
      this.refuse(path, `"${shortened(name)}" is no name of a group: no spaces, and none of , ! & ^ * @ : [ ]`);
      return false;
    }
    this.#groups.set(name, { children: new Set(), vars: {} });
    return true;
  }

  hasGroup(name: string): boolean {
    return name === everybody || name === rest || this.#groups.has(name);
  }

  host(name: string, group: string, path: string): void {
    let host = this.#hosts.get(name);
    if (host === undefined) {
      if (!hostForm.test(name) || name.length > limits.targetLength)
        return this.refuse(path, `"${shortened(name)}" is no name of a host: letters, digits and . _ - : are`);
      this.#hosts.set(name, (host = { groups: new Set(), vars: {} }));
      if (this.#hosts.size === limits.inventoryHosts + 1)
        this.refuse(
          path,
          `up to here it is more than ${inGroups(limits.inventoryHosts)} hosts, which is all that an inventory holds`,
        );
    }
    if (group !== everybody && group !== rest) host.groups.add(group);
  }

  setHost(name: string, vars: Vars): void {
    const host = this.#hosts.get(name);
    if (host !== undefined) define(host.vars, vars);
  }

  setGroup(name: string, vars: Vars): void {
    let group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, (group = { children: new Set(), vars: {} }));
    define(group.vars, vars);
  }

  child(parent: string, name: string, path: string): void {
    if (parent === name || (parent !== everybody && this.#isBelow(parent, name)))
      return this.refuse(path, `the group ${name} cannot be in ${parent}: ${parent} is in it already, or is it itself`);
    if (parent === everybody) return;
    if (name === everybody) return this.refuse(path, `the group all holds every other one, and is in none`);
    const group = this.#groups.get(parent) ?? { children: new Set<string>(), vars: {} };
    this.#groups.set(parent, group);
    group.children.add(name);
  }

  #isBelow(name: string, above: string): boolean {
    const open = [above];
    const seen = new Set<string>();
    for (let group = open.pop(); group !== undefined; group = open.pop()) {
      if (group === name) return true;
      if (seen.has(group)) continue;
      seen.add(group);
      open.push(...(this.#groups.get(group)?.children ?? []));
    }
    return false;
  }

  close(): InventoryRead {
    const { problems } = this;
    if (problems.length === 0 && this.#hosts.size === 0) problems.push({ path: "", message: "it names no host" });
    if (this.#groups.size > limits.inventoryGroups)
      this.refuse(
        "",
        `has ${inGroups(this.#groups.size)} groups, and at most ${inGroups(limits.inventoryGroups)} are taken`,
      );
    if (problems.length === 0) this.#measure();
    if (problems.length > 0) return { ok: false, problems };
    return { ok: true, inventory: { hosts: this.#hosts, groups: this.#groups } };
  }

  /** What one host or group has is read whole wherever one of its variables is needed, and all of it goes through the log. */
  #measure(): void {
    let bytes = 0;
    const all = [
      ...[...this.#hosts].map(([name, { vars }]) => [`host ${name}`, vars] as const),
      ...[...this.#groups].map(([name, { vars }]) => [`group ${name}`, vars] as const),
    ];
    for (const [what, vars] of all) {
      const size = isEmpty(vars) ? 0 : new TextEncoder().encode(JSON.stringify(vars)).length;
      bytes += size;
      if (size > limits.inventoryVarsEach)
        this.refuse(
          what,
          `its variables have ${inGroups(size)} bytes, and at most ${inGroups(limits.inventoryVarsEach)} are taken`,
        );
    }
    if (bytes > limits.inventoryVars)
      this.refuse(
        "",
        `all variables together have ${inGroups(bytes)} bytes, and at most ${inGroups(limits.inventoryVars)} are taken`,
      );
  }
}

function isEmpty(vars: Vars): boolean {
  for (const _ in vars) return false;
  return true;
}

/** A variable may have any name, `__proto__` too. */
function define(into: Record<string, unknown>, vars: Vars): void {
  for (const [name, value] of Object.entries(vars))
    Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true });
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** A host with what its groups add to it. */
export interface HostFacts {
  /** All that it is in, by name; without `all`. */
  readonly groups: readonly string[];
  /** Of the nearest group that has one, the host itself first. */
  readonly vars: Vars;
}

/** Which groups a group is in. */
export function parentsOf(
  groups: Iterable<readonly [string, Pick<InventoryGroup, "children">]>,
): Map<string, string[]> {
  const parents = new Map<string, string[]>();
  for (const [name, { children }] of groups) {
    for (const child of children) {
      const known = parents.get(child);
      if (known === undefined) parents.set(child, [name]);
      else known.push(name);
    }
  }
  return parents;
}

/** Groups and variables of one host, as Ansible merges them: groups by how deep they are, then by `ansible_group_priority`, then by name; the later one wins. */
export function factsOf(
  own: readonly string[],
  vars: Vars,
  parents: ReadonlyMap<string, readonly string[]>,
  varsOf: (group: string) => Vars | undefined,
): HostFacts {
  const groups = new Set<string>();
  const open = own.length === 0 ? [rest] : [...own];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (groups.has(name)) continue;
    groups.add(name);
    open.push(...(parents.get(name) ?? []));
  }
  const ordered = [...groups].map((name) => ({
    name,
    depth: depthOf(name, parents),
    priority: priorityOf(varsOf(name)),
  }));
  ordered.sort((a, b) => a.depth - b.depth || a.priority - b.priority || (a.name < b.name ? -1 : 1));
  const merged: Record<string, unknown> = {};
  define(merged, varsOf(everybody) ?? {});
  for (const { name } of ordered) define(merged, varsOf(name) ?? {});
  define(merged, vars);
  delete merged["ansible_group_priority"];
  return { groups: [...groups].toSorted(), vars: merged };
}

const depths = new WeakMap<ReadonlyMap<string, readonly string[]>, Map<string, number>>();

/** `all` has 0, and each group one more than the deepest of those that it is in. */
function depthOf(name: string, parents: ReadonlyMap<string, readonly string[]>): number {
  let known = depths.get(parents);
  if (known === undefined) depths.set(parents, (known = new Map()));
  const before = known.get(name);
  if (before !== undefined) return before;
  const depth = 1 + Math.max(0, ...(parents.get(name) ?? []).map((parent) => depthOf(parent, parents)));
  known.set(name, depth);
  return depth;
}

function priorityOf(vars: Vars | undefined): number {
  const priority = Number(vars?.["ansible_group_priority"] ?? 1);
  return Number.isFinite(priority) ? priority : 1;
}
