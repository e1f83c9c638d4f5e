import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { assert } from "../lib/assert.ts";
import { monotonicMs } from "../lib/clock.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { formatDuration } from "../lib/units.ts";
import { ownLevel } from "../state/levels.ts";
import { expectFree } from "../transport/port.ts";
import type { BootOptions } from "./boot-options.ts";
import { firstContact } from "./api-tls.ts";
import { listeningOf } from "./listening.ts";
import { makeKey, makeRequest } from "./certificates.ts";
import { hashSecret, newApiToken, parseApiToken, parseJoinToken } from "./credentials.ts";
import { askToJoin, type JoinRequest } from "./join.ts";
import { type Joining, readJoining, writeJoining } from "./joining.ts";
import type { Member } from "./member.ts";
import { type CertificateRequest, hostsAsked, hostsOf } from "./requests.ts";

/** A joining node asks members until one admits or refuses it. What it asks with is kept, so that a crash repeats the same question. */

/** How long one member may take to answer: the log has to take the node in first. */
const askMsMin = 1_000;
const askMsMax = 10_000;

/** Asks the given addresses in turn until one admits or refuses this node; unreachable ones are tried again for `joinTimeoutMs`. */
export async function enterByToken(options: BootOptions, dataDir: string): Promise<Outcome<Member>> {
  if (options.joinToken === undefined) {
    return refuse(
      "unauthorized",
      "joining needs a token: make one on a member with 'skein cluster token' and pass it with --token or SKEIN_JOIN_TOKEN",
    );
  }
  const token = parseJoinToken(options.joinToken);
  if (typeof token === "string") return refuse("unauthorized", token);
  const { apis, peer } = listeningOf(options, undefined);
  for (const address of [...apis, peer]) expectFree(address);
  const kept = readJoining(dataDir);
  let isKept = kept !== undefined;
  // Under another name it is the same question: a member that never came would be left behind otherwise.
  let joining =
    kept === undefined ? newJoining(options.name ?? hostname()) : { ...kept, name: options.name ?? kept.name };
  let isRenamed = false;
  writeJoining(dataDir, joining);
  const key = await makeKey();
  const hosts = hostsOf(hostsAsked(options));
  const certified = { csr: await makeRequest(key), hosts };
  const deadline = monotonicMs() + options.joinTimeoutMs;
  for (let round = 1; ; round++) {
    const causes: string[] = [];
    for (const address of options.join) {
      const timeoutMs = Math.min(askMsMax, Math.max(askMsMin, deadline - monotonicMs()));
      const asked = await ask(address, token, requestOf(joining, certified, options), timeoutMs);
      if (asked.ok) {
        const { node, cluster, epoch, certificate, trusted, peers } = asked.value;
        return accept({
          kind: "joined",
          identity: { version: 2, cluster, epoch, node, name: joining.name, starts: 0, api: "", peer: "", peers },
          certificate: { version: 1, key, certificate, trusted },
          authority: undefined,
          token: joining.token,
        });
      }
      const { code, message } = asked.why;
      if (code === "conflict" && (isKept || (options.name === undefined && !isRenamed))) {
        // What an earlier start asked with may be out of date. Or the host's name, only a default, is a live node's: several on one host.
        isRenamed = !isKept;
        const name = options.name ?? hostname();
        joining = newJoining(isKept ? name : `${name}-${randomBytes(2).toString("hex")}`);
        isKept = false;
        writeJoining(dataDir, joining);
        round = 0;
        causes.length = 0;
        break;
      }
      if (code !== "unavailable" && code !== "busy") return asked;
      causes.push(`${address}: ${message}`);
    }
    const pauseMs = Math.min(2000, 100 * 2 ** round);
    if (causes.length > 0 && monotonicMs() + pauseMs > deadline) {
      const tried = options.joinTimeoutMs === 0 ? "" : `, tried for ${formatDuration(options.joinTimeoutMs)}`;
      return refuse(
        "unavailable",
        `no address to join at let this node in${tried} (${causes.join("; ")}): is a node up there, and is this its API port?`,
      );
    }
    if (causes.length > 0 && round === 1)
      options.log(
        "warn",
        `cannot join yet, trying for ${formatDuration(options.joinTimeoutMs)} (${causes.join("; ")})`,
      );
    if (causes.length > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function newJoining(name: string): Joining {
  return { name, incarnation: randomBytes(8).toString("hex"), token: newApiToken().text };
}

function requestOf(
  { name, incarnation, token }: Joining,
  certificate: CertificateRequest,
  options: BootOptions,
): JoinRequest {
  const parsed = parseApiToken(token);
  assert(parsed !== undefined, "joining.json holds a token of this form");
  return {
    name,
    incarnation,
    labels: options.labels,
    slots: options.slots,
    ioTasks: options.ioTasks,
    level: options.level ?? ownLevel,
    version: options.version,
    votersWanted: options.voters,
    certificate,
    apiToken: { id: parsed.id, hash: hashSecret(parsed.secret) },
  };
}

async function ask(
  address: string,
  token: Exclude<ReturnType<typeof parseJoinToken>, string>,
  request: JoinRequest,
  timeoutMs: number,
): ReturnType<typeof askToJoin> {
  try {
    const contact = await firstContact(address, token.fingerprint, timeoutMs);
    if (!contact.ok) return contact;
    return await askToJoin(contact.value, token, hashSecret(token.secret), request, timeoutMs);
  } catch (error) {
    return refuse("unavailable", causeOf(error, timeoutMs));
  }
}

/** The runtime's errors in words for people. */
function causeOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${formatDuration(Math.round(timeoutMs))}`;
  const { code } = error as { readonly code?: unknown };
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return "connection refused";
  return error.message;
}
