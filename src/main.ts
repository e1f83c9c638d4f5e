import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AskedToken, CliActions } from "./cli/cli.ts";
import { processIo } from "./cli/process-io.ts";
import type { CliIo } from "./cli/io.ts";
import { CliError, endingOf, exit, exitOfRefusal } from "./cli/exit.ts";
import { greet, type Started } from "./cli/greet.ts";
import { runCli } from "./cli/program.ts";
import { hostLabels } from "./cli/resources.ts";
import type { UpOptions } from "./cli/up-options.ts";
import { serveHttp } from "./http/serve.ts";
import { formatEpoch } from "./lib/epoch.ts";
import { nodeId } from "./lib/ids.ts";
import { formatHostPort, urlOf } from "./lib/host-port.ts";
import { limits } from "./lib/limits.ts";
import { version } from "./lib/version.ts";
import { boot } from "./node/boot.ts";
import type { Booted, Served } from "./node/boot-options.ts";
import type { ApiAddress } from "./node/listening.ts";
import { firstWord } from "./node/first-word.ts";
import { understoodLevel } from "./node/level.ts";
import type { Node } from "./node/node.ts";
import { restore } from "./node/restore.ts";
import { ZabbixHeartbeat } from "./node/zabbix.ts";
import { copiedWords } from "./node/copied.ts";
import { StoppedNode } from "./node/recover.ts";
import { askForToken as askForNewToken } from "./node/recover-token.ts";
import { learnerLabel } from "./lib/selector.ts";
import { zoneDataVersion } from "./lib/zone-data.ts";
import { readCertificate } from "./storage/certificate-file.ts";
import { readIdentity } from "./storage/identity.ts";

/**
 * The one binary: reads the arguments and wires. `skein guard --data DIR` is the hidden verb of the process that owns a
 * node's running work (J3); everything else is the command line, of which `up` runs a node.
 */
async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === "guard" && argv[1] === "--data" && argv[2] !== undefined && argv.length === 3) {
    // Loaded only here: the guard's memory is small because the rest is not.
    const { runGuard } = await import("./executor/guard/guard.ts");
    return runGuard({ dataDir: argv[2] }).catch((error: unknown) => {
      // Its log: the node that started it quotes the last lines.
      const { code, lines } = endingOf(error);
      process.stderr.write(`${lines.join("\n")}\n`);
      return code;
    });
  }
  const io = processIo();
  return runCli(argv, process.env, io, {
    version,
    up: (options) => up(options, io),
    askForToken,
    openStopped,
    restore: restoreBackup,
  });
}

/** Runs a node in the foreground until a signal, a fault or its own leaving ends it. Gives the exit code. */
async function up(options: UpOptions, io: CliIo): Promise<number> {
  const level = understoodLevel(process.env);
  if (!level.ok) throw new CliError(exit.usage, level.why.message);
  const end = Promise.withResolvers<number>();
  const log = (level: "info" | "warn" | "error", message: string): void => {
    io.stderr.write(`${new Date().toISOString()} ${level} ${message}\n`);
  };
  const stopListening = onSignals(end.resolve);
  onUnhandled(log);
  const own = ownCertificate(options.apiCertificate);
  const booting = boot({
    ...options,
    level: level.value,
    labels: { ...hostLabels(), ...options.labels, ...(options.learner ? { [learnerLabel]: "true" } : {}) },
    version,
    zones: zoneDataVersion(),
    guardCommand: [...ownCommand(), "guard", "--data", options.dataDir],
    environment: process.env,
    ownCertificate: own,
    serve: (node, at) => Promise.resolve(serveAll(node, at, own, options, log)),
    log,
    onEnd: end.resolve,
  });
  const first = await Promise.race([booting, end.promise]);
  // Ended while it waited to become a member: what is on disk is whole at any moment, and the next start goes on from it.
  if (typeof first === "number") return first;
  const booted = first;
  if (!booted.ok) throw new CliError(exitOfRefusal(booted.why.code), booted.why.message, booted.why.details);
  const { node, api, peer, kind } = booted.value;
  const heartbeat =
    options.zabbix === undefined
      ? undefined
      : new ZabbixHeartbeat(node, { ...options.zabbix, host: options.zabbix.host ?? node.name }, log);
  node.heartbeat = heartbeat;
  heartbeat?.start();
  const people = options.output === "json" ? io.stderr : io.stdout;
  const greeting = async (): Promise<void> => {
    if (kind === "resumed") await firstWord(node);
    await greet(people, startedAs(booted.value, options));
  };
  // A disk that fails now would leave the greeting without its token for ever; and who is told that its cluster goes on without it is not ready.
  const early = await Promise.race([end.promise, greeting()]);
  const ready = JSON.stringify({ node: node.id, cluster: node.cluster, api: urlOf(api), peer });
  if (early === undefined) io.stdout.write(options.output === "json" ? `${ready}\n` : `ready ${ready}\n`);
  const code = await end.promise;
  stopListening();
  heartbeat?.stop();
  await Promise.race([booted.value.stop(), new Promise((resolve) => setTimeout(resolve, stopMs))]);
  return code;
}

/** What stopping may take: the hand-over of leadership, the guard's goodbye and a sync. With a disk that fails it does not end by itself. */
const stopMs = 15_000;

/**
 * What nobody waited for ends the node at once, as a crash would, which loses nothing that was acknowledged: a Fault in words for people and
 * with its exit code, anything else as the bug that it is.
 */
function onUnhandled(log: (level: "error", message: string) => void): void {
  const onError = (error: unknown): void => {
    const { code, lines } = endingOf(error);
    log("error", lines.join("\n"));
    process.exit(code);
  };
  process.on("uncaughtException", onError);
  process.on("unhandledRejection", onError);
}

/** `skein token create --recover`: the proof is made with the key in certificate.json, which only the node's user and root can read. */
function askForToken(dataDir: string, wanted: Parameters<CliActions["askForToken"]>[1]): AskedToken {
  const identity = readIdentity(dataDir);
  if (identity === undefined)
    throw new CliError(exit.usage, `${dataDir} holds no identity.json: give --data the data directory of a member`);
  const certificate = readCertificate(dataDir);
  if (certificate === undefined)
    throw new CliError(exit.usage, `${dataDir} holds no certificate.json: give --data the data directory of a member`);
  const { token, request } = askForNewToken({ ...certificate, cluster: identity.cluster }, wanted);
  return { addr: urlOf(identity.api), ca: certificate.trusted.join("\n"), id: request.id, token, request };
}

/** `skein restore` */
async function restoreBackup(options: Parameters<CliActions["restore"]>[0]): ReturnType<CliActions["restore"]> {
  const restored = await restore({ ...options, version, environment: process.env });
  return { ...restored, epoch: formatEpoch(restored.epoch) };
}

/** `skein cluster recover`: works on the data of nodes that are stopped. */
function openStopped(dataDir: string): ReturnType<CliActions["openStopped"]> {
  const node = StoppedNode.open(dataDir);
  return {
    dataDir: node.dataDir,
    survivor: node.survivor,
    peer: node.peer,
    hasGoneOn: node.hasGoneOn,
    unfit: node.isCopied ? copiedWords(node.dataDir) : undefined,
    fence: node.fence,
    knownPeer: (one) => node.knownPeer(one),
    ask: (member) => node.ask(member),
    recover: (others, what, head) => node.recover(others, what, head),
    rejoin: (epoch, of) => node.rejoin(epoch, { ...of, node: nodeId(of.node) }),
    close: () => node.close(),
  };
}

/** The same API on every address of --api; the first one is what others are told. */
function serveAll(
  node: Node,
  addresses: readonly ApiAddress[],
  own: OwnCertificate | undefined,
  { origins, distribute }: Pick<UpOptions, "origins" | "distribute">,
  log: (level: "error", message: string) => void,
): Served {
  const onBug = (error: unknown): void =>
    log("error", error instanceof Error ? (error.stack ?? error.message) : String(error));
  const shown = own === undefined ? () => node.apiCredentials() : () => ({ key: own.key, cert: own.certificate });
  const servers = addresses.map(({ host, port, scheme }) =>
    serveHttp({
      node,
      host,
      port,
      onBug,
      origins,
      distribute,
      hasOwnCertificate: own !== undefined,
      tls: scheme === "https" ? shown : undefined,
    }),
  );
  if (own === undefined) node.onRenewed(() => servers.forEach((server) => server.renewed()));
  return {
    apis: servers.map(({ host, port }, at) => ({ host, port, scheme: addresses[at]!.scheme })),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

interface OwnCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly isSelfSigned: boolean;
}

/** The files of --api-cert and --api-key. Throws CliError. */
function ownCertificate(files: UpOptions["apiCertificate"]): OwnCertificate | undefined {
  if (files === undefined) return undefined;
  try {
    const [certificate, key] = [readFileSync(files.certificate, "utf8"), readFileSync(files.key, "utf8")];
    const parsed = new X509Certificate(certificate);
    if (!parsed.checkPrivateKey(createPrivateKey(key)))
      throw new TypeError(`${files.key} is not the key of ${files.certificate}`);
    return { certificate, key, isSelfSigned: parsed.issuer === parsed.subject };
  } catch (error) {
    throw new CliError(exit.usage, `--api-cert and --api-key cannot be used: ${(error as Error).message}`);
  }
}

/** What the greeting tells of a node that has started. */
function startedAs({ node, api, kind }: Booted, options: UpOptions): Started {
  const { id, name, cluster, principal } = node;
  const { voters } = node.status();
  return {
    kind,
    cluster,
    node: id,
    name,
    dataDir: options.dataDir,
    api: api.replace(/^https:\/\//, ""),
    exposed: (options.api ?? []).filter((one) => one.exposed).map(formatHostPort),
    voters: voters.length,
    votes: voters.includes(id),
    makeToken: async () => {
      const token = await node.createJoinToken({ ttlMs: 24 * 3_600_000, uses: limits.joinTokenUsesDefault }, principal);
      return token.ok ? token.value.token : undefined;
    },
  };
}

/** SIGTERM and Ctrl-C end the node in good order; a second one ends the process at once. */
function onSignals(end: (code: number) => void): () => void {
  let asked = false;
  const on = (code: number) => (): void => {
    if (asked) process.exit(code);
    asked = true;
    end(code);
  };
  const listeners = { SIGTERM: on(exit.done), SIGINT: on(exit.interrupted) } as const;
  for (const [signal, listener] of Object.entries(listeners)) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of Object.entries(listeners)) process.off(signal, listener);
    for (const signal of Object.keys(listeners)) process.on(signal, () => process.exit(exit.interrupted));
  };
}

/** argv that starts this very program again: the binary, or from source the runtime and this file. */
function ownCommand(): string[] {
  const compiled = import.meta.url.includes("/$bunfs/");
  return compiled ? [process.execPath] : [process.execPath, import.meta.path];
}

void main(process.argv.slice(2)).then((code) => process.exit(code));
