import { limits } from "../lib/limits.ts";
import { accept, type Outcome } from "../lib/outcome.ts";
import type { CommandInput } from "../state/commands/index.ts";
import type { TokenRow } from "../state/queries.ts";
import type { Principal } from "../state/types.ts";
import type { MadeToken, NewTokenOptions } from "./api.ts";
import { newApiToken, newJoinToken, parseApiToken, principalOf } from "./credentials.ts";

/** Who a bearer token is, and new join tokens. */
export interface TokenPorts {
  findToken(id: string): TokenRow | undefined;
  /** Fingerprint of the authority that issues certificates now. */
  authority(): string;
  /** Logs token.create. */
  create(input: CommandInput<"token.create">, by: Principal): Promise<Outcome<unknown>>;
  /** Wall time, epoch ms. */
  now(): number;
}

/** Verified tokens are remembered until the log says anything of tokens or members: a revoked one is judged anew at once. */
export class Tokens {
  readonly #ports: TokenPorts;
  readonly #known = new Map<string, Principal>();

  constructor(ports: TokenPorts) {
    this.#ports = ports;
  }

  /** The log changed a token, or a node whose tokens end with it. */
  forget(): void {
    this.#known.clear();
  }

  /** undefined: unknown here, wrong, expired or revoked. */
  authenticate(text: string): Principal | undefined {
    const parsed = parseApiToken(text);
    if (parsed === undefined) return undefined;
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const row = this.#ports.findToken(parsed.id);
    const principal = principalOf(parsed.secret, row, this.#ports.now());
    // A token with an end is judged each time.
    if (principal !== undefined && row?.expiresAt === null) this.#known.set(text, principal);
    return principal;
  }

  /** Makes an API token; its text is given once and kept nowhere. */
  async createToken({ name, role, ttlMs }: NewTokenOptions, by: Principal): Promise<Outcome<MadeToken>> {
    const token = newApiToken();
    const expiresAt = ttlMs === undefined ? null : this.#ports.now() + ttlMs;
    const outcome = await this.#ports.create(
      { id: token.id, hash: token.hash, kind: "api", name, role, expiresAt, uses: null },
      by,
    );
    return outcome.ok ? accept({ id: token.id, token: token.text, expiresAt }) : outcome;
  }

  /** Makes a join token; its text is given once and kept nowhere. */
  async createJoinToken(
    options: { readonly ttlMs: number; readonly uses: number },
    by: Principal,
  ): Promise<Outcome<{ readonly token: string }>> {
    const token = newJoinToken(this.#ports.authority());
    const outcome = await this.#ports.create(
      {
        id: token.id,
        hash: token.hash,
        kind: "join",
        name: `join token of ${by.name}`.slice(0, limits.nameLength),
        role: "operator",
        expiresAt: this.#ports.now() + options.ttlMs,
        uses: options.uses,
      },
      by,
    );
    return outcome.ok ? accept({ token: token.text }) : outcome;
  }
}
