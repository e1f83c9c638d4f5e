import { isLabel } from "../lib/selector.ts";
import { parseSize } from "../lib/units.ts";
import { goDuration } from "./cron-import-expression.ts";
import { httpOfDkron } from "./cron-import-dkron-http.ts";
import type { Part } from "./cron-import-part.ts";
import { splitWords } from "./cron-import-words.ts";

/** What a job of Dkron runs, and where. */
export function jobOfDkron(part: Part, name: string, on: string | undefined): Record<string, unknown> {
  const job = { ...readExecutor(part, name), ...readTags(part, on) };
  const retries = part.whole("retries") ?? 0;
  if (retries > 0) job["retries"] = { max: Math.min(retries, 1000) };
  return job;
}

function readExecutor(part: Part, name: string): Record<string, unknown> {
  const executor = part.text("executor") ?? "";
  const config = part.part("executor_config");
  if (executor === "" && part.fields["command"] !== undefined) {
    // As its first versions had it.
    part.skip("shell");
    return { run: part.text("command") ?? "" };
  }
  if (executor === "") part.problem("executor", "is missing: shell and http can be carried over");
  else if (executor !== "shell" && executor !== "http")
    part.problem(
      "executor",
      `there is no driver "${executor}" here: write a command (executor shell) that does the same`,
    );
  else if (config === undefined) part.problem("executor_config", "is missing");
  else {
    const job = executor === "shell" ? shellOfDkron(config, name) : httpOfDkron(config);
    config.noteLeft();
    return job;
  }
  part.skip("executor_config");
  return {};
}

const yes = ["1", "t", "T", "true", "TRUE", "True"];

function shellOfDkron(config: Part, name: string): Record<string, unknown> {
  const job: Record<string, unknown> = {};
  const command = config.text("command") ?? "";
  if (command.trim() === "") config.problem("command", "is missing");
  else if (yes.includes(config.text("shell") ?? "")) job["run"] = command;
  else {
    const words = splitWords(command);
    if (typeof words === "string") config.problem("command", words);
    else job["run"] = words;
  }
  config.skip("shell");
  const env = readEnvironment(config);
  // Dkron gives it to every command.
  if (command.includes("ENV_JOB_NAME")) env["ENV_JOB_NAME"] = name;
  if (Object.keys(env).length > 0) job["env"] = env;
  const dir = config.text("cwd") ?? "";
  if (dir.startsWith("/")) job["dir"] = dir;
  else if (dir !== "") config.problem("cwd", `"${dir}" is not an absolute path`);
  const timeout = config.text("timeout") ?? "";
  if (timeout !== "") {
    const duration = goDuration(timeout);
    if (duration === undefined) config.problem("timeout", `"${timeout}" is not a duration: write 1h30m`);
    else job["timeout"] = duration;
  }
  const memory = memoryOf(config.text("mem_limit") ?? "");
  if (memory === null) config.problem("mem_limit", `"${config.text("mem_limit")}" is not a size: write 512MB`);
  else if (memory !== undefined) job["limits"] = { memory };
  const [user, group] = (config.text("su") ?? "").split(":");
  if (user !== "") job["user"] = user;
  if (group !== undefined) config.note("su", `group ${group}: a command has the groups that its user has`);
  const payload = config.text("payload") ?? "";
  if (payload !== "") {
    const stdin = textOfBase64(payload);
    if (stdin === undefined) config.problem("payload", "is not text in base64");
    else job["stdin"] = stdin;
  }
  return job;
}

function readEnvironment(config: Part): Record<string, string> {
  const env: Record<string, string> = {};
  for (const pair of (config.text("env") ?? "").split(",")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    if (at < 1)
      config.problem(
        "env",
        `"${pair}" is not of the form NAME=value; a value that holds a comma cannot be written there`,
      );
    else env[pair.slice(0, at).trim()] = pair.slice(at + 1);
  }
  return env;
}

/** Dkron counts in 1024 for KB, MB and GB. undefined: there is none; null: it is none. */
function memoryOf(text: string): string | number | undefined | null {
  if (text === "") return undefined;
  const match = /^([\d.]+)\s*([KMGT]?)(?:I?B|BYTES)?$/.exec(text.trim().toUpperCase());
  if (match === null) return null;
  const size = match[2] === "" ? match[1]! : `${match[1]}${match[2]}iB`;
  const bytes = parseSize(size);
  if (bytes === undefined || bytes === 0) return null;
  return match[2] === "" ? bytes : size;
}

function textOfBase64(text: string): string | undefined {
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(text, "base64"));
  } catch {
    return undefined;
  }
}

/** Tags that Dkron's nodes have by themselves. */
const ofDkron = new Set(["server", "version", "port", "rpc_addr", "expect", "bootstrap"]);

/** Which nodes run it: all that match, or as many as the lowest `:N` says. */
function readTags(part: Part, on: string | undefined): Record<string, unknown> {
  const terms: string[] = on === undefined ? [] : [on];
  let most = Infinity;
  for (const [key, text] of Object.entries(part.textMap("tags") ?? {})) {
    const [value, count] = text.split(":");
    if (count !== undefined) {
      const tasks = /^[1-9]\d{0,6}$/.test(count) ? Number(count) : undefined;
      if (tasks === undefined) part.problem("tags", `${key}: "${text}" does not end with a number of nodes`);
      else most = Math.min(most, tasks);
    }
    if (ofDkron.has(key) || (key === "role" && value === "dkron"))
      part.note("tags", `${key}=${value} is a tag that nodes of Dkron have by themselves: left out`);
    else if (!isLabel(key, value!)) part.problem("tags", `${key}: "${value}" cannot be a label of a node`);
    else {
      terms.push(`${key}=${value}`);
      part.note("tags", `nodes are to have the label ${key}=${value}: skein nodes label`);
    }
  }
  const where = terms.length > 0 ? { on: terms.join(",") } : {};
  if (most === Infinity) {
    if (terms.length === 0) part.note("", "has no tags, so it runs on every node (each_node), as in Dkron");
    return { ...where, each_node: true };
  }
  if (most > 1) part.note("tags", `${most} tasks, of which a node may get several: Dkron takes ${most} nodes`);
  return { ...where, ...(most > 1 ? { count: most } : {}) };
}
