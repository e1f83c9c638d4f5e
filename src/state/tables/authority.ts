import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { change, type ReadTx, sql, type Tx } from "../tx.ts";

/**
 * The authorities whose certificates the members believe, and what each member shows: public certificates alone (K1). One authority issues. One
 * that is to take its place is `coming` until every member believes it, then it issues, and the former one is `leaving` until no member
 * shows a certificate of it.
 */
export interface AuthorityRow {
  readonly fingerprint: string;
  /** PEM. */
  readonly certificate: string;
  /** The same authority as the one before vouches for it, PEM; null: the first one, or made without the former one's key. */
  readonly crossed: string | null;
  readonly phase: "coming" | "issuing" | "leaving";
}

/** What a member showed last. */
export interface CertificateRow {
  readonly node: NodeId;
  readonly fingerprint: string;
  /** The authority that issued it, by its fingerprint. */
  readonly authority: string;
  /** Epoch ms. */
  readonly expiresAt: number;
  /** The authorities that the member believes, by their fingerprints. */
  readonly trusted: readonly string[];
}

const selectAuthorities = sql("select fingerprint, certificate, crossed, phase from authority order by fingerprint");
const insertAuthority = change(
  "authority.insert",
  "insert into authority (fingerprint, certificate, crossed, phase) values (?, ?, ?, ?)",
);
const setPhase = change("authority.phase", "update authority set phase = ? where fingerprint = ?");
const deleteAuthority = change("authority.delete", "delete from authority where fingerprint = ?");

/** By fingerprint; empty: the cluster has not logged one yet. */
export function authorities(tx: ReadTx): AuthorityRow[] {
  return tx.all<AuthorityRow>(selectAuthorities);
}

/** A new one. */
export function addAuthority(tx: Tx, { fingerprint, certificate, crossed, phase }: AuthorityRow): void {
  tx.run(insertAuthority, fingerprint, certificate, crossed, phase);
}

/** See {@link AuthorityRow}. */
export function setAuthorityPhase(tx: Tx, fingerprint: string, phase: AuthorityRow["phase"]): void {
  tx.run(setPhase, phase, fingerprint);
}

/** Believed no more, and who holds its key is of no interest any more. */
export function removeAuthority(tx: Tx, fingerprint: string): void {
  tx.run(deleteAuthority, fingerprint);
  if (authorityHolders(tx).some((one) => one.authority === fingerprint)) tx.run(deleteHolders, fingerprint);
}

/** One that is believed no more: public, and only what leads from it to the present one, or shows who was a member under it. */
export type FormerAuthority = Omit<AuthorityRow, "phase">;

const selectFormer = sql("select fingerprint, certificate, crossed from authority_former order by number");
const insertFormer = change(
  "authority_former.insert",
  `insert into authority_former (number, fingerprint, certificate, crossed)
   values ((select ifnull(max(number), 0) + 1 from authority_former), ?, ?, ?)`,
);
const trimFormer = change(
  "authority_former.trim",
  "delete from authority_former where number <= (select max(number) from authority_former) - ?",
);

/** The oldest first, the newest {@link limits.formerAuthorities} of them. */
export function formerAuthorities(tx: ReadTx): FormerAuthority[] {
  return tx.all<FormerAuthority>(selectFormer);
}

/** One that was replaced. */
export function addFormerAuthority(tx: Tx, { fingerprint, certificate, crossed }: FormerAuthority): void {
  tx.run(insertFormer, fingerprint, certificate, crossed);
  tx.run(trimFormer, limits.formerAuthorities);
}

interface StoredCertificate {
  readonly node: number;
  readonly fingerprint: string;
  readonly authority: string;
  readonly expires_at: number;
  readonly trusted: string;
}

const selectCertificates = sql(
  "select node, fingerprint, authority, expires_at, trusted from node_certificate order by node",
);
const writeCertificate = change(
  "node_certificate.set",
  "insert or replace into node_certificate (node, fingerprint, authority, expires_at, trusted) values (?, ?, ?, ?, ?)",
);
const deleteCertificate = change("node_certificate.delete", "delete from node_certificate where node = ?");

/** What the members show, by node; one that has not said so is absent. */
export function certificates(tx: ReadTx): CertificateRow[] {
  return tx.all<StoredCertificate>(selectCertificates).map(({ expires_at: expiresAt, trusted, node, ...rest }) => ({
    ...rest,
    node: node as NodeId,
    expiresAt,
    trusted: JSON.parse(trusted) as string[],
  }));
}

/** Replaces what the member showed before. */
export function setCertificate(tx: Tx, row: CertificateRow): void {
  tx.run(writeCertificate, row.node, row.fingerprint, row.authority, row.expiresAt, JSON.stringify(row.trusted));
}

/** Of a node that is no member any more. */
export function forgetCertificate(tx: Tx, node: NodeId): void {
  if (certificates(tx).some((one) => one.node === node)) tx.run(deleteCertificate, node);
}

const selectHolders = sql("select authority, node from authority_holder order by authority, node");
const insertHolder = change("authority_holder.insert", "insert into authority_holder (authority, node) values (?, ?)");
const deleteHolders = change("authority_holder.delete", "delete from authority_holder where authority = ?");

/** Who has, or had, the key of which authority: also nodes that are members no more. */
export function authorityHolders(tx: ReadTx): { readonly authority: string; readonly node: NodeId }[] {
  return tx.all(selectHolders);
}

/** True when it is news. */
export function addAuthorityHolder(tx: Tx, authority: string, node: NodeId): boolean {
  if (authorityHolders(tx).some((one) => one.authority === authority && one.node === node)) return false;
  tx.run(insertHolder, authority, node);
  return true;
}
