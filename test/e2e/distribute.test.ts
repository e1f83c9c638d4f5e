/** Distribute's own API on a real mesh, with real ansible and a real sshd: as its clients call it, with a token beside. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Mesh } from "../../scripts/mesh.ts";
import { whyMissing } from "../../scripts/needed.ts";
import { Sshd } from "../../scripts/sshd.ts";

const missing =
  whyMissing("ansible", ["ansible-core"], () => Bun.which("ansible-playbook") !== null) ??
  whyMissing("sshd", ["openssh-server"], () => existsSync("/usr/sbin/sshd"), ["ssh.service", "ssh.socket"]);
if (missing !== undefined) console.log(`skipped: Distribute's API on a mesh: ${missing}`);

interface Answer {
  readonly code: number;
  readonly data: readonly Record<string, unknown>[] | null;
  readonly msg: string;
  readonly length?: number;
}

describe.skipIf(missing !== undefined)("Distribute's clients", () => {
  let sshd: Sshd;
  let mesh: Mesh;
  beforeAll(async () => {
    sshd = await Sshd.start();
    mesh = await Mesh.start({ nodes: 3, flags: ["--distribute"] });
    // How hosts are reached is chosen once for all of its jobs.
    const spec = {
      driver: "ansible",
      ansible: { module: "ping" },
      targets: "any",
      ssh: { port: sshd.port, key: sshd.key },
      unit: 2,
    };
    const set = await mesh.nodes[0]!.api("POST", "/v1/templates", { name: "distribute", spec });
    expect(set.status).toBe(201);
  }, 600_000);
  afterAll(async () => {
    await mesh.stop();
    await sshd.stop();
  }, 600_000);

  /** What `requests.post(url, json=...)` and `.json()["code"]` see, at any node. */
  const call = async (
    node: number,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer & { status: number }> => {
    const { status, body: read } = await mesh.nodes[node]!.api(method, `/api/v1/distribute/${path}`, body);
    return { status, ...(read as Answer) };
  };
  /** As they do: until each host has a row. */
  const polled = async (path: string, hosts: number): Promise<readonly Record<string, unknown>[]> => {
    for (const end = Date.now() + 500_000; ;) {
      const { code, data } = await call(1, "GET", path);
      expect(code).toBe(200);
      if (data!.length >= hosts) return data!;
      if (Date.now() > end) throw new Error(`only ${data!.length} hosts have ended`);
      await Bun.sleep(500);
    }
  };

  test("run a module on hosts and read what came of each; the task_id is theirs, and used once", async () => {
    const task = {
      ips: "127.0.1.1,127.0.1.2, 127.0.1.3,no-such-host.invalid",
      task_id: "20261127-1",
      task_name: "who is it",
      module: "shell",
      args: 'echo "on {{ inventory_hostname }}"; test {{ inventory_hostname }} != 127.0.1.2',
      type: "adhoc",
    };
    expect(await call(0, "POST", "adhoc/", task)).toMatchObject({ status: 200, code: 200, data: null });
    expect(await call(2, "POST", "adhoc/", task)).toMatchObject({ status: 409, code: 500, data: null });
    const rows = await polled("adhoc/?task_id=20261127-1", 4);
    const rowOf = (ip: string) => rows.find((row) => row["ip"] === ip);
    expect(rowOf("127.0.1.1")).toMatchObject({ result: "执行成功", stdout: "on 127.0.1.1\n", task_name: "who is it" });
    expect(rowOf("127.0.1.2")).toMatchObject({ result: "执行失败", stderr: "on 127.0.1.2\n" });
    expect(rowOf("127.0.1.3")).toMatchObject({ result: "执行成功" });
    expect(rowOf("no-such-host.invalid")).toMatchObject({ result: "无法连接" });
    expect((await call(2, "GET", "adhoc/?ip=127.0.1.1")).data).toHaveLength(1);
  }, 600_000);

  test("run a playbook whose hosts are the placeholder, and read the share of its tasks that went well on each", async () => {
    const playbook_content = `
- hosts: target_hosts
  gather_facts: false
  tasks:
  - name: one
    shell: "true"
  - name: two
    shell: test {{ inventory_hostname }} != 127.0.1.2
  - name: three
    shell: "true"
  - name: four
    shell: "true"`;
    const task = {
      ips: "127.0.1.1,127.0.1.2",
      task_id: "20261127-2",
      task_name: "deploy",
      playbook_name: "deploy",
      playbook_content,
      type: "playbook",
    };
    expect(await call(0, "POST", "playbook/", task)).toMatchObject({ status: 200, code: 200 });
    const rows = await polled("playbook/?ips=127.0.1.1,127.0.1.2", 2);
    expect(rows).toMatchObject([
      { ip: "127.0.1.1", success_rate: "100%", result: "success" },
      { ip: "127.0.1.2", success_rate: "25%", result: "fail" },
    ]);
  }, 600_000);

  test("have no way in without a token", async () => {
    const { api } = mesh.nodes[0]!.ready;
    const bare = await fetch(`${api}/api/v1/distribute/adhoc/?ip=127.0.1.1`);
    expect([bare.status, await bare.json()]).toMatchObject([401, { code: 500, data: null }]);
  });
});
