import { expandHosts } from "./inventory-hosts.ts";
import { InventoryBuilder, type InventoryRead, type Vars } from "./inventory.ts";

/**
 * Inventories of Ansible that are maps: its YAML (`all: {hosts: {…}, children: {…}, vars: {…}}`) and the JSON that dynamic inventories print (groups with
 * lists of hosts and children, `_meta.hostvars`, which is also what `ansible-inventory --list` prints). A file may mix them. Paths of problems are those of
 * the value, whoever has its text finds the line. Rests now and then.
 */
export function* readTree(value: unknown): Generator<undefined, InventoryRead, undefined> {
  const reader = new TreeReader();
  yield* reader.read(value);
  return reader.builder.close();
}

const atOnce = 500;

class TreeReader {
  readonly builder = new InventoryBuilder();
  #looked = 0;

  *read(value: unknown): Generator<undefined, void, undefined> {
    const { builder } = this;
    if (!isMap(value)) {
      builder.refuse("", `must be a map of groups: "all:" with "hosts:" and "children:"`);
      return;
    }
    if ("plugin" in value) {
      builder.refuse(
        "plugin",
        "this configures an inventory plugin of Ansible's: let it run with --command 'ansible-inventory -i FILE --list'",
      );
      return;
    }
    for (const [name, group] of Object.entries(value))
      if (name !== "_meta") yield* this.#group(name, group, keyed("", name), 0);
    const { _meta: meta } = value;
    if (meta === undefined) return;
    const { hostvars } = isMap(meta) ? meta : {};
    if (hostvars === undefined) return;
    if (!isMap(hostvars)) {
      builder.refuse("_meta.hostvars", "must be a map of hosts to their variables");
      return;
    }
    for (const [host, vars] of Object.entries(hostvars)) {
      if (this.#isLong()) yield;
      const path = keyed("_meta.hostvars", host);
      if (!isVars(vars)) builder.refuse(path, "must be a map of variables");
      else builder.setHost(host, vars ?? {});
    }
  }

  *#group(name: string, data: unknown, path: string, depth: number): Generator<undefined, void, undefined> {
    const { builder } = this;
    if (builder.isFull || !builder.group(name, path)) return;
    if (depth > deepest) {
      builder.refuse(path, `is nested more than ${deepest} groups deep`);
      return;
    }
    if (data === null || data === undefined) return;
    if (Array.isArray(data)) {
      yield* this.#listed(name, data, path);
      return;
    }
    if (!isMap(data)) {
      builder.refuse(path, "must be a map with hosts, children or vars");
      return;
    }
    for (const [key, part] of Object.entries(data)) {
      const place = keyed(path, key);
      if (key === "vars") {
        if (!isVars(part)) builder.refuse(place, "must be a map of variables");
        else if (part !== null && part !== undefined) builder.setGroup(name, part);
      } else if (key === "hosts") yield* this.#hosts(name, part, place);
      else if (key === "children") yield* this.#children(name, part, place, depth);
      else builder.refuse(place, `a group has hosts, children and vars, and no "${key}"`);
    }
  }

  *#hosts(group: string, hosts: unknown, path: string): Generator<undefined, void, undefined> {
    const { builder } = this;
    if (hosts === null || hosts === undefined) return;
    if (Array.isArray(hosts)) {
      yield* this.#listed(group, hosts, path);
      return;
    }
    const map: unknown = typeof hosts === "string" ? { [hosts]: null } : hosts;
    if (!isMap(map)) {
      builder.refuse(path, "must be a map of hosts to their variables, or a list of hosts");
      return;
    }
    for (const [pattern, vars] of Object.entries(map)) {
      if (this.#isLong()) yield;
      if (builder.isFull) return;
      const place = keyed(path, pattern);
      const found = expandHosts(pattern);
      if (typeof found === "string") builder.refuse(place, found);
      else if (!isVars(vars)) builder.refuse(place, "what stands behind a host must be a map of variables");
      else {
        const own = { ...(found.port === undefined ? {} : { ansible_port: found.port }), ...vars };
        for (const name of found.names) {
          builder.host(name, group, place);
          builder.setHost(name, own);
          if (builder.isFull) return;
        }
      }
    }
  }

  /** Scripts name hosts one by one, and never as ranges. */
  *#listed(group: string, hosts: readonly unknown[], path: string): Generator<undefined, void, undefined> {
    for (const [at, host] of hosts.entries()) {
      if (this.#isLong()) yield;
      if (this.builder.isFull) return;
      const place = `${path}[${at}]`;
      if (typeof host === "string") this.builder.host(host, group, place);
      else this.builder.refuse(place, "must be the name of a host");
    }
  }

  *#children(group: string, children: unknown, path: string, depth: number): Generator<undefined, void, undefined> {
    const { builder } = this;
    if (children === null || children === undefined) return;
    if (Array.isArray(children)) {
      for (const [at, child] of children.entries()) {
        const place = `${path}[${at}]`;
        if (typeof child !== "string") builder.refuse(place, "must be the name of a group");
        else if (builder.group(child, place)) builder.child(group, child, place);
      }
      return;
    }
    const map: unknown = typeof children === "string" ? { [children]: null } : children;
    if (!isMap(map)) {
      builder.refuse(path, "must be a map of groups, or a list of their names");
      return;
    }
    for (const [name, data] of Object.entries(map)) {
      const place = keyed(path, name);
      yield* this.#group(name, data, place, depth + 1);
      if (builder.hasGroup(name)) builder.child(group, name, place);
    }
  }

  #isLong(): boolean {
    this.#looked += 1;
    return this.#looked % atOnce === 0;
  }
}

const deepest = 64;

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isVars(value: unknown): value is Vars | null | undefined {
  return value === null || value === undefined || isMap(value);
}

/** Names of hosts have dots: such keys stand in quotes. */
function keyed(path: string, key: string): string {
  const written = /^[A-Za-z_][\w-]*$/.test(key) ? key : JSON.stringify(key);
  return path === "" ? written : `${path}.${written}`;
}
