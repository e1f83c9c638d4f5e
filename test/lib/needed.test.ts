import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { skipReasons } from "../../scripts/needed.ts";
import { root } from "../../scripts/steps.ts";

/**
 * Asks for a program that is not there, in a process whose PATH leads to nothing but an apt-get of ours (that of `apt`, a shell script that
 * finds the wanted program's place in `$wanted`; undefined: there is none).
 */
function ask(apt: string | undefined, env: Readonly<Record<string, string>>, services: readonly string[] = []): string {
  const scratch = mkdtempSync(path.join(tmpdir(), "skein-needed-"));
  try {
    const programs = path.join(scratch, "bin");
    const wanted = path.join(scratch, "wanted");
    mkdirSync(programs);
    const write = (name: string, script: string): void =>
      writeFileSync(path.join(programs, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    write("sudo", `shift; exec "$@"`);
    if (apt !== undefined) write("apt-get", apt);
    // Neither a shell that writes outside of here, nor what would touch this machine's services.
    write("sh", `printf 'sh %s\\n' "$2" >> "$wanted.log"`);
    write("deb-systemd-helper", `echo "$*" >> "$wanted.log"`);
    const script = `
      import { existsSync, readFileSync } from "node:fs";
      import { whyMissing } from ${JSON.stringify(path.join(root, "scripts", "needed.ts"))};
      try {
        console.log(String(whyMissing("gcc", ["gcc", "libc6-dev"], () => existsSync(${JSON.stringify(wanted)}), ${JSON.stringify(services)})));
        if (existsSync(${JSON.stringify(`${wanted}.log`)})) console.log(readFileSync(${JSON.stringify(`${wanted}.log`)}, "utf8"));
      } catch (error) { console.log("failed: " + error.message); }`;
    const ended = Bun.spawnSync([process.execPath, "-e", script], { env: { PATH: programs, wanted, ...env } });
    return ended.stdout.toString().trim() || ended.stderr.toString();
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const installs = `[ "$1" = install ] && echo "$*" > "$wanted"; exit 0`;

describe("a program that tests need and that is not there", () => {
  test("is not installed where nobody asked for it: what to do is said", () => {
    expect(ask(installs, {})).toBe(
      "gcc is missing: install gcc and libc6-dev, or set SKEIN_TEST_INSTALL=1 to have that done",
    );
  });

  test.each([{ CI: "true" }, { SKEIN_TEST_INSTALL: "1" }])("is installed with %p", (env) => {
    expect(ask(installs, env)).toBe("undefined");
  });

  test("with services, of which none is started or stays enabled", () => {
    const said = ask(installs, { CI: "true" }, ["ssh.service"]).split("\n");
    expect(said[0]).toBe("undefined");
    expect(said[1]).toMatch(/^sh .*exit 101.*policy-rc.d/);
    expect(said.slice(2).join("\n")).toMatch(/^sh .*rm -f .*policy-rc.d\ndisable ssh.service/);
  });

  test("fails, and does not skip, where apt-get is there and cannot install it", () => {
    expect(ask(`[ "$1" = install ] && echo "no such package" && exit 100; exit 0`, { CI: "true" })).toMatch(
      /^failed: gcc is missing and could not be installed:\nno such package/,
    );
  });

  test("is a reason to skip where there is no apt-get", () => {
    expect(ask(undefined, { CI: "true" })).toContain("there is no apt-get");
  });
});

describe("why tests were skipped", () => {
  test("is what the file says on lines of their own, each once", () => {
    const output = "bun test\nskipped partitions: no root\n(skip) nodes > partition\nskipped partitions: no root\nok\n";
    expect(skipReasons(output)).toEqual(["skipped partitions: no root"]);
  });

  test("is told by the tests' names where the file says nothing", () => {
    expect(skipReasons("(pass) a\n(skip) b (needs root)\n")).toEqual(["(skip) b (needs root)"]);
  });
});
