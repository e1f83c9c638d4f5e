import type { AnsibleEvent, Recap, Said } from "./ansible-events.ts";

/**
 * What ansible.posix.jsonl tells, as our own plugin's events: it is used where that plugin cannot be. It does not say on which host a task has begun, whether a failure was ignored or may
 * be rescued (only the recap does), nor which hosts a playbook was broken off for; it counts no host's time, and puts no word into the environment of what runs.
 */
export function eventsOfLine(line: unknown): AnsibleEvent[] | undefined {
  if (typeof line !== "object" || line === null) return undefined;
  const { _event: event, hosts, task, play, stats } = line as JsonLine;
  if (event === undefined) return undefined;
  const name = task?.name ?? "";
  switch (event) {
    case "v2_playbook_on_play_start":
      return [
        { event: "open", ansible: "" },
        { event: "play", name: play?.name ?? "" },
      ];
    case "v2_playbook_on_task_start":
    case "v2_playbook_on_handler_task_start":
    case "v2_runner_on_start":
      return [{ event: "begun", name }];
    case "v2_runner_on_ok":
      return Object.entries(hosts ?? {}).flatMap(([host, result]) => [
        ...factsIn(host, result),
        resultOf(event, host, name, result),
      ]);
    case "v2_runner_on_skipped":
    case "v2_runner_on_failed":
    case "v2_runner_on_unreachable":
      return Object.entries(hosts ?? {}).map(([host, result]) => resultOf(event, host, name, result));
    case "v2_playbook_on_stats":
      return [{ event: "stats", hosts: stats ?? {} }];
    default:
      return [];
  }
}

interface JsonLine {
  readonly _event?: string;
  readonly hosts?: Readonly<Record<string, JsonResult>>;
  readonly task?: { readonly name?: string };
  readonly play?: { readonly name?: string };
  readonly stats?: Readonly<Record<string, Recap>>;
}

type JsonResult = Readonly<Record<string, unknown>>;

function resultOf(event: string, host: string, name: string, result: JsonResult): AnsibleEvent {
  const told = { host, name, changed: result["changed"] === true, ...saidBy(result) };
  switch (event) {
    case "v2_runner_on_ok":
      return { event: "ok", ...told };
    case "v2_runner_on_skipped":
      return { event: "skipped", ...told };
    case "v2_runner_on_unreachable":
      return { event: "unreachable", ...told };
    default:
      return { event: "failed", ignored: false, rescuable: true, ...told };
  }
}

/** What setup has found, of the host itself. */
function factsIn(host: string, result: JsonResult): AnsibleEvent[] {
  const { action, ansible_facts: facts, _ansible_delegated_vars: delegated } = result;
  const isSetup = typeof action === "string" && /(^|\.)(setup|gather_facts)$/.test(action);
  if (!isSetup || delegated !== undefined || typeof facts !== "object" || facts === null) return [];
  const said = Object.entries(facts).map(([name, value]) => [name.replace(/^ansible_/, ""), value]);
  return [{ event: "facts", host, said: Object.fromEntries(said) as Readonly<Record<string, unknown>> }];
}

function saidBy(result: JsonResult): Said {
  const textOf = (...keys: readonly string[]): string | undefined => {
    const found = keys.map((key) => result[key]).find((value) => value !== undefined && value !== "" && value !== null);
    return found === undefined ? undefined : typeof found === "string" ? found : JSON.stringify(found);
  };
  const [rc, stdout, stderr] = [result["rc"], textOf("stdout", "module_stdout"), textOf("stderr", "module_stderr")];
  const msg = textOf("msg", "censored", "reason", "skip_reason");
  const diff = result["changed"] === true ? textOf("diff") : undefined;
  return {
    ...(typeof rc === "number" ? { rc } : {}),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
    ...(msg === undefined ? {} : { msg }),
    ...(diff === undefined ? {} : { diff }),
  };
}
