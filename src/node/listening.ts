import { formatHostPort, type HostPort, parseHostPort } from "../lib/host-port.ts";
import type { Identity } from "../storage/types.ts";

/** Where a node listens and what others are told, from its flags and from what it did last time. */

export interface ApiAddress extends HostPort {
  readonly scheme: "http" | "https";
}

export interface Listening {
  /** At least one; others are told the first. */
  readonly apis: readonly ApiAddress[];
  readonly peer: HostPort;
  readonly advertise: string | undefined;
}

/** What a node is told by flags; undefined: as last time, else by the contract. */
export interface ListenFlags {
  readonly api: readonly ApiAddress[] | undefined;
  readonly peer: HostPort | undefined;
  readonly advertise: string | undefined;
}

export const defaultApiPort = 7400;
export const defaultPeerPort = 7401;

/** True for the names and addresses of this host that nobody else can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Without an advertised name: loopback, in the clear. With one off loopback: all interfaces, the API over TLS. Flags win; a port 0 means any, and
 * that of last time is as good as any.
 */
export function listeningOf(flags: ListenFlags, last: Identity | undefined): Listening {
  const advertise = flags.advertise ?? last?.listen?.advertise;
  const isOpen = advertise !== undefined && !isLoopback(advertise);
  const host = !isOpen ? "127.0.0.1" : advertise.includes(":") ? "::" : "0.0.0.0";
  const isMoved = flags.advertise !== undefined && flags.advertise !== last?.listen?.advertise;
  const before = last === undefined || isMoved ? undefined : lastOf(last);
  const apis = flags.api ??
    before?.apis ?? [{ scheme: isOpen ? "https" : "http", host, port: defaultApiPort } as const];
  const [first, ...rest] = apis;
  const peer = flags.peer ?? before?.peer ?? { host, port: defaultPeerPort };
  return {
    apis: [withPort(first!, lastOf(last)?.apis[0]), ...rest],
    peer: withPort(peer, lastOf(last)?.peer),
    advertise,
  };
}

/** As others are told an address: under the advertised name, when there is one; the scheme is said when it is TLS. */
export function toldAs(
  { host, port, scheme }: HostPort & { readonly scheme?: string },
  advertise: string | undefined,
): string {
  const address = formatHostPort({ host: advertise ?? host, port });
  return scheme === "https" ? `https://${address}` : address;
}

/** What was bound, to be remembered. */
export function rememberedAs(apis: readonly ApiAddress[], peer: HostPort, advertise: string | undefined) {
  return {
    apis: apis.map((one) => `${one.scheme}://${formatHostPort(one)}`),
    peer: formatHostPort(peer),
    ...(advertise === undefined ? {} : { advertise }),
  };
}

function lastOf(
  identity: Identity | undefined,
): { readonly apis: readonly ApiAddress[]; readonly peer: HostPort } | undefined {
  const apis = (identity?.listen?.apis ?? []).flatMap((text) => apiOf(text) ?? []);
  const peer = parseHostPort(identity?.listen?.peer ?? "", defaultPeerPort);
  return apis.length === 0 || peer === undefined ? undefined : { apis, peer };
}

function apiOf(text: string): ApiAddress | undefined {
  const match = /^(https?):\/\/(.+)$/.exec(text);
  const address = match === null ? undefined : parseHostPort(match[2]!, defaultApiPort);
  return address === undefined ? undefined : { ...address, scheme: match![1] as "http" | "https" };
}

function withPort<Address extends HostPort>(address: Address, last: HostPort | undefined): Address {
  return address.port === 0 && last !== undefined ? { ...address, port: last.port } : address;
}
