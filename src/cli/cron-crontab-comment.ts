/** The comment above a line of a crontab that says which schedule it is, so that an import of what was exported finds its names again. */
export function commentOfName(name: string): string {
  return `# skein schedule ${name}`;
}

/** undefined: a comment says something else. `text`: without its #. */
export function nameInComment(text: string): string | undefined {
  return /^skein schedule ([A-Za-z0-9][A-Za-z0-9_.-]*)$/.exec(text.trim())?.[1];
}
