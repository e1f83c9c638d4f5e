import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { decode, encode } from "../../src/lib/codec.ts";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import type { PushTold } from "../../src/node/api.ts";
import { BundleWebhook } from "../../src/node/bundle-webhook.ts";
import { parsePeerRequest } from "../../src/node/peer-requests.ts";
import { admin, Cluster } from "../state/support.ts";

const secret = "correct horse battery";
/** No text: what is signed are bytes. */
const message = Uint8Array.from([0x7b, 0xff, 0x00, 0x0a, 0x7d]);
const signature = `sha256=${createHmac("sha256", secret).update(message).digest("hex")}`;
const github: PushTold = { name: "play", service: "github", proof: signature, message };
const gitlab: PushTold = { name: "play", service: "gitlab", proof: secret, message };

/** Members over one state. Nodes 1 and 2 vote and have the key of secrets; node 3 is a learner. */
class Members {
  readonly cluster = Cluster.ofNewest(3);
  readonly holds = new Set([1, 2]);
  readonly down = new Set<number>();
  /** Who asked whom, in turn. */
  readonly asked: string[] = [];
  readonly #webhooks = new Map([1, 2, 3].map((id) => [id, this.#make(id)]));

  constructor() {
    const { cluster } = this;
    const key = "a".repeat(32);
    const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    cluster.must("authority.begin", { fingerprint: key, certificate, crossed: null, reason: "first" });
    cluster.must("secret.set", { name: "hook", key, sealed: new Uint8Array(40) }, admin);
    const source = { name: "play", url: "/srv/play.git", ref: "main", webhook: "hook" };
    cluster.must("bundle.source.set", source, admin);
  }

  #make(id: number): BundleWebhook {
    return new BundleWebhook({
      view: (query) => query(this.cluster.database),
      ask: (voter, push) => this.#ask(id, Number(voter), push),
      catchUp: () => Promise.resolve(accept(undefined)),
      secret: (name) =>
        Promise.resolve(
          name !== "hook"
            ? refuse("not-found", `there is no secret ${name}`)
            : this.holds.has(id)
              ? accept(secret)
              : refuse("unavailable", `node ${id} does not hold the key`),
        ),
      readsSecrets: () => this.holds.has(id),
      voters: () => [1, 2].filter((one) => one !== id).map(nodeId),
      fetch: () => Promise.resolve(accept(undefined)),
      log: () => {},
    });
  }

  /** As it goes over the wire. */
  async #ask(from: number, to: number, push: PushTold): Promise<unknown> {
    this.asked.push(`${from} asks ${to}`);
    if (this.down.has(to)) throw new Fault("peer-unreachable", `node ${to} cannot be reached`, "safe");
    const request = parsePeerRequest("bundle.told", decode(encode(push)));
    if (request.method !== "bundle.told") throw new Error(request.method);
    return decode(encode(await this.#webhooks.get(to)!.judge(request.body)));
  }

  told(id: number, push: PushTold) {
    return this.#webhooks.get(id)!.told(push);
  }
}

test("a voter judges by itself; a learner, which has no secrets, hands the push to a voter, byte by byte as it came", async () => {
  const members = new Members();
  for (const push of [github, gitlab]) expect(await members.told(1, push)).toEqual(accept({ ref: "main" }));
  expect(members.asked).toEqual([]);
  for (const push of [github, gitlab]) expect(await members.told(3, push)).toEqual(accept({ ref: "main" }));
  expect(members.asked).toEqual(["3 asks 1", "3 asks 1"]);
  for (const wrong of [
    { ...github, message: message.slice(1) },
    { ...github, proof: secret },
    { ...gitlab, proof: `${secret}r` },
    { ...gitlab, name: "none" },
  ])
    expect(await members.told(3, wrong)).toEqual(accept(undefined));
});

test("a voter that cannot be reached or does not have the key yet is passed over, and takes no right push for a wrong one", async () => {
  const members = new Members();
  members.holds.delete(1);
  expect(await members.told(3, github)).toEqual(accept({ ref: "main" }));
  expect(members.asked).toEqual(["3 asks 1", "3 asks 2"]);
  expect(await members.told(1, github)).toEqual(accept({ ref: "main" }));
  expect(members.asked).toEqual(["3 asks 1", "3 asks 2", "1 asks 2"]);
  members.down.add(2);
  for (const push of [github, { ...github, proof: "sha256=00" }])
    expect(await members.told(3, push)).toMatchObject({ ok: false, why: { code: "unavailable" } });
});

test("where no voter can be reached nobody is told whether the secret is right", async () => {
  const members = new Members();
  members.down.add(1).add(2);
  for (const push of [github, { ...gitlab, proof: "wrong" }, { ...gitlab, name: "none" }])
    expect(await members.told(3, push)).toMatchObject({ ok: false, why: { code: "unavailable" } });
});
