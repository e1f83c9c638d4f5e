import type { Spec } from "./types.ts";

/** What a spec's text holds if, and only if, the job uses secrets: within a text of JSON, quotes are written otherwise. */
export const secretsKey = '"secrets":{';

/** Where a spec, as people write it, names a secret. */
export interface SecretPlace {
  readonly path: string;
  readonly secret: string;
}

/** Every place of the spec that holds a secret, in the order in which it is written. */
export function secretPlaces({ secrets }: Spec): SecretPlace[] {
  const { env = {}, headers = {}, body, sshKey, becomePassword, vault } = secrets ?? {};
  return [
    ...Object.entries(env).map(([name, secret]) => ({ path: `env.${name}`, secret })),
    ...Object.entries(headers).map(([name, secret]) => ({ path: `http.headers.${name}`, secret })),
    ...(body === undefined ? [] : [{ path: "http.body", secret: body }]),
    ...(sshKey === undefined ? [] : [{ path: "ssh.key", secret: sshKey }]),
    ...(becomePassword === undefined ? [] : [{ path: "ssh.become_password", secret: becomePassword }]),
    ...(vault === undefined ? [] : [{ path: "ansible.vault", secret: vault }]),
  ];
}

/** The names of the secrets that the spec uses, each once. */
export function secretsOf(spec: Spec): string[] {
  return [...new Set(secretPlaces(spec).map(({ secret }) => secret))];
}
