import { expect, test } from "bun:test";
import { readBytes } from "../../src/http/body.ts";

/** A request whose body the test sends. */
function requestOf(headers: Record<string, string> = {}) {
  let cancelled = false;
  let sending: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (sending = controller),
    cancel: () => void (cancelled = true),
  });
  const request = new Request("http://localhost/", { method: "POST", body, headers });
  return { request, send: sending!, isCancelled: () => cancelled };
}

test("a body that does not arrive in time is refused, and no more of it is read", async () => {
  for (const headers of [{}, { "content-length": "4" }]) {
    const { request, send, isCancelled } = requestOf(headers);
    send.enqueue(new Uint8Array([1, 2]));
    const read = await readBytes(request, 4, 1);
    expect(read).toMatchObject({ ok: false, why: { code: "bad-json", message: "the body did not arrive in time" } });
    expect(isCancelled()).toBe(true);
  }
});

test("a body that arrives in time, in pieces, is read whole; one that is larger than it may be is not", async () => {
  const { request, send } = requestOf();
  send.enqueue(new Uint8Array([1, 2]));
  const reading = readBytes(request, 4, 60_000);
  send.enqueue(new Uint8Array([3, 4]));
  send.close();
  expect(await reading).toEqual({ ok: true, value: Buffer.from([1, 2, 3, 4]) });
  const large = requestOf();
  large.send.enqueue(new Uint8Array(5));
  expect(await readBytes(large.request, 4, 60_000)).toMatchObject({ ok: false, why: { code: "too-large" } });
  expect(large.isCancelled()).toBe(true);
});
