/**
 * What nodes have and tasks take beside slots: `memory` in bytes and `cores`, which a node knows of itself, and whatever else somebody declares (`skein up
 * --resource license=2`). Amounts are numbers of at most three decimals, but memory, which is whole bytes.
 */
export type Resources = Readonly<Record<string, number>>;

/** An amount as the planner counts it, exactly: whole bytes of memory, thousandths of anything else. */
export type Need = readonly [name: string, units: number];

export const memoryResource = "memory";
export const coresResource = "cores";

const namePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;

export const resourceNameForm =
  "a resource's name has letters, digits and _.- only, begins with a letter, and has at most 64 characters";

export function isResourceName(name: string): boolean {
  return namePattern.test(name);
}

/** The most that there can be of a resource. */
export const resourceMost = 2 ** 50;

/** Whether that can be an amount of it. */
export function isAmount(name: string, amount: number): boolean {
  if (!Number.isFinite(amount) || amount < 0 || amount > resourceMost) return false;
  if (name === memoryResource) return Number.isInteger(amount);
  const thousandths = amount * 1000;
  return thousandths <= resourceMost && Math.abs(thousandths - Math.round(thousandths)) < 1e-6;
}

/** In the planner's unit. */
export function unitsOf(name: string, amount: number): number {
  return name === memoryResource ? amount : Math.round(amount * 1000);
}

/** Back from the planner's unit. */
export function amountOf(name: string, units: number): number {
  return name === memoryResource ? units : units / 1000;
}

/** By name, so that equal ones have equal texts. */
export function sortedResources(resources: Resources): Resources {
  return Object.fromEntries(Object.entries(resources).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What of it a task takes, zeros left out. */
export function needsOf(resources: Resources): Need[] {
  return Object.entries(resources)
    .filter(([, amount]) => amount > 0)
    .map(([name, amount]) => [name, unitsOf(name, amount)] as const);
}
