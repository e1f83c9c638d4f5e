import { differencesOf, type Head, packInventory, type Packed } from "../lib/inventory-pieces.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import type { CommandInput, CommandValue } from "../state/commands/index.ts";
import { hasPiece, headOf, inventoryByName, inventoryVersion, pieceText } from "../state/tables/inventory.ts";
import type { ReadTx } from "../state/tx.ts";
import type { NewInventory, SetInventory } from "./api.ts";

/** How an inventory gets into the log, of whoever is asked: it is put in pieces of which the state has most already, and then set. */
export interface InventoryPorts {
  read<Value>(query: (tx: ReadTx) => Value): Promise<Outcome<{ readonly value: Value; readonly index: number }>>;
  propose<Name extends "inventory.put" | "inventory.set">(
    name: Name,
    input: CommandInput<Name>,
  ): Promise<Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>>;
}

/** Somebody else may set it meanwhile, or pieces that were there may go: then all is looked at again. */
const tries = 4;

/** Sets an inventory; gives the version that is in force then, and what is other about it. */
export async function setInventory(ports: InventoryPorts, wanted: NewInventory): Promise<Outcome<SetInventory>> {
  const packed = "inventory" in wanted ? await inTurns(packInventory(wanted.inventory)) : undefined;
  if ("inventory" in wanted && packed === undefined)
    return refuse(
      "invalid",
      `one host is in so many groups, or one group holds so many others, that it takes more than ${limits.inventoryPieceMost} bytes`,
    );
  let last: Outcome<SetInventory> | undefined;
  for (let count = 0; count < tries; count++) {
    last = await setOnce(ports, wanted, packed);
    if (last.ok || last.why.code !== "conflict" || wanted.job !== undefined) return last;
  }
  return last!;
}

/** What is in force, and what is to be. */
interface Looked {
  readonly base: string | null;
  readonly before: Head | undefined;
  readonly head: Head;
  readonly content: string;
  readonly groups: number;
}

async function setOnce(
  ports: InventoryPorts,
  wanted: NewInventory,
  packed: Packed | undefined,
): Promise<Outcome<SetInventory>> {
  const { name } = wanted;
  const read = await ports.read((tx): Outcome<Looked & { readonly unknown: readonly string[] }> => {
    const base = inventoryByName(tx, name)?.content ?? null;
    const before = base === null ? undefined : headOf(tx, base);
    if (packed !== undefined) {
      const unknown = [...packed.pieces.keys()].filter((hash) => !hasPiece(tx, hash));
      return accept({ base, before, head: packed.head, content: packed.content, groups: packed.groups, unknown });
    }
    const version = "fromVersion" in wanted ? inventoryVersion(tx, name, wanted.fromVersion) : undefined;
    const head = version && headOf(tx, version.content);
    if (version === undefined || head === undefined)
      return refuse(
        "not-found",
        `version ${"fromVersion" in wanted ? wanted.fromVersion : ""} of inventory ${name} is not kept: see its history`,
      );
    return accept({ base, before, head, content: version.content, groups: version.groups, unknown: [] });
  });
  if (!read.ok) return read;
  if (!read.value.value.ok) return read.value.value;
  const { unknown, ...looked } = read.value.value.value;
  if (packed !== undefined) {
    for (const pieces of inPuts(packed, unknown)) {
      const put = await ports.propose("inventory.put", { pieces });
      if (!put.ok) return put;
    }
  }
  return propose(ports, wanted, packed, looked);
}

/** A few pieces at a time: none of what a leader checks at once, and every node writes, is long. */
function* inPuts(packed: Packed, unknown: readonly string[]): Generator<[string, string][], void, undefined> {
  let pieces: [string, string][] = [];
  let length = 0;
  for (const hash of unknown) {
    const text = packed.pieces.get(hash)!;
    if (pieces.length > 0 && length + text.length > putBytes) {
      yield pieces;
      [pieces, length] = [[], 0];
    }
    pieces.push([hash, text]);
    length += text.length;
  }
  if (pieces.length > 0) yield pieces;
}

/** Of pieces as they are, half of what one command may have. */
const putBytes = limits.inventoryPutBytes / 2;

async function propose(
  ports: InventoryPorts,
  { name, origin, job }: NewInventory,
  packed: Packed | undefined,
  { base, before, head, content, groups }: Looked,
): Promise<Outcome<SetInventory>> {
  const texts = new Map(packed?.pieces);
  const read = await ports.read((tx) => {
    const known = [before, packed === undefined ? head : undefined];
    for (const hash of known.flatMap((one) =>
      one === undefined ? [] : [...one.groups, ...one.hosts.map(([, of]) => of)],
    ))
      if (!texts.has(hash)) texts.set(hash, pieceText(tx, hash) ?? "");
  });
  if (!read.ok) return read;
  const counts = await inTurns(differencesOf(before, head, (hash) => texts.get(hash)));
  const { added, removed, changed, groups: changedGroups } = counts;
  const outcome = await ports.propose("inventory.set", {
    name,
    content,
    base,
    hosts: head.count,
    groups,
    added,
    removed,
    changed,
    changedGroups,
    origin,
    job: job ?? null,
  } as CommandInput<"inventory.set">);
  if (!outcome.ok) return outcome;
  const { value, index } = outcome.value;
  return accept({ ...value, hosts: head.count, groups, differences: counts, index });
}
