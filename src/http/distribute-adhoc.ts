import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";
import { isUnreachable } from "../lib/unreachable.ts";
import type { AnsibleSpec, Principal, TaskView } from "../state/types.ts";
import {
  answer,
  base,
  bodyOf,
  dateOf,
  type Found,
  kindLabel,
  listed,
  missingIn,
  namesIn,
  refused,
  rowNumber,
  specOf,
  submitTask,
  taskVariable,
  resultsOf,
  tasksOfTask,
  textIn,
  timeoutIn,
} from "./distribute.ts";
import { check, invalid } from "./problems.ts";
import type { Exchange, HttpParts, Route } from "./route.ts";
import { next, whole } from "./shapes.ts";

const usualSeconds = 100;

/** POST and GET /api/v1/distribute/adhoc: a module on hosts, and what came of it. */
export function distributeAdhocRoutes(parts: HttpParts): readonly Route[] {
  return [
    {
      method: "POST",
      path: `${base}/adhoc`,
      right: "jobs:write",
      doc: "Distribute: runs a module of ansible on addresses (ips), under a task_id that was not given before.",
      status: 200,
      body: z.object({
        ips: text("Addresses with commas, or node sets."),
        task_id: text("Chosen by the caller; used once."),
        task_name: text("For people."),
        module: text("shell, copy, unarchive, …"),
        args: text("Of the module.").optional(),
        type: text('"adhoc"').optional(),
        project_name: z.string().optional().describe("A bundle in whose tree it runs."),
        timeout: z.union([z.number(), z.string()]).optional().describe("Of each host, in seconds; default 100."),
      }),
      answer,
      serve: (exchange, by) => post(parts, exchange, by),
      refusal: (why) => refused(parts, why),
    },
    {
      method: "GET",
      path: `${base}/adhoc`,
      right: "read",
      doc: "Distribute: what came of a task (task_id), or of all tasks on an address (ip) or several (ips), newest first; hosts that have not ended are not there.",
      status: 200,
      query,
      answer,
      serve: (exchange) => get(parts, exchange),
      refusal: (why) => refused(parts, why),
    },
  ];
}

const text = (doc: string): z.ZodString => z.string().describe(doc);

async function post(parts: HttpParts, exchange: Exchange, by: Principal): Promise<Response> {
  const body = await bodyOf(exchange);
  if (!body.ok) return refused(parts, body.why);
  const missing = missingIn(body.value, ["ips", "task_id", "task_name", "module"]);
  if (missing !== undefined && !missing.ok) return refused(parts, missing.why);
  const [module, args] = [textIn(body.value, "module"), textIn(body.value, "args")];
  const spec = {
    ...specOf(body.value, "adhoc"),
    ansible: { module, ...(args === "" ? {} : { args }) },
    timeout: timeoutIn(body.value, usualSeconds),
  };
  return submitTask(parts, exchange, by, textIn(body.value, "task_id"), spec, fields);
}

/** Keys of the spec that fields of the request are. */
const fields = {
  targets: "ips",
  name: "task_name",
  "ansible.module": "module",
  "ansible.args": "args",
  timeout: "timeout",
  bundle: "project_name",
};

const query = z.strictObject({
  task_id: z.string().optional(),
  ip: z.string().optional().describe("One address."),
  ips: z.string().optional().describe("Addresses with commas."),
  limit: whole(1, limits.listMax).optional().describe("Rows of an answer; default: as many as fit."),
  next,
});

async function get(parts: HttpParts, exchange: Exchange): Promise<Response> {
  const asked = check(query, exchange.req.query(), "the query");
  if (!asked.ok) return refused(parts, asked.why);
  const { task_id: task, ip, ips, ...page } = asked.value;
  const given = [task, ip, ips].filter((one) => one !== undefined && one !== "");
  if (given.length !== 1)
    return refused(
      parts,
      invalid([{ path: "", message: "needs exactly one of task_id, ip and ips" }], "the query").why,
    );
  if (task !== undefined && task !== "") {
    const found = await tasksOfTask(parts, exchange, task, "adhoc", page);
    if (!found.ok) return refused(parts, found.why);
    return listed(parts, found.value.tasks.flatMap(rowsOf), found.value.next, found.value.index);
  }
  const names = await namesIn(parts, exchange, ip || ips || "");
  if (!names.ok) return refused(parts, names.why);
  if (ip !== undefined && ip !== "" && names.value.length !== 1)
    return refused(parts, refuse("invalid", "ip is one address: use ips for several").why);
  const found = await resultsOf(parts, exchange, names.value, "adhoc", page);
  if (!found.ok) return refused(parts, found.why);
  return listed(parts, found.value.tasks.flatMap(rowsOf), found.value.next, found.value.index);
}

/** Distribute's words for how something ended. They are what clients compare. */
const words: Readonly<Record<string, { readonly good: string; readonly bad: string }>> = {
  copy: { good: "拷贝成功", bad: "拷贝失败" },
  unarchive: { good: "解压成功", bad: "解压失败" },
  shell: { good: "执行成功", bad: "执行失败" },
};

/** The row of a host; none while it has not ended, or of another kind of task. */
function rowsOf({ view, spec }: Found): Record<string, unknown>[] {
  const { ansible, labels } = spec;
  if (ansible?.module === undefined || labels?.[kindLabel] !== "adhoc") return [];
  if (view.state === "queued" || view.state === "running") return [];
  const args = typeof ansible.args === "string" ? ansible.args : JSON.stringify(ansible.args ?? "");
  const number = rowNumber(view);
  const row = {
    task_name: spec.name ?? "",
    module: ansible.module,
    args,
    id: number,
    asset_id: number,
    ip: view.target ?? "",
    created_date: dateOf(view.finished_at),
    task_id: ansible.vars?.[taskVariable] ?? "",
  };
  return [{ ...row, ...endOf(view, ansible, args) }];
}

function endOf(view: TaskView, { module = "" }: AnsibleSpec, args: string): Record<string, unknown> {
  const kind = words[module.split(".").at(-1)!] === undefined ? "shell" : module.split(".").at(-1)!;
  const { good, bad } = words[kind]!;
  const msg = view.reason ?? view.state;
  if (view.state === "succeeded")
    return kind === "shell"
      ? { result: good, cmd: args, stdout: view.tail }
      : { result: good, dest: destOf(view.tail, args) };
  if (view.state === "timeout") return { result: "执行超时", msg };
  if (isUnreachable(view)) return { result: "无法连接", msg };
  if (kind === "copy") return { result: bad, msg, exception: textOf(dumpOf(view.tail)["exception"]) };
  return kind === "shell" ? { result: bad, msg, stderr: view.tail } : { result: bad, msg };
}

/** What the module told of itself, which the log of a host ends with where it printed nothing; {}: it does not say. */
function dumpOf(tail: string): Readonly<Record<string, unknown>> {
  const at = tail.indexOf("{");
  try {
    return at < 0 ? {} : (JSON.parse(tail.slice(at)) as Record<string, unknown>);
  } catch {
    return {};
  }
}

function destOf(tail: string, args: string): string {
  return (
    textOf(dumpOf(tail)["dest"]) ||
    (/(?:^|\s)dest=(?:"([^"]*)"|'([^']*)'|(\S+))/.exec(args)?.slice(1).find(Boolean) ?? "")
  );
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
