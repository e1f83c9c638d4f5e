import type { NodeId } from "../lib/ids.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";
import { fingerprintOf, isSignedBy, judgeCertificate, parseCertificate, signWith } from "../transport/certificate.ts";
import { type CertificateRequest, parseRequest } from "./requests.ts";

/**
 * A node that was switched off past the end of its certificate cannot meet its peers any more. It asks over the API instead, with the certificate that
 * it showed last and a signature with its key: a member it still is. Nothing in it is secret, and a copy of it gets nobody anything: what is issued is for
 * the key in the request.
 */
export interface Reissue {
  readonly request: CertificateRequest;
  /** The one that has expired, PEM. */
  readonly certificate: string;
  readonly proof: string;
}

/** What the node sends. */
export function askForReissue(
  own: { readonly cluster: string; readonly key: string; readonly certificate: string },
  request: CertificateRequest,
): Reissue {
  const proof = Buffer.from(signWith(own.key, proven(own.cluster, request))).toString("base64url");
  return { request, certificate: own.certificate, proof };
}

/** The answering side. `body` is not trusted. */
export async function reissue(
  body: unknown,
  ports: {
    readonly cluster: string;
    readonly trusted: readonly string[];
    /** Fingerprint of what the member showed last; undefined: it is no member, or has shown nothing. */
    shownBy(node: NodeId): string | undefined;
    now(): number;
    issue(request: CertificateRequest, node: NodeId): Promise<Outcome<string>>;
  },
): Promise<Outcome<string>> {
  const { request: asked, certificate, proof } = (body ?? {}) as { readonly [Field in keyof Reissue]?: unknown };
  const request = parseRequest(asked);
  const parsed = typeof certificate === "string" ? parseCertificate(certificate) : undefined;
  if (request === undefined || parsed === undefined || typeof proof !== "string")
    return refuse(
      "invalid",
      "this is not a request for another certificate: use the same version of skein on all hosts",
    );
  // That it has expired is why it comes this way.
  const then = Math.min(ports.now(), parsed.validToDate.getTime() - 1);
  const judged = judgeCertificate(certificate as string, ports.cluster, ports.trusted, then);
  if (typeof judged === "string") return refuse("unauthorized", `this node gets no other certificate: ${judged}`);
  if (ports.shownBy(judged.node) !== fingerprintOf(certificate as string)) {
    return refuse(
      "unauthorized",
      `node ${judged.node} is no member any more, or showed another certificate since: join again as a new node, with an empty --data`,
    );
  }
  if (!isSignedBy(judged.certificate, proven(ports.cluster, request), Buffer.from(proof, "base64url")))
    return refuse("unauthorized", "the request is not signed with the key of the certificate");
  return ports.issue(request, judged.node);
}

function proven(cluster: string, { csr, hosts }: CertificateRequest): Uint8Array {
  return Buffer.from(JSON.stringify(["skein another certificate 1", cluster, csr, hosts]));
}
