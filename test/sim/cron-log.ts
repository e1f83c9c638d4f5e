import { commandByTag } from "../../src/state/commands/index.ts";
import { decodeBatch, decodeEntry } from "../../src/state/entry.ts";
import type { Committed } from "./judge.ts";

/** What an entry of the log asks for, as far as it is the first to ask for it. */
export interface LoggedEntry {
  readonly index: number;
  readonly term: number;
  /** Epoch ms: its leader's clock. */
  readonly stampedAt: number;
  readonly commands: readonly { readonly name: string; readonly payload: unknown }[];
}

/** The commands of a log in their order, each batch once (S3). */
export function* readCommands(committed: readonly Committed[]): Generator<LoggedEntry, void, undefined> {
  const seen = new Set<string>();
  const floors = new Map<number, number>();
  for (const { entry } of committed) {
    if (entry.kind !== "command") continue;
    const body = decodeEntry(entry.data);
    const commands = body.batches.flatMap((bytes) => {
      const { origin, serial, floor, commands: records } = decodeBatch(bytes);
      const name = `${origin} ${serial}`;
      if (seen.has(name) || serial < (floors.get(origin) ?? 0)) return [];
      seen.add(name);
      floors.set(origin, Math.max(floor, floors.get(origin) ?? 0));
      return records.map(([tag, , , , payload]) => ({ name: commandByTag(tag)?.name ?? "", payload }));
    });
    yield { index: entry.index, term: entry.term, stampedAt: body.at, commands };
  }
}
