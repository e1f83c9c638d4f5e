import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { viewerToken } from "../http/fake-node.ts";
import { cli, ScratchDir, ServedMesh, TestIo } from "./support.ts";

test("backup writes one file for this user alone, whole or not at all, and says what it is of", async () => {
  using mesh = new ServedMesh();
  using scratch = new ScratchDir();
  mesh.node.backupState = new Uint8Array(300_000).fill(7);
  const file = join(scratch.path, "state.skein");
  const { code, out } = await cli(["backup", file, "-o", "json"], mesh.env);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ file, cluster: mesh.node.cluster, bytes: 300_000, epoch: "0" });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(file).size).toBeGreaterThan(300_000);
  expect(mesh.node.backupsOpen).toBe(0);
  // Not over another one, unless that is said.
  const before = readFileSync(file);
  const again = await cli(["backup", file], mesh.env);
  expect([again.code, again.err]).toEqual([6, expect.stringContaining("--overwrite")]);
  expect(readFileSync(file)).toEqual(before);
  expect((await cli(["backup", file, "--overwrite", "-o", "quiet"], mesh.env)).out).toBe(`${file}\n`);
  expect(readdirSync(scratch.path)).toEqual(["state.skein"]);
});

test("on a terminal it shows how far it is", async () => {
  using mesh = new ServedMesh();
  using scratch = new ScratchDir();
  mesh.node.backupState = new Uint8Array(3_000_000);
  const io = new TestIo({ tty: true });
  expect((await cli(["backup", join(scratch.path, "b")], mesh.env, io)).code).toBe(0);
  expect(io.stderr.text).toContain("100 % of");
});

test("what does not arrive as it was sent is not kept", async () => {
  using mesh = new ServedMesh();
  using scratch = new ScratchDir();
  const state = new Uint8Array(20_000);
  mesh.node.backupState = state;
  const backup = mesh.node.backup.bind(mesh.node);
  mesh.node.backup = async (stale) => {
    const made = await backup(stale);
    state[10_000] = 1; // after its digest was taken
    return made;
  };
  const { code, err } = await cli(["backup", join(scratch.path, "b")], mesh.env);
  expect([code, err]).toEqual([5, expect.stringContaining("not what was sent")]);
  expect(readdirSync(scratch.path)).toEqual([]);
});

test("a break in the middle is told from the end", async () => {
  using mesh = new ServedMesh();
  using scratch = new ScratchDir();
  const backup = mesh.node.backup.bind(mesh.node);
  mesh.node.backupState = new Uint8Array(200_000);
  mesh.node.backup = async (stale) => {
    const made = await backup(stale);
    if (!made.ok) return made;
    const { value } = made;
    function* broken(): Generator<Uint8Array, void, undefined> {
      let count = 0;
      for (const piece of value.pieces()) {
        if (++count > 10) return;
        yield piece;
      }
    }
    return { ok: true, value: { ...value, pieces: broken } };
  };
  const { code, err } = await cli(["backup", join(scratch.path, "b")], mesh.env);
  expect([code, err]).toEqual([5, expect.stringContaining("of 200000 bytes came")]);
  expect(readdirSync(scratch.path)).toEqual([]);
});

test("it needs an admin, and a place to write to", async () => {
  using mesh = new ServedMesh();
  using scratch = new ScratchDir();
  const denied = await cli(["backup", join(scratch.path, "b")], { ...mesh.env, SKEIN_TOKEN: viewerToken });
  expect([denied.code, denied.err]).toEqual([4, expect.stringContaining("cluster:write")]);
  const nowhere = await cli(["backup", join(scratch.path, "none", "b")], mesh.env);
  expect([nowhere.code, nowhere.err]).toEqual([7, expect.stringContaining("cannot be written")]);
  writeFileSync(join(scratch.path, "here"), "");
  expect((await cli(["backup", join(scratch.path, "here")], mesh.env)).code).toBe(6);
});
