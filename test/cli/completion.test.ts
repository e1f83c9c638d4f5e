import { describe, expect, test } from "bun:test";
import { cli, ScratchDir } from "./support.ts";

/** What bash offers for a line; the last word is the one under the cursor. */
async function complete(line: string): Promise<string[]> {
  using dir = new ScratchDir();
  const script = dir.write("skein.bash", (await cli(["completion", "bash"])).out);
  const words = line.split(" ").map((word) => `'${word}'`);
  const program = `source ${script}; COMP_WORDS=(${words.join(" ")}); COMP_CWORD=${words.length - 1}; _skein; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, exitCode } = Bun.spawnSync(["bash", "-u", "-c", program]);
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  return stdout.toString().trim().split("\n");
}

describe("completion", () => {
  test("bash offers verbs, the verbs of a verb, flags and their values", async () => {
    expect(await complete("skein ")).toEqual(expect.arrayContaining(["up", "run", "jobs", "completion"]));
    const verbs = [
      "ls",
      "show",
      "tasks",
      "explain",
      "cancel",
      "hold",
      "release",
      "retry",
      "rm",
      "extend",
      "template",
      "dead",
      "replay",
    ];
    expect(await complete("skein jobs ")).toEqual(verbs);
    expect(await complete("skein -o json --addr http://a:1 nodes dr")).toEqual(["drain"]);
    expect(await complete("skein cron ap")).toEqual(["apply"]);
    expect(await complete("skein cron apply --pr")).toEqual(["--prune"]);
    expect(await complete("skein run --cou")).toEqual(["--count"]);
    expect(await complete("skein jobs ls --state failed --li")).toEqual(["--limit"]);
    expect(await complete("skein ps -o ")).toEqual(["table", "json", "yaml", "quiet"]);
    expect(await complete("skein completion ")).toEqual(["bash", "zsh", "fish"]);
    expect(await complete("skein run -- ")).toEqual([""]);
  });

  test.each(["bash", "zsh", "fish"])("the script for %s is well formed", async (shell) => {
    const { code, out } = await cli(["completion", shell]);
    expect(code).toBe(0);
    for (const word of ["jobs", "--each-node".slice(2), "cancel"]) expect(out).toContain(word);
    if (Bun.which(shell) === null) return;
    const checked = Bun.spawnSync([shell, "-n"], { stdin: Buffer.from(out) });
    expect([checked.exitCode, checked.stderr.toString()]).toEqual([0, ""]);
  });
});
