/** `zmend completion`: shell completion, made from the command table. */
import { Argument, type Command } from "commander";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

interface Node {
  /** Words after `zmend`, joined by blanks. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly {
    readonly flag: string;
    readonly summary: string;
    readonly choices: readonly string[];
    readonly value: boolean;
  }[];
  /** Values that the first argument may have. */
  readonly choices: readonly string[];
}

/** Adds the `completion` command. */
export function registerCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a completion script for a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(shells))
    .addHelpText(
      "after",
      "\nbash: source <(zmend completion bash)    zsh: source <(zmend completion zsh)    fish: zmend completion fish | source\n" +
        "For good: put the output where the shell looks for it (zsh: as _zmend into a folder of $fpath).",
    )
    .action((shell: Shell) => {
      process.stdout.write(completionScript(program, shell));
    });
}

export function completionScript(program: Command, shell: Shell): string {
  const nodes = walk(program, []);
  if (shell === "fish") return fish(nodes);
  return shell === "zsh" ? zsh(nodes) : bash(nodes);
}

function walk(command: Command, path: readonly string[]): Node[] {
  const commands = command.commands.map((child) => ({
    name: child.name(),
    summary: child.description(),
  }));
  const options = [...command.options, command.createHelp().visibleOptions(command).at(-1)].flatMap(
    (option) =>
      option?.long === undefined || option.long === null
        ? []
        : [
            {
              flag: option.long,
              summary: option.description,
              choices: option.argChoices ?? [],
              value: option.required || option.optional,
            },
          ],
  );
  const seen = new Set<string>();
  const node: Node = {
    path: path.join(" "),
    commands,
    options: options.filter(({ flag }) => !seen.has(flag) && seen.add(flag)),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  };
  return [node, ...command.commands.flatMap((child) => walk(child, [...path, child.name()]))];
}

/** Cases of a shell's `case "$at $word"` that follow the typed words down to the command they name. */
function descent(nodes: readonly Node[]): string {
  return nodes
    .filter((node) => node.path !== "")
    .map((node) => {
      const parent = node.path.split(" ").slice(0, -1).join(" ");
      const name = node.path.split(" ").at(-1);
      return `      "${parent} ${name}") at="${node.path}" ;;`;
    })
    .join("\n");
}

/**
 * A shell's `case "$at $previous"`: behind an option that takes a value come its choices; where nobody can list them files, for
 * want of something better.
 */
function valuesAfter(
  nodes: readonly Node[],
  offer: (choices: string) => string,
  offerFiles: string,
): string {
  const withValue = nodes.flatMap(({ path, options }) =>
    options.filter(({ value }) => value).map((option) => ({ path, ...option })),
  );
  const listed = withValue
    .filter(({ choices }) => choices.length > 0)
    .map(({ path, flag, choices }) => `    "${path} ${flag}") ${offer(choices.join(" "))} ;;`);
  const others = withValue.filter(({ choices }) => choices.length === 0).map(({ flag }) => flag);
  const files = [...new Set(others)].sort().map((flag) => `*" ${flag}"`);
  return `  case "$at $previous" in
${listed.join("\n")}
    ${files.join("|")}) ${offerFiles}; return ;;
  esac`;
}

function bash(nodes: readonly Node[]): string {
  const words = (node: Node): string =>
    [
      ...node.commands.map((entry) => entry.name),
      ...node.choices,
      ...node.options.map((entry) => entry.flag),
    ].join(" ");
  return `# bash completion of zmend; made by 'zmend completion bash'
_zmend() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" at="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at $word" in
${descent(nodes)}
    esac
  done
${valuesAfter(nodes, (choices) => `words="${choices}"`, 'COMPREPLY=($(compgen -f -- "$current"))')}
  if [ -z "$words" ]; then
    case "$at" in
${nodes.map((node) => `      "${node.path}") words="${words(node)}" ;;`).join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _zmend zmend
`;
}

function zsh(nodes: readonly Node[]): string {
  const quote = (name: string, text: string): string =>
    `'${`${name}:${text.replace(/\n/g, " ")}`.replace(/'/g, "'\\''")}'`;
  const list = (entries: readonly string[]): string => `(${entries.join(" ")})`;
  const cases = nodes.map((node) => {
    const commands = node.commands.map(({ name, summary }) => quote(name, summary));
    const options = node.options.map(({ flag, summary }) => quote(flag, summary));
    return `    "${node.path}") commands=${list(commands)} choices=${list(node.choices)} options=${list(options)} ;;`;
  });
  return `#compdef zmend
# zsh completion of zmend; made by 'zmend completion zsh'
_zmend() {
  local at="" word previous="\${words[CURRENT-1]}"
  local -a commands choices options
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
${descent(nodes)}
    esac
  done
${valuesAfter(nodes, (choices) => `compadd -- ${choices}; return`, "_files")}
  case "$at" in
${cases.join("\n")}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o option options
  elif (( \${#commands} )); then
    _describe command commands
  elif (( \${#choices} )); then
    compadd -- "\${(@)choices}"
  else
    _files
  fi
}
if [[ "\${funcstack[1]}" == _zmend ]]; then
  _zmend "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
  compdef _zmend zmend
fi
`;
}

function fish(nodes: readonly Node[]): string {
  const quote = (text: string): string => `'${text.replace(/['\\]/g, "\\$&")}'`;
  const lines = nodes.flatMap((node) => {
    const words = node.path.split(" ").filter((word) => word !== "");
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const none =
      node.commands.length > 0
        ? [`not __fish_seen_subcommand_from ${node.commands.map((entry) => entry.name).join(" ")}`]
        : [];
    const condition = [...seen, ...none].join("; and ");
    const when = condition === "" ? "" : ` -n ${quote(condition)}`;
    return [
      ...node.commands.map(
        (entry) => `complete -c zmend -f${when} -a ${entry.name} -d ${quote(entry.summary)}`,
      ),
      ...node.choices.map((choice) => `complete -c zmend -f${when} -a ${choice}`),
      ...node.options.map((option) => {
        const value = option.value
          ? option.choices.length > 0
            ? ` -x -a ${quote(option.choices.join(" "))}`
            : " -r"
          : "";
        return `complete -c zmend${when} -l ${option.flag.slice(2)}${value} -d ${quote(option.summary)}`;
      }),
    ];
  });
  return `# fish completion of zmend; made by 'zmend completion fish'\n${lines.join("\n")}\n`;
}
