import { LineCounter, parseDocument } from "yaml";
import type { Problem } from "../lib/outcome.ts";
import { CliError, exit } from "./exit.ts";
import { readText } from "./specs-file.ts";

/** The flags of `up` as they were typed; durations, numbers and addresses are still text. */
export interface UpFlags {
  readonly data?: string;
  readonly name?: string;
  readonly api?: readonly string[];
  readonly peer?: string;
  readonly advertise?: string;
  readonly label?: readonly string[];
  readonly slots?: string;
  readonly join?: readonly string[];
  readonly joinTimeout?: string;
  readonly token?: string;
  readonly voters?: string;
  readonly learner?: boolean;
  readonly ioTasks?: string;
  readonly resource?: readonly string[];
  readonly apiCert?: string;
  readonly apiKey?: string;
  readonly cors?: readonly string[];
  readonly distribute?: boolean;
  readonly distributeGit?: string;
  readonly distributeKey?: string;
  readonly zabbix?: readonly string[];
  readonly zabbixHost?: string;
  readonly zabbixMesh?: string;
}

/** Keys of the file, with the flag that each is, and what its value must be. */
const keys = {
  data: ["data", "text"],
  name: ["name", "text"],
  api: ["api", "list"],
  peer: ["peer", "text"],
  advertise: ["advertise", "text"],
  label: ["label", "list"],
  labels: ["label", "list"],
  slots: ["slots", "text"],
  resource: ["resource", "list"],
  resources: ["resource", "list"],
  join: ["join", "list"],
  "join-timeout": ["joinTimeout", "text"],
  join_timeout: ["joinTimeout", "text"],
  token: ["token", "text"],
  voters: ["voters", "text"],
  learner: ["learner", "flag"],
  "io-tasks": ["ioTasks", "text"],
  io_tasks: ["ioTasks", "text"],
  "api-cert": ["apiCert", "text"],
  api_cert: ["apiCert", "text"],
  "api-key": ["apiKey", "text"],
  api_key: ["apiKey", "text"],
  cors: ["cors", "list"],
  distribute: ["distribute", "flag"],
  "distribute-git": ["distributeGit", "text"],
  distribute_git: ["distributeGit", "text"],
  "distribute-key": ["distributeKey", "text"],
  distribute_key: ["distributeKey", "text"],
  zabbix: ["zabbix", "list"],
  "zabbix-host": ["zabbixHost", "text"],
  zabbix_host: ["zabbixHost", "text"],
  "zabbix-mesh": ["zabbixMesh", "text"],
  zabbix_mesh: ["zabbixMesh", "text"],
} as const satisfies Record<string, readonly [keyof UpFlags, "text" | "list" | "flag"]>;

/** Reads --config. Problems of single keys are added to `problems`; throws CliError when it is no YAML mapping. */
export async function readUpConfig(path: string, problems: Problem[]): Promise<UpFlags> {
  const lineCounter = new LineCounter();
  const document = parseDocument(await readText(path), { lineCounter, prettyErrors: false });
  const error = document.errors[0];
  if (error !== undefined) {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    throw new CliError(exit.usage, `${path}:${line}:${col}: ${error.message}`);
  }
  const value = document.toJS({ maxAliasCount: 100 }) as unknown;
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new CliError(exit.usage, `${path} must hold names and values, for example "slots: 8"`);
  }
  const flags: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(value)) {
    const known = Object.hasOwn(keys, key) ? keys[key as keyof typeof keys] : undefined;
    if (known === undefined) {
      problems.push({
        path: `${path}: ${key}`,
        message: `there is no such key; they are ${Object.keys(keys).join(", ")}`,
      });
      continue;
    }
    const [flag, form] = known;
    const read = form === "text" ? textOf(given) : form === "list" ? listOf(given) : given;
    if (read === undefined || (form === "flag" && typeof read !== "boolean")) {
      const wanted = {
        text: "one text or number",
        list: "a text, a list, or names with values",
        flag: "true or false",
      }[form];
      problems.push({ path: `${path}: ${key}`, message: `must be ${wanted}` });
    } else flags[flag] = read;
  }
  return flags;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

/** A list, one value, or a mapping as labels have it (`zone: eu` is "zone=eu"). */
function listOf(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value)) {
    const texts = value.map(textOf);
    return texts.some((text) => text === undefined) ? undefined : (texts as string[]);
  }
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).map(([key, given]) => [key, textOf(given)] as const);
    return pairs.some(([, text]) => text === undefined) ? undefined : pairs.map(([key, text]) => `${key}=${text}`);
  }
  const text = textOf(value);
  return text === undefined ? undefined : [text];
}
