import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { AuditFacts } from "./types.ts";

/**
 * Adds what one command did to the audit of its entry. Submits and cancels that stand one after the other and are alike become one
 * row: a thousand clients must not cost a thousand rows.
 */
export function noteAudit(
  facts: AuditFacts[],
  command: string,
  about: string,
  outcome: Outcome<unknown>,
  who: Pick<AuditFacts, "token" | "by" | "role" | "node">,
): void {
  const what = about.slice(0, limits.auditTextLength);
  const fact: AuditFacts = {
    ...who,
    command,
    what,
    outcome: outcome.ok ? "ok" : outcome.why.code,
    times: 1,
  };
  const last = facts.at(-1);
  if (last !== undefined && command.startsWith("job.") && isAlike(last, fact)) {
    const from = last.what.split(" … ", 1)[0]!;
    facts[facts.length - 1] = { ...fact, what: from === what ? from : `${from} … ${what}`, times: last.times + 1 };
  } else facts.push(fact);
}

function isAlike(a: AuditFacts, b: AuditFacts): boolean {
  return (
    a.command === b.command &&
    a.token === b.token &&
    a.by === b.by &&
    a.role === b.role &&
    a.node === b.node &&
    a.outcome === b.outcome
  );
}
