import { z } from "zod";
import { answer, base, bodyOf, missingIn, refused, textIn } from "./distribute.ts";
import { refuse } from "../lib/outcome.ts";
import { invalid } from "./problems.ts";
import type { HttpParts, Route } from "./route.ts";

/** What a project may be called: nothing that git, a path or a shell would read otherwise. */
const projectName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** POST /api/v1/distribute/file: a project's files for everybody. Not there yet: it says so, and refuses what was never to be let through. */
export function distributeFileRoutes(parts: HttpParts): readonly Route[] {
  return [
    {
      method: "POST",
      path: `${base}/file`,
      right: "jobs:write",
      doc: "Distribute: fetches a project (project_name). Refused: nodes run no git by themselves yet.",
      status: 200,
      body: z.object({ project_name: z.string().describe("Letters, digits and ._-") }),
      answer,
      async serve(exchange) {
        const body = await bodyOf(exchange);
        if (!body.ok) return refused(parts, body.why);
        const missing = missingIn(body.value, ["project_name"]);
        if (missing !== undefined && !missing.ok) return refused(parts, missing.why);
        const name = textIn(body.value, "project_name");
        if (!projectName.test(name)) {
          const message = `"${name.slice(0, 100)}" is no name of a project: letters, digits and ._- only, at most 100`;
          return refused(parts, invalid([{ path: "project_name", message }], "the request").why);
        }
        const message = `${name} was not fetched: the nodes of this version of skein run no git by themselves. Where there is a checkout key, type: skein bundle git git@HOST:GROUP/${name}.git --name ${name}`;
        return refused(parts, refuse("unavailable", message).why, 501);
      },
      refusal: (why) => refused(parts, why),
    },
  ];
}
