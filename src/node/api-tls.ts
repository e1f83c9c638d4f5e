import { Fault } from "../lib/fault.ts";
import { parseHostPort, urlOf } from "../lib/host-port.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { AuthoritiesView } from "../state/answers.ts";
import { defaultApiPort, isLoopback } from "./listening.ts";
import { pinned } from "./pinned.ts";

/** How a node reaches the API of others: whether over TLS, and whom it believes there. */

/** The part of fetch's options that is about TLS. */
export interface Tls {
  readonly ca?: string | string[];
  readonly rejectUnauthorized?: boolean;
  readonly checkServerIdentity?: () => undefined;
}

/** An address that answered, and how to speak to it. */
export interface Contact {
  readonly url: string;
  readonly tls: Tls;
}

/** What a bare HOST:PORT may stand for, likeliest first: loopback is served in the clear, everything else over TLS. */
export function urlsOf(address: string): string[] {
  if (address.includes("://")) return [address.replace(/\/$/, "")];
  const host = parseHostPort(address, defaultApiPort)?.host ?? "";
  const schemes = isLoopback(host) ? ["http", "https"] : ["https", "http"];
  return schemes.map((scheme) => `${scheme}://${address}`);
}

/** Any member of the cluster is good to talk to, under whatever name it was reached. */
export function asMember(bundle: string | string[]): Tls {
  return { ca: bundle, checkServerIdentity: () => undefined };
}

/**
 * Finds out how a member is spoken to before anything is said to it. Over TLS its authorities are asked for first, and only those are believed that
 * the token names, or that one of these vouches for. In the clear nothing is known of it yet: the request to join proves both sides by itself.
 * Throws when nothing answers.
 */
export async function firstContact(address: string, pin: string, timeoutMs: number): Promise<Outcome<Contact>> {
  let failure: Error | undefined;
  for (const url of urlsOf(address)) {
    try {
      const view = await authoritiesAt(url, timeoutMs);
      if (url.startsWith("http://") || view.own_certificate) return accept({ url, tls: { rejectUnauthorized: false } });
      const believed = pinned(view.authorities, pin, view.former);
      if (believed.length > 0) return accept({ url, tls: asMember([...believed]) });
      return refuse(
        "unauthorized",
        `the authority at ${address} is not the one that the join token names: check the address, or make a token there with 'skein cluster token'`,
      );
    } catch (error) {
      // The other scheme's error says less, unless this one spoke no TLS at all.
      if (!(error instanceof Error)) throw error;
      failure ??= error;
      if (isOtherScheme(error)) failure = undefined;
      else break;
    }
  }
  throw failure ?? new Fault("protocol", "what listens there is no API of skein (its peer port?)", "safe");
}

async function authoritiesAt(url: string, timeoutMs: number): Promise<AuthoritiesView> {
  const response = await fetch(`${url}/v1/ca`, {
    tls: { rejectUnauthorized: false }, // what it says is judged by the token
    signal: AbortSignal.timeout(timeoutMs),
  });
  const view = (await response.json().catch(() => undefined)) as AuthoritiesView | undefined;
  if (!response.ok || !Array.isArray(view?.authorities))
    throw new Fault("protocol", "what listens there is no API of skein (its peer port?)", "safe");
  return view;
}

/** A plain server asked over TLS, or the other way round. */
function isOtherScheme(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return (
    code === "EPROTO" || code === "ECONNRESET" || code === "ConnectionClosed" || code === "ERR_SSL_WRONG_VERSION_NUMBER"
  );
}

const reissueMs = 5000;

/** Asks one member after another for another certificate, until one gives it; else the last refusal. */
export async function postReissue(apis: readonly string[], body: object, bundle: string): Promise<Outcome<string>> {
  let last: Outcome<string> = refuse("unavailable", "no member is known whose API could be asked");
  for (const api of apis) {
    try {
      const response = await fetch(`${urlOf(api)}/v1/certificate`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        tls: asMember(bundle),
        signal: AbortSignal.timeout(reissueMs),
      });
      const answer = (await response.json()) as { certificate?: string; error?: { message?: string } };
      if (response.ok && typeof answer.certificate === "string") return accept(answer.certificate);
      last = refuse("unavailable", answer.error?.message ?? `${api} answered ${response.status}`);
    } catch (error) {
      last = refuse("unavailable", `${api}: ${(error as Error).message}`);
    }
  }
  return last;
}
