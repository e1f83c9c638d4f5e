/**
 * A cluster whose quorum was lost for good goes on in a new *epoch*, made by a person from what one survivor has; so does one that is restored
 * from a backup. Nodes of different epochs have different histories and never talk to each other: the handshake carries the epoch.
 *
 * The log's index says its epoch: each begins at a multiple of {@link epochSpan}. So an index, and with it SKEIN_FENCE, is above every one that the
 * members which are gone may have given out, however many entries they had that no survivor has; and whoever shows an index (a reader of events
 * that resumes) shows by it which epoch it is of.
 */
export interface Epoch {
  /** 0: as the cluster was founded; grows by one each time. */
  readonly number: number;
  /** Random: two that were made from different survivors are different ones. "" for the first. */
  readonly id: string;
}

export const firstEpoch: Epoch = { number: 0, id: "" };

/** More entries than a cluster ever logs in one epoch: 100,000 a second for four months, and 8,192 epochs fit a double. */
export const epochSpan = 2 ** 40;
const epochsMax = 2 ** 53 / epochSpan;

/** Where the state of that epoch begins: its first entry has the next index. */
export function epochStart(number: number): number {
  return number * epochSpan;
}

/** The number of the epoch that this index belongs to. */
export function epochOfIndex(index: number): number {
  return Math.floor(index / epochSpan);
}

/** "0", "1.9f3a52c1". */
export function formatEpoch({ number, id }: Epoch): string {
  return id === "" ? String(number) : `${number}.${id}`;
}

/** undefined: it is none. */
export function parseEpoch(text: string): Epoch | undefined {
  const match = /^(\d{1,4})(?:\.([0-9a-f]{8}))?$/.exec(text);
  const epoch = match === null ? undefined : { number: Number(match[1]), id: match[2] ?? "" };
  return epoch !== undefined && isEpoch(epoch) ? epoch : undefined;
}

/** True for a value of that form: data comes from files. */
export function isEpoch(value: unknown): value is Epoch {
  const { number, id } = (value ?? {}) as { readonly [Field in keyof Epoch]?: unknown };
  if (!Number.isSafeInteger(number) || typeof id !== "string") return false;
  const isFirst = number === 0 && id === "";
  return isFirst || ((number as number) > 0 && (number as number) < epochsMax && /^[0-9a-f]{8}$/.test(id));
}

/** The same epoch of the same cluster. */
export function sameEpoch(a: Epoch, b: Epoch): boolean {
  return a.number === b.number && a.id === b.id;
}
