import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Configuration, decodeConfiguration, emptyConfiguration } from "../lib/configuration.ts";
import { firstEpoch } from "../lib/epoch.ts";
import type { Survivor } from "../lib/survivors.ts";
import { decodeEntry } from "../state/entry.ts";
import { appliedIndex, clusterRow, listNodes, stateClock, stateHash } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import { readQuarantine } from "./quarantine.ts";
import { type LogSurvey, surveyLog } from "../storage/log-survey.ts";
import { placeOf } from "../storage/snapshot-file.ts";
import type { StatePlace } from "../storage/state-db.ts";
import { StateReader } from "../storage/state-reader.ts";
import type { Identity } from "../storage/types.ts";

/** What a node has, from the files of one that is stopped. Its data directory must be locked by the caller. Changes nothing. Throws Fault. */
export function surveyData(dataDir: string, identity: Identity): Survivor {
  const statePath = join(dataDir, "state.db");
  // One that comes to an epoch with nothing has none before its first start.
  const reader = existsSync(statePath) ? new StateReader(statePath) : undefined;
  const place = reader === undefined ? nothing : placeOf(statePath);
  try {
    let lastAt = 0;
    const log = surveyLog(join(dataDir, "log.db"), { index: place.applied, term: place.term }, ({ kind, data }) => {
      if (kind === "command") lastAt = decodeEntry(data).at;
    });
    const { configuration, configurationIndex } = configurationOf(place, log);
    const { voters, outgoing, learners } = configuration;
    return {
      cluster: identity.cluster,
      epoch: identity.epoch ?? firstEpoch,
      node: identity.node,
      name: identity.name,
      lastIndex: log.last.index,
      lastTerm: log.last.term,
      term: log.term,
      commit: log.commit,
      voters,
      outgoing,
      learners,
      configurationIndex,
      damagedFrom: log.damagedFrom ?? null,
      quarantinedAt: readQuarantine(dataDir)?.index ?? null,
      leader: null,
      ...(reader?.snapshot(() => surveyState(reader, lastAt)) ?? { ...noState, lastAt }),
    };
  } finally {
    reader?.close();
  }
}

/** What the state contains is committed; a later one is in the log alone. A log that lost some of its entries may know only one of before. */
function configurationOf(
  place: StatePlace,
  log: LogSurvey,
): { readonly configuration: Configuration; readonly configurationIndex: number } {
  const found = log.configuration;
  if (found !== undefined && found.index > place.applied)
    return { configuration: found.value, configurationIndex: found.index };
  const kept = place.configuration === undefined ? undefined : decodeConfiguration(place.configuration);
  return { configuration: kept ?? found?.value ?? emptyConfiguration, configurationIndex: place.applied };
}

const noState = { level: 0, applied: 0, hash: "", members: [] };
const nothing: StatePlace = { applied: 0, term: 0, configuration: undefined, hash: "" };

/** The part of it that is in the state. `lastAt`: the clock of the last entry, where that is known beyond the state. */
export function surveyState(
  tx: ReadTx,
  lastAt: number,
): Pick<Survivor, "level" | "applied" | "hash" | "lastAt" | "members"> {
  return {
    level: clusterRow(tx)?.level ?? 0,
    applied: appliedIndex(tx),
    hash: stateHash(tx),
    lastAt: Math.max(lastAt, stateClock(tx)),
    members: listNodes(tx).map(({ id, name, api, peer }) => ({ node: id, name, api, peer })),
  };
}
