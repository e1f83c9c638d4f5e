/** One property of an iCalendar file (RFC 5545), its folded lines joined. */
export interface ContentLine {
  /** Of the file, from 1. */
  readonly line: number;
  /** In capitals. */
  readonly name: string;
  /** In capitals, without quotes; of values with commas all. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly value: string;
}

/** A line that is none of these. */
export interface BadLine {
  readonly line: number;
  readonly message: string;
}

const noParameters: ReadonlyMap<string, string> = new Map();

/** The lines of a file, one by one; parameters are read only of properties that are asked for. */
export function* contentLines(
  text: string,
  isWanted: (name: string) => boolean,
): Generator<ContentLine | BadLine, undefined, undefined> {
  let at = 0;
  let number = 0;
  while (at < text.length) {
    number += 1;
    const line = number;
    let end = endOfLine(text, at);
    let content = text.slice(at, end);
    at = afterBreak(text, end);
    // A line that begins with a space or tab goes on with the one before it.
    if (text[at] === " " || text[at] === "\t") {
      const parts = [content];
      while (text[at] === " " || text[at] === "\t") {
        number += 1;
        end = endOfLine(text, at);
        parts.push(text.slice(at + 1, end));
        at = afterBreak(text, end);
      }
      content = parts.join("");
    }
    if (content.trim() !== "") yield readLine(content, line, isWanted);
  }
}

function endOfLine(text: string, from: number): number {
  const at = text.indexOf("\n", from);
  const end = at === -1 ? text.length : at;
  return end > from && text[end - 1] === "\r" ? end - 1 : end;
}

function afterBreak(text: string, end: number): number {
  return text[end] === "\r" && text[end + 1] === "\n" ? end + 2 : end + 1;
}

const nameAhead = /^([A-Za-z0-9-]+)([;:])/;

function readLine(content: string, line: number, isWanted: (name: string) => boolean): ContentLine | BadLine {
  const head = nameAhead.exec(content);
  if (head === null)
    return { line, message: `"${shorten(content)}" is no line of an iCalendar file: NAME:VALUE, as BEGIN:VEVENT` };
  const name = head[1]!.toUpperCase();
  const rest = head[0].length;
  if (head[2] === ":") return { line, name, parameters: noParameters, value: content.slice(rest) };
  if (!isWanted(name)) return { line, name, parameters: noParameters, value: "" };
  const parameters = new Map<string, string>();
  let at = rest;
  for (;;) {
    const parameter = /([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:,])*(?:,(?:"[^"]*"|[^";:,])*)*)([;:])/y;
    parameter.lastIndex = at;
    const found = parameter.exec(content);
    if (found === null) return { line, message: `what stands behind ${name}; cannot be read: ${name};KEY=TEXT:VALUE` };
    parameters.set(found[1]!.toUpperCase(), found[2]!.replaceAll('"', ""));
    at = parameter.lastIndex;
    if (found[3] === ":") return { line, name, parameters, value: content.slice(at) };
  }
}

/** So much of a text as a message has room for. */
export function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
