/** The newest cluster level whose commands this binary understands (S2). */
export const ownLevel = 3;

/** From this level on changes are written into the audit, a token is judged again where its command is applied, and the only node is not removed. */
export const auditLevel = 2;

/** From this level on changes of the voters are written into the audit (voters-audit.ts). */
export const votersAuditLevel = 3;

/** From this level on nodes compare their rolling hashes: every release that understands it hashes alike (S1). */
export const hashLevel = 3;

/** From this level on the first attempt of a job's only task is kept in the job's own row (tables/only-task.ts). */
export const onlyTaskLevel = 3;

/** From this level on whoever a command names must be who the token is, and without a token a node asks what is a node's to ask. */
export const principalLevel = 3;

/** From this level on jobs wait for more than a node with room (gates.ts). */
export const gateLevel = 3;

/** From this level on every node knows driver http, `user`, `limits` and secrets: one that does not would run a task as itself, without bounds, or without its values. */
export const runningLevel = 3;

/**
 * From this level on a request to join that comes again is answered only while its node has not come and its join token is good; under another
 * name it is let in as the same node.
 */
export const joinLevel = 3;

/** From this level on nodes tell what resources they have, and specs ask for some (lib/resources.ts). */
export const resourceLevel = 3;

/** From this level on specs have `array` and `matrix`: releases before would run tasks that do not know what they are. */
export const shapeLevel = 3;

/** From this level on every member understands that the leader turns single commands of a batch away (node/job-admission.ts), and jobs of submitters are counted. */
export const admissionLevel = 3;

/** From this level on dead letters are counted (dead.ts). */
export const deadLevel = 3;

/** From this level on tasks of arrays are given out and end in ranges (tables/unit.ts). */
export const unitLevel = 3;

/** From this level on rows of tasks of large jobs go in steps, after their job (forgetting.ts). */
export const forgetLevel = 3;

/** From this level on every node bounds by itself how much it runs at once, so that it may be given more (scheduler/ahead.ts). */
export const aheadLevel = 3;

/** From this level on work is taken back from nodes that have not begun it (unit.recall). */
export const recallLevel = 3;

/** From this level on it is known since when a node is lost, and tasks that only it may run do not wait for it for ever (node.forsake). */
export const forsakeLevel = 3;

/** From this level on jobs have targets (tables/target.ts). */
export const targetLevel = 3;

/** From this level on what waits of a job that is stopped ends in steps (tables/stopped.ts). */
export const stopLevel = 3;

/** From this level on jobs have rolling batches (rolling.ts): releases before would run all of their tasks at once. */
export const batchLevel = 3;

/** From this level on every node knows driver ansible: another would hold the tasks of a unit, and run none but the first. */
export const ansibleLevel = 3;

/** From this level on there are bundles (tables/bundle.ts), and every node lays them out. */
export const bundleLevel = 3;

/** From this level on there are inventories and facts (tables/inventory.ts, tables/fact.ts). */
export const inventoryLevel = 3;

/** From this level on bundles are pinned from repositories by themselves (tables/bundle-source.ts). */
export const bundleSourceLevel = 3;

/** From this level on there are schedules (tables/schedule.ts), and nodes say which zones' data they have. */
export const scheduleLevel = 3;
