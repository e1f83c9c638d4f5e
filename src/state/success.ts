import { playbookKey } from "./tables/recap.ts";

/** As driver ansible ends the log of each host of a playbook (executor/guard/ansible-events.ts). */
const recap = /(?:^|\n)recap: ok=\d+ [a-z]+=\d[^\n]* success=(\d{1,3})%\n$/;

/** How many in a hundred of a host's tasks of its playbook went well, by the end of its output; undefined: that does not say. */
export function successPercent(spec: string, tail: string): number | undefined {
  if (!spec.includes(playbookKey)) return undefined;
  const found = recap.exec(tail)?.[1];
  return found === undefined ? undefined : Number(found);
}
