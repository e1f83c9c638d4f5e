import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readInventoryFile } from "../../src/cli/inventory-file.ts";
import { guessFormat, readInventory } from "../../src/lib/inventory-format.ts";
import { differencesOf, packInventory, type Packed } from "../../src/lib/inventory-pieces.ts";
import { readTree } from "../../src/lib/inventory-tree.ts";
import { factsOf, type Inventory, type InventoryRead, parentsOf } from "../../src/lib/inventory.ts";
import { limits } from "../../src/lib/limits.ts";
import { pythonValue } from "../../src/lib/python-literal.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { whyMissing } from "../../scripts/needed.ts";

const missing = whyMissing("ansible", ["ansible-core"], () => Bun.which("ansible-inventory") !== null);
if (missing !== undefined) console.log(`skipped: inventories beside ansible-inventory: ${missing}`);

const ini = (text: string): InventoryRead => atOnce(readInventory(text, "ini"));
const list = (text: string): InventoryRead => atOnce(readInventory(text, "list"));
const json = (value: unknown): InventoryRead => atOnce(readTree(value));

function good(read: InventoryRead): Inventory {
  if (!read.ok) throw new Error(read.problems.map(({ path: at, message }) => `${at}: ${message}`).join("\n"));
  return read.inventory;
}

const problems = (read: InventoryRead): string[] =>
  read.ok ? [] : read.problems.map(({ path: at, message }) => (at === "" ? message : `${at}: ${message}`));

/** What a host has, with its groups. */
function hostOf({ hosts, groups }: Inventory, name: string) {
  const host = hosts.get(name)!;
  return factsOf([...host.groups], host.vars, parentsOf(groups), (group) => groups.get(group)?.vars);
}

/** Every host with all groups and variables, to be compared. */
const merged = (inventory: Inventory): Record<string, unknown> =>
  Object.fromEntries([...inventory.hosts.keys()].map((name) => [name, hostOf(inventory, name)]));

const iniText = `; the fleet
lonely ansible_host=10.0.0.9 note="two words" # said here
[web]
web[01:03].lan:2222 http_port=80 weight=1.5 tags="['a', 'b']"
web-[a:c] path=C:\\\\temp quoted='it is' empty= flag=True nothing=None mode=0644 hexed=0x1F under=1_000
[db]
db1
db[5:9:2]
web01.lan role=both
[web:vars]
http_port=8080
greeting=hello world # not a comment here
answer=42 # but here
pair=(1, 2)
map={'k': [1, {'l': None}], "m": True}
[prod:children]
web
db
[prod:vars]
env=prod
level=prod
[db:vars]
level=db
[all:vars]
level=all
everywhere=yes
[late:children]
db
[late:vars]
ansible_group_priority=10
level=late
[ungrouped:vars]
loner=1
`;

const yamlText = `
all:
  vars: {level: all, yes_word: yes}
  hosts:
    lonely: {ansible_host: 10.0.0.9}
  children:
    web:
      hosts:
        web[01:03].lan: {http_port: 80}
        web02.lan: {http_port: 81, list: [1, {a: b}]}
        "x:2022":
      vars: {http_port: 8080, level: web}
      children:
        inner:
          hosts: {web03.lan: , deep: }
          vars: {level: inner}
    db:
      hosts: db1
other:
  hosts: {web01.lan: {from: other}}
`;

const dynamic = {
  web: { hosts: ["web1", "web2"], vars: { a: 1, level: "web" }, children: ["inner"] },
  inner: ["deep"],
  db: { hosts: ["db1", "web1"], vars: { level: "db" } },
  ungrouped: { hosts: ["alone"] },
  _meta: { hostvars: { web1: { x: { y: [1] } }, db1: {}, stranger: { q: 1 } } },
};

describe("an INI inventory", () => {
  test("has hosts of ranges, with ports and variables, in groups of groups", () => {
    const inventory = good(ini(iniText));
    expect([...inventory.hosts.keys()]).toEqual(
      "lonely web01.lan web02.lan web03.lan web-a web-b web-c db1 db5 db7 db9".split(" "),
    );
    expect(hostOf(inventory, "web01.lan")).toEqual({
      groups: ["db", "late", "prod", "web"],
      vars: {
        level: "db",
        everywhere: "yes",
        env: "prod",
        http_port: 80,
        greeting: "hello world # not a comment here",
        answer: 42,
        pair: [1, 2],
        map: { k: [1, { l: null }], m: true },
        ansible_port: 2222,
        weight: 1.5,
        tags: ["a", "b"],
        role: "both",
      },
    });
    expect(hostOf(inventory, "web-b").vars).toMatchObject({
      path: "C:\\temp",
      quoted: "it is",
      empty: "",
      flag: true,
      nothing: null,
      mode: "0644",
      hexed: 31,
      under: 1000,
    });
    expect(hostOf(inventory, "lonely")).toMatchObject({ groups: ["ungrouped"], vars: { loner: 1, note: "two words" } });
  });

  test("tells everything that is wrong with it, each with its line", () => {
    const text = `[web]
ok
web[3:1]
web[01:5] a=1
x[1:
y a b=2
z a="open
[we b]
lost
[web:oops]
[nowhere:vars]
a=1
[prod:children]
missing
web x
[prod]
[web:children]
prod
b/d
`;
    expect(problems(ini(text))).toEqual([
      `line 3: "web[3:1]": the range [3:1] ends before it begins`,
      `line 4: "web[01:5]": begin and end of [01:5] are of different length, and leading zeros want the same`,
      `line 5: "x[1:" has a "[" that is not closed by a "]"`,
      `line 6: expected name=value behind the host, and found "a"`,
      `line 7: a quotation begins at "open and does not end`,
      `line 8: "[we b]" is no section: [group], [group:children] or [group:vars], without spaces`,
      `line 10: there are sections [web], [web:children] and [web:vars], and none of the kind "oops"`,
      `line 15: expected the name of a group, and found "web x"`,
      `line 11: there is no group nowhere that these variables could be of: begin one with [nowhere]`,
      `line 14: there is no group missing: begin one with [missing]`,
      `line 19: there is no group b/d: begin one with [b/d]`,
    ]);
    expect(problems(ini("[a]\nx\n[a:children]\nb\n[b:children]\na\n[b]\n"))).toEqual([
      "line 6: the group a cannot be in b: b is in it already, or is it itself",
    ]);
    expect(problems(ini("# nobody\n[web]\n"))).toEqual(["it names no host"]);
  });
});

describe("a map of groups", () => {
  test("is Ansible's YAML, as YAML 1.1 has it", () => {
    const read = readInventoryFile(yamlText, "hosts.yaml", undefined) as { inventory: object };
    const inventory = good(json(read.inventory));
    expect([...inventory.hosts.keys()]).toEqual(["lonely", "web01.lan", "web02.lan", "web03.lan", "x", "deep", "db1"]);
    expect(hostOf(inventory, "web02.lan")).toEqual({
      groups: ["web"],
      vars: { level: "web", yes_word: true, http_port: 81, list: [1, { a: "b" }] },
    });
    expect(hostOf(inventory, "deep")).toMatchObject({ groups: ["inner", "web"], vars: { level: "inner" } });
    expect(hostOf(inventory, "x").vars).toMatchObject({ ansible_port: 2022 });
  });

  test("is what dynamic inventories print; variables of hosts that no group has are nobody's", () => {
    const inventory = good(json(dynamic));
    expect([...inventory.hosts.keys()]).toEqual(["web1", "web2", "deep", "db1", "alone"]);
    expect(hostOf(inventory, "web1")).toEqual({ groups: ["db", "web"], vars: { a: 1, level: "web", x: { y: [1] } } });
    expect(hostOf(inventory, "alone").groups).toEqual(["ungrouped"]);
  });

  test("tells everything that is wrong with it, each with its place", () => {
    const wrong = {
      web: { hosts: { "web[2:1]": null, ok: 7 }, vars: [1], hots: {} },
      "b d": null,
      db: { hosts: [1, "fine"], children: { web: "x" } },
      _meta: { hostvars: { fine: "y" } },
    };
    expect(problems(json(wrong))).toEqual([
      `web.hosts."web[2:1]": "web[2:1]": the range [2:1] ends before it begins`,
      `web.hosts.ok: what stands behind a host must be a map of variables`,
      `web.vars: must be a map of variables`,
      `web.hots: a group has hosts, children and vars, and no "hots"`,
      `"b d": "b d" is no name of a group: no spaces, and none of , ! & ^ * @ : [ ]`,
      `db.hosts[0]: must be the name of a host`,
      `db.children.web: must be a map with hosts, children or vars`,
      `_meta.hostvars.fine: must be a map of variables`,
    ]);
    expect(problems(json(["a"]))).toEqual([`must be a map of groups: "all:" with "hosts:" and "children:"`]);
    expect(problems(json({ plugin: "aws_ec2" }))[0]).toContain("ansible-inventory -i FILE --list");
    expect(problems(atOnce(readInventory("{", "json")))[0]).toStartWith("it is not JSON: ");
  });

  test("a YAML file's mistakes are told with their lines", () => {
    const told = (text: string): readonly unknown[] => {
      try {
        readInventoryFile(text, "h.yml", undefined);
      } catch (error) {
        return (error as { problems: { path: string }[] }).problems.map(({ path: at }) => at);
      }
      return [];
    };
    expect(told("all:\n  hosts:\n    a: 1\n    'b[2:1]': {}\n  chidren: {}\n")).toEqual([
      "h.yml:3",
      "h.yml:4",
      "h.yml:5",
    ]);
    expect(told("all:\n  hosts: [\n")).toEqual(["h.yml:3"]);
  });
});

test("a list has a node set a line", () => {
  expect([...good(list("# all of them\nweb[01-02],db1\n\n10.0.0.1-2 # and these\n")).hosts.keys()]).toEqual(
    "web01 web02 db1 10.0.0.1 10.0.0.2".split(" "),
  );
  expect(problems(list("web[3-1]\na\n@web\n"))).toEqual([
    `line 1: bad range: "3-1" ends before it begins\nweb[3-1]\n    ^^^`,
    `line 3: there is no group or inventory "web"\n@web\n^^^^`,
  ]);
});

test("more hosts than an inventory holds are refused with their count, whatever it is written in", () => {
  const more = "holds at most 100,000";
  expect(problems(ini(`web[1:${limits.inventoryHosts + 1}]`))[0]).toContain(more);
  expect(problems(ini(`web[1:${limits.inventoryHosts}]\none`))[0]).toContain(
    "line 2: up to here it is more than 100,000 hosts",
  );
  expect(problems(list(`web[1-${limits.inventoryHosts + 1}]`))[0]).toContain("stands for 100,001 names");
  const names = Array.from({ length: limits.inventoryHosts + 1 }, (_, at) => `h${at}`);
  expect(problems(json({ all: { hosts: names } }))[0]).toContain(`all.hosts[${limits.inventoryHosts}]: up to here`);
  const vars = { v: "x".repeat(limits.inventoryVarsEach) };
  expect(problems(json({ all: { hosts: { a: vars } } }))[0]).toContain("host a: its variables have");
});

test("what a file is written in is seen", () => {
  expect(guessFormat("x", "hosts.yml")).toBe("yaml");
  expect(guessFormat('{"all": {}}')).toBe("json");
  expect(guessFormat("# c\n\n[web]\na\n")).toBe("ini");
  expect(guessFormat("a ansible_host=1\n")).toBe("ini");
  expect(guessFormat("---\nall:\n")).toBe("yaml");
  expect(guessFormat("all:\n  hosts:\n")).toBe("yaml");
  expect(guessFormat("web[01-30]\ndb1,db2\n")).toBe("list");
});

test("Python's values", () => {
  const values: [string, unknown][] = [
    ["-5", -5],
    ["1e3", 1000],
    ["07", "07"],
    ["10.0.0.1", "10.0.0.1"],
    ["12345678901234567890", "12345678901234567890"],
    ["'a' \"b\"", "ab"],
    [String.raw`'\x41\n\u00e9\q'`, "A\né\\q"],
    [String.raw`r'\n'`, "\\n"],
    ["[1, 2", "[1, 2"],
    ["1, 2", [1, 2]],
    ["(1,)", [1]],
    ["(1)", 1],
    ["{1, 2}", [1, 2]],
    ["{'a': 1, 2: 'b',}", { a: 1, 2: "b" }],
    ["true", "true"],
    ["", ""],
    ["[".repeat(200), "[".repeat(200)],
  ];
  for (const [text, value] of values) expect([text, pythonValue(text)]).toEqual([text, value]);
});

describe.skipIf(missing !== undefined)("ansible-inventory takes it for the same", () => {
  const beside = (name: string, text: string): Record<string, unknown> => {
    const directory = mkdtempSync(path.join(tmpdir(), "skein-inventory-"));
    try {
      const file = path.join(directory, name);
      writeFileSync(file, text, { mode: 0o755 });
      const said = Bun.spawnSync(["ansible-inventory", "-i", file, "--list"], {
        env: { ...process.env, ANSIBLE_LOCAL_TEMP: directory, ANSIBLE_HOME: directory },
      });
      expect(said.stderr.toString()).not.toContain("ERROR");
      return merged(good(json(JSON.parse(said.stdout.toString()))));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
  /** What it prints says of hosts which own groups they have; variables are merged into each. */
  const sorted = (all: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(all).toSorted(([a], [b]) => (a < b ? -1 : 1)));

  test("INI", () => {
    expect(sorted(merged(good(ini(iniText))))).toEqual(sorted(beside("hosts", iniText)));
  });
  test("YAML", () => {
    const read = readInventoryFile(yamlText, "h.yml", undefined) as { inventory: object };
    expect(sorted(merged(good(json(read.inventory))))).toEqual(sorted(beside("hosts.yml", yamlText)));
  });
  test("what a script prints", () => {
    const script = `#!/bin/sh\ncat <<'END'\n${JSON.stringify(dynamic)}\nEND\n`;
    expect(sorted(merged(good(json(dynamic))))).toEqual(sorted(beside("hosts.sh", script)));
  });
});

describe("pieces", () => {
  const pack = (inventory: Inventory): Packed => atOnce(packInventory(inventory))!;
  const fleet = (count: number, more = "") =>
    good(ini(`${more}\n[web]\nweb[00001:${String(count).padStart(5, "0")}] a=1\n[web:vars]\nb=2\n`));

  test("are the same of the same, and few differ where one host does", () => {
    const one = pack(fleet(20_000));
    expect(pack(fleet(20_000)).content).toBe(one.content);
    const other = pack(fleet(20_000, "web10000 c=1\nnew"));
    expect(other.content).not.toBe(one.content);
    const fresh = [...other.pieces.keys()].filter((hash) => !one.pieces.has(hash));
    expect(fresh.length).toBeLessThan(10);
    for (const text of one.pieces.values()) expect(text.length).toBeLessThan(limits.inventoryPieceBytes + 1024);
    const texts = new Map([...one.pieces, ...other.pieces]);
    const count = (a: Packed | undefined, b: Packed) =>
      atOnce(differencesOf(a?.head, b.head, (hash) => texts.get(hash)));
    expect(count(one, other)).toEqual({ added: 1, removed: 0, changed: 1, groups: 0 });
    expect(count(other, one)).toEqual({ added: 0, removed: 1, changed: 1, groups: 0 });
    expect(count(undefined, one)).toEqual({ added: 20_000, removed: 0, changed: 0, groups: 1 });
  });
});
