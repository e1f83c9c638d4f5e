/** Where something listens. */
export interface HostPort {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** HOST, HOST:PORT, [IPV6]:PORT or :PORT (loopback); undefined: none of them. */
export function parseHostPort(text: string, defaultPort: number): HostPort | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*))(?::(\d{1,5}))?$/.exec(text.trim());
  if (match === null || match[0] === "") return undefined;
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  const host = match[1] ?? (match[2] === "" ? "127.0.0.1" : match[2]!);
  return port > 65_535 ? undefined : { host, port };
}

/** HOST:PORT of a peer as nodes tell it: nothing of it may be read as another part of an URL. "": not known. */
export function isPeerAddress(peer: string): boolean {
  return peer.length <= 300 && !/[\s/?#@\\]/.test(peer);
}

/** The URL of an API address as nodes tell it: HOST:PORT is served in the clear. */
export function urlOf(api: string): string {
  return api.includes("://") ? api : `http://${api}`;
}

/** HOST:PORT, an IPv6 address in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
