import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { yamlMistake } from "../lib/yaml-mistake.ts";
import { listResults } from "../state/results.ts";
import type { Principal } from "../state/types.ts";
import {
  answer,
  base,
  bodyOf,
  dateOf,
  type Found,
  jobSpec,
  kindLabel,
  listed,
  pagesLooked,
  missingIn,
  namesIn,
  refused,
  specOf,
  submitTask,
  taskVariable,
  tasksOfTask,
  textIn,
  timeoutIn,
} from "./distribute.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readState, type Route } from "./route.ts";
import { next, whole } from "./shapes.ts";

const usualSeconds = 600;

/** What playbooks name the addresses by: text that was replaced, and is a group here, and a variable that names the group. */
const placeholder = "target_hosts";

/** POST and GET /api/v1/distribute/playbook: a playbook on hosts, and how much of it went well on each. */
export function distributePlaybookRoutes(parts: HttpParts): readonly Route[] {
  return [
    {
      method: "POST",
      path: `${base}/playbook`,
      right: "jobs:write",
      doc: "Distribute: runs a playbook (playbook_content, with hosts: target_hosts) on addresses (ips), under a task_id that was not given before.",
      status: 200,
      body: z.object({
        ips: z.string().describe("Addresses with commas, or node sets."),
        task_id: z.string().describe("Chosen by the caller; used once."),
        task_name: z.string(),
        playbook_content: z.string(),
        playbook_name: z.string(),
        type: z.string().describe('"playbook"'),
        project_name: z.string().optional().describe("A bundle in whose tree it runs."),
        timeout: z.union([z.number(), z.string()]).optional().describe("Of each host, in seconds; default 600."),
      }),
      answer,
      serve: (exchange, by) => post(parts, exchange, by),
      refusal: (why) => refused(parts, why),
    },
    {
      method: "GET",
      path: `${base}/playbook`,
      right: "read",
      doc: "Distribute: how the newest playbook of each address (ips) went there, or a task's (task_id): the share of its tasks that went well.",
      status: 200,
      query,
      answer,
      serve: (exchange) => get(parts, exchange),
      refusal: (why) => refused(parts, why),
    },
  ];
}

async function post(parts: HttpParts, exchange: Exchange, by: Principal): Promise<Response> {
  const body = await bodyOf(exchange);
  if (!body.ok) return refused(parts, body.why);
  const missing = missingIn(body.value, ["ips", "task_id", "task_name", "playbook_content", "playbook_name", "type"]);
  if (missing !== undefined && !missing.ok) return refused(parts, missing.why);
  const { playbook_content: content } = body.value;
  const mistake =
    typeof content === "string" && content.length <= limits.playbookBytes ? yamlMistake(content) : undefined;
  if (mistake !== undefined) {
    const { line, column, message } = mistake;
    const words = `is no YAML: line ${line}, column ${column}: ${message}`;
    return refused(parts, invalid([{ path: "playbook_content", message: words }], "the request").why);
  }
  const spec = {
    ...specOf(body.value, "playbook"),
    ansible: {
      // Text of one line would be taken for a path.
      playbook: typeof content === "string" && !content.endsWith("\n") ? `${content}\n` : content,
      groups: [placeholder],
      vars: { [placeholder]: placeholder, distribute_playbook_name: textIn(body.value, "playbook_name") },
    },
    timeout: timeoutIn(body.value, usualSeconds),
  };
  const fields = {
    targets: "ips",
    name: "task_name",
    "ansible.playbook": "playbook_content",
    timeout: "timeout",
    bundle: "project_name",
  };
  return submitTask(parts, exchange, by, textIn(body.value, "task_id"), spec, fields);
}

const query = z.strictObject({
  ips: z.string().optional().describe("Addresses with commas."),
  task_id: z.string().optional().describe("Of this task; with ips, of these addresses alone."),
  limit: whole(1, limits.listMax).optional(),
  next,
});

async function get(parts: HttpParts, exchange: Exchange): Promise<Response> {
  const asked = check(query, exchange.req.query(), "the query");
  if (!asked.ok) return refused(parts, asked.why);
  const { task_id: task = "", ips = "", ...page } = asked.value;
  if (task === "" && ips === "")
    return refused(parts, invalid([{ path: "ips", message: "is required, or task_id" }], "the query").why);
  const names = ips === "" ? undefined : await namesIn(parts, exchange, ips);
  if (names !== undefined && !names.ok) return refused(parts, names.why);
  if (task !== "") {
    const found = await tasksOfTask(parts, exchange, task, "playbook", page);
    if (!found.ok) return refused(parts, found.why);
    const wanted = names === undefined ? undefined : new Set(names.value);
    const rows = found.value.tasks.filter(({ view }) => wanted?.has(view.target ?? "") !== false).flatMap(rowsOf);
    return listed(parts, rows, found.value.next, found.value.index);
  }
  const newest = await newestOf(parts, exchange, names?.value ?? []);
  return newest.ok ? listed(parts, newest.value.rows, undefined, newest.value.index) : refused(parts, newest.why);
}

/** Of each address the newest playbook that has ended there, as far as that lies within what is looked through at once. */
async function newestOf(parts: HttpParts, exchange: Exchange, names: readonly string[]) {
  const rows = new Map<string, object>();
  let next: string | undefined;
  for (let page = 0; ; page++) {
    const from = next;
    const read = await readState(parts, exchange, page === 0 ? "linearizable" : "stale", (tx) => {
      const open = names.filter((name) => !rows.has(name));
      const filter = { targets: open, label: [kindLabel, "playbook"] as const, limit: limits.listMax, next: from };
      const { items, next } = listResults(tx, filter);
      return { next, found: items.map((view): Found => ({ view, spec: jobSpec(tx, view.job) })) };
    });
    if (!read.ok) return read;
    for (const one of read.value.value.found) {
      const [row] = rowsOf(one);
      const name = one.view.target ?? "";
      if (row !== undefined && !rows.has(name)) rows.set(name, row);
    }
    next = read.value.value.next;
    if (next === undefined || rows.size === names.length || page === pagesLooked) {
      const inOrder = names.flatMap((name) => rows.get(name) ?? []);
      return { ok: true, value: { rows: inOrder, index: read.value.index } } as const;
    }
  }
}

function rowsOf({ view, spec }: Found): object[] {
  const { labels, ansible } = spec;
  if (labels?.[kindLabel] !== "playbook" || view.state === "queued" || view.state === "running") return [];
  const isGood = view.state === "succeeded";
  const percent = isGood ? 100 : Math.min(99, view.success_percent ?? 0);
  return [
    {
      ip: view.target ?? "",
      success_rate: `${percent}%`,
      result: isGood ? "success" : "fail",
      datetime: dateOf(view.finished_at),
      task_id: ansible?.vars?.[taskVariable] ?? "",
      task_name: spec.name ?? "",
      ...(view.reason === undefined ? {} : { msg: view.reason }),
    },
  ];
}
