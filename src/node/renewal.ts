import { isIP } from "node:net";
import { fingerprintOf, issuerOf, parseCertificate } from "../transport/certificate.ts";
import { backdatedMs } from "./certificates.ts";

/** When a certificate is renewed: after about two thirds of its life, each at a moment of its own so that not all nodes ask at once. */
const earliest = 0.6;
const spread = 0.13;

/** Epoch ms; the same for the same certificate. */
export function renewalAt(certificate: string): number {
  const parsed = parseCertificate(certificate);
  if (parsed === undefined) return 0;
  const issued = parsed.validFromDate.getTime() + backdatedMs;
  const expires = parsed.validToDate.getTime();
  const share = Number.parseInt(fingerprintOf(certificate).slice(0, 8), 16) / 2 ** 32;
  return issued + (expires - issued) * (earliest + spread * share);
}

/** When the certificate that a node shows is to be replaced. Every node looks once a second, and signatures take time: it is told once for each. */
export class Renewal {
  #of = "";
  #at = 0;

  /** Epoch ms; 0 when another authority issues now, or a name is missing. */
  at(certificate: string, issuing: string, hosts: readonly string[]): number {
    const of = JSON.stringify([certificate, issuing, hosts]);
    if (of === this.#of) return this.#at;
    const parsed = parseCertificate(certificate);
    const isGood = parsed !== undefined && issuerOf(parsed, [issuing]) !== undefined;
    this.#at = isGood && missingHosts(certificate, hosts).length === 0 ? renewalAt(certificate) : 0;
    this.#of = of;
    return this.#at;
  }
}

/** The names that a certificate lacks. */
export function missingHosts(certificate: string, hosts: readonly string[]): readonly string[] {
  const parsed = parseCertificate(certificate);
  return hosts.filter((host) => (isIP(host) === 0 ? parsed?.checkHost(host) : parsed?.checkIP(host)) === undefined);
}
