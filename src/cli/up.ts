import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { formatHostPort, parseHostPort } from "../lib/host-port.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import { isLabel, type Labels } from "../lib/selector.ts";
import { parseDuration } from "../lib/units.ts";
import { addOutputFlags, type Cli } from "./cli.ts";
import { defaultDataDir, type Environment, expandHome, isLoopback } from "./context.ts";
import { CliError, exit } from "./exit.ts";
import { collect } from "./flags.ts";
import type { ApiAddress, UpOptions } from "./up-options.ts";
import { hostResources, resourcesOf } from "./resources.ts";
import { readUpConfig, type UpFlags } from "./up-config.ts";

const defaultApiPort = 7400;
const defaultPeerPort = 7401;
const defaultIoTasks = 64;
/** Zabbix listens for values here. */
const zabbixPort = 10_051;
const defaultJoinTimeout = "1m";
const wildcards: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** `skein up`: the one verb that runs a node instead of asking one. */
export function addUp(program: Command, cli: Cli): void {
  const command = program
    .command("up")
    .description("run a node in the foreground: a new cluster, or with --join a member of one")
    .option("--data <dir>", "data directory (SKEIN_DATA, default ~/.skein)")
    .option("--name <name>", "name of the node (default: the host's)")
    .option("--api <host:port>", `where the API listens (repeatable, default 127.0.0.1:${defaultApiPort})`, collect)
    .option("--peer <host:port>", `where other nodes connect (default 127.0.0.1:${defaultPeerPort})`)
    .option(
      "--advertise <host>",
      "the address that others use: API (over TLS) and peer port then listen on all interfaces",
    )
    .option("--label <k=v>", "label of the node (repeatable)", collect)
    .option("--slots <n>", "room for tasks (default 2 per core, at least 4)")
    .option(
      "--resource <name=n>",
      "what tasks may ask for beside slots: license=2, memory=8GiB (repeatable; memory and cores are known)",
      collect,
    )
    .option("--join <host:port>", "API addresses of members, separated by commas (repeatable)", collect)
    .option("--token <jointoken>", "join token of `skein cluster token` (SKEIN_JOIN_TOKEN)")
    .option(
      "--join-timeout <duration>",
      `how long addresses that do not answer are tried (default ${defaultJoinTimeout})`,
    )
    .option("--voters <n>", "how many nodes vote at most (cluster-wide, default 5)")
    .option("--learner", "replicate without voting")
    .option("--config <file>", "YAML with the names of these flags; flags win")
    .option("--io-tasks <n>", `tasks without slots at once (default ${defaultIoTasks})`)
    .option("--api-cert <file>", "certificate for the API's TLS, instead of the cluster's own")
    .option("--api-key <file>", "its key")
    .option(
      "--cors <origin>",
      "pages of this origin may ask the API from a browser: https://host:port, or * for any (repeatable)",
      collect,
    )
    .option("--distribute", "answer Distribute's own API, too, below /api/v1/distribute")
    .option("--distribute-git <address>", "where its projects are: git@HOST:GROUP, https://HOST/GROUP")
    .option("--distribute-key <secret>", "the secret with the ssh key that they are fetched with")
    .option(
      "--zabbix <host:port>",
      "Zabbix servers or proxies that get a heartbeat every 10 s, separated by commas (repeatable, port 10051)",
      collect,
    )
    .option("--zabbix-host <name>", "this node's host name in Zabbix (default: the node's name)")
    .option("--zabbix-mesh <name>", "the host in Zabbix that stands for the whole mesh, told by whoever leads");
  addOutputFlags(command);
  cli.local<UpFlags & { readonly config?: string }>(command, async (flags, global) => {
    // The global --token and SKEIN_TOKEN are API tokens: neither is read here.
    const { config, ...typed } = flags;
    const problems: Problem[] = [];
    const fromFile = config === undefined ? {} : await readUpConfig(config, problems);
    const { format, colours } = cli.output(global);
    return cli.actions.up({ ...upOptions({ ...fromFile, ...typed }, cli.env, problems), output: format, colours });
  });
}

/** Checks all and throws a CliError with every problem. */
export function upOptions(
  flags: UpFlags,
  env: Environment,
  problems: Problem[] = [],
): Omit<UpOptions, "output" | "colours"> {
  const complain = (flag: string, message: string): undefined => {
    problems.push({ path: `--${flag}`, message });
    return undefined;
  };
  const whole = (flag: string, text: string | undefined, low: number, high: number): number | undefined => {
    if (text === undefined) return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    return complain(flag, `"${text}" is not a whole number from ${low} to ${high}`);
  };
  const api = flags.api?.flatMap((text) => apiAddress(text, complain) ?? []);
  const peer = flags.peer === undefined ? undefined : parseHostPort(flags.peer, defaultPeerPort);
  if (flags.peer !== undefined && peer === undefined) complain("peer", `"${flags.peer}" is not HOST:PORT`);
  const advertise = flags.advertise?.replace(/^\[|\]$/g, "");
  if (advertise !== undefined && (!/^[A-Za-z0-9_.:-]+$/.test(advertise) || wildcards.has(advertise)))
    complain("advertise", `"${flags.advertise}" is not a host's name or address: others are to reach this node by it`);
  const open = [...(api?.slice(0, 1) ?? []), ...(peer === undefined ? [] : [peer])].find(({ host }) =>
    wildcards.has(host),
  );
  if (open !== undefined && advertise === undefined)
    complain(
      "advertise",
      `${open.host} is every address of this host: say with --advertise HOST which one others are to use`,
    );
  if ((flags.apiCert === undefined) !== (flags.apiKey === undefined))
    complain(flags.apiCert === undefined ? "api-cert" : "api-key", "--api-cert and --api-key go together");
  const join = (flags.join ?? []).flatMap((text) => text.split(",")).flatMap((text) => joinAddress(text, complain));
  // Without --api a node that comes back listens where it did last time, which only its data tells.
  const own = new Set((api ?? []).map(formatHostPort));
  for (const address of join) {
    if (own.has(address.replace(/^https?:\/\//, ""))) {
      complain("join", `${address} is this node's own API address: name another member`);
    }
  }
  const joinTimeoutMs = parseDuration(flags.joinTimeout ?? defaultJoinTimeout);
  if (joinTimeoutMs === undefined)
    complain("join-timeout", `"${flags.joinTimeout}" is not a duration: write 30s or 5m`);
  if (join.length === 0 && flags.token !== undefined) complain("token", "a join token goes with --join HOST:PORT");
  const name = flags.name === undefined ? undefined : nodeName(flags.name, complain);
  const labels = parseLabels(flags.label ?? [], complain);
  const slots = whole("slots", flags.slots, 0, 1_000_000);
  const ioTasks = whole("io-tasks", flags.ioTasks, 0, 1_000_000);
  const declared = resourcesOf(flags.resource ?? [], (message) => complain("resource", message));
  const resources = { ...hostResources(), ...declared };
  if (Object.keys(resources).length > limits.resourcesPerNode)
    complain("resource", `at most ${limits.resourcesPerNode} resources`);
  const zabbix = zabbixOptions(flags, complain);
  const distribute = distributeOptions(flags, complain);
  const origins = (flags.cors ?? []).flatMap((text) => text.split(",")).flatMap((text) => originOf(text, complain));
  const voters = whole("voters", flags.voters, 1, limits.votersWanted);

  if (problems.length > 0) {
    const message = problems.length === 1 ? "this node cannot be started so" : `${problems.length} things are wrong`;
    throw new CliError(exit.usage, message, problems);
  }
  return {
    dataDir: flags.data === undefined ? defaultDataDir(env) : expandHome(flags.data, env),
    name,
    api,
    peer,
    advertise,
    apiCertificate:
      flags.apiCert === undefined || flags.apiKey === undefined
        ? undefined
        : { certificate: expandHome(flags.apiCert, env), key: expandHome(flags.apiKey, env) },
    origins,
    distribute,
    zabbix,
    labels,
    slots: slots ?? Math.max(4, 2 * availableParallelism()),
    ioTasks: ioTasks ?? defaultIoTasks,
    resources,
    join,
    joinTimeoutMs: joinTimeoutMs!,
    joinToken: flags.token ?? env["SKEIN_JOIN_TOKEN"],
    voters,
    learner: flags.learner === true,
  };
}

function distributeOptions(
  { distribute, distributeGit: git, distributeKey: gitKey }: UpFlags,
  complain: (flag: string, message: string) => undefined,
): UpOptions["distribute"] {
  if (git !== undefined && distribute !== true) complain("distribute-git", "goes with --distribute");
  if (gitKey !== undefined && git === undefined) complain("distribute-key", "goes with --distribute-git");
  // What git would take for an option of its own, or a shell at the other end for more than a name.
  if (git !== undefined && !/^[A-Za-z0-9/][A-Za-z0-9@:/._~-]*$/.test(git))
    complain("distribute-git", `"${git}" is not where git projects are: write git@HOST:GROUP or https://HOST/GROUP`);
  return distribute === true ? { git, gitKey } : undefined;
}

function zabbixOptions(flags: UpFlags, complain: (flag: string, message: string) => undefined): UpOptions["zabbix"] {
  const servers = (flags.zabbix ?? [])
    .flatMap((text) => text.split(","))
    .flatMap((text) => {
      const server = parseHostPort(text, zabbixPort);
      return server === undefined || server.port === 0
        ? (complain("zabbix", `"${text}" is not HOST:PORT`) ?? [])
        : [server];
    });
  for (const [flag, name] of [
    ["zabbix-host", flags.zabbixHost],
    ["zabbix-mesh", flags.zabbixMesh],
  ] as const) {
    if (name === undefined) continue;
    // What Zabbix itself takes as a technical name.
    if (!/^[A-Za-z0-9 ._-]{1,128}$/.test(name))
      complain(flag, `"${name}" is no host name of Zabbix: letters, digits, spaces and ._- only, at most 128`);
    if (flags.zabbix === undefined) complain(flag, `--${flag} goes with --zabbix HOST:PORT`);
  }
  return servers.length === 0 ? undefined : { servers, host: flags.zabbixHost, meshHost: flags.zabbixMesh };
}

type Complain = (flag: string, message: string) => undefined;

function apiAddress(text: string, complain: Complain): ApiAddress | undefined {
  const match = /^(?:(https?):\/\/)?([^/]+)\/?$/.exec(text);
  const address = match === null ? undefined : parseHostPort(match[2]!, defaultApiPort);
  if (address === undefined)
    return complain("api", `"${text}" is not HOST:PORT, http://HOST:PORT or https://HOST:PORT`);
  const isLocal = isLoopback(address.host);
  const scheme = (match![1] as "http" | "https" | undefined) ?? (isLocal ? "http" : "https");
  return { ...address, scheme, exposed: scheme === "http" && !isLocal };
}

/** As a browser writes it. */
function originOf(text: string, complain: Complain): string[] {
  const given = text.trim();
  const origin = URL.canParse(given) ? new URL(given).origin : undefined;
  if (given === "*" || (origin !== undefined && /^https?:/.test(given) && given.replace(/\/$/, "") === origin))
    return [origin ?? given];
  complain(
    "cors",
    `"${text}" is not the origin of a page: write https://host or http://host:port, without a path, or *`,
  );
  return [];
}

function joinAddress(text: string, complain: Complain): string[] {
  const match = /^(https?:\/\/)?([^/]+)\/?$/.exec(text.trim());
  const address = match === null ? undefined : parseHostPort(match[2]!, defaultApiPort);
  if (address === undefined || address.port === 0) {
    complain("join", `"${text}" is not HOST:PORT: give the API address of a member`);
    return [];
  }
  return [`${match![1] ?? ""}${formatHostPort(address)}`];
}

function nodeName(name: string, complain: Complain): string | undefined {
  const problem = nodeNameProblem(name);
  return problem === undefined ? name : complain("name", problem);
}

/** What is wrong with a name for a node; undefined: nothing. */
export function nodeNameProblem(name: string): string | undefined {
  if (/^\d+$/.test(name)) return `"${name}" would be taken for a node's id: use a letter in it`;
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) && name.length <= limits.nameLength) return undefined;
  return `"${name}" is not a node's name: letters, digits and ._- only, at most ${limits.nameLength}`;
}

function parseLabels(texts: readonly string[], complain: Complain): Labels {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    const [key, value] = [text.slice(0, at), text.slice(at + 1)];
    const fits = key.length <= limits.labelLength && value.length <= limits.labelLength;
    if (at < 1 || !isLabel(key, value) || !fits) complain("label", `"${text}" is not a label: write zone=eu`);
    else labels[key] = value;
  }
  if (Object.keys(labels).length > limits.labelsPerThing) complain("label", `at most ${limits.labelsPerThing} labels`);
  return labels;
}
