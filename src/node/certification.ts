import { unreachable } from "../lib/assert.ts";
import { limits } from "../lib/limits.ts";
import type { NodeId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { AuthorityView } from "../state/answers.ts";
import type { CommandInput, CommandName } from "../state/commands/index.ts";
import { appliedIndex, type AuthorityState, authorityState, listNodes, stateHash } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal } from "../state/types.ts";
import { isNoRoom } from "../storage/files.ts";
import type { AuthorityKeys, Certificate } from "../storage/types.ts";
import {
  expiryOf,
  fingerprintOf,
  issuerOf,
  judgeCertificate,
  type NodeCredentials,
  parseCertificate,
} from "../transport/certificate.ts";
import { Authority } from "./authority.ts";
import { crossSign, type Lifetimes, makeAuthority, makeKey, makeRequest } from "./certificates.ts";
import { askVoters } from "./ask-voters.ts";
import { askForReissue, type Reissue, reissue } from "./reissue.ts";
import { pinned, type Vouched } from "./pinned.ts";
import type { PeerRequest } from "./peer-requests.ts";
import { Renewal } from "./renewal.ts";
import type { CertificateRequest } from "./requests.ts";
import { rekeyReason, rotationStep } from "../state/rotation.ts";

type CertificationRequest = Extract<PeerRequest, { readonly method: `authority.${string}` | `certificate.${string}` }>;

/**
 * All that a running node has to do with certificates: shows its own and renews it, believes the authorities that the log names, issues for others
 * where it holds the key (authority.ts), and, while it leads, has the authority replaced step by step (rotation.ts).
 */
export interface CertificationPorts {
  readonly cluster: string;
  readonly self: NodeId;
  readonly principal: Principal;
  readonly lifetimes: Lifetimes;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  propose<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): Promise<Outcome<unknown>>;
  /** Whether the log may hold certificates yet. */
  isLogged(): boolean;
  isVoter(node: NodeId): boolean;
  voters(): readonly NodeId[];
  isConnected(node: NodeId): boolean;
  isLeading(): boolean;
  /** Who is behind a peer's request for a new authority: a peer may only pass on what a person may do. */
  askedBy(body: unknown): Outcome<Principal>;
  ask(peer: NodeId, method: string, body: unknown): Promise<unknown>;
  /** Asks the API of members for another certificate, after the present one has expired: peers let nobody in without one. */
  askApi(request: Reissue): Promise<Outcome<string>>;
  /** Names that clients know this node by. */
  hosts(): readonly string[];
  /** The credentials changed: whoever shows them is to show the new ones. */
  renewed(): void;
  /** Encrypts secrets with the newest authority's key; false while some are under the key of `leaving`, which is to be forgotten. */
  rekeySecrets(leaving: string | undefined): Promise<boolean>;
  storeCertificate(certificate: Certificate): void;
  storeKeys(keys: AuthorityKeys | undefined): void;
  now(): number;
  readonly log: (level: "info" | "warn", message: string) => void;
}

/** How often everything is looked at, whatever has happened. */
const lookEveryMs = 1000;
/** After a change, together with those that follow it. */
const lookSoonMs = 50;
/** A voter's place may be taken for a moment only; and several changes are answered by one new authority. */
const rekeyAfterMs = 3000;
/** A former voter has so long to say that it deleted the key, before nobody relies on it any more. */
const deletionMs = 600_000;
const retryMs = 500;
/** So long the leader may lack a former key, which another voter may still give it. */
const unreadableMs = 60_000;
const askedFor = "asked for";

/** See above. */
export class Certification {
  readonly #ports: CertificationPorts;
  readonly authority: Authority;
  #own: Certificate;
  /** What leads from authorities of before to the present one, and those of before. */
  #before: { readonly crossed: readonly string[]; readonly former: readonly string[] } = { crossed: [], former: [] };
  /** What the log is to say of it. */
  #shown: { readonly of: Certificate; readonly row: CommandInput<"certificate.seen"> | undefined } | undefined;
  readonly #renewal = new Renewal();
  #timer: ReturnType<typeof setInterval> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #saying = false;
  #renewing = false;
  #stepping = false;
  #closed = false;
  /** As the state of that index and hash has it. */
  #read: { readonly of: string; readonly state: AuthorityState } | undefined;
  /** Monotonic enough: since when there is a reason to replace the authority, as wall time of this process. */
  #rekeySince: { readonly at: number; readonly isUrgent: boolean } | undefined;
  /** Members that vote no more and have told this leader that they deleted the keys. */
  readonly #deleted = new Set<NodeId>();
  readonly #asked = new Set<NodeId>();
  #nextRenewal = 0;
  /** Since when secrets are left under a key that is to be forgotten. */
  #unreadableSince: number | undefined;
  #complained = "";

  constructor(ports: CertificationPorts, own: Certificate, keys: AuthorityKeys | undefined) {
    this.#ports = ports;
    this.#own = own;
    this.authority = new Authority(
      {
        cluster: ports.cluster,
        self: ports.self,
        isVoter: (node) => ports.isVoter(node),
        voters: () => this.otherVoters(),
        signing: () => this.#signing(),
        current: () => new Set(this.#believed().map(fingerprintOf)),
        ask: (peer, method, body) => ports.ask(peer, method, body),
        note: async (node, authorities) => {
          const noted = await ports.propose("authority.held", { node, authorities: [...authorities] }, ports.principal);
          return noted.ok;
        },
        store: (kept) => ports.storeKeys(kept),
        lifetimeMs: () => ports.lifetimes.nodeMs,
        now: () => ports.now(),
        log: ports.log,
      },
      keys,
    );
    this.#before = this.#stateBefore();
  }

  /** What is shown, and whom this node believes. */
  credentials(): NodeCredentials {
    return { ...this.#own, ...this.#before };
  }

  /** The certificate with what leads from authorities of before to the present one, for clients that believe those only. PEM. */
  chain(): string {
    return [this.#own.certificate, ...this.#before.crossed].map((pem) => pem.trim()).join("\n");
  }

  /** The authorities that are believed, as clients and joining nodes are shown them. */
  authorities(): readonly AuthorityView[] {
    const { authorities } = this.#state();
    if (authorities.length > 0) return authorities;
    return this.#own.trusted.map((certificate) => ({
      fingerprint: fingerprintOf(certificate),
      certificate,
      crossed: null,
      phase: "issuing",
    }));
  }

  /** Those of before, the oldest first. */
  formerAuthorities(): readonly Vouched[] {
    return this.#state().former.map(({ certificate, crossed }) => ({ certificate, crossed }));
  }

  /** Fingerprints of the authorities that a join token may name: those that are believed, and those that vouch for one of these. */
  pins(): readonly string[] {
    const believed = this.authorities();
    const former = this.#state().former;
    const vouching = former.filter(({ fingerprint }) => pinned(believed, fingerprint, former).length > 0);
    return [...this.#own.trusted.map(fingerprintOf), ...vouching.map((one) => one.fingerprint)];
  }

  /** The authorities that clients are to believe, PEM. */
  bundle(): string {
    return this.#own.trusted.map((pem) => pem.trim()).join("\n");
  }

  /** Fingerprint of the authority that issues now: what join tokens name. */
  get issuing(): string {
    return fingerprintOf(this.#signing());
  }

  start(): void {
    this.#timer = setInterval(
      () => this.#look(),
      Math.min(lookEveryMs, Math.max(100, this.#ports.lifetimes.nodeMs / 50)),
    );
    this.#lookAround();
  }

  stop(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.authority.close();
  }

  /** The members, their certificates or the authorities changed: a join changes them several times, and what is read then grows with the members. */
  changed(): void {
    if (this.#closed) return;
    this.#soon ??= setTimeout(() => this.#lookAround(), lookSoonMs);
  }

  #lookAround(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#look();
    this.authority.changed();
  }

  /** Answers peers. */
  onRequest(peer: NodeId, request: CertificationRequest): Promise<unknown> {
    switch (request.method) {
      case "authority.keys":
        return this.authority.handOver(peer).then((keys) => keys ?? null);
      case "authority.held":
        return Promise.resolve(this.authority.held);
      case "authority.rotate": {
        const by = this.#ports.askedBy(request.body);
        return by.ok ? this.#begin(askedFor, by.value) : Promise.resolve(by);
      }
      case "certificate.reissue":
        return this.reissue(request.body);
      case "certificate.issue":
        return this.authority.issue(request.body, peer);
      default:
        return unreachable(request, "request of a peer");
    }
  }

  /** Replaces the authority for a person, on whichever voter holds its key. */
  async rotate(by: Principal): Promise<Outcome<{ readonly authority: string }>> {
    if (this.#ports.isVoter(this.#ports.self)) return this.#begin(askedFor, by);
    for (const voter of this.otherVoters()) {
      try {
        return (await this.#ports.ask(voter, "authority.rotate", { reason: askedFor, by })) as Outcome<{
          authority: string;
        }>;
      } catch {
        continue; // it may have begun there: another one then says so
      }
    }
    return refuse("unavailable", "no voter can be reached that could make a new authority: repeat in a moment", {
      retryAfterMs: 1000,
    });
  }

  /** What the founder made, as the log is to have it. */
  async #found(): Promise<void> {
    const certificate = this.#signing();
    const fingerprint = fingerprintOf(certificate);
    const input = { fingerprint, certificate, crossed: null, reason: "the first one" };
    await this.#ports.propose("authority.begin", input, this.#ports.principal);
  }

  async #begin(reason: string, by: Principal): Promise<Outcome<{ readonly authority: string }>> {
    const { cluster, lifetimes } = this.#ports;
    const made = await makeAuthority(cluster, this.#ports.now(), lifetimes.authorityMs);
    const former = this.authority.signer;
    const crossed = former === undefined ? null : await crossSign(former, made.certificate);
    // Making it took a while: whoever votes no more is to hold no key (K1).
    if (!this.#ports.isVoter(this.#ports.self))
      return refuse("unavailable", "this node votes no more: repeat it", { retryAfterMs: 1000, retry: "safe" });
    this.authority.keep(made);
    const fingerprint = fingerprintOf(made.certificate);
    const begun = await this.#ports.propose(
      "authority.begin",
      { fingerprint, certificate: made.certificate, crossed, reason },
      by,
    );
    return begun.ok ? accept({ authority: fingerprint }) : begun;
  }

  /** It changes with entries, or with the whole state, and is asked for several times a second. */
  #state(): AuthorityState {
    return this.#ports.view((tx) => {
      const of = `${appliedIndex(tx)} ${stateHash(tx)}`;
      if (this.#read?.of !== of) this.#read = { of, state: authorityState(tx) };
      return this.#read.state;
    });
  }

  /** As the log has them, else as this node was told when it joined. */
  #believed(): readonly string[] {
    const { authorities } = this.#state();
    return authorities.length > 0 ? authorities.map((row) => row.certificate) : this.#own.trusted;
  }

  #signing(): string {
    return this.#state().authorities.find((row) => row.phase === "issuing")?.certificate ?? this.#own.trusted[0]!;
  }

  /** Whom to ask, those that there is a connection to first. */
  otherVoters(): NodeId[] {
    const { self } = this.#ports;
    const others = this.#ports.voters().filter((node) => node !== self);
    // Those without a socket can be dialed for the question.
    return others.toSorted((a, b) => Number(this.#ports.isConnected(b)) - Number(this.#ports.isConnected(a)));
  }

  #look(): void {
    if (this.#closed) return;
    this.#believe();
    if (!this.#saying) void this.#say();
    if (!this.#renewing) void this.#renew();
    if (!this.#stepping && this.#ports.isLeading()) void this.#step();
  }

  #believe(): void {
    const believed = this.#believed();
    const same =
      believed.length === this.#own.trusted.length && believed.every((one) => this.#own.trusted.includes(one));
    const before = this.#stateBefore();
    const isSameBefore = JSON.stringify(before) === JSON.stringify(this.#before);
    this.#before = before;
    if (same && !isSameBefore) this.#ports.renewed();
    if (same) return;
    try {
      this.#become({ ...this.#own, trusted: believed });
    } catch (error) {
      if (!isNoRoom(error)) throw error; // tried again at the next look
    }
  }

  #stateBefore(): { readonly crossed: readonly string[]; readonly former: readonly string[] } {
    const { authorities, former } = this.#state();
    // The newest ones, that lead to what issues now, first.
    const crossed = [...former, ...authorities].flatMap((row) => row.crossed ?? []).slice(-limits.shownAuthorities);
    return { crossed: crossed.toReversed(), former: former.map((row) => row.certificate) };
  }

  #become(own: Certificate): void {
    this.#ports.storeCertificate(own);
    this.#own = own;
    this.#ports.renewed();
  }

  /** Lets the log say what this node shows and believes, whenever it does not say so. */
  async #say(): Promise<void> {
    if (!this.#ports.isLogged()) return;
    if (this.#shown?.of !== this.#own) this.#shown = { of: this.#own, row: this.#rowOf(this.#own) };
    const { row } = this.#shown;
    if (row === undefined) return; // of an authority that is gone: renewed first
    const { authorities, certificates } = this.#state();
    const said = certificates.find((one) => one.node === row.node);
    if (authorities.length === 0 || JSON.stringify(said) === JSON.stringify(inOrder(row))) return;
    this.#saying = true;
    const outcome = await this.#ports.propose("certificate.seen", row, this.#ports.principal);
    if (!outcome.ok) await new Promise((resolve) => setTimeout(resolve, retryMs));
    this.#saying = false;
    if (outcome.ok) this.#look();
  }

  #rowOf({ certificate, trusted }: Certificate): CommandInput<"certificate.seen"> | undefined {
    const parsed = parseCertificate(certificate);
    const issuer = parsed === undefined ? undefined : issuerOf(parsed, trusted);
    if (issuer === undefined) return undefined;
    return {
      node: this.#ports.self,
      fingerprint: fingerprintOf(certificate),
      authority: fingerprintOf(issuer),
      expiresAt: expiryOf(certificate),
      trusted: trusted.map(fingerprintOf).toSorted(),
    };
  }

  /** A new key and certificate, when the present one is old, of another authority than the one that issues, or lacks a name. */
  async #renew(): Promise<void> {
    const now = this.#ports.now();
    const hosts = this.#ports.hosts();
    const dueAt = this.#renewal.at(this.#own.certificate, this.#signing(), hosts);
    if (now < dueAt || now < this.#nextRenewal) return;
    this.#renewing = true;
    try {
      const key = await makeKey();
      const issued = await this.#ask({ csr: await makeRequest(key), hosts });
      const judged = issued.ok
        ? judgeCertificate(issued.value, this.#ports.cluster, this.#own.trusted, now)
        : issued.why.message;
      if (this.#closed) return;
      if (issued.ok && typeof judged !== "string" && judged.node === this.#ports.self) {
        this.#complained = "";
        this.#nextRenewal = 0;
        this.#become({ ...this.#own, key, certificate: issued.value });
        this.#ports.log("info", `has a new certificate, good until ${new Date(expiryOf(issued.value)).toISOString()}`);
      } else this.#complain(typeof judged === "string" ? judged : "the certificate is another node's", now);
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      this.#complain(error.message, now);
    } finally {
      this.#renewing = false;
    }
    this.#look();
  }

  #complain(why: string, now: number): void {
    this.#nextRenewal = now + retryMs * (1 + Math.random());
    const until = new Date(expiryOf(this.#own.certificate)).toISOString();
    const message = `cannot renew its certificate, which is good until ${until}, and tries on: ${why}`;
    if (message !== this.#complained) this.#ports.log("warn", message);
    this.#complained = message;
  }

  /** From itself, else from any voter. */
  async #ask(request: CertificateRequest): Promise<Outcome<string>> {
    let last: Outcome<string> = await this.authority.issue(request, this.#ports.self);
    if (last.ok) return last;
    const voters = this.otherVoters();
    const [met, others] = [
      voters.filter((one) => this.#ports.isConnected(one)),
      voters.filter((one) => !this.#ports.isConnected(one)),
    ];
    for (const voter of [...shuffled(met), ...shuffled(others)]) {
      try {
        last = (await this.#ports.ask(voter, "certificate.issue", request)) as Outcome<string>;
      } catch (error) {
        last = refuse("unavailable", (error as Error).message);
      }
      if (last.ok) return last;
    }
    if (expiryOf(this.#own.certificate) > this.#ports.now()) return last;
    return this.#ports.askApi(askForReissue({ ...this.#own, cluster: this.#ports.cluster }, request));
  }

  /** A member whose certificate has expired asks; a node that cannot issue passes it on to a voter. */
  async reissue(body: unknown): Promise<Outcome<string>> {
    const { cluster } = this.#ports;
    if (this.authority.signer === undefined)
      return (await askVoters(this.otherVoters(), (voter) =>
        this.#ports.ask(voter, "certificate.reissue", body),
      )) as Outcome<string>;
    return reissue(body, {
      cluster,
      trusted: this.#own.trusted,
      shownBy: (node) => this.#state().certificates.find((row) => row.node === node)?.fingerprint,
      now: () => this.#ports.now(),
      issue: (request, node) => this.authority.issue(request, node),
    });
  }

  /** The leader's part in a replacement of the authority. */
  async #step(): Promise<void> {
    if (!this.#ports.isLogged()) return;
    this.#stepping = true;
    try {
      await this.#advance();
    } finally {
      this.#stepping = false;
    }
  }

  async #advance(): Promise<void> {
    const nodes = this.#ports.view(listNodes);
    const members = nodes.map((row) => row.id);
    const state = this.#state();
    if (state.authorities.length === 0) return this.#found();
    const next = rotationStep(state, members);
    const lost = new Set(nodes.filter((row) => row.state === "lost").map((row) => row.id));
    this.#askFormer(state, new Set(members), lost);
    const reason = rekeyReason(state, { members, voters: this.#ports.voters(), lost, deleted: this.#deleted });
    if (reason?.isUrgent !== this.#rekeySince?.isUrgent) this.#rekeySince = undefined;
    if (reason !== undefined) this.#rekeySince ??= { at: this.#ports.now(), isUrgent: reason.isUrgent };
    const by = this.#ports.principal;
    const waitMs = reason?.isUrgent === true ? rekeyAfterMs : deletionMs;
    if (reason !== undefined && this.#ports.now() - this.#rekeySince!.at >= waitMs) {
      this.#rekeySince = undefined;
      const begun = await this.#begin(reason.text, by);
      if (begun.ok) this.#ports.log("info", `replaces the cluster's authority, because ${reason.text}`);
    } else if (next !== undefined) {
      // Also while some member is waited for: who was removed knows the former key.
      const isRekeyed = await this.#rekeySecrets(next.kind === "drop" ? next.fingerprint : undefined);
      if (next.waitsFor.length === 0 && isRekeyed)
        await this.#ports.propose(`authority.${next.kind}`, { fingerprint: next.fingerprint }, by);
    }
  }

  /** True when nothing keeps the former key from being forgotten. Secrets that nobody can read any more do not keep it for ever. */
  async #rekeySecrets(leaving: string | undefined): Promise<boolean> {
    const now = this.#ports.now();
    if (await this.#ports.rekeySecrets(leaving)) {
      this.#unreadableSince = undefined;
      return true;
    }
    if (leaving === undefined) return true; // the next authority may issue already
    this.#unreadableSince ??= now;
    if (now - this.#unreadableSince < unreadableMs) return false;
    this.#ports.log("warn", "some secrets could not be encrypted with the new authority's key: set them again");
    return true;
  }

  /** Members that were given the key and vote no more are asked whether they have deleted it (K1). */
  #askFormer({ authorities, holders }: AuthorityState, members: ReadonlySet<NodeId>, lost: ReadonlySet<NodeId>): void {
    for (const node of this.#deleted) if (this.#ports.isVoter(node) || !members.has(node)) this.#deleted.delete(node);
    const current = new Set(authorities.map((row) => row.fingerprint));
    for (const node of new Set(holders.filter((one) => current.has(one.authority)).map((one) => one.node))) {
      const isFormer = members.has(node) && !lost.has(node) && !this.#ports.isVoter(node);
      if (isFormer && !this.#deleted.has(node) && !this.#asked.has(node)) void this.#askDeleted(node);
    }
  }

  async #askDeleted(node: NodeId): Promise<void> {
    this.#asked.add(node);
    const held = await this.#ports.ask(node, "authority.held", null).catch(() => undefined); // asked again
    this.#asked.delete(node);
    if (Array.isArray(held) && held.length === 0 && !this.#ports.isVoter(node)) this.#deleted.add(node);
  }
}

/** The order of a row as the state gives it. */
function inOrder(row: CommandInput<"certificate.seen">): unknown {
  const { fingerprint, authority, node, expiresAt, trusted } = row;
  return { fingerprint, authority, node, expiresAt, trusted };
}

function shuffled(nodes: readonly NodeId[]): NodeId[] {
  return nodes
    .map((node) => ({ node, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ node }) => node);
}
