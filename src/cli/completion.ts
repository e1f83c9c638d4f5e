import { Argument, type Command, type Option } from "commander";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";
import { laterVerbs } from "./later.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** `skein completion bash|zsh|fish`: a script made from the program itself, so that it knows every verb and flag. */
export function addCompletion(program: Command, cli: Cli): void {
  const command = program
    .command("completion")
    .description("print a completion script: source <(skein completion bash)")
    .addArgument(new Argument("<shell>").choices(shells));
  cli.local<object, [Shell]>(command, (_flags, _global, shell) => {
    cli.io.stdout.write(scripts[shell](placesOf(program, [])));
    return Promise.resolve(exit.done);
  });
}

/** A verb, by its words, and what may follow it. */
interface Place {
  /** "" for the program itself, "jobs ls" for a verb. */
  readonly path: string;
  readonly verbs: readonly Word[];
  readonly flags: readonly Flag[];
}

interface Word {
  readonly text: string;
  readonly description: string;
}

interface Flag extends Word {
  readonly short: string | undefined;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

const later = new Set(laterVerbs.map((verb) => verb.words));

function placesOf(command: Command, path: readonly string[]): Place[] {
  const help: Flag = { text: "--help", short: "-h", description: "show help", takesValue: false, choices: [] };
  const [first] = command.registeredArguments;
  const choices = (first?.argChoices ?? []).map((text) => ({ text, description: "" }));
  const known = command.commands.filter((one) => !later.has([...path, one.name()].join(" ")));
  const verbs = known.map((one) => ({ text: one.name(), description: one.description() }));
  const here: Place = {
    path: path.join(" "),
    verbs: [...verbs, ...choices],
    flags: [...command.options.map(flagOf), help],
  };
  return [here, ...known.flatMap((one) => placesOf(one, [...path, one.name()]))];
}

function flagOf(option: Option): Flag {
  return {
    text: option.long ?? option.short ?? option.flags,
    short: option.short,
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const satisfies Record<
  Shell,
  (places: readonly Place[]) => string
>;

/** Words of the verb so far, flags and their values passed over. For bash and zsh alike. */
function pathLoop(places: readonly Place[]): string {
  const valued = new Set(places.flatMap((place) => place.flags.filter((flag) => flag.takesValue).flatMap(spellings)));
  const known = places.filter((place) => place.path !== "").map((place) => `"${place.path}"`);
  return `  for word in "\${before[@]}"; do
    if [[ -n $skip ]]; then skip=; continue; fi
    case "$word" in
      --) return 0 ;;
      ${[...valued].join("|")}) skip=1; continue ;;
      -*) continue ;;
    esac
    case "\${at:+$at }$word" in
      ${known.join("|")}) at="\${at:+$at }$word" ;;
    esac
  done
`;
}

function choiceCases(places: readonly Place[], complete: (choices: string) => string): string {
  const cases = new Map<string, string>();
  for (const flag of places.flatMap((place) => place.flags)) {
    if (flag.choices.length > 0) cases.set(spellings(flag).join("|"), flag.choices.join(" "));
  }
  return [...cases].map(([flag, choices]) => `    ${flag}) ${complete(choices)}; return 0 ;;`).join("\n");
}

function wordCases(places: readonly Place[]): string {
  return places
    .map((place) => {
      const words = place.verbs.map((verb) => verb.text).join(" ");
      return `    "${place.path}") verbs="${words}"; flags="${place.flags.flatMap(spellings).join(" ")}" ;;`;
    })
    .join("\n");
}

function bashScript(places: readonly Place[]): string {
  return `# bash completion for skein: source <(skein completion bash)
_skein() {
  local word skip= at= verbs= flags= current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local -a before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=()
${pathLoop(places)}
  case "$previous" in
${choiceCases(places, (choices) => `COMPREPLY=($(compgen -W "${choices}" -- "$current"))`)}
  esac
  case "$at" in
${wordCases(places)}
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  elif [[ -n "$verbs" && -z "$skip" ]]; then
    COMPREPLY=($(compgen -W "$verbs" -- "$current"))
  fi
  return 0
}
complete -o default -F _skein skein
`;
}

function zshScript(places: readonly Place[]): string {
  return `#compdef skein
# zsh completion for skein: source <(skein completion zsh)
_skein() {
  local word skip= at= verbs= flags= current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}"
  local -a before
  before=("\${(@)words[2,CURRENT-1]}")
${pathLoop(places)}
  case "$previous" in
${choiceCases(places, (choices) => `compadd -- ${choices}`)}
  esac
  case "$at" in
${wordCases(places)}
  esac
  if [[ "$current" == -* ]]; then
    compadd -- \${=flags}
  elif [[ -n "$verbs" && -z "$skip" ]]; then
    compadd -- \${=verbs}
  else
    _files
  fi
}
compdef _skein skein
`;
}

function fishScript(places: readonly Place[]): string {
  const lines = [
    "# fish completion for skein: skein completion fish | source",
    "function __skein_at",
    "  set -l words (commandline -opc)",
    "  set -l verb (string match -v -- '-*' $words[2..-1])",
    '  test "$verb" = "$argv"',
    "end",
    "complete -c skein -f",
  ];
  for (const place of places) {
    const at = `-n '__skein_at ${place.path}'`;
    for (const verb of place.verbs)
      lines.push(`complete -c skein ${at} -a ${verb.text} -d ${quoted(verb.description)}`);
    for (const flag of place.flags) {
      const short = flag.short === undefined ? "" : ` -s ${flag.short.slice(1)}`;
      const value = flag.takesValue
        ? flag.choices.length > 0
          ? ` -x -a ${quoted(flag.choices.join(" "))}`
          : " -r -F"
        : "";
      const where = place.path === "" ? "" : ` -n '__fish_seen_subcommand_from ${place.path.split(" ").at(-1)}'`;
      lines.push(`complete -c skein${where} -l ${flag.text.slice(2)}${short}${value} -d ${quoted(flag.description)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function spellings(flag: Flag): string[] {
  return flag.short === undefined ? [flag.text] : [flag.text, flag.short];
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
