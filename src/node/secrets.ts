import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { AttemptName } from "../executor/types.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { CommandInput, CommandName, CommandValue } from "../state/commands/index.ts";
import { authorityState, countSecretsUnder, heldAttempt, secretByName, secretsUnder } from "../state/queries.ts";
import { secretsOf } from "../state/secrets.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal } from "../state/types.ts";
import type { SetSecret } from "./api.ts";
import { askVoters } from "./ask-voters.ts";
import type { AuthorityKey } from "./certificates.ts";

/**
 * Secrets (K1): the state has them encrypted (AES-256-GCM, bound to their name), voters alone can read them, and a node gets the values that an attempt
 * needs while the state says that it holds that attempt.
 *
 * Their key is derived (HKDF) from the key of the cluster's authority, and so needs no life of its own: it is on voters alone, is passed on over mutual
 * TLS after the log has said to whom, is deleted by who votes no more, and is replaced when a voter is removed (authority.ts, rotation.ts). A key of
 * its own would be held by the very same nodes for the very same time.
 */
export interface SecretPorts {
  readonly self: NodeId;
  /** Of the authority with that fingerprint; undefined: this node does not hold it. */
  keyOf(fingerprint: string): AuthorityKey | undefined;
  /** Those that can be asked, without this node. */
  voters(): readonly NodeId[];
  ask(peer: NodeId, method: string, body: unknown): Promise<unknown>;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Resolves when this node has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>>;
  readonly log: (level: "info" | "warn", message: string) => void;
}

/** As it stands in the log: with which authority's key, and nonce, ciphertext and tag. */
export interface Sealed {
  readonly key: string;
  readonly sealed: Uint8Array;
}

/** Values by the names of secrets. */
export type SecretValues = Readonly<Record<string, string>>;

const nonceBytes = 12;
const tagBytes = 16;

/** See above. */
export class Secrets {
  readonly #ports: SecretPorts;
  readonly #derived = new Map<string, Uint8Array>();

  constructor(ports: SecretPorts) {
    this.#ports = ports;
  }

  /** Encrypts the value here or at a voter, and logs that; nobody sees it again but the tasks that use it. */
  async set(name: string, value: string, by: Principal): Promise<Outcome<SetSecret>> {
    const problem = valueProblem(value);
    if (problem !== undefined) return refuse("invalid", problem, { details: [{ path: "value", message: problem }] });
    const own = this.seal(name, value);
    const sealed = own.ok
      ? own
      : ((await askVoters(this.#ports.voters(), (voter) =>
          this.#ports.ask(voter, "secret.seal", { name, value }),
        )) as Outcome<Sealed>);
    if (!sealed.ok) return sealed;
    const { key, sealed: bytes } = sealed.value;
    const outcome = await this.#ports.propose("secret.set", { name, key, sealed: bytes }, by);
    return outcome.ok ? accept({ ...outcome.value.value, index: outcome.value.index }) : outcome;
  }

  /** For this node or another one; refused as "unavailable" by who does not hold the key. */
  seal(name: string, value: string): Outcome<Sealed> {
    const fingerprint = this.#newest().find((one) => this.#keyOf(one) !== undefined);
    if (fingerprint === undefined) return this.#noKey();
    return accept({ key: fingerprint, sealed: encrypt(this.#keyOf(fingerprint)!, name, value) });
  }

  /** The values that an attempt of this node needs. "not-found": one is not there (any more), and the attempt cannot run. */
  async values(attempt: AttemptName): Promise<Outcome<SecretValues>> {
    const own = await this.reveal(this.#ports.self, attempt);
    if (own.ok || own.why.code === "not-found") return own;
    return (await askVoters(this.#ports.voters(), (voter) =>
      this.#ports.ask(voter, "secret.values", attempt),
    )) as Outcome<SecretValues>;
  }

  /** The values for the node that asks: of the secrets that the spec of that attempt names, if it holds that attempt now. */
  async reveal(node: NodeId, attempt: AttemptName): Promise<Outcome<SecretValues>> {
    if (!this.canRead()) return this.#noKey();
    // What this node last heard may be old: the attempt may be another node's by now (J1).
    const current = await this.#ports.catchUp();
    if (!current.ok) return current;
    return this.#ports.view((tx) => {
      const spec = heldAttempt(tx, attempt, node);
      const { job, task, attempt: number } = attempt;
      if (spec === undefined)
        return refuse("forbidden", `node ${node} does not hold attempt ${number} of task ${task} of job ${job}`);
      const values: Record<string, string> = {};
      for (const name of secretsOf(spec)) {
        const value = this.#decrypted(tx, name);
        if (!value.ok) return value;
        values[name] = value.value;
      }
      return accept(values);
    });
  }

  /** This node holds the key that secrets are encrypted with. */
  canRead(): boolean {
    return this.#newest().some((one) => this.#keyOf(one) !== undefined);
  }

  /** For a program that this node itself runs, as git with a key: voters alone have it, and it leaves them for nobody. */
  async own(name: string): Promise<Outcome<string>> {
    const current = await this.#ports.catchUp();
    if (!current.ok) return current;
    return this.#ports.view((tx) =>
      secretByName(tx, name) === undefined
        ? refuse("not-found", `there is no secret ${name}: set it first ('skein secret set')`)
        : this.#decrypted(tx, name),
    );
  }

  #decrypted(tx: ReadTx, name: string): Outcome<string> {
    const row = secretByName(tx, name);
    if (row === undefined) return refuse("not-found", `secret ${name} does not exist any more`);
    const key = this.#keyOf(row.key);
    if (key === undefined) {
      const isLost = !authorityState(tx).authorities.some((one) => one.fingerprint === row.key);
      return isLost ? refuse("not-found", lostWords(name)) : this.#noKey();
    }
    const value = decrypt(key, name, row.sealed);
    return value === undefined
      ? refuse("not-found", `secret ${name} cannot be decrypted: set it again`)
      : accept(value);
  }

  /**
   * Leader: what is encrypted with another key than the newest one is encrypted anew, in small entries. True when nothing is left that this node could
   * do about those under `leaving`, the key that is to be forgotten.
   */
  async rekey(leaving: string | undefined, by: Principal): Promise<boolean> {
    const [newest] = this.#newest();
    const key = newest === undefined ? undefined : this.#keyOf(newest);
    if (newest === undefined || key === undefined) return leaving === undefined || this.#countUnder(leaving) === 0;
    for (const { fingerprint } of this.#ports.view(authorityState).authorities) {
      const former = fingerprint === newest ? undefined : this.#keyOf(fingerprint);
      if (former === undefined) continue;
      for (let after = ""; ;) {
        const rows = this.#ports.view((tx) => secretsUnder(tx, fingerprint, after, limits.secretsPerEntry));
        if (rows.length === 0) break;
        after = rows.at(-1)!.name;
        const secrets = rows.flatMap(({ name, sealed }) => {
          const value = decrypt(former, name, sealed);
          if (value === undefined) return [];
          return [{ name, was: sealed.slice(0, nonceBytes), sealed: encrypt(key, name, value) }];
        });
        if (secrets.length === 0) continue;
        const outcome = await this.#ports.propose("secret.rekey", { key: newest, secrets }, by);
        if (!outcome.ok) return false; // at the next look
        this.#ports.log("info", `${secrets.length} secrets are encrypted with the new authority's key`);
      }
    }
    return leaving === undefined || this.#countUnder(leaving) === 0;
  }

  #countUnder(fingerprint: string): number {
    return this.#ports.view((tx) => countSecretsUnder(tx, fingerprint));
  }

  /** The authorities that go on, the newest first. */
  #newest(): string[] {
    const { authorities } = this.#ports.view(authorityState);
    return (["coming", "issuing"] as const).flatMap((phase) =>
      authorities.filter((row) => row.phase === phase).map((row) => row.fingerprint),
    );
  }

  #keyOf(fingerprint: string): Uint8Array | undefined {
    const held = this.#ports.keyOf(fingerprint);
    if (held === undefined) {
      this.#derived.delete(fingerprint);
      return undefined;
    }
    let key = this.#derived.get(fingerprint);
    if (key === undefined) {
      key = deriveKey(fingerprint, held.key);
      this.#derived.set(fingerprint, key);
    }
    return key;
  }

  #noKey(): ReturnType<typeof refuse> {
    const message = `node ${this.#ports.self} does not hold the key of the cluster's secrets: only voters do`;
    return refuse("unavailable", message, { retryAfterMs: 500, retry: "safe" });
  }
}

function lostWords(name: string): string {
  return `secret ${name} was encrypted with a key that this cluster does not have (backups hold no keys): set it again`;
}

/** What is wrong with a value; undefined: nothing. It is said without the value. */
export function valueProblem(value: string): string | undefined {
  const bytes = Buffer.byteLength(value);
  if (Array.from(value.trim()).length < limits.secretMinCharacters)
    return `a secret has at least ${limits.secretMinCharacters} characters, white space at its ends aside: shorter ones could not be told apart in a task's output`;
  if (bytes > limits.secretBytes) return `a secret has at most ${limits.secretBytes} bytes, and this one ${bytes}`;
  if (value.includes("\0")) return "a secret must not contain a NUL character: no environment can hold it";
  return undefined;
}

/** From the private key's bytes, which are the same however its text is wrapped. */
function deriveKey(fingerprint: string, pem: string): Uint8Array {
  const bytes = Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64");
  return new Uint8Array(hkdfSync("sha256", bytes, fingerprint, "skein secrets 1", 32));
}

function encrypt(key: Uint8Array, name: string, value: string): Uint8Array {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(name));
  const text = Buffer.concat([cipher.update(value, "utf8"), cipher.final()]);
  return Uint8Array.from(Buffer.concat([nonce, text, cipher.getAuthTag()]));
}

/** undefined: it was encrypted with another key, for another name, or is damaged. */
function decrypt(key: Uint8Array, name: string, sealed: Uint8Array): string | undefined {
  const end = sealed.length - tagBytes;
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes));
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(sealed.subarray(end));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, end)), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}
