import { type FromLogWorker, LogWriter, type ToLogWorker } from "./log-writer.ts";

/** The thread that owns log.db's writing connection (log-writer.ts). */

declare const self: Worker;

const writer = new LogWriter({
  post: (message: FromLogWorker) => self.postMessage(message),
  // Messages already delivered to this thread are all handled before an immediate runs.
  after: (ms, run) => void (ms === 0 ? setImmediate(run) : setTimeout(run, ms)),
});
self.onmessage = (event: MessageEvent<ToLogWorker>): void => {
  if (event.data.kind === "open") self.postMessage({ kind: "alive" } satisfies FromLogWorker);
  writer.tell(event.data);
};
