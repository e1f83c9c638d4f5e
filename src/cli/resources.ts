import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import {
  coresResource,
  isAmount,
  isResourceName,
  memoryResource,
  resourceNameForm,
  type Resources,
} from "../lib/resources.ts";
import { ansibleLabel, type Labels } from "../lib/selector.ts";
import { parseSize } from "../lib/units.ts";

/** Flags of the form name=amount: `memory=8GiB`, `license=2`. Problems are told one by one. */
export function resourcesOf(texts: readonly string[], complain: (message: string) => void): Resources {
  const resources: Record<string, number> = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    const [name, value] = [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
    const amount =
      name === memoryResource ? parseSize(value) : /^\d+(\.\d{1,3})?$/.test(value) ? Number(value) : undefined;
    if (at < 1) complain(`"${text}" is not of the form name=amount`);
    else if (!isResourceName(name)) complain(`"${name}": ${resourceNameForm}`);
    else if (amount === undefined || !isAmount(name, amount))
      complain(
        `"${text}": ${name === memoryResource ? "write a size like memory=8GiB" : "write a number of at most three decimals"}`,
      );
    else resources[name] = amount;
  }
  return resources;
}

/** What this host has: its cores, and its memory or what its control group may have of it. */
export function hostResources(): Resources {
  return { [coresResource]: availableParallelism(), [memoryResource]: Math.min(totalmem(), groupMemory()) };
}

function groupMemory(): number {
  try {
    const text = readFileSync("/sys/fs/cgroup/memory.max", "utf8").trim();
    return /^\d+$/.test(text) ? Number(text) : Infinity; // "max"
  } catch {
    return Infinity; // no control groups of version 2 here
  }
}

/** What labels say of this host's programs: that it has ansible, which driver ansible needs. */
export function hostLabels(): Labels {
  return Bun.which("ansible-playbook") === null ? {} : { [ansibleLabel]: "yes" };
}
