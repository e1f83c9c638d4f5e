import { expect, test } from "bun:test";
import { join } from "node:path";
import { until } from "../../scripts/mesh.ts";
import { ServedMesh } from "./support.ts";

/** The command line as a process of its own, with real pipes and signals. */
const program = `
import { processIo } from ${JSON.stringify(join(import.meta.dir, "../../src/cli/process-io.ts"))};
import { runCli } from ${JSON.stringify(join(import.meta.dir, "../../src/cli/program.ts"))};
const up = () => Promise.resolve(0);
process.exit(await runCli(process.argv.slice(1), process.env, processIo(), { version: "0.1.0", up }));
`;

function spawn(served: ServedMesh, argv: readonly string[]) {
  return Bun.spawn([process.execPath, "-e", program, "--", ...argv], {
    env: { ...served.env, PATH: process.env["PATH"] },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

test("a reader that goes away (| head) ends `logs -f` without noise", async () => {
  using served = new ServedMesh();
  const id = served.submit();
  served.assign(id);
  const log = served.mesh.log(id).write("first\n");
  await using child = spawn(served, ["logs", "1", "-f"]);
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  await until(
    () => {
      log.write("more\n");
      return Promise.resolve(child.exitCode ?? undefined);
    },
    10_000,
    () => "the command goes on without a reader",
  );
  expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
});

test("all of a large output arrives before the process ends", async () => {
  using served = new ServedMesh();
  const id = served.submit();
  served.assign(id);
  const text = "0123456789abcdef".repeat(64 * 1024);
  served.mesh.log(id).write(text);
  served.finish(id);
  await using child = spawn(served, ["logs", "1"]);
  expect((await new Response(child.stdout).text()).length).toBe(text.length);
  expect(await child.exited).toBe(0);
});

test("Ctrl-C during `run` leaves the job running and exits 130", async () => {
  using served = new ServedMesh();
  await using child = spawn(served, ["run", "--", "sleep", "60"]);
  const id = await served.submitted();
  served.assign(id);
  served.mesh.log(id).write("begun\n");
  await child.stdout.getReader().read();
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  expect(await new Response(child.stderr).text()).toContain(`job ${id} goes on`);
  expect(served.mesh.cluster.job(id).state).toBe("running");
});
