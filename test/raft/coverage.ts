/** What one run met, so that a test can tell that the rare paths were really walked. */
export interface Coverage {
  elections: number;
  crashes: number;
  changes: number;
  reads: number;
  transfers: number;
  committed: number;
  overwrites: number;
  compactions: number;
  snapshots: number;
  joint: number;
  left: number;
  repairs: number;
  stalls: number;
  freezes: number;
  lags: number;
  replays: number;
  resets: number;
  /** States that were found to be wrong, and those that were replaced. */
  distrusts: number;
  reloads: number;
  /** Elections of nodes with a wrong state. */
  untrustedElections: number;
  /** Syncs that failed, on real files. */
  diskErrors: number;
  /** Endings in which everything outside of a core stayed broken for good. */
  cores: number;
  /** Leaders whose disk hung while all was well otherwise. */
  hangs: number;
  /** Runs that could not go on without a person, since a quorum needed a damaged node. */
  excused: number;
}

/** Nothing met yet. */
export function noCoverage(): Coverage {
  return {
    elections: 0,
    crashes: 0,
    changes: 0,
    reads: 0,
    transfers: 0,
    committed: 0,
    overwrites: 0,
    compactions: 0,
    snapshots: 0,
    joint: 0,
    left: 0,
    repairs: 0,
    stalls: 0,
    freezes: 0,
    lags: 0,
    replays: 0,
    resets: 0,
    distrusts: 0,
    reloads: 0,
    untrustedElections: 0,
    diskErrors: 0,
    cores: 0,
    hangs: 0,
    excused: 0,
  };
}
