import { limits } from "../lib/limits.ts";
import type { Spec } from "./types.ts";

/**
 * What in a playbook is about all of its hosts together: once for all of them, some at a time, so many failures. Ansible counts by the process, and so by the unit; who writes it
 * means the job. So a job whose playbook says one of these goes as one unit, unless its spec says itself how large units are.
 */

/**
 * The text is not parsed here, since YAML is the command line's to read: a key at the beginning of a line or of a flow map, which JSON's are too, unless it is switched off. Of what is found in the text of something else (a script)
 * the job is one unit that would not have to be. Roles and files that it includes are not looked into, nor are playbooks that lie on nodes or in bundles.
 */
const aboutAll =
  /(?:^[ \t-]*|[{,]\s*)["']?(serial|run_once|max_fail_percentage|any_errors_fatal)["']?[ \t]*:(?![ \t]*(?:false|no)\b)/im;

/** The spec with its unit, or why it cannot be. `count`: how many targets it has. */
export function withWholeUnit(spec: Spec, count: number): { readonly spec: Spec } | { readonly problem: string } {
  const { ansible, unit, parallel } = spec;
  const key = unit === undefined && count > 1 ? aboutAll.exec(ansible?.playbook ?? "")?.[1] : undefined;
  if (key === undefined) return { spec };
  const instead = "or set unit to accept that each unit of the job counts for itself";
  if (count > limits.ansibleHosts)
    return {
      problem: `has ${key}, which ansible counts within one process, and ${count} targets are more than one takes (${limits.ansibleHosts}): use the job's own batch and max_failures instead, ${instead}`,
    };
  if (parallel !== undefined && parallel < count)
    return {
      problem: `has ${key}, which ansible counts within one process, and parallel: ${parallel} takes the targets apart: use ansible.forks for how many hosts are worked on at once, ${instead}`,
    };
  return { spec: { ...spec, unit: limits.ansibleHosts } };
}
