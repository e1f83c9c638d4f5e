import { describe, expect, test } from "bun:test";
import { SkeinClient } from "../../src/client/client.ts";
import { ApiError } from "../../src/client/errors.ts";
import { refuse, type LimitKind } from "../../src/lib/outcome.ts";
import { errorBody, errorHeaders } from "../../src/http/errors.ts";

/** Three nodes that refuse the first requests because of that limit, as the API answers. */
function refusing(limit: LimitKind, times: number) {
  const asked: { readonly host: string; readonly at: number; readonly key: string | null }[] = [];
  const client = new SkeinClient({
    addrs: ["http://a:1", "http://b:1", "http://c:1"],
    fetch: (url, init) => {
      const key = new Headers(init.headers).get("idempotency-key");
      asked.push({ host: new URL(url).hostname, at: performance.now(), key });
      const { why } = refuse("busy", "there is no room", { retryAfterMs: 1000, limit });
      return Promise.resolve(
        asked.length <= times
          ? new Response(errorBody(why), { status: 429, headers: errorHeaders(why) })
          : new Response(JSON.stringify({ id: 7 }), { status: 201 }),
      );
    },
  });
  return { client, asked };
}

describe("a refusal by a limit", () => {
  test("of the whole cluster is waited for as long as it says, and no other node is asked meanwhile", async () => {
    const { client, asked } = refusing("submitter", 1);
    expect(await client.submit({ run: "x" })).toEqual({ ids: [7], repeated: false });
    expect(asked).toHaveLength(2);
    // The wait is what this is about: not before the time that was named.
    expect(asked[1]!.at - asked[0]!.at).toBeGreaterThanOrEqual(999);
    expect(new Set(asked.map(({ key }) => key)).size).toBe(1); // one submit, whichever of them is done
  });

  test("of one node has the next one asked at once", async () => {
    const { client, asked } = refusing("room", 2);
    expect(await client.submit({ run: "x" })).toEqual({ ids: [7], repeated: false });
    expect(asked.map(({ host }) => host).toSorted()).toEqual(["a", "b", "c"]);
  });

  test("that stays is told with its kind, and that a repetition is safe", async () => {
    const { client } = refusing("jobs", Infinity);
    const error: unknown = await client.submit({ run: "x" }, { patienceMs: 1 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ code: "busy", limit: "jobs", retryAfterMs: 1000, safeToRepeat: true });
  });
});
