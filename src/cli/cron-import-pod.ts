import { commandOf, environmentOf } from "./cron-import-container.ts";
import { labelsOf, noteAnnotations } from "./cron-import-labels.ts";
import type { Part } from "./cron-import-part.ts";

/** What is said about the jobs besides. */
export interface PodOptions {
  readonly namespace: string | undefined;
  readonly on?: string | undefined;
}

/** How often Kubernetes tries again, and after how long, unless it is said otherwise. */
const usualRetries = 6;
const backoff = { backoff: "10s", cap: "6m" } as const;

/** A jobTemplate as a job's spec. */
export function jobOfPod(template: Part, { namespace, on }: PodOptions): Record<string, unknown> {
  const labels = { ...labelsUnder(template) };
  const job: Record<string, unknown> = {};
  const spec = template.part("spec");
  const pods = spec?.part("template");
  if (spec === undefined) template.problem("spec", "is missing");
  else if (pods === undefined) spec.problem("template", "is missing");
  else {
    Object.assign(labels, { ...labelsUnder(pods), ...labels });
    const pod = pods.part("spec");
    if (pod === undefined) pods.problem("spec", "is missing");
    else readPod(pod, job, namespace);
    pods.noteLeft();
  }
  if (spec !== undefined) readJob(spec, job);
  template.noteLeft();
  if (on !== undefined) job["on"] = on;
  if (Object.keys(labels).length > 0) job["labels"] = labels;
  return job;
}

function labelsUnder(part: Part): Record<string, string> {
  const metadata = part.part("metadata");
  if (metadata === undefined) return {};
  const labels = labelsOf(metadata);
  noteAnnotations(metadata);
  metadata.skip("creationTimestamp");
  metadata.noteLeft();
  return labels;
}

function readJob(spec: Part, job: Record<string, unknown>): void {
  const limit = spec.whole("backoffLimitPerIndex") ?? spec.whole("backoffLimit") ?? usualRetries;
  spec.skip("backoffLimit", "manualSelector", "selector", "podReplacementPolicy");
  if (limit > 0) job["retries"] = { max: Math.min(limit, 1000), ...backoff };
  const deadline = spec.whole("activeDeadlineSeconds", 1);
  if (deadline !== undefined) job["deadline"] = `${deadline}s`;
  const ttl = spec.whole("ttlSecondsAfterFinished");
  if (ttl !== undefined) job["ttl"] = `${ttl}s`;
  const failures = spec.whole("maxFailedIndexes");
  if (failures !== undefined) job["max_failures"] = failures;
  readCount(spec, job);
  if (spec.flag("suspend") === true)
    spec.problem("suspend", "each job would wait for somebody to let it begin: leave it out");
  spec.noteLeft();
}

/** Tasks of a job, and how many of them run at once. */
function readCount(spec: Part, job: Record<string, unknown>): void {
  const [completions, parallelism] = [spec.whole("completions"), spec.whole("parallelism")];
  const isIndexed = spec.text("completionMode") === "Indexed";
  if (parallelism === 0) spec.problem("parallelism", "0 lets nothing run");
  if (completions === undefined && (parallelism ?? 1) > 1) {
    job["count"] = parallelism;
    spec.note(
      "parallelism",
      `without completions the pods share work until one says that it is done: here ${parallelism} tasks run, and all must succeed`,
    );
    return;
  }
  if (completions === 0) spec.problem("completions", "0 leaves nothing to do");
  if ((completions ?? 1) <= 1 && !isIndexed) return;
  job["count"] = completions ?? 1;
  if ((completions ?? 1) > 1) job["parallel"] = Math.max(1, parallelism ?? 1);
  if (isIndexed) spec.note("completionMode", "a task finds its number in SKEIN_INDEX, not in JOB_COMPLETION_INDEX");
}

function readPod(pod: Part, job: Record<string, unknown>, namespace: string | undefined): void {
  const containers = pod.parts("containers");
  if (containers.length === 0) pod.problem("containers", "there is none, so nothing would run");
  if (containers.length > 1)
    pod.problem(
      "containers",
      `there are ${containers.length}: a job runs one command; put them into one, or into jobs of their own`,
    );
  for (const part of pod.parts("initContainers"))
    part.problem(
      "",
      `what container ${part.text("name") ?? "?"} does before has to be part of the command, or a job of its own`,
    );
  pod.skip("restartPolicy", "dnsPolicy", "schedulerName", "enableServiceLinks", "preemptionPolicy");
  const container = containers[0];
  if (container !== undefined) readContainer(container, job, namespace);
  const grace = pod.whole("terminationGracePeriodSeconds");
  if (grace !== undefined && grace !== 30) job["grace"] = `${grace}s`;
  const timeout = pod.whole("activeDeadlineSeconds", 1);
  if (timeout !== undefined) job["timeout"] = `${timeout}s`;
  for (const part of pod.parts("volumes"))
    part.note(
      "",
      `volume ${part.text("name") ?? "?"} is not there: what it holds has to be on the hosts, or in a bundle`,
    );
  if (pod.value("nodeSelector") !== undefined)
    pod.note("nodeSelector", "is about nodes of Kubernetes: `on` of the job chooses by labels of these nodes");
  for (const key of ["affinity", "tolerations", "topologySpreadConstraints", "nodeName"])
    if (pod.value(key) !== undefined) pod.note(key, "is about nodes of Kubernetes: left out");
  for (const key of ["serviceAccountName", "serviceAccount", "automountServiceAccountToken", "imagePullSecrets"])
    if (pod.value(key) !== undefined && !(key === "serviceAccount" && pod.fields["serviceAccountName"] !== undefined))
      pod.note(key, "gives rights within Kubernetes, which a command on a host does not have by it: left out");
  noteSecurity(pod);
  pod.noteLeft();
}

function readContainer(container: Part, job: Record<string, unknown>, namespace: string | undefined): void {
  container.skip("name", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "ports");
  const image = container.text("image");
  if (image !== undefined)
    container.note(
      "image",
      `the command runs on the hosts themselves, and not in image ${image}: what it needs has to be there`,
    );
  const { env, plain, secret } = environmentOf(container, namespace);
  const run = commandOf(container, plain, secret);
  if (run !== undefined) job["run"] = run;
  if (Object.keys(env).length > 0) job["env"] = env;
  const dir = container.text("workingDir");
  if (dir?.startsWith("/") === true) job["dir"] = dir;
  else if (dir !== undefined && dir !== "") container.problem("workingDir", `"${dir}" is not an absolute path`);
  for (const part of container.parts("volumeMounts"))
    part.note(
      "",
      `${part.text("mountPath") ?? "?"} is not mounted: what the command looks for there has to be on the hosts`,
    );
  const resources = container.value("resources");
  if (typeof resources === "object" && resources !== null && Object.keys(resources).length > 0)
    container.note(
      "resources",
      "is not asked of the hosts: `resources` and `limits` of the job say what a task takes of one, and at most",
    );
  noteSecurity(container);
  container.noteLeft();
}

function noteSecurity(part: Part): void {
  const context = part.part("securityContext");
  if (context === undefined || Object.keys(context.fields).length === 0) return;
  const user = context.whole("runAsUser");
  part.note(
    "securityContext",
    user === undefined
      ? "is about containers: left out"
      : `is about containers: left out; \`user\` of the job names who runs the command (here it was number ${user})`,
  );
}
