import { isIP } from "node:net";
import { fingerprintOf, parseCertificate } from "../transport/certificate.ts";
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

/** Old enough to be renewed. */
export function isDue(certificate: string, now: number): boolean {
  return now >= renewalAt(certificate);
}

/** The names that a certificate lacks. */
export function missingHosts(certificate: string, hosts: readonly string[]): readonly string[] {
  const parsed = parseCertificate(certificate);
  return hosts.filter((host) => (isIP(host) === 0 ? parsed?.checkHost(host) : parsed?.checkIP(host)) === undefined);
}
