import { Fault } from "../lib/fault.ts";

/**
 * Throws Fault "port" when the address cannot be bound now. For steps that must not be begun with a port in use; the real bind
 * comes later and may still fail.
 */
export function expectFree(at: { readonly host: string; readonly port: number }): void {
  if (at.port === 0) return;
  try {
    Bun.listen({ hostname: at.host, port: at.port, socket: { data() {} } }).stop(true);
  } catch (error) {
    throw portFault(at, error);
  }
}

/** An address that could not be bound, in words for people. */
export function portFault(at: { readonly host: string; readonly port: number }, cause: unknown): Fault {
  const { code } = cause as { code?: unknown };
  const where = `${at.host}:${at.port}`;
  const why =
    code === "EADDRINUSE"
      ? `${where} is in use by another process: stop it, or choose another address`
      : code === "EACCES"
        ? `${where} may not be used by this user: choose a port above 1023`
        : `${where} cannot be listened on (${cause instanceof Error ? cause.message : String(cause)})`;
  return new Fault("port", why, "never", cause);
}
