import { Fault } from "../lib/fault.ts";

/** Finds out early that an address can be bound (0: any port always can). Throws Fault "port". */
export async function freePort(host: string, port: number): Promise<void> {
  if (port === 0) return;
  let server: ReturnType<typeof Bun.serve>;
  try {
    server = Bun.serve({ hostname: host, port, fetch: () => new Response(null, { status: 503 }) });
  } catch (error) {
    throw portFault(error, host, port, "--api or --peer");
  }
  await server.stop(true);
}

/** Why an address could not be bound, and what to do; `flag` is what chooses another one. */
export function portFault(error: unknown, host: string, port: number, flag: string): Fault {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const code = (error as { code?: unknown } | null)?.code;
  const reason =
    code === "EADDRINUSE"
      ? `${address} is in use by another process: stop it, or choose another port with ${flag}`
      : code === "EACCES"
        ? `${address} needs rights that this user does not have: choose a port above 1023 with ${flag}`
        : code === "EADDRNOTAVAIL"
          ? `${address} is not an address of this host: choose one of its own with ${flag}`
          : `${address} cannot be listened on (${error instanceof Error ? error.message : String(error)}): choose another address with ${flag}`;
  return new Fault("port", reason, "never", error);
}
