import type { FromLogWorker, ToLogWorker } from "../../src/storage/log-writer.ts";

/** The log's worker on a disk that fails once, at one statement; what it says, in order. */
export class FailingWorker {
  readonly #worker: Worker;
  readonly #said: string[] = [];
  #heard: () => void = () => {};

  constructor(failing: string) {
    this.#worker = new Worker(new URL("./failing-log-worker.ts", import.meta.url), { argv: [failing] });
    this.#worker.onmessage = ({ data }: MessageEvent<FromLogWorker | { readonly kind: "loaded" }>) => {
      this.#said.push(data.kind === "durable" ? `durable ${data.token}` : data.kind);
      this.#heard();
    };
  }

  tell(message: ToLogWorker): void {
    this.#worker.postMessage(message);
  }

  async hears(): Promise<string> {
    while (this.#said.length === 0) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
    return this.#said.shift()!;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
