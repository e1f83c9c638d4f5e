import { expect, test } from "bun:test";
import { exit } from "../../src/cli/exit.ts";
import type { Said } from "../../scripts/mesh.ts";
import { commandDone } from "../../scripts/soak-command.ts";

/** A mesh that answers one command after the other with these exit codes, the last one again and again. */
function answering(...codes: readonly (number | null)[]): { skein(): Promise<Said>; asked: number } {
  const mesh = {
    asked: 0,
    skein: (): Promise<Said> => {
      const code = codes[Math.min(mesh.asked++, codes.length - 1)]!;
      return Promise.resolve({ code, stdout: `answer ${mesh.asked}`, stderr: `code ${code}` });
    },
  };
  return mesh;
}

test("a command is repeated while nobody answers, it takes too long or something else is under way", async () => {
  const mesh = answering(exit.unreachable, null, exit.refused, exit.done);
  expect((await commandDone(mesh, ["nodes", "drain", "2"])).stdout).toBe("answer 4");
});

test.each([exit.usage, exit.notAllowed, exit.notFound, exit.jobFailed])(
  "exit code %d is the last word, and is told at once",
  async (code) => {
    const mesh = answering(code);
    const said = commandDone(mesh, ["cluster", "rotate-ca"]).catch(String);
    expect(await said).toBe(`Error: skein cluster rotate-ca: exit code ${code}: code ${code}`);
    expect(mesh.asked).toBe(1);
  },
);

test("what an attempt before may have done counts as done", async () => {
  const mesh = answering(exit.unreachable, exit.notFound);
  expect((await commandDone(mesh, ["nodes", "rm", "4"], { done: [exit.notFound] })).code).toBe(exit.notFound);
});

test("a mesh that never settles is given up, with the command's last words", async () => {
  const said = commandDone(answering(exit.refused), ["nodes", "rm", "4"], { timeoutMs: 1 }).catch(String);
  expect(await said).toBe("Error: after 1 ms: skein nodes rm 4 is not done: exit code 6: code 6");
});
