import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import type { NodeId } from "../lib/ids.ts";
import type { ClusterView } from "../state/answers.ts";
import { authorityState } from "../state/queries.ts";
import { rotationStep } from "../state/rotation.ts";
import type { ReadTx } from "../state/tx.ts";
import { limits } from "../lib/limits.ts";
import { type HttpParts, readJson, type Route, route } from "./route.ts";

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
        return reply.json({
          ca: `${ca}\n`,
          authorities,
          former: node.formerAuthorities(),
          own_certificate: parts.hasOwnCertificate === true,
        });
      },
    }),
    {
      method: "POST",
      path: "/v1/certificate",
      right: undefined,
      doc: "What a member sends that was away past the end of its certificate. Proven with the key of that one.",
      status: 200,
      async serve(exchange) {
        const body = await readJson(exchange.req.raw, limits.joinBodyBytes);
        if (!body.ok) return reply.refusal(body.why);
        const outcome = await node.reissue(body.value);
        return outcome.ok ? reply.json({ certificate: outcome.value }) : reply.refusal(outcome.why);
      },
    },
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

/** The authorities, and which members the one that is about to change waits for. */
export function authorityViews(tx: ReadTx, members: readonly NodeId[]): ClusterView["authorities"] {
  const state = authorityState(tx);
  const next = rotationStep(state, members);
  return state.authorities.map(({ fingerprint, phase, certificate }) => ({
    fingerprint,
    phase,
    expires_at: formatInstant(new X509Certificate(certificate).validToDate.getTime()),
    waits_for: next?.fingerprint === fingerprint ? next.waitsFor : [],
  }));
}
