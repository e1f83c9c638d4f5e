import { describe, expect, test } from "bun:test";
import { checkImport } from "../../src/cli/cron-import-check.ts";
import { readKubernetes } from "../../src/cli/cron-import-kubernetes.ts";
import type { ImportOptions, ImportRead } from "../../src/cli/cron-import-types.ts";

/** Reads a file that has no problems. */
function read(text: string, options: Partial<ImportOptions> = {}): ImportRead {
  const found = readKubernetes(text, { file: "jobs.yaml", ...options });
  expect([...found.problems, ...checkImport(found.schedules)]).toEqual([]);
  return found;
}

function said({ notes }: ImportRead): string {
  return notes.map(({ path, message }) => `${path}: ${message}`).join("\n");
}

function wrong(text: string): string[] {
  const found = readKubernetes(text, { file: "jobs.yaml" });
  return [...found.problems, ...checkImport(found.schedules)].map(({ path, message }) => `${path}: ${message}`);
}

/** A CronJob with more, or other, keys of its spec, job, pod and container. */
function cronJob(
  more: {
    readonly spec?: object;
    readonly job?: object;
    readonly pod?: object;
    readonly container?: object;
    readonly metadata?: object;
  } = {},
): string {
  return JSON.stringify({
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "one", ...more.metadata },
    spec: {
      schedule: "0 3 * * *",
      timeZone: "Etc/UTC",
      startingDeadlineSeconds: 60,
      jobTemplate: {
        spec: {
          backoffLimit: 0,
          ...more.job,
          template: {
            spec: {
              restartPolicy: "Never",
              ...more.pod,
              containers: [{ name: "main", image: "busybox", command: ["true"], ...more.container }],
            },
          },
        },
      },
      ...more.spec,
    },
  });
}

const dump = `# Source: postgres/templates/backup.yaml
apiVersion: batch/v1
kind: CronJob
metadata:
  name: postgres-dump
  namespace: shop
  labels:
    app.kubernetes.io/name: postgres
    app.kubernetes.io/managed-by: Helm
  annotations:
    meta.helm.sh/release-name: shop
    example.com/owner: data
spec:
  schedule: "*/30 2-5 * * SUN"
  timeZone: Europe/Amsterdam
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 600
  suspend: true
  successfulJobsHistoryLimit: 5
  failedJobsHistoryLimit: 2
  jobTemplate:
    metadata:
      labels: {tier: backup}
    spec:
      backoffLimit: 3
      activeDeadlineSeconds: 3600
      ttlSecondsAfterFinished: 86400
      template:
        metadata:
          labels: {app: dump}
        spec:
          restartPolicy: OnFailure
          serviceAccountName: dumper
          nodeSelector: {disk: fast}
          securityContext: {runAsUser: 999, fsGroup: 999}
          containers:
            - name: dump
              image: "docker.io/library/postgres:16"
              imagePullPolicy: IfNotPresent
              command: [/bin/sh, -c]
              args:
                - 'pg_dump -h $(PGHOST) -f /backup/$(date +%F).sql && echo $$HOME done in $(UNKNOWN)'
              env:
                - name: PGHOST
                  value: db.$(ZONE)
                - name: ZONE
                  value: lan
                - {name: URL, value: "pg://$(PGHOST)/$(ZONE)"}
                - name: PGPASSWORD
                  valueFrom: {secretKeyRef: {name: pg, key: password}}
                - name: NAMESPACE
                  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
              workingDir: /backup
              resources: {requests: {cpu: 100m}, limits: {memory: 128Mi}}
              volumeMounts: [{name: backup, mountPath: /backup}]
          volumes:
            - name: backup
              persistentVolumeClaim: {claimName: backup}
`;

describe("a CronJob", () => {
  test("becomes a schedule with all that can be carried over", () => {
    const { schedules } = read(dump);
    expect(schedules.map(({ where, spec }) => [where, spec])).toEqual([
      [
        "jobs.yaml:2",
        {
          name: "postgres-dump",
          labels: { "app.kubernetes.io/name": "postgres", "app.kubernetes.io/managed-by": "Helm", namespace: "shop" },
          cron: "*/30 2-5 * * SUN",
          tz: "Europe/Amsterdam",
          overlap: "skip",
          missed: "latest",
          catch_up: "600s",
          paused: true,
          history: 7,
          job: {
            run: ["/bin/sh", "-c", "pg_dump -h db.$(ZONE) -f /backup/$(date +%F).sql && echo $HOME done in $(UNKNOWN)"],
            env: {
              PGHOST: "db.$(ZONE)",
              ZONE: "lan",
              URL: "pg://db.$(ZONE)/lan",
              PGPASSWORD: { secret: "pg.password" },
              NAMESPACE: "shop",
            },
            dir: "/backup",
            retries: { max: 3, backoff: "10s", cap: "6m" },
            deadline: "3600s",
            ttl: "86400s",
            labels: { app: "dump", tier: "backup" },
          },
        },
      ],
    ]);
  });

  test("says of each thing that is not carried over where it stands", () => {
    const text = said(read(dump, { on: "site=x" }));
    for (const line of [
      "jobs.yaml:11: metadata.annotations: there are none here: example.com/owner left out",
      "jobs.yaml:38: spec.jobTemplate.spec.template.spec.containers[0].image: the command runs on the hosts themselves, and not in image docker.io/library/postgres:16",
      "env[3].valueFrom: PGPASSWORD is to be a secret of the mesh: skein secret set pg.password",
      "containers[0].resources: is not asked of the hosts",
      "containers[0].volumeMounts[0]: /backup is not mounted",
      "spec.jobTemplate.spec.template.spec.volumes[0]: volume backup is not there",
      "spec.jobTemplate.spec.template.spec.nodeSelector: is about nodes of Kubernetes",
      "spec.jobTemplate.spec.template.spec.serviceAccountName: gives rights within Kubernetes",
      "spec.jobTemplate.spec.template.spec.securityContext: is about containers: left out; `user` of the job names who runs the command (here it was number 999)",
    ])
      expect(text).toContain(line);
    expect(text).not.toContain("meta.helm.sh");
    expect(text).not.toContain("imagePullPolicy");
  });

  test.each([
    [{ spec: { concurrencyPolicy: "Allow" } }, { overlap: "allow" }],
    [{ spec: { concurrencyPolicy: "Replace" } }, { overlap: "replace" }],
    [{ spec: { startingDeadlineSeconds: 0 } }, { missed: "skip" }],
    [{ spec: { successfulJobsHistoryLimit: 0, failedJobsHistoryLimit: 0 } }, { history: 1 }],
    [{ spec: { failedJobsHistoryLimit: 5 } }, { history: 8 }],
    [{ spec: { schedule: "CRON_TZ=Asia/Tokyo 0 0 * * ?", timeZone: null } }, { cron: "0 0 * * *", tz: "Asia/Tokyo" }],
    [{ spec: { schedule: "@hourly" } }, { cron: "@hourly", tz: "Etc/UTC" }],
    [{ spec: { schedule: "@every 1h30m" } }, { every: "1h30m" }],
    [{ spec: { timeZone: "Asia/Tokyo" } }, { tz: "Asia/Tokyo" }],
  ])("%j", (more, made) => {
    expect(read(cronJob(more)).schedules[0]!.spec).toMatchObject(made);
  });

  test.each([
    [{}, {}],
    [{ backoffLimit: null }, { retries: { max: 6, backoff: "10s", cap: "6m" } }],
    [
      { completions: 5, parallelism: 2 },
      { count: 5, parallel: 2 },
    ],
    [{ completions: 5 }, { count: 5, parallel: 1 }],
    [{ parallelism: 3 }, { count: 3 }],
    [
      { completions: 4, completionMode: "Indexed", backoffLimitPerIndex: 2, maxFailedIndexes: 1 },
      { count: 4, parallel: 1, retries: { max: 2, backoff: "10s", cap: "6m" }, max_failures: 1 },
    ],
    [{ ttlSecondsAfterFinished: 0 }, { ttl: "0s" }],
  ])("a job with %j", (job, made) => {
    expect(read(cronJob({ job })).schedules[0]!.spec.job).toEqual({ run: ["true"], ...made });
  });

  test("a pod's grace and time limit", () => {
    const pod = { terminationGracePeriodSeconds: 90, activeDeadlineSeconds: 20 };
    expect(read(cronJob({ pod })).schedules[0]!.spec.job).toEqual({ run: ["true"], grace: "90s", timeout: "20s" });
  });
});

describe("a file", () => {
  const named = (name: string, namespace?: string): string =>
    JSON.stringify({ ...(JSON.parse(cronJob()) as object), metadata: { name, namespace } });

  test("may hold many documents, lists, and other things, which are told", () => {
    const text = [
      "---\n",
      named("a"),
      "\n---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n---\napiVersion: v1\nkind: List\nitems:\n- ",
      named("b"),
      "\n- ",
      named("c"),
      "\n---\nkind: CronJobList\napiVersion: batch/v1\nitems: [",
      named("d"),
      "]\n",
    ].join("");
    const found = read(text);
    expect(found.schedules.map(({ spec, where }) => [spec.name, where])).toEqual([
      ["a", "jobs.yaml:2"],
      ["b", "jobs.yaml:14: items[0]"],
      ["c", "jobs.yaml:15: items[1]"],
      ["d", "jobs.yaml:19: items[0]"],
    ]);
    expect(said(found)).toContain("jobs.yaml:6: ConfigMap settings is no CronJob: left out");
  });

  test("of kubectl, in JSON, is read as well, and its own notes are nothing that is missed", () => {
    const text = JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      metadata: { resourceVersion: "" },
      items: [
        {
          ...(JSON.parse(
            cronJob({
              pod: {
                dnsPolicy: "ClusterFirst",
                schedulerName: "default-scheduler",
                securityContext: {},
                terminationGracePeriodSeconds: 30,
              },
              metadata: { uid: "x", resourceVersion: "1", generation: 2, creationTimestamp: "2026-01-01T00:00:00Z" },
            }),
          ) as object),
          status: { lastScheduleTime: "2026-01-01T00:00:00Z" },
        },
      ],
    });
    const found = read(text, { file: "jobs.json", on: "a=b" });
    expect(found.schedules[0]!.where).toBe("jobs.json: items[0]");
    expect(found.notes.map(({ message }) => message.slice(0, 20))).toEqual(["the command runs on "]);
  });

  test("names that two namespaces have are told apart by them", () => {
    const text = `${named("a", "one")}\n---\n${named("a", "two")}`;
    expect(read(text, { prefix: "k-" }).schedules.map(({ spec }) => spec.name)).toEqual(["k-a.one", "k-a.two"]);
    expect(wrong(`${named("a")}\n---\n${named("a")}`)).toEqual([
      'jobs.yaml:3: metadata: there are two CronJobs with the name "a"',
    ]);
  });
});

describe("what is wrong", () => {
  test("is told all at once, each with its line and path", () => {
    const problems = wrong(`apiVersion: batch/v1
kind: CronJob
metadata: {name: six}
spec:
  schedule: "0 0 0 * * *"
  concurencyPolicy: Forbid
  concurrencyPolicy: Never
  startingDeadlineSeconds: "60"
  jobTemplate:
    spec:
      parallelism: 0
      template:
        spec:
          initContainers: [{name: wait, image: x}]
          containers:
          - name: a
            image: x
            args: [--all]
            env:
            - {name: COUNT, value: 3}
            - {name: CONFIG, valueFrom: {configMapKeyRef: {name: cm, key: k}}}
            - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            envFrom: [{secretRef: {name: all}}]
            workingDir: rel
          - {name: sidecar, image: y}
`);
    const at = "spec.jobTemplate.spec.template.spec";
    expect(problems).toEqual([
      'jobs.yaml:5: spec.schedule: "0 0 0 * * *" has 6 fields: 5 are needed (minute, hour, day, month, weekday)',
      'jobs.yaml:7: spec.concurrencyPolicy: "Never" is none of Allow, Forbid, Replace',
      "jobs.yaml:8: spec.startingDeadlineSeconds: must be a whole number from 0 on",
      `jobs.yaml:16: ${at}.containers: there are 2: a job runs one command; put them into one, or into jobs of their own`,
      `jobs.yaml:14: ${at}.initContainers[0]: what container wait does before has to be part of the command, or a job of its own`,
      `jobs.yaml:20: ${at}.containers[0].env[0].value: COUNT must be text: write 3 in quotes`,
      `jobs.yaml:21: ${at}.containers[0].env[1].valueFrom: CONFIG is what config map cm has as k, which is not here: write its value`,
      `jobs.yaml:22: ${at}.containers[0].env[2].valueFrom: IP is status.podIP of a pod, and there is none: write its value, or leave it out`,
      `jobs.yaml:23: ${at}.containers[0].envFrom[0]: the names of all that secret all holds are not known here: list them under env`,
      `jobs.yaml:16: ${at}.containers[0].command: is missing: what an image runs by itself is not known here`,
      `jobs.yaml:24: ${at}.containers[0].workingDir: "rel" is not an absolute path`,
      "jobs.yaml:11: spec.jobTemplate.spec.parallelism: 0 lets nothing run",
      "jobs.yaml:6: spec.concurencyPolicy: is no key of a CronJob that is known here",
    ]);
  });

  test("a secret within the words of a command", () => {
    const env = [{ name: "KEY", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }];
    expect(wrong(cronJob({ container: { command: ["curl", "-H", "X: $(KEY)"], env } }))[0]).toContain(
      "$(KEY) stands for a secret",
    );
    expect(wrong(cronJob({ container: { command: ["curl", "-H", "X: $$(KEY)"], env } }))).toEqual([]);
  });

  test("what is no YAML, or has not been filled in, or holds nothing", () => {
    expect(wrong("kind: CronJob\nspec: {a: [1,\n")[0]).toStartWith("jobs.yaml:");
    const template =
      "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: {{ .Release.Name }}-x\nspec:\n  {{- if .Values.on }}\n";
    expect(wrong(template).at(-1)).toBe(
      "jobs.yaml: looks like a template of Helm: give what `helm template` makes of it",
    );
    expect(wrong("")).toEqual(["jobs.yaml: is empty"]);
    expect(wrong("a: b\n")).toEqual(["jobs.yaml: holds no CronJob"]);
    expect(wrong(cronJob().replace('"kind"', '"spec":{},"kind"'))[0]).toContain('the key "spec" is there twice');
    expect(
      wrong(
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n",
      )[0],
    ).toContain("alias");
    expect(wrong(cronJob({ spec: { jobTemplate: null } }))).toEqual(["jobs.yaml: spec.jobTemplate: is missing"]);
    expect(wrong(JSON.stringify({ apiVersion: "apps/v1", kind: "CronJob", metadata: {}, spec: null }))).toEqual([
      'jobs.yaml: apiVersion: "apps/v1" is no version of CronJob: batch/v1 is',
      "jobs.yaml: metadata: the name is missing",
      "jobs.yaml: spec: is missing",
    ]);
  });
});

test("5 MB of CronJobs are read in some seconds", () => {
  const part = dump.replace("name: postgres-dump", "name: dump-NUMBER");
  const count = Math.ceil(5_000_000 / part.length);
  const text = Array.from({ length: count }, (_, at) => part.replace("NUMBER", String(at))).join("---\n");
  const { schedules } = readKubernetes(text, { file: "jobs.yaml" });
  expect(schedules).toHaveLength(count);
  expect(schedules.at(-1)!.spec.name).toBe(`dump-${count - 1}`);
}, 60_000);
