import { rmSync } from "node:fs";
import { Fault } from "../lib/fault.ts";
import type { MadeSnapshot } from "./snapshot-send.ts";

/** What a copy of the state needs before it leaves this node (S1). */
export interface SnapshotMakePorts {
  /** Copies the state as it is now into a file. Throws Fault. */
  copy(): Promise<MadeSnapshot>;
  /** As far as this node knows itself. */
  isRight(made: MadeSnapshot): boolean;
  /** The other voters are asked. Throws Fault. */
  vouch(made: MadeSnapshot): Promise<void>;
}

/** It is known to be wrong. */
export const notForOthers = (): Fault => new Fault("data", "the state of this node is not one for others", "safe");

/** A copy that others may have; one that they may not leaves no file behind. Throws Fault. */
export async function makeSnapshot(ports: SnapshotMakePorts): Promise<MadeSnapshot> {
  const made = await ports.copy();
  try {
    if (!ports.isRight(made)) throw notForOthers();
    await ports.vouch(made);
    // Meanwhile a quorum may have said that it is wrong.
    if (!ports.isRight(made)) throw notForOthers();
    return made;
  } catch (error) {
    rmSync(made.path, { force: true });
    throw error;
  }
}
