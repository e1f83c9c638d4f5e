import { refuse } from "../lib/outcome.ts";

/** Somebody named a node that is no member (any more). */
export function noNode(reference: string | number) {
  return refuse("not-found", `there is no node ${reference}: 'skein nodes ls' shows those there are`);
}
