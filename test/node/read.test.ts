import { describe, expect, test } from "bun:test";
import { nobody, type NodeId, nodeId } from "../../src/lib/ids.ts";
import { Reader } from "../../src/node/read.ts";

/** A reader on a follower; the leader answers when the test says so. */
class World {
  leader: NodeId = nodeId(2);
  leading = false;
  applied = 0;
  readonly asked: { readonly to: NodeId; readonly answer: PromiseWithResolvers<number | undefined> }[] = [];
  readonly tickets: number[] = [];
  readonly reader = new Reader({
    leader: () => this.leader,
    isLeading: () => this.leading,
    applied: () => this.applied,
    readIndex: (ticket) => this.tickets.push(ticket),
    askLeader: (to) => {
      const answer = Promise.withResolvers<number | undefined>();
      this.asked.push({ to, answer });
      return answer.promise;
    },
    schedule: () => {},
  });

  apply(index: number): void {
    this.applied = index;
    this.reader.onApplied(index);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

describe("a linearizable read on a follower", () => {
  test("never joins a round that began before it came (R1)", async () => {
    const w = new World();
    w.apply(10);
    const first = w.reader.linearizable();
    await turn();
    const later = [w.reader.linearizable(), w.reader.linearizable()];
    await turn();
    expect(w.asked.length).toBe(1);
    w.asked[0]!.answer.resolve(5);
    expect(await first).toEqual({ ok: true, value: 5 });
    await turn();
    expect(w.asked.length).toBe(2); // one round for both
    w.asked[1]!.answer.resolve(7);
    expect(await Promise.all(later)).toEqual([
      { ok: true, value: 7 },
      { ok: true, value: 7 },
    ]);
  });

  test("waits until this node has applied what the leader named", async () => {
    const w = new World();
    w.apply(4);
    let seen: unknown;
    void w.reader.linearizable().then((outcome) => (seen = outcome));
    await turn();
    w.asked[0]!.answer.resolve(6);
    await turn();
    w.apply(5);
    await turn();
    expect(seen).toBeUndefined();
    w.apply(6);
    await turn();
    expect(seen).toEqual({ ok: true, value: 6 });
  });

  test("does not wait for a frozen leader once another one leads", async () => {
    const w = new World();
    w.apply(10);
    const read = w.reader.linearizable();
    await turn();
    expect(w.asked.map((one) => one.to)).toEqual([nodeId(2)]);
    w.leader = nobody;
    w.reader.onLeadership();
    w.leader = nodeId(3);
    w.reader.onLeadership();
    while (w.asked.length < 2) await turn();
    expect(w.asked[1]!.to).toBe(nodeId(3));
    w.asked[1]!.answer.resolve(9);
    expect(await read).toEqual({ ok: true, value: 9 });
  });

  test("a leader that steps down while it is asked confirms nothing", async () => {
    const w = new World();
    w.leading = true;
    w.leader = nodeId(1);
    w.apply(10);
    const read = w.reader.linearizable();
    await turn();
    w.leading = false;
    w.leader = nodeId(2);
    w.reader.onReads([{ ticket: w.tickets[0]!, index: undefined }]);
    while (w.asked.length < 1) await turn();
    w.asked[0]!.answer.resolve(8);
    expect(await read).toEqual({ ok: true, value: 8 });
  });
});
