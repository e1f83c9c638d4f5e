import type { NodeId } from "../lib/ids.ts";
/** Who owns which schedule. */
export function liveMembers(nodes: readonly { readonly id: NodeId; readonly state: string }[]): NodeId[] {
  return nodes.filter((n) => n.state === "up").map((n) => n.id);
}
/** Who owns which schedule. */
export class Owners {
  readonly #m: readonly NodeId[];
  constructor(m: readonly NodeId[]) {
    this.#m = m;
  }
  of(id: number): NodeId | undefined {
    return this.#m[id % this.#m.length];
  }
}
