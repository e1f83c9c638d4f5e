/**
 * Pages of other origins (`up --cors`). A browser asks first whether a page may send a token, and gives it an answer only where that says so. There are no cookies:
 * whoever has no token reaches nothing, whatever the page. Everybody else sends no Origin, and is served as ever.
 */
export type Serve<Server> = (request: Request, server: Server) => Response | Promise<Response>;

const allowed = {
  "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": "authorization, content-type, idempotency-key, last-event-id, skein-min-index",
  "access-control-max-age": "7200",
};
const exposed = "skein-index, skein-node, retry-after, allow";

/** The same, for pages of these origins as well; "*": of any. */
export function forOrigins<Server>(origins: readonly string[], serve: Serve<Server>): Serve<Server> {
  if (origins.length === 0) return serve;
  return async (request, server) => {
    const origin = request.headers.get("origin");
    if (origin === null || !(origins.includes(origin) || origins.includes("*"))) return await serve(request, server);
    const own = { "access-control-allow-origin": origin, vary: "origin" };
    if (request.method === "OPTIONS" && request.headers.has("access-control-request-method"))
      return new Response(null, { status: 204, headers: { ...own, ...allowed } });
    const response = await serve(request, server);
    for (const [name, value] of Object.entries(own)) response.headers.set(name, value);
    response.headers.set("access-control-expose-headers", exposed);
    return response;
  };
}
