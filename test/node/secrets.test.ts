import { expect, test } from "bun:test";
import { jobId, nodeId, type NodeId } from "../../src/lib/ids.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import { type AuthorityKey, makeAuthority } from "../../src/node/certificates.ts";
import { parsePeerRequest } from "../../src/node/peer-requests.ts";
import { type SecretPorts, Secrets } from "../../src/node/secrets.ts";
import { secretByName } from "../../src/state/queries.ts";
import { fingerprintOf } from "../../src/transport/certificate.ts";
import { admin, Cluster, system } from "../state/support.ts";

const now = Date.now();
const [first, second] = await Promise.all(["c", "c"].map((cluster) => makeAuthority(cluster, now, 1e9)));
const prints = [fingerprintOf(first!.certificate), fingerprintOf(second!.certificate)] as const;
const keyOf: Record<string, AuthorityKey> = { [prints[0]]: first!, [prints[1]]: second! };
const value = "correct horse battery staple";

/** Members over one state, each with the authority's keys that the test gives it. Node 3 is a learner. */
class Members {
  readonly cluster = Cluster.of(3);
  readonly holds = new Map<number, readonly string[]>([
    [1, [prints[0]]],
    [2, [prints[0]]],
  ]);
  readonly asked: string[] = [];
  isCurrent = true;
  readonly secrets = new Map([1, 2, 3].map((id) => [id, this.#make(id)]));

  constructor() {
    this.cluster.level = 3;
    this.begin(0);
  }

  begin(which: 0 | 1): void {
    const { certificate } = keyOf[prints[which]]!;
    this.cluster.must("authority.begin", { fingerprint: prints[which], certificate, crossed: null, reason: "test" });
  }

  #make(id: number): Secrets {
    const ports: SecretPorts = {
      self: nodeId(id),
      keyOf: (fingerprint) => (this.holds.get(id)?.includes(fingerprint) === true ? keyOf[fingerprint] : undefined),
      voters: () => [1, 2].filter((one) => one !== id).map(nodeId),
      ask: (peer, method, body) => this.#answer(nodeId(id), peer, method, body),
      view: (query) => query(this.cluster.database),
      catchUp: () =>
        Promise.resolve(
          this.isCurrent ? accept(undefined) : { ok: false, why: { code: "unavailable", message: "no leader" } },
        ),
      propose: (name, input, by) => {
        const outcome = this.cluster.propose(name, input, by);
        return Promise.resolve(outcome.ok ? accept({ value: outcome.value, index: this.cluster.log.length }) : outcome);
      },
      log: () => {},
    };
    return new Secrets(ports);
  }

  async #answer(from: NodeId, to: NodeId, method: string, body: unknown): Promise<unknown> {
    this.asked.push(`${from} ${method} ${to}`);
    const request = parsePeerRequest(method, body);
    const asked = this.secrets.get(to)!;
    if (request.method === "secret.seal") return asked.seal(request.body.name, request.body.value);
    if (request.method === "secret.values") return asked.reveal(from, request.body);
    throw new Error(method);
  }

  /** A job that uses the secret `door`, given to that node. */
  run(node: number): { readonly job: ReturnType<typeof jobId>; readonly task: number; readonly attempt: number } {
    const job = this.cluster.submit({ env: { PASSWORD: { secret: "door" } } });
    this.cluster.assign(job, node, [0, 1]);
    return { job: jobId(job), task: 0, attempt: 1 };
  }
}

const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? "ok" : outcome.why.code);

test("a voter encrypts itself, a learner has a voter do it, and the log has it encrypted", async () => {
  const members = new Members();
  expect(await members.secrets.get(1)!.set("door", value, admin)).toMatchObject({ ok: true, value: { revision: 1 } });
  expect(members.asked).toEqual([]);
  expect(await members.secrets.get(3)!.set("door", value, admin)).toMatchObject({ ok: true, value: { revision: 2 } });
  expect(members.asked).toEqual(["3 secret.seal 1"]);
  for (const { data } of members.cluster.log) expect(Buffer.from(data).includes(value)).toBe(false);
});

test("values that cannot be kept are refused before anything is logged, and not repeated in the answer", async () => {
  const members = new Members();
  const before = members.cluster.log.length;
  for (const wrong of ["abc", "  abc \n", "", "x".repeat(64 * 1024 + 1), "with\0nul"]) {
    const outcome = await members.secrets.get(1)!.set("door", wrong, admin);
    expect(codeOf(outcome)).toBe("invalid");
    if (wrong.length > 4) expect(JSON.stringify(outcome)).not.toContain(JSON.stringify(wrong).slice(1, -1));
  }
  expect(members.cluster.log.length).toBe(before);
});

test("a node gets the values for an attempt that it holds, of a voter that knows what is so now", async () => {
  const members = new Members();
  await members.secrets.get(1)!.set("door", value, admin);
  const held = members.run(3);
  expect(await members.secrets.get(3)!.values(held)).toEqual(accept({ door: value }));
  expect(members.asked).toEqual(["3 secret.values 1"]);
  // Another node's attempt, another attempt, and one that has ended.
  expect(codeOf(await members.secrets.get(2)!.values(held))).toBe("forbidden");
  expect(codeOf(await members.secrets.get(3)!.values({ ...held, attempt: 2 }))).toBe("forbidden");
  members.isCurrent = false;
  expect(codeOf(await members.secrets.get(3)!.values(held))).toBe("unavailable");
  members.isCurrent = true;
  members.cluster.finish(held.job, 0, 1, 3);
  expect(codeOf(await members.secrets.get(3)!.values(held))).toBe("forbidden");
});

test("a secret that is gone is told apart from voters that cannot read it yet", async () => {
  const members = new Members();
  await members.secrets.get(1)!.set("door", value, admin);
  const held = members.run(3);
  members.holds.set(1, []);
  expect(await members.secrets.get(3)!.values(held)).toEqual(accept({ door: value })); // node 2 has the key
  members.holds.set(2, []);
  expect(codeOf(await members.secrets.get(3)!.values(held))).toBe("unavailable");
  members.holds.set(2, [prints[0]]);
  members.cluster.must("secret.rm", { secret: "door", force: true }, admin);
  expect(await members.secrets.get(3)!.values(held)).toMatchObject({
    why: { code: "not-found", message: "secret door does not exist any more" },
  });
});

test("a value is bound to its name: what stands under another one is not taken for it", async () => {
  const members = new Members();
  await members.secrets.get(1)!.set("other", value, admin);
  const { key, sealed } = secretByName(members.cluster.database, "other")!;
  members.cluster.must("secret.set", { name: "door", key, sealed }, admin);
  expect(codeOf(await members.secrets.get(3)!.values(members.run(3)))).toBe("not-found");
});

test("with a new authority all are encrypted anew, in small entries; what the former key opens is gone then", async () => {
  const members = new Members();
  const names = Array.from({ length: 40 }, (_, number) => `s-${number}`);
  for (const name of ["door", ...names]) await members.secrets.get(1)!.set(name, `${name} ${value}`, admin);
  members.begin(1);
  // Not before it holds the new key, and then all.
  expect(await members.secrets.get(1)!.rekey(prints[0], system)).toBe(false);
  members.holds.set(1, prints);
  const before = members.cluster.log.length;
  expect(await members.secrets.get(1)!.rekey(prints[0], system)).toBe(true);
  expect(members.cluster.log.length - before).toBe(3);
  for (const name of ["door", ...names]) expect(secretByName(members.cluster.database, name)!.key).toBe(prints[1]);
  members.holds.set(1, [prints[1]]);
  const held = members.run(1);
  expect(await members.secrets.get(1)!.values(held)).toEqual(accept({ door: `door ${value}` }));
  // Who has the former key only cannot read it, and new ones are set under the new key.
  members.holds.set(1, []);
  expect(codeOf(await members.secrets.get(2)!.reveal(nodeId(1), held))).toBe("unavailable");
  members.holds.set(1, [prints[1]]);
  await members.secrets.get(1)!.set("door", "another value", admin);
  expect(secretByName(members.cluster.database, "door")!.key).toBe(prints[1]);
});
