import { generateKeyPairSync } from "node:crypto";
import type { AuthorityKeys, Certificate } from "../../src/storage/types.ts";
import { fingerprintOf } from "../../src/transport/certificate.ts";

/**
 * Certificates of simulated nodes: all show the same one, good for three hundred years, since the network of the simulation asks for none. Nobody
 * has a key to them. Making keys is work of other threads, which never ends in virtual time: no authority is replaced here.
 */
const authority = `-----BEGIN CERTIFICATE-----
MIIBiDCCAS6gAwIBAgIQU8GImQRGrwqnoJYcsEOC0TAKBggqhkjOPQQDAjAjMSEw
HwYDVQQDExhza2VpbiBzaW11bGF0ZWQgMmUxZmVhNjQwIBcNMTkxMjMxMjMwMDAw
WhgPMjMxOTEwMjEwMDAwMDBaMCMxITAfBgNVBAMTGHNrZWluIHNpbXVsYXRlZCAy
ZTFmZWE2NDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJCs0vEvqLszQme2bs1i
6E1KhpkpiNPivHTLezwZMjSHvYDxHByaQi+pq3fwLOCva/htNMzV6Fy8k2hV8L6W
sKqjQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQW
BBQvGXrAWkXOP9J4G7GriOYu3ajuejAKBggqhkjOPQQDAgNIADBFAiEAgC8c3FRB
yOzkbWQVSmzp9Ym7rXbOuNSIS6szYcnocTkCIEq7BwzPFuUOHjzkpkGjOp6HrsA3
w4ZT61UnEUaFNgcR
-----END CERTIFICATE-----`;

const node = `-----BEGIN CERTIFICATE-----
MIIB1TCCAXugAwIBAgIQT3mTBH8GYWe6o0LiPDRqdzAKBggqhkjOPQQDAjAjMSEw
HwYDVQQDExhza2VpbiBzaW11bGF0ZWQgMmUxZmVhNjQwIBcNMTkxMjMxMjMwMDAw
WhgPMjMxOTEwMjEwMDAwMDBaMCsxDzANBgNVBAMTBm5vZGUgMTEYMBYGA1UEChMP
c2tlaW4gc2ltdWxhdGVkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPwgKNv/S
Ulj55bXHoeYe1p6aM96XtdcT1Tdz3NuLBAf07EG8nMHn+i0rUHkc8ZO+ZQn6k+eq
jgxklHtGXpO6Y6OBhjCBgzAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDAd
BgNVHSUEFjAUBggrBgEFBQcDAQYIKwYBBQUHAwIwIwYDVR0RBBwwGoYYc2tlaW46
Ly9zaW11bGF0ZWQvbm9kZS8xMB8GA1UdIwQYMBaAFC8ZesBaRc4/0ngbsauI5i7d
qO56MAoGCCqGSM49BAMCA0gAMEUCIQDZ626jgh7K66KUVF3lZEyW4XlZpccy4JrL
roomsYKpQgIgDfeMHg4+i94HDOAyob7kfIIrYeI/eRUeqenlzGlygPY=
-----END CERTIFICATE-----`;

export const certificate: Certificate = { version: 1, key: "", certificate: node, trusted: [authority] };

/** Any key: what is signed with it is signed after the end of a run, for nobody. */
const key = generateKeyPairSync("ec", {
  namedCurve: "P-256",
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
}).privateKey;

/** What the founder holds. */
export const authorityKeys: AuthorityKeys = {
  version: 1,
  keys: { [fingerprintOf(authority)]: { certificate: authority, key } },
};
