import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** A template as it is kept: what people wrote, as JSON. */
export interface StoredTemplate {
  readonly name: string;
  /** Grows with each change, and is never given twice to a name, whatever was removed in between. */
  readonly revision: number;
  readonly description: string | null;
  readonly parameters: string;
  readonly spec: string;
  /** Epoch ms. */
  readonly set_at: number;
  readonly set_by: string;
}

const columns = "name, revision, description, parameters, spec, set_at, set_by";
const select = sql(`select ${columns} from template where name = ?`);
const selectAfter = sql(`select ${columns} from template where name > ? order by name limit ?`);
const count = sql("select count(*) as templates from template");
const floor = sql("select revision from template_floor");

/** undefined: there is none of that name. */
export function templateByName(tx: ReadTx, name: string): StoredTemplate | undefined {
  return tx.get<StoredTemplate>(select, name);
}

/** By name, those after `after`. */
export function templatesAfter(tx: ReadTx, after: string, rows: number): StoredTemplate[] {
  return tx.all<StoredTemplate>(selectAfter, after, rows);
}

/** How many there are. */
export function countTemplates(tx: ReadTx): number {
  return tx.get<{ templates: number }>(count)?.templates ?? 0;
}

/** The revision that a template begins with. */
export function firstRevision(tx: ReadTx): number {
  return (tx.get<{ revision: number }>(floor)?.revision ?? 0) + 1;
}

const write = change(
  "template.set",
  "insert or replace into template (name, revision, description, parameters, spec, set_at, set_by) values (?, ?, ?, ?, ?, ?, ?)",
);
const remove = change("template.remove", "delete from template where name = ?");
const raise = change("template_floor.set", "insert or replace into template_floor (id, revision) values (1, ?)");

/** A new one, or a new revision of one. */
export function writeTemplate(tx: Tx, template: StoredTemplate): void {
  const { name, revision, description, parameters, spec, set_at: at, set_by: by } = template;
  tx.run(write, name, revision, description, parameters, spec, at, by);
}

/** Whoever takes the name again begins after its revisions. */
export function removeTemplate(tx: Tx, { name, revision }: StoredTemplate): void {
  tx.run(remove, name);
  if (revision >= firstRevision(tx)) tx.run(raise, revision);
}
