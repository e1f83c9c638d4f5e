import { z } from "zod";
import { type HttpParts, type Route, route } from "./route.ts";

/** Whose certificates the members show, and the way to another authority. */
export function authorityRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/ca",
      right: undefined,
      doc: "The authorities that the cluster believes: public certificates. Who asks must know by other means which one to believe.",
      handle() {
        const authorities = node.authorities();
        const ca = authorities.map((one) => one.certificate.trim()).join("\n");
        return reply.json({ ca: `${ca}\n`, authorities, own_certificate: parts.hasOwnCertificate === true });
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/cluster/authority",
      right: "cluster:write",
      doc: "Makes a new authority that takes the present one's place, step by step, while everything goes on.",
      status: 202,
      body: z.strictObject({}),
      answer: z.object({ authority: z.string() }),
      async handle({ by }) {
        const outcome = await node.rotateAuthority(by);
        return outcome.ok ? reply.json(outcome.value, undefined, 202) : reply.refusal(outcome.why);
      },
    }),
  ];
}
