import { Fault } from "../lib/fault.ts";
import { unresolvedWords } from "../lib/unresolved.ts";

/** Finds out early that an address can be bound (port 0: any free one always can). Throws Fault "port". */
export function expectFree(at: { readonly host: string; readonly port: number }): void {
  if (at.port === 0) return;
  try {
    Bun.listen({ hostname: at.host, port: at.port, socket: { data() {} } }).stop(true);
  } catch (error) {
    throw portFault(error, at.host, at.port, "--api or --peer");
  }
}

/** Why an address could not be bound, and what to do; `flag` is what chooses another one. */
export function portFault(error: unknown, host: string, port: number, flag: string): Fault {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const code = (error as { code?: unknown } | null)?.code;
  const unresolved = unresolvedWords(error, host);
  const reason =
    code === "EADDRINUSE"
      ? `${address} is in use by another process: stop it, or choose another port with ${flag}`
      : code === "EACCES"
        ? `${address} needs rights that this user does not have: choose a port above 1023 with ${flag}`
        : code === "EADDRNOTAVAIL"
          ? `${address} is not an address of this host: choose one of its own with ${flag}`
          : unresolved !== undefined
            ? `${address} cannot be listened on (${unresolved}): is it spelled right? Choose an address of this host with ${flag}`
            : `${address} cannot be listened on (${error instanceof Error ? error.message : String(error)}): choose another address with ${flag}`;
  return new Fault("port", reason, "never", error);
}
