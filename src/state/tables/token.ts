import type { NodeId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { Role } from "../types.ts";

export interface TokenRow {
  readonly id: string;
  readonly kind: "api" | "join";
  /** SHA-256 of the secret, base64url. */
  readonly hash: string;
  readonly name: string;
  readonly role: Role;
  /** Epoch ms; null: never. */
  readonly expiresAt: number | null;
  /** Uses left; null: no limit. */
  readonly uses: number | null;
  readonly revoked: boolean;
  /** Revoked together with this node; null: a person's. */
  readonly node: NodeId | null;
}

interface Stored extends Omit<TokenRow, "expiresAt" | "revoked"> {
  readonly expires_at: number | null;
  readonly revoked: number;
}

const select = sql("select * from token where id = ?");

/** The row, whatever its state. */
export function tokenById(tx: ReadTx, id: string): TokenRow | undefined {
  const row = tx.get<Stored>(select, id);
  return row === undefined ? undefined : restore(row);
}

function restore({ expires_at: expiresAt, revoked, ...rest }: Stored): TokenRow {
  return { ...rest, expiresAt, revoked: revoked === 1 };
}

const insert = change(
  "token.add",
  "insert into token (id, kind, hash, name, role, expires_at, uses, node) values (?, ?, ?, ?, ?, ?, ?, ?)",
);

/** A token that is good from now on. */
export function insertToken(tx: Tx, token: Omit<TokenRow, "revoked">): void {
  const { id, kind, hash, name, role, expiresAt, uses, node } = token;
  tx.run(insert, id, kind, hash, name, role, expiresAt, uses, node);
}

const use = change("token.use", "update token set uses = uses - 1 where id = ? and uses is not null");

/** One use less, where uses are counted. */
export function useToken(tx: Tx, id: string): void {
  tx.run(use, id);
}

const revoke = change("token.revoke", "update token set revoked = 1 where id = ?");
const revokeOfNode = change("token.revoke-of-node", "update token set revoked = 1 where node = ?");

/** For good. */
export function revokeToken(tx: Tx, id: string): void {
  tx.run(revoke, id);
}

/** Ends the tokens that belong to a node. */
export function revokeTokensOf(tx: Tx, node: NodeId): void {
  tx.run(revokeOfNode, node);
}

const revokeJoins = change("token.revoke-joins", "update token set revoked = 1 where kind = 'join' and revoked = 0");

/** Ends every join token: they pin an authority that is not the cluster's any more. */
export function revokeJoinTokens(tx: Tx): void {
  tx.run(revokeJoins);
}

const selectAfter = sql("select * from token where id > ? order by id limit ?");

/** By id, those after `after`. */
export function tokensAfter(tx: ReadTx, after: string, rows: number): TokenRow[] {
  return tx.all<Stored>(selectAfter, after, rows).map(restore);
}

const countAll = sql("select count(*) as tokens from token");

/** Revoked and expired ones included. */
export function countTokens(tx: ReadTx): number {
  return tx.get<{ tokens: number }>(countAll)?.tokens ?? 0;
}

// Of nodes they stay: by its token a request to join is known that was answered before.
const removeDead = change(
  "token.remove-dead",
  `delete from token where id in (select id from token where node is null and (revoked = 1 or expires_at <= ? or uses = 0)
   order by id limit 64)`,
);

/** Forgets some of the tokens that nobody can use any more, those of nodes excepted. */
export function forgetDeadTokens(tx: Tx, at: number): void {
  tx.run(removeDead, at);
}
