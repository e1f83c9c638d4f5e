/**
 * The outside failing: a socket, a disk, a peer. The retry policy is in the type, so that a caller never has to
 * guess: "never" (the operation did not and will not happen), "safe" (repeat freely: nothing happened or it is
 * idempotent), "unknown" (it may have happened: repeat only with the same key or serial).
 */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly retry: "never" | "safe" | "unknown";

  constructor(code: FaultCode, message: string, retry: "never" | "safe" | "unknown", cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retry = retry;
  }
}

export type FaultCode =
  | "peer-unreachable" // no socket to that peer, or it closed while we waited
  | "peer-timeout" // the peer did not answer in time
  | "peer-refused" // the peer answered with an error
  | "disk" // the disk failed a read, a write or a sync: the process stops (D4)
  | "disk-full" // refused before the sync: nothing was acknowledged
  | "data" // the data directory is not what it should be (other cluster, other version, locked)
  | "port" // an address could not be bound
  | "guard" // the guard could not be started or reached
  | "protocol"; // a frame that makes no sense; the socket is closed
