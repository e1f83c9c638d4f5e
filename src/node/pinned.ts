import { fingerprintOf, issuerOf, parseCertificate } from "../transport/certificate.ts";

/** An authority's certificate, and the same as the one before vouches for it. */
export interface Vouched {
  readonly certificate: string;
  readonly crossed: string | null;
}

/**
 * Those among `authorities` that whoever believes the one with this fingerprint may believe: itself, and those that it vouches for, one after
 * another, over those of before (`former`). So what names an authority stays good when that was replaced, more than once too.
 */
export function pinned(
  authorities: readonly Vouched[],
  pin: string,
  former: readonly Vouched[] = [],
): readonly string[] {
  const known = [...former, ...authorities];
  const isPinned = (one: string): boolean => parseCertificate(one) !== undefined && fingerprintOf(one) === pin;
  const believed = new Set(known.map((one) => one.certificate).filter(isPinned));
  for (let before = -1; believed.size > before;) {
    before = believed.size;
    for (const { certificate, crossed } of known) {
      if (!believed.has(certificate) && isVouchedFor(certificate, crossed, [...believed])) believed.add(certificate);
    }
  }
  return authorities.map((one) => one.certificate).filter((one) => believed.has(one));
}

function isVouchedFor(certificate: string, crossed: string | null, by: readonly string[]): boolean {
  const [plain, vouched] = [parseCertificate(certificate), parseCertificate(crossed ?? "")];
  if (plain === undefined || vouched === undefined) return false;
  const isSame = vouched.subject === plain.subject && vouched.publicKey.equals(plain.publicKey);
  return isSame && issuerOf(vouched, by) !== undefined;
}
