import { type Epoch, formatEpoch, sameEpoch } from "../lib/epoch.ts";
import type { Rejection } from "./handshake.ts";

/** Nobody is let in across epochs, whatever else holds; undefined: they are of the same one. The words are for the node that dialed. */
export function rejectEpoch(own: Epoch, theirs: Epoch): Rejection | undefined {
  return sameEpoch(own, theirs) ? undefined : { reason: reasonOf(own, theirs), final: true, epoch: own };
}

function reasonOf(own: Epoch, theirs: Epoch): string {
  const [here, there] = [formatEpoch(own), formatEpoch(theirs)];
  if (own.number > theirs.number)
    return `the cluster lost its quorum and was recovered into epoch ${here}, without what this node has, which is of epoch ${there}`;
  if (own.number < theirs.number)
    return `it is still of epoch ${here} and this node of epoch ${there}: if it was named as a survivor, stop it and run 'skein cluster recover --rejoin' there; else it can only join again as a new node`;
  return `it is of epoch ${here} and this node of epoch ${there}: the cluster was recovered twice, from different nodes; decide for one, and let the others join it as new nodes`;
}

/** The epoch of the one who refused, when that is newer than our own. */
export function newerThan(theirs: Epoch | undefined, own: Epoch): Epoch | undefined {
  return theirs !== undefined && theirs.number > own.number ? theirs : undefined;
}
