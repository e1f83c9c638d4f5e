import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";
import type { Principal } from "../state/types.ts";
import { answer, answered, base, bodyOf, missingIn, refused, textIn } from "./distribute.ts";
import { invalid } from "./problems.ts";
import { type DistributeSettings, type Exchange, type HttpParts, mayStaySilent, type Route } from "./route.ts";

/** What a project may be called: nothing that git, a path or a shell would read otherwise. */
const projectName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** POST /api/v1/distribute/file: a project as it is now, as a bundle of its name, in whose tree tasks run (project_name). */
export function distributeFileRoutes(parts: HttpParts, settings: DistributeSettings): readonly Route[] {
  return [
    {
      method: "POST",
      path: `${base}/file`,
      right: "jobs:write",
      doc: "Distribute: fetches a project (project_name) by the asked node's git, from where --distribute-git says, and answers when the mesh has it.",
      status: 200,
      body: z.object({ project_name: z.string().describe("Letters, digits and ._-") }),
      answer,
      serve: (exchange, by) => fetchProject(parts, settings, exchange, by),
      refusal: (why) => refused(parts, why),
    },
  ];
}

async function fetchProject(
  parts: HttpParts,
  { git, gitKey: key }: DistributeSettings,
  exchange: Exchange,
  by: Principal,
): Promise<Response> {
  const body = await bodyOf(exchange);
  if (!body.ok) return refused(parts, body.why);
  const missing = missingIn(body.value, ["project_name"]);
  if (missing !== undefined && !missing.ok) return refused(parts, missing.why);
  const name = textIn(body.value, "project_name");
  if (!projectName.test(name)) {
    const message = `"${name.slice(0, 100)}" is no name of a project: letters, digits and ._- only, at most 100`;
    return refused(parts, invalid([{ path: "project_name", message }], "the request").why);
  }
  if (git === undefined) {
    const message = `${name} was not fetched: this node does not know where projects are: start it with --distribute-git git@HOST:GROUP`;
    return refused(parts, refuse("unavailable", message).why, 501);
  }
  mayStaySilent(exchange);
  const url = `${git.replace(/\/$/, "")}/${name}.git`;
  const wanted = { name, url, key, copies: limits.bundleCopies, timeoutMs: limits.bundleCheckoutMs };
  const kept = await parts.node.bundles.git(wanted, by);
  if (!kept.ok) return refused(parts, kept.why);
  const { version, commit, index } = kept.value;
  return answered(parts, "", `${name}克隆成功`, { bundle: `${name}@${version}`, commit }, index);
}
