import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome } from "../lib/outcome.ts";
import { bundleSource } from "../state/tables/bundle-source.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal } from "../state/types.ts";
import type { PushTold } from "./api.ts";
import { askVoters } from "./ask-voters.ts";

/** What it needs of its surroundings. */
export interface BundleWebhookPorts {
  readonly view: <Value>(query: (tx: ReadTx) => Value) => Value;
  /** Has a voter judge it. */
  readonly ask: (voter: NodeId, push: PushTold) => Promise<unknown>;
  /** Resolves when the state here has everything that was acknowledged before. */
  readonly catchUp: () => Promise<Outcome<unknown>>;
  readonly secret: (name: string) => Promise<Outcome<string>>;
  readonly readsSecrets: () => boolean;
  readonly voters: () => readonly NodeId[];
  readonly fetch: (name: string, by: Principal) => Promise<Outcome<unknown>>;
  readonly log: (level: "warn", message: string) => void;
}

/** Of what shows that a push is told of by the right one. */
export const proofLength = 8 * 1024;

/** Who may not is told nothing by the time that it takes either: what is not there is compared with this. */
const nobodysSecret = randomBytes(32).toString("base64url");

/**
 * Pushes that GitHub or GitLab tells of. Who does has no token; they have the secret of the bundle's webhook, which voters alone can read (K1): another node has one of them judge. A wrong
 * secret, a bundle that is not there and one without a webhook are the same thing to whoever asks, in words and in what is done for it.
 */
export class BundleWebhook {
  readonly #ports: BundleWebhookPorts;
  readonly #next = new Map<string, Promise<Outcome<unknown>>>();
  readonly #current = new Map<string, Promise<unknown>>();

  constructor(ports: BundleWebhookPorts) {
    this.#ports = ports;
  }

  /** undefined: it is not theirs to tell. */
  async told(push: PushTold): Promise<Outcome<{ readonly ref: string } | undefined>> {
    const { readsSecrets, voters, ask } = this.#ports;
    if (push.name === "" || push.name.length > limits.secretNameLength) return accept(undefined);
    if (push.proof === "" || push.proof.length > proofLength) return accept(undefined);
    const judged = readsSecrets()
      ? await this.judge(push)
      : ((await askVoters(voters(), (voter) => ask(voter, push))) as Outcome<string | null>);
    if (!judged.ok) return judged;
    return accept(judged.value === null ? undefined : { ref: judged.value });
  }

  /** At a voter. The ref that the bundle is of; null: it is not theirs to tell. */
  async judge({ name, service, proof, message }: PushTold): Promise<Outcome<string | null>> {
    const { catchUp, secret, view, log } = this.#ports;
    const current = await catchUp();
    if (!current.ok) return current;
    const source = view((tx) => bundleSource(tx, name));
    const webhook = source?.webhook ?? null;
    // Asked for in any case: that takes its time.
    const found = await secret(webhook ?? "");
    // This voter does not have the key of secrets, as one that has just become one: another voter may.
    if (!found.ok && found.why.code === "unavailable") return found;
    if (webhook !== null && !found.ok) log("warn", `pushes for bundle ${name} cannot be judged: ${found.why.message}`);
    const value = found.ok ? found.value : nobodysSecret;
    const isRight = service === "github" ? isSigned(proof, value, message) : isSame(proof, value);
    return accept(isRight && found.ok && source !== undefined ? (source.ref ?? "") : null);
  }

  /** Of many pushes at once there are no more entries in the log than one after the other: those that come while one is logged share the next one. */
  fetchSoon(name: string): Promise<Outcome<unknown>> {
    const waiting = this.#next.get(name);
    if (waiting !== undefined) return waiting;
    const next = (async (): Promise<Outcome<unknown>> => {
      await this.#current.get(name);
      this.#next.delete(name);
      const logged = this.#ports.fetch(name, { token: "", name: `webhook:${name}`, role: "node" });
      const settled = logged.catch(() => {});
      this.#current.set(name, settled);
      try {
        return await logged;
      } finally {
        if (this.#current.get(name) === settled) this.#current.delete(name);
      }
    })();
    this.#next.set(name, next);
    return next;
  }
}

/** GitHub's: HMAC-SHA256 of the message, compared in the same time wherever it differs. */
function isSigned(proof: string, secret: string, message: Uint8Array): boolean {
  const right = createHmac("sha256", secret).update(message).digest();
  const given = /^sha256=([0-9a-f]{64})$/i.exec(proof)?.[1];
  const isEqual = timingSafeEqual(right, Buffer.from(given ?? "00".repeat(32), "hex"));
  return isEqual && given !== undefined;
}

/**
 * GitLab's: the secret itself. The two are not compared, nor their lengths, which the time would tell: their hashes are, which are of one length, and of which nobody can choose the first
 * bytes without knowing the rest. So even a comparison that ends at the first difference would tell nothing of the secret; it is one that does not, all the same.
 */
function isSame(proof: string, secret: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(proof), hash(secret));
}
