import { describe, expect, test } from "bun:test";
import { accept } from "../../src/lib/outcome.ts";
import { hashSecret, newApiToken, newJoinToken, parseApiToken, parseJoinToken } from "../../src/node/credentials.ts";
import { Tokens } from "../../src/node/tokens.ts";
import type { CommandInput } from "../../src/state/commands/index.ts";
import type { TokenRow } from "../../src/state/queries.ts";

const day = 86_400_000;

/** Tokens over one row, which the test may change. */
function rig(row: TokenRow) {
  const state = { row, now: 10 * day, looked: 0 };
  const created: CommandInput<"token.create">[] = [];
  const tokens = new Tokens({
    findToken: (id) => {
      state.looked += 1;
      return id === state.row.id ? state.row : undefined;
    },
    authority: () => "a".repeat(32),
    create: (input) => {
      created.push(input);
      return Promise.resolve(accept({ id: input.id }));
    },
    now: () => state.now,
  });
  return { tokens, state, created };
}

function rowOf(token: { readonly id: string; readonly hash: string }, more: Partial<TokenRow> = {}): TokenRow {
  return {
    ...token,
    kind: "api",
    name: "ann",
    role: "viewer",
    expiresAt: null,
    uses: null,
    revoked: false,
    node: null,
    ...more,
  };
}

describe("a bearer token", () => {
  const token = newApiToken();
  const right = rowOf({ id: token.id, hash: token.hash });

  test("is its owner with the owner's role", () => {
    expect(rig(right).tokens.authenticate(token.text)).toEqual({ token: token.id, name: "ann", role: "viewer" });
  });

  test("of a known id with another secret is nobody", () => {
    const guess = token.text.slice(0, -32) + "A".repeat(32);
    expect(parseApiToken(guess)?.id).toBe(token.id); // it is looked up and compared, not refused by its form
    const { tokens, state } = rig(right);
    expect(tokens.authenticate(guess)).toBeUndefined();
    expect(state.looked).toBe(1);
    expect(tokens.authenticate(token.text)).toBeDefined();
    expect(tokens.authenticate(guess)).toBeUndefined();
  });

  test.each([
    ["revoked", { revoked: true }],
    ["past its end", { expiresAt: 10 * day }],
    ["for joining", { kind: "join" }],
    ["unknown", { id: "000000000000" }],
  ] as const)("that is %s is nobody", (_what, more) => {
    expect(rig({ ...right, ...more }).tokens.authenticate(token.text)).toBeUndefined();
  });

  test("is judged anew when the log says anything of tokens: a revoked one is nobody at once", () => {
    const { tokens, state } = rig(right);
    expect(tokens.authenticate(token.text)).toBeDefined();
    state.row = { ...right, revoked: true };
    expect(tokens.authenticate(token.text)).toBeDefined(); // remembered: the log has not said so here yet
    tokens.forget();
    expect(tokens.authenticate(token.text)).toBeUndefined();
  });

  test("with an end is not remembered past it", () => {
    const { tokens, state } = rig({ ...right, expiresAt: 11 * day });
    expect(tokens.authenticate(token.text)).toBeDefined();
    state.now = 11 * day;
    expect(tokens.authenticate(token.text)).toBeUndefined();
  });
});

describe("a new join token", () => {
  test("is logged by its hash alone, with its end and its uses, under a name that fits", async () => {
    const { tokens, created } = rig(rowOf({ id: "x", hash: "y" }));
    const by = { token: "t", name: "n".repeat(200), role: "admin" } as const;
    const made = await tokens.createJoinToken({ ttlMs: day, uses: 3 }, by);
    const parsed = parseJoinToken(made.ok ? made.value.token : "");
    if (typeof parsed === "string") throw new Error(parsed);
    expect(created[0]).toMatchObject({
      id: parsed.id,
      hash: hashSecret(parsed.secret),
      uses: 3,
      expiresAt: 11 * day,
      kind: "join",
    });
    expect(JSON.stringify(created[0])).not.toContain(parsed.secret);
    expect(created[0]!.name.length).toBe(200);
    expect(parsed.fingerprint).toBe("a".repeat(32));
    expect(newJoinToken("b".repeat(32)).text.split(".")[1]).toBe("b".repeat(32));
  });
});
