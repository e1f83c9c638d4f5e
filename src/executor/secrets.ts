import { assert } from "../lib/assert.ts";
import type { Spec } from "../state/types.ts";

/** Values by the names of secrets. They go to the guard, and into nothing that is written down (K1). */
export type SecretValues = Readonly<Record<string, string>>;

/** What a spec names, with the values in place of the names. */
export function valuesOf(names: Readonly<Record<string, string>> | undefined, values: SecretValues): SecretValues {
  return Object.fromEntries(
    Object.entries(names ?? {}).map(([key, name]) => {
      const value = values[name];
      assert(value !== undefined, `there is no value of secret ${name}: all are there before a start`);
      return [key, value];
    }),
  );
}

/** A password that is read as a line: the secret's first one, whatever ends it; undefined: the spec names none. */
export function becomePasswordOf({ secrets }: Spec, values: SecretValues): string | undefined {
  if (secrets?.becomePassword === undefined) return undefined;
  return valuesOf({ password: secrets.becomePassword }, values)["password"]!.split(/\r?\n/, 1)[0]!;
}

/** What the output must not show: every value that the attempt was given. */
export function redacting(spec: Spec, values: SecretValues): { readonly redact?: readonly string[] } {
  if (spec.secrets === undefined) return {};
  const password = becomePasswordOf(spec, values) ?? "";
  return { redact: [...Object.values(values), ...(password === "" ? [] : [password])] };
}
