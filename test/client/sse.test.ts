import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { serverEvents, type ServerEvent } from "../../src/client/sse.ts";

async function parsed(pieces: readonly Uint8Array[]): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const events: ServerEvent[] = [];
  for await (const event of serverEvents(body)) events.push(event);
  return events;
}

const stream =
  ': hello\n\nevent: job\nid: 3.1\ndata: {"a":"ü"}\n\ndata: one\r\ndata: two\r\n\r\n:\n\nid: 4.0\n\ndata:x\n\ndata: unfinished';
const expected = [
  { event: "job", id: "3.1", data: '{"a":"ü"}' },
  { event: "message", id: "3.1", data: "one\ntwo" },
  { event: "message", id: "4.0", data: "x" },
];

test("events are read by the grammar: comments, names, ids that stay, several data lines, an unfinished end", async () => {
  expect(await parsed([new TextEncoder().encode(stream)])).toEqual(expected);
});

test("wherever the network cuts the stream, the events are the same", async () => {
  const bytes = new TextEncoder().encode(stream);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
      const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      const pieces = edges.slice(1).map((end, at) => bytes.slice(edges[at], end));
      expect(await parsed(pieces)).toEqual(expected);
    }),
  );
});
