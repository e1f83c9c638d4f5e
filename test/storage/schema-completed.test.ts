import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schema } from "../../src/state/schema.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";

/** What can be stored, and found, in it. */
function shapeOf(path: string): unknown {
  using database = new Database(path, { readonly: true });
  const names = database.query("select type, name, tbl_name from sqlite_schema order by type, name").all();
  const columns = `select m.name as "table", t.name as "column", t.type, t."notnull", t.dflt_value from sqlite_schema as m, pragma_table_info(m.name) as t
    where m.type = 'table' order by 1, 2`;
  return [names, database.query(columns).all()];
}

test("a state of an earlier release has the tables, columns and indexes of this one once it was opened, and its rows", () => {
  const directory = mkdtempSync(join(tmpdir(), "skein-schema-"));
  const [fresh, earlier] = [join(directory, "fresh.db"), join(directory, "earlier.db")];
  new StateDatabase({ path: fresh, schema }).close();
  const isNew = (text: string): boolean =>
    /^alter table|only_node|authority_former|level_hold|job_dead|pause_until/.test(text);
  const before = schema.filter((text) => !isNew(text));
  // Of each kind something is missing in it.
  expect(schema.length - before.length).toBeGreaterThan(6);
  new StateDatabase({ path: earlier, schema: before }).close();
  {
    using database = new Database(earlier);
    database.run(
      "insert into job (id, name, tasks, submitted_at, submitted_by, spec) values (7, 'j', 1, 5, 'anna', '{}')",
    );
  }
  expect(shapeOf(earlier)).not.toEqual(shapeOf(fresh));
  for (let times = 0; times < 2; times++) {
    new StateDatabase({ path: earlier, schema }).close();
    expect(shapeOf(earlier)).toEqual(shapeOf(fresh));
  }
  using database = new Database(earlier, { readonly: true });
  expect(database.query("select id, name, only_node from job").all()).toEqual([{ id: 7, name: "j", only_node: null }]);
  rmSync(directory, { recursive: true, force: true });
});
