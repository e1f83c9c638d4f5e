/** True for the states of jobs and tasks that they do not leave. */
export function isTerminal(state: string): boolean {
  return state !== "queued" && state !== "running";
}
