import { distributeAdhocRoutes } from "./distribute-adhoc.ts";
import { distributeFileRoutes } from "./distribute-file.ts";
import { distributePlaybookRoutes } from "./distribute-playbook.ts";
import type { DistributeSettings, HttpParts, Route } from "./route.ts";

/** Distribute's own API (distribute.ts). */
export function distributeRoutes(parts: HttpParts, settings: DistributeSettings): readonly Route[] {
  return [
    ...distributeAdhocRoutes(parts),
    ...distributePlaybookRoutes(parts),
    ...distributeFileRoutes(parts, settings),
  ];
}
