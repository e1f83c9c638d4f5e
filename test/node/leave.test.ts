import { describe, expect, test } from "bun:test";
import { accept, type Outcome, refuse } from "../../src/lib/outcome.ts";
import { leaveCluster, type LeavePorts, OwnRemoval } from "../../src/node/leave.ts";

/** A leader of several that may leave at once; each situation changes something. */
function member(more: Partial<LeavePorts> = {}) {
  const done: string[] = [];
  let leading = true;
  let voter = true;
  const say = (what: string) => (): Promise<ReturnType<typeof accept<null>>> => {
    done.push(what);
    return Promise.resolve(accept(null));
  };
  const ports: LeavePorts = {
    members: () => 3,
    drain: say("drain"),
    undrain: say("undrain"),
    held: () => 0,
    isLeading: () => leading,
    handOver: () => {
      done.push("hand over");
      leading = false;
      return Promise.resolve(true);
    },
    remove: async () => {
      voter = false;
      return say("remove")();
    },
    counts: () => voter,
    ...more,
  };
  return { done, leave: (timeoutMs = 1000) => leaveCluster(timeoutMs, ports) };
}

describe("leaving", () => {
  test("drains, hands over, removes", async () => {
    const { done, leave } = member();
    expect(await leave()).toEqual(accept({ left: true }));
    expect(done).toEqual(["drain", "hand over", "remove"]);
  });

  test("waits until its work has ended", async () => {
    let held = 2;
    const { done, leave } = member({ held: () => (held > 0 ? held-- : 0) });
    expect((await leave()).ok).toBe(true);
    expect(held).toBe(0);
    expect(done.at(-1)).toBe("remove");
  });

  test("with work that does not end in time is refused, and goes on draining", async () => {
    const { done, leave } = member({ held: () => 1 });
    const left = await leave(0);
    expect(left.ok ? "" : left.why.message).toContain("1 tasks still run here");
    expect(done).toEqual(["drain"]);
  });

  test("waits for a successor: of two nodes the learner is promoted first", async () => {
    let asked = 0;
    let leading = true;
    const { done, leave } = member({
      isLeading: () => leading,
      handOver: () => {
        asked += 1;
        leading = asked < 3;
        return Promise.resolve(!leading);
      },
    });
    expect((await leave()).ok).toBe(true);
    expect(asked).toBe(3);
    expect(done).toEqual(["drain", "remove"]);
  });

  test("of the last node is refused before anything is done", async () => {
    const { done, leave } = member({ members: () => 1 });
    const left = await leave();
    expect(left.ok ? "" : left.why.code).toBe("conflict");
    expect(done).toEqual([]);
  });
});

describe("the removal that a node asks for itself", () => {
  const never = (): Promise<Outcome<unknown>> => new Promise(() => {});

  test("the others shut their doors before its outcome is heard: it was accepted", async () => {
    const removal = new OwnRemoval();
    const asked = removal.ask(never);
    expect(removal.heard()).toBe("awaited");
    expect(await asked).toEqual(accept(undefined));
    expect(removal.isHeard).toBe(true);
  });

  test("the doors are shut after its outcome: still no news", async () => {
    const removal = new OwnRemoval();
    expect(await removal.ask(() => Promise.resolve(accept(null)))).toEqual(accept(null));
    expect(removal.heard()).toBe("awaited");
  });

  test("whoever asked had to be told that it takes longer: the end comes when the others tell", async () => {
    for (const outcome of [accept(null), refuse("unavailable", "its outcome is not known yet")]) {
      const removal = new OwnRemoval();
      await removal.ask(() => Promise.resolve(outcome));
      removal.answered();
      expect(removal.heard()).toBe("late");
    }
  });

  test("an attempt before was refused: whoever asks again is waited for, and the end comes with the answer", async () => {
    const removal = new OwnRemoval();
    removal.answered();
    const asked = removal.ask(never);
    expect(removal.heard()).toBe("awaited");
    expect(await asked).toEqual(accept(undefined));
  });

  test("removed by somebody else: news, also after a removal of its own was refused", async () => {
    const removal = new OwnRemoval();
    expect(removal.heard()).toBe("unasked");
    for (const refusal of [
      refuse("conflict", "it holds work"),
      refuse("unavailable", "nothing was done", { retry: "safe" }),
    ]) {
      expect((await removal.ask(() => Promise.resolve(refusal))).ok).toBe(false);
      removal.answered();
      expect(removal.heard()).toBe("unasked");
    }
    expect(removal.isHeard).toBe(false);
  });
});
