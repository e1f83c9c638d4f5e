import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { findTarget, isLoopback } from "../../src/cli/context.ts";
import { ScratchDir } from "./support.ts";

function home(): { dir: ScratchDir; env: Record<string, string> } {
  const dir = new ScratchDir();
  mkdirSync(`${dir.path}/.config/skein`, { recursive: true });
  dir.write(".config/skein/context.json", '{"addrs":["http://127.0.0.1:7400","http://10.0.0.9:7400"],"token":"local"}');
  return { dir, env: { HOME: dir.path } };
}

describe("where requests go", () => {
  test("without anything: the default address", () => {
    expect(findTarget({}, { HOME: "/nonexistent" })).toEqual({ addrs: ["http://127.0.0.1:7400"], token: undefined });
  });

  test("the context of a local node", () => {
    const { dir, env } = home();
    using _ = dir;
    expect(findTarget({}, env)).toEqual({ addrs: ["http://127.0.0.1:7400", "http://10.0.0.9:7400"], token: "local" });
  });

  test("flags before environment before context", () => {
    const { dir, env } = home();
    using _ = dir;
    const variables = { ...env, SKEIN_ADDR: "a:1", SKEIN_TOKEN: "env" };
    expect(findTarget({}, variables)).toEqual({ addrs: ["https://a:1"], token: "env" });
    expect(findTarget({ addr: "b:1, http://c:2", token: "flag" }, variables)).toEqual({
      addrs: ["https://b:1", "http://c:2"],
      token: "flag",
    });
  });

  test("the context's token goes to its own addresses and to loopback, never to a stranger", () => {
    const { dir, env } = home();
    using _ = dir;
    expect(findTarget({ addr: "127.0.0.1:9999" }, env).token).toBe("local");
    expect(findTarget({ addr: "10.0.0.9:7400" }, env).token).toBe("local");
    expect(findTarget({ addr: "10.0.0.8:7400" }, env).token).toBeUndefined();
    expect(findTarget({ addr: "127.0.0.1:1,evil:7400" }, env).token).toBeUndefined();
  });

  test("the data directory's context wins over the user's", () => {
    const { dir, env } = home();
    using _ = dir;
    using data = new ScratchDir();
    data.write("context.json", '{"addrs":["http://127.0.0.1:1"],"token":"node"}');
    expect(findTarget({}, { ...env, SKEIN_DATA: data.path }).token).toBe("node");
    expect(findTarget({ data: data.path }, env).addrs).toEqual(["http://127.0.0.1:1"]);
    expect(() => findTarget({ data: dir.path }, env)).toThrow(/no context.json/);
  });

  test("a context without addresses, of a node that is only about to join, is none", () => {
    const { dir, env } = home();
    using _ = dir;
    using data = new ScratchDir();
    data.write("context.json", '{"addrs":[],"token":"node"}');
    expect(findTarget({}, { ...env, SKEIN_DATA: data.path }).token).toBe("local");
  });

  test("a damaged context and an address that is none are told", () => {
    using data = new ScratchDir();
    data.write("context.json", "{");
    expect(() => findTarget({ data: data.path }, {})).toThrow(/is damaged/);
    for (const addr of ["ftp://x", "http://", "http://:a"])
      expect(() => findTarget({ addr }, {})).toThrow(/no address/);
  });

  test("loopback", () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"]) expect(isLoopback(host)).toBe(true);
    for (const host of ["0.0.0.0", "10.0.0.1", "127.example.org", "::"]) expect(isLoopback(host)).toBe(false);
  });
});
