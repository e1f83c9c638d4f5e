import { clusterMutants } from "./cluster-mutants.ts";
import { clockMutants, membershipMutants } from "./membership-mutants.ts";
import { cronMutants } from "./cron-mutants.ts";
import { gatedMutants } from "./gated-mutants.ts";
import type { Mutant } from "./mutant.ts";
import { oddMutants } from "./odd-mutants.ts";
import { raftMutants } from "./raft-mutants.ts";
import { roomMutants } from "./room-mutants.ts";
import { storageMutants } from "./storage-mutants.ts";

/** All of them, by number. */
export const mutants: readonly Mutant[] = [
  ...raftMutants,
  ...storageMutants,
  ...clusterMutants,
  ...gatedMutants,
  ...oddMutants,
  ...membershipMutants,
  ...clockMutants,
  ...roomMutants,
  ...cronMutants,
].toSorted((a, b) => Number.parseInt(a.name, 10) - Number.parseInt(b.name, 10) || a.name.localeCompare(b.name));
