/**
 * The binary as it would be if log.db and state.db were opened with synchronous=OFF: built from a copy of the sources, which themselves have no
 * switch for it (D1). What shows that a power loss is survived must show that this one does not survive it. Beside the two pragmas one thing differs: the
 * mark beside the log (storage/log-mark.ts) is left as it was. It is synced by itself, and the sound binary, which judges what is left, would not start.
 */
import path from "node:path";
import type { Planted } from "../test/mutants/mutant.ts";
import { Plantation } from "../test/mutants/plant.ts";
import { compile } from "./build.ts";

/** What is changed in the copy. */
export const synchronousOff: Planted = {
  name: "synchronous-off",
  title: "log.db and state.db are opened with synchronous=OFF",
  patches: [
    {
      file: "src/storage/log-database.ts",
      old: `this.#database.run("pragma synchronous = full");`,
      new: `this.#database.run("pragma synchronous = off");`,
    },
    {
      file: "src/storage/state-db.ts",
      old: `this.#database.run("pragma synchronous = normal");`,
      new: `this.#database.run("pragma synchronous = off");`,
    },
    {
      file: "src/storage/log-mark.ts",
      old: "writeJson(this.#path, { version, number });",
      new: "",
    },
  ],
};

/** Builds it; it is gone when it is disposed. Throws with what does not fit, or with the builder's words. */
export async function buildSynchronousOff(): Promise<Disposable & { readonly executable: string }> {
  const copy = new Plantation(synchronousOff);
  try {
    const executable = path.join(copy.path, "skein");
    await compile(copy.path, executable, "-synchronous-off");
    return { executable, [Symbol.dispose]: () => copy[Symbol.dispose]() };
  } catch (error) {
    copy[Symbol.dispose]();
    throw error;
  }
}
