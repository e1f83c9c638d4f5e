import type { Part } from "./cron-import-part.ts";

/** Variables of a container. */
export interface Environment {
  /** As the job has them. */
  readonly env: Record<string, unknown>;
  /** Those whose value is known. */
  readonly plain: ReadonlyMap<string, string>;
  /** Those that a secret gives. */
  readonly secret: ReadonlySet<string>;
}

/** Variables with a value, and those of secrets, which have to be set under names of their own. What else gives values is a problem: it is not here. */
export function environmentOf(container: Part, namespace: string | undefined): Environment {
  const env: Record<string, unknown> = {};
  const plain = new Map<string, string>();
  const secret = new Set<string>();
  for (const part of container.parts("env")) {
    const name = part.text("name");
    const from = part.part("valueFrom");
    if (name === undefined) part.problem("", "a variable has no name");
    else if (from === undefined) {
      const raw = part.value("value");
      if (raw !== undefined && typeof raw !== "string")
        part.problem("value", `${name} must be text: write ${JSON.stringify(raw)} in quotes`);
      const value = filledIn(typeof raw === "string" ? raw : "", plain);
      plain.set(name, value);
      env[name] = value;
    } else {
      const value = valueFrom(from, name, namespace);
      if (value !== undefined) env[name] = value;
      if (typeof value === "string") plain.set(name, value);
      else secret.add(name);
    }
    part.noteLeft();
  }
  for (const part of container.parts("envFrom")) {
    const [what, key] =
      part.value("secretRef") === undefined ? ["config map", "configMapRef"] : ["secret", "secretRef"];
    const name = part.part(key)?.text("name") ?? "?";
    part.problem("", `the names of all that ${what} ${name} holds are not known here: list them under env`);
  }
  return { env, plain, secret };
}

function valueFrom(
  from: Part,
  name: string,
  namespace: string | undefined,
): string | { readonly secret: string } | undefined {
  const ofSecret = from.part("secretKeyRef");
  if (ofSecret !== undefined) {
    const secret = `${ofSecret.text("name") ?? "?"}.${ofSecret.text("key") ?? "?"}`;
    from.note("", `${name} is to be a secret of the mesh: skein secret set ${secret}`);
    return { secret };
  }
  const ofMap = from.part("configMapKeyRef");
  if (ofMap !== undefined) {
    const what = `${name} is what config map ${ofMap.text("name") ?? "?"} has as ${ofMap.text("key") ?? "?"}, which is not here`;
    if (ofMap.flag("optional") === true) from.note("", `${what}: left out, since it may be absent`);
    else from.problem("", `${what}: write its value`);
    return undefined;
  }
  const field = from.part("fieldRef")?.text("fieldPath");
  if (field === "metadata.namespace" && namespace !== undefined) return namespace;
  from.problem(
    "",
    field === "spec.nodeName"
      ? `${name} is the node's name: tasks find its id in SKEIN_NODE`
      : `${name} is ${field ?? "something"} of a pod, and there is none: write its value, or leave it out`,
  );
  return undefined;
}

/** What is run: command and args, in which $(NAME) stands for a variable. undefined: it is not known, which is told. */
export function commandOf(
  container: Part,
  plain: ReadonlyMap<string, string>,
  secret: ReadonlySet<string>,
): readonly string[] | undefined {
  const [command, args] = [container.texts("command"), container.texts("args")];
  if (command === undefined || command.length === 0) {
    if (container.fields["command"] === undefined || command !== undefined)
      container.problem("command", "is missing: what an image runs by itself is not known here");
    return undefined;
  }
  const words = [...command, ...(args ?? [])];
  for (const word of words)
    for (const [, name] of word.matchAll(/(?<!\$)\$\(([^)]+)\)/g))
      if (secret.has(name!))
        container.problem(
          "command",
          `$(${name}) stands for a secret, which is in the environment alone: let a shell read it, as in [sh, -c, 'exec program "$${name}"']`,
        );
  return words.map((word) => filledIn(word, plain));
}

/** $(NAME) becomes a variable's value, and stays where there is none; $$ is a $. */
function filledIn(text: string, plain: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\$|\$\(([^)]+)\)/g, (written, name: string | undefined) =>
    name === undefined ? "$" : (plain.get(name) ?? written),
  );
}
