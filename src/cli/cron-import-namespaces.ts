import type { ImportedSchedule, WrittenSchedule } from "./cron-import-types.ts";

/**
 * Names of CronJobs of a file. Where several namespaces have one, all of them have their namespace behind it: so none is renamed when another one goes, but when
 * a second comes or the last but one goes, and for that each comes with its other name.
 */
export class KubernetesNames {
  readonly #namespaces = new Map<WrittenSchedule, string | undefined>();
  readonly #seen = new Set<string>();

  /** `spec` has its name without the namespace. False: there was such a one. */
  add(spec: WrittenSchedule, namespace: string | undefined): boolean {
    const key = `${spec.name} ${namespace ?? ""}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    this.#namespaces.set(spec, namespace);
    return true;
  }

  give(schedules: ImportedSchedule[]): void {
    const alike = Map.groupBy(this.#namespaces.keys(), ({ name }) => name);
    const isShared = new Map(Array.from(alike, ([name, { length }]) => [name, length > 1] as const));
    for (const [at, one] of schedules.entries()) {
      const { spec } = one;
      const namespace = this.#namespaces.get(spec);
      if (namespace === undefined) continue;
      const [plain, whole] = [spec.name, `${spec.name}.${namespace}`];
      const shared = isShared.get(plain) === true;
      if (shared) spec.name = whole;
      schedules[at] = { ...one, former: { names: [shared ? plain : whole], keys: ["labels.namespace"] } };
    }
  }
}
