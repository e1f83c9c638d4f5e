import { z } from "zod";
import { asWrittenForm, isAsWritten, secretName } from "./shapes.ts";

/** `{secret: name}` in the place of a value, wherever a spec may hold one. */
const secretForm = "must be text, or {secret: name}";
export const secretReference = z.strictObject({ secret: secretName }, { error: secretForm });

const number = z.number().refine(isAsWritten);
const errorOf = ({ input }: { readonly input?: unknown }): string =>
  typeof input === "number" ? asWrittenForm : secretForm;

/** Text or what becomes text, or a secret. */
export const textOrSecret = z.union([z.union([z.string(), number, z.boolean()]).transform(String), secretReference], {
  error: errorOf,
});
/** The same where true and false are no text. */
export const wordOrSecret = z.union([z.union([z.string(), number]).transform(String), secretReference], {
  error: errorOf,
});

/** Takes values, and the names of secrets where a value is one, apart; undefined: there are none of the kind. */
export function partSecrets(given: Readonly<Record<string, string | { readonly secret: string }>>): {
  readonly plain: Readonly<Record<string, string>> | undefined;
  readonly secret: Readonly<Record<string, string>> | undefined;
} {
  const plain: [string, string][] = [];
  const secret: [string, string][] = [];
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === "string") plain.push([key, value]);
    else secret.push([key, value.secret]);
  }
  return {
    plain: plain.length > 0 || secret.length === 0 ? Object.fromEntries(plain) : undefined,
    secret: secret.length > 0 ? Object.fromEntries(secret) : undefined,
  };
}
