import type { NodeId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { isNoRoom } from "../storage/files.ts";
import type { AuthorityKeys } from "../storage/types.ts";
import { fingerprintOf } from "../transport/certificate.ts";
import { type AuthorityKey, issueCertificate } from "./certificates.ts";
import type { CertificateRequest } from "./requests.ts";

/**
 * The cluster's authority as this node has a part in it (K1): voters hold its key in a file of their own, take it over from another voter when
 * they begin to vote, and give it up once they vote no more and another voter has it. Who holds it issues certificates.
 */
export interface AuthorityPorts {
  readonly cluster: string;
  readonly self: NodeId;
  isVoter(node: NodeId): boolean;
  /** Voters that can be asked now, without this node. */
  voters(): readonly NodeId[];
  /** The certificate of the authority that issues now, PEM. */
  signing(): string;
  /** Authorities that have not been given up, by fingerprint. */
  current(): ReadonlySet<string>;
  ask(peer: NodeId, method: string, body: unknown): Promise<unknown>;
  /** Logged before a key is given away: who knows it, is known. */
  note(node: NodeId, authorities: readonly string[]): Promise<boolean>;
  store(keys: AuthorityKeys | undefined): void;
  lifetimeMs(): number;
  now(): number;
  readonly log: (level: "info" | "warn", message: string) => void;
}

type Keys = AuthorityKeys["keys"];

/** Between two rounds of asking voters for the key, or whether they have it; longer each time. */
const askAgainMs = 100;
const askAgainMsMax = 3000;

/** See above. */
export class Authority {
  readonly #ports: AuthorityPorts;
  #keys: Keys;
  /** Authorities that the log has named since this process began: the key of one that it never named may be of one that it is about to. */
  readonly #seen = new Set<string>();
  /** That there is no room for the keys has been told. */
  #complained = false;
  #running = false;
  #closed = false;

  constructor(ports: AuthorityPorts, kept: AuthorityKeys | undefined) {
    this.#ports = ports;
    this.#keys = kept?.keys ?? {};
  }

  /** The key of the authority that issues now; undefined: this node does not hold it. */
  get signer(): AuthorityKey | undefined {
    return this.#keys[fingerprintOf(this.#ports.signing())];
  }

  /** The key of one authority. */
  keyOf(fingerprint: string): AuthorityKey | undefined {
    return this.#keys[fingerprint];
  }

  /** This node has made a new authority: the key is on disk before anybody hears of it. */
  keep(made: AuthorityKey): void {
    this.#take({ ...this.#keys, [fingerprintOf(made.certificate)]: made });
  }

  /** Issues a certificate; refused as "unavailable" by a node that does not hold the key. */
  async issue(request: CertificateRequest, node: NodeId): Promise<Outcome<string>> {
    const { signer } = this;
    if (signer === undefined) {
      const message = `node ${this.#ports.self} does not hold the authority's key: only voters do`;
      return refuse("unavailable", message, { retryAfterMs: 1000, retry: "safe" });
    }
    const certificate = await issueCertificate({
      authority: signer,
      request: request.csr,
      hosts: request.hosts,
      cluster: this.#ports.cluster,
      node,
      now: this.#ports.now(),
      lifetimeMs: this.#ports.lifetimeMs(),
    });
    if (certificate === undefined)
      return refuse("invalid", "the request for a certificate is not signed by the key that it asks for");
    return accept(certificate);
  }

  /** A voter asks for the keys. undefined: it is not (yet) known here as one, or there is nothing to give. */
  async handOver(peer: NodeId): Promise<Keys | undefined> {
    if (!this.#ports.isVoter(peer) || Object.keys(this.#keys).length === 0) return undefined;
    const current = this.#ports.current();
    const given = Object.fromEntries(Object.entries(this.#keys).filter(([fingerprint]) => current.has(fingerprint)));
    if (!(await this.#ports.note(peer, Object.keys(given)))) return undefined;
    return this.#ports.isVoter(peer) ? given : undefined;
  }

  /** The members, or the authorities, changed: takes, or gives up, what this node is to have. Works until it is so. */
  changed(): void {
    if (!this.#running && !this.#closed && !this.#isSettled()) void this.#settle();
  }

  close(): void {
    this.#closed = true;
  }

  /** A voter has the keys of all authorities that there are, any other node has none. */
  #isSettled(): boolean {
    const { self } = this.#ports;
    const held = Object.keys(this.#keys);
    if (!this.#ports.isVoter(self)) return held.length === 0;
    return [...this.#ports.current()].every((one) => held.includes(one)) && this.#outdated().length === 0;
  }

  /** Keys of authorities that were given up. */
  #outdated(): string[] {
    const current = this.#ports.current();
    for (const one of current) this.#seen.add(one);
    return Object.keys(this.#keys).filter((one) => this.#seen.has(one) && !current.has(one));
  }

  async #settle(): Promise<void> {
    this.#running = true;
    for (let pauseMs = askAgainMs; !this.#isSettled() && !this.#closed; pauseMs *= 1.5) {
      const isVoter = this.#ports.isVoter(this.#ports.self);
      const done = await (isVoter ? this.#fetch() : this.#giveUp()).catch((error: unknown) => this.#noRoom(error));
      if (!done && !this.#closed) await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, askAgainMsMax)));
    }
    this.#running = false;
  }

  /** What was not taken for want of room is asked for again. */
  #noRoom(error: unknown): boolean {
    if (!isNoRoom(error)) throw error;
    if (!this.#complained) this.#ports.log("warn", error.message);
    this.#complained = true;
    return false;
  }

  /** Takes what is lacking from whichever voter has it, and drops what is of no use any more. */
  async #fetch(): Promise<boolean> {
    const outdated = this.#outdated();
    if (outdated.length > 0)
      this.#take(Object.fromEntries(Object.entries(this.#keys).filter(([one]) => !outdated.includes(one))));
    for (const voter of this.#ports.voters()) {
      if (this.#isSettled()) return true;
      const given = (await this.#ports.ask(voter, "authority.keys", null).catch(() => undefined)) as Keys | undefined;
      const news = Object.entries(given ?? {}).filter(([fingerprint, one]) => isKeyOf(fingerprint, one));
      const wanted = news.filter(([fingerprint]) => this.#ports.current().has(fingerprint));
      if (wanted.length === 0 || !this.#ports.isVoter(this.#ports.self)) continue;
      this.#take({ ...this.#keys, ...Object.fromEntries(wanted) });
      this.#ports.log("info", `holds the key of the cluster's authority now, from node ${voter}`);
    }
    return this.#isSettled();
  }

  /** Deletes the keys, but never the last ones: a voter must say first that it has them. */
  async #giveUp(): Promise<boolean> {
    for (const voter of this.#ports.voters()) {
      const held = (await this.#ports.ask(voter, "authority.held", null).catch(() => [])) as readonly string[];
      const isSafe = [...this.#ports.current()].every((one) => this.#keys[one] === undefined || held.includes(one));
      if (!isSafe || this.#ports.isVoter(this.#ports.self)) continue;
      this.#take({});
      this.#ports.log("info", "votes no more, and has deleted the key of the cluster's authority");
      return true;
    }
    return false;
  }

  /** What a peer that gives up its own is told. */
  get held(): readonly string[] {
    return Object.keys(this.#keys);
  }

  #take(keys: Keys): void {
    // On disk before this node says that it has them.
    this.#ports.store(Object.keys(keys).length === 0 ? undefined : { version: 1, keys });
    this.#keys = keys;
  }
}

function isKeyOf(fingerprint: string, one: AuthorityKey | undefined): boolean {
  try {
    return one !== undefined && typeof one.key === "string" && fingerprintOf(one.certificate) === fingerprint;
  } catch {
    return false; // no certificate
  }
}
