import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { commandByTag } from "../state/commands/index.ts";
import type { CommandRecord } from "../state/entry.ts";
import type { TokenRow } from "../state/queries.ts";
import { isForNodes, may, mayActAs } from "../state/rights.ts";
import type { Principal, Right } from "../state/types.ts";

/**
 * Whom peers speak for. A node may ask in its own name what is a node's to ask; for all else it has to name a person's token, and what the
 * state knows of that token counts, not what the peer says of it.
 */
export class Principals {
  readonly #findToken: (id: string) => TokenRow | undefined;
  /** Rows that were looked up, until the log says anything of tokens. */
  readonly #rows = new Map<string, TokenRow>();

  constructor(findToken: (id: string) => TokenRow | undefined) {
    this.#findToken = findToken;
  }

  /** The log changed a token, or a node whose tokens end with it. */
  forget(): void {
    this.#rows.clear();
  }

  /** Leader: why a forwarded command is not taken; undefined: it is. A token that is not known here yet is judged where the command is applied. */
  problemOf([tag, token, name, role]: CommandRecord): string | undefined {
    const command = commandByTag(tag);
    if (token === "") {
      const isFit = role === "node" && command !== undefined && isForNodes(command);
      return isFit ? undefined : `${command?.name ?? tag} is nothing that a node may ask without a person's token`;
    }
    const row = this.#rowOf(token);
    if (row === undefined || (row.name === name && mayActAs(row, role))) return undefined;
    return `token ${token} is not that of ${name} (${role})`;
  }

  /** The person in whose name a peer asks for what needs the right. `body` is not trusted; `now` is wall time. */
  personOf(body: unknown, right: Right, now: number): Outcome<Principal> {
    const { by } = (body ?? {}) as { readonly by?: { readonly token?: unknown } | null };
    const token = by?.token;
    const row = typeof token === "string" && token !== "" ? this.#rowOf(token) : undefined;
    if (row === undefined || row.kind !== "api" || row.revoked || (row.expiresAt !== null && row.expiresAt <= now))
      return refuse(
        "unauthorized",
        "the request names no token that is good here: repeat it in a moment, or with another token",
      );
    if (!may(row.role, right)) return refuse("forbidden", `${row.name} (${row.role}) may not do this`);
    return accept({ token: row.id, name: row.name, role: row.role });
  }

  #rowOf(token: string): TokenRow | undefined {
    const row = this.#rows.get(token) ?? this.#findToken(token);
    if (row !== undefined) this.#rows.set(token, row);
    return row;
  }
}
