import type { LogStream } from "../pack-record.ts";
import type { AnsibleEvent, Said } from "./ansible-events.ts";

/** A piece of a host's log. */
export interface Piece {
  readonly stream: LogStream;
  readonly text: string;
}

/**
 * What the log of its host says of an event. Of a playbook each task has a line, and below it what it printed and changed. Of a module that runs alone there is what it
 * printed, and nothing around it, so that the outputs of many hosts can be compared.
 */
export function* wordsOf(event: AnsibleEvent, isAdHoc: boolean): Generator<Piece, void, undefined> {
  switch (event.event) {
    case "ok":
    case "skipped": {
      const isPrinted = event.rc !== undefined;
      const what = event.event === "ok" && event.changed ? "changed" : event.event;
      if (!isAdHoc) yield out(`${what}: ${event.name}${event.event === "skipped" ? because(event) : ""}`);
      else if (!isPrinted) yield out(`${what}${event.dump === undefined ? because(event) : ` ${event.dump}`}`);
      yield* printed(event);
      if (!isAdHoc && event.dump !== undefined) yield out(event.dump);
      return;
    }
    case "failed": {
      const code = event.rc === undefined ? "" : ` with code ${event.rc}`;
      const ignored = event.ignored ? ", ignored" : "";
      yield* printed(event);
      if (isAdHoc && event.rc !== undefined) return;
      yield err(`failed${code}${ignored}: ${event.name}${because(event)}`);
      if (event.dump !== undefined) yield err(event.dump);
      return;
    }
    case "unreachable":
      yield err(`unreachable: ${event.name}${because(event)}`);
      return;
    case "item": {
      const what = event.what === "ok" && event.changed ? "changed" : event.what;
      yield out(`  ${what}: ${event.name} (item ${event.label})${event.what === "ok" ? "" : because(event)}`);
      yield* printed(event);
      if (event.what === "failed" && event.dump !== undefined) yield err(event.dump);
      return;
    }
    case "retry":
      yield out(`again: ${event.name} (${event.attempt} of ${event.retries})`);
      return;
    default:
      return;
  }
}

function* printed({ stdout, stderr, diff }: Said): Generator<Piece, void, undefined> {
  if (stdout !== undefined) yield out(stdout);
  if (stderr !== undefined) yield err(stderr);
  if (diff !== undefined && diff.trim() !== "") yield out(diff);
}

function because({ msg }: Said): string {
  return msg === undefined ? "" : `: ${msg}`;
}

const out = (text: string): Piece => ({ stream: "stdout", text: withLineEnd(text) });
const err = (text: string): Piece => ({ stream: "stderr", text: withLineEnd(text) });

function withLineEnd(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}
