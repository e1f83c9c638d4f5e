import { describe, expect, test } from "bun:test";
import { checkImport } from "../../src/cli/cron-import-check.ts";
import { type CrontabOptions, readCrontab } from "../../src/cli/cron-import-crontab.ts";
import type { ImportRead, WrittenSchedule } from "../../src/cli/cron-import-types.ts";

/** Reads a file that has no problems. */
function read(text: string, options: Partial<CrontabOptions> = {}): ImportRead {
  const found = readCrontab(text, { file: "crontab", ...options });
  expect([...found.problems, ...checkImport(found.schedules)]).toEqual([]);
  return found;
}

/** The schedule of a crontab with one. */
function one(text: string, options: Partial<CrontabOptions> = {}): WrittenSchedule {
  const { schedules } = read(text, options);
  expect(schedules).toHaveLength(1);
  return schedules[0]!.spec;
}

function said({ notes }: ImportRead): string {
  return notes.map(({ path, message }) => `${path}: ${message}`).join("\n");
}

/** As Debian 12 ships it. */
const debian = `# /etc/crontab: system-wide crontab
# Unlike any other crontab, this one needs no command to be installed,
# and its lines have a field for the user.

SHELL=/bin/sh
# You can also override PATH, but by default it is inherited
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# |  |  .---------- day of month (1 - 31)
# |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
# |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
# |  |  |  |  |
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
`;

describe("the form of a crontab", () => {
  test("Debian's own is of the system, and its drawing describes nothing", () => {
    const found = read(debian, { file: "/etc/crontab", tz: "Europe/Berlin", on: "os=debian" });
    expect(found.schedules.map(({ spec }) => spec.name)).toEqual([
      "cron.hourly",
      "cron.daily",
      "cron.weekly",
      "cron.monthly",
    ]);
    expect(found.schedules[0]).toMatchObject({
      spec: {
        name: "cron.hourly",
        cron: "17 * * * *",
        tz: "Europe/Berlin",
        overlap: "allow",
        missed: "skip",
        job: { run: "cd / && run-parts --report /etc/cron.hourly", user: "root", on: "os=debian" },
      },
      where: "/etc/crontab:17",
    });
    expect(said(found)).toContain("/etc/crontab: as cron does it, runs may overlap");
    expect(said(found)).not.toContain("UTC");
  });

  test("a file of cron.d is of the system, a spool file of the user that it is named after", () => {
    const line = "30 3 * * 0 www-data SERVICE_MODE=1 /usr/lib/e2fsprogs/e2scrub_all_cron -v\n";
    expect(one(line, { file: "/etc/cron.d/e2scrub_all" })).toMatchObject({
      name: "e2scrub_all_cron",
      job: { run: "SERVICE_MODE=1 /usr/lib/e2fsprogs/e2scrub_all_cron -v", user: "www-data" },
    });
    const spooled = one("@daily backup\n", { file: "/var/spool/cron/crontabs/alice" });
    expect(spooled.job).toEqual({ run: "backup", user: "alice" });
    expect(spooled.cron).toBe("@daily");
  });

  test("else it is guessed and said, unless somebody says it", () => {
    const ofSystem = "0 5 * * * root /usr/bin/backup\n0 6 * * * alice /usr/bin/report\n";
    const guessed = read(ofSystem);
    expect(guessed.schedules.map(({ spec }) => spec.job!["user"])).toEqual(["root", "alice"]);
    expect(said(guessed)).toContain("crontab: is read as a crontab of the system");
    const other = read("0 5 * * * backup --all\n");
    expect(other.schedules[0]!.spec.job).toEqual({ run: "backup --all" });
    expect(said(other)).toContain("crontab: is read as a user's crontab; --system");
    expect(one("0 5 * * * backup --all\n", { system: true }).job).toEqual({ run: "--all", user: "backup" });
    expect(one("0 5 * * * root x\n", { system: false }).job).toEqual({ run: "root x" });
  });
});

describe("lines that set variables", () => {
  test("hold for the lines below them, in quotes or without", () => {
    const { schedules } = read(`
0 1 * * * first
PATH = /opt/bin:/bin   
GREETING="  hello  "
'NAME'='it is "me"'
EMPTY=
0 2 * * * second
PATH=/bin
0 3 * * * third
`);
    expect(schedules.map(({ spec }) => spec.job!["env"])).toEqual([
      undefined,
      { PATH: "/opt/bin:/bin", GREETING: "  hello  ", NAME: 'it is "me"', EMPTY: "" },
      { PATH: "/bin", GREETING: "  hello  ", NAME: 'it is "me"', EMPTY: "" },
    ]);
  });

  test("SHELL runs the command, HOME is where it begins, CRON_TZ the zone, RANDOM_DELAY the jitter", () => {
    const spec = one(`SHELL=/bin/bash\nHOME=/srv/app\nCRON_TZ=Asia/Tokyo\nRANDOM_DELAY=45\n5 0 * * * ./daily.job\n`);
    expect(spec).toEqual({
      name: "daily.job",
      cron: "5 0 * * *",
      tz: "Asia/Tokyo",
      jitter: "45m",
      overlap: "allow",
      missed: "skip",
      job: {
        run: ["/bin/bash", "-c", "./daily.job"],
        env: { SHELL: "/bin/bash", HOME: "/srv/app" },
        dir: "/srv/app",
      },
    });
    const later = read("TZ=Europe/Paris\n@hourly a\nCRON_TZ=UTC\n@hourly b\n", { tz: "Asia/Tokyo" });
    expect(later.schedules.map(({ spec: { tz, job } }) => [tz, job!["env"]])).toEqual([
      ["Europe/Paris", { TZ: "Europe/Paris" }],
      ["UTC", { TZ: "Europe/Paris" }],
    ]);
    expect(said(later)).toContain("crontab:1: TZ=Europe/Paris is taken as the zone of the lines below too");
  });

  test("what is not carried over is said at its line, and nothing is given to the command", () => {
    const found = read("MAILTO=ops@example.com\nMAILFROM=x\nLOGNAME=y\nMLS_LEVEL=z\n0 1 * * * a\n");
    for (const line of [
      "crontab:1: MAILTO=ops@example.com: nobody is mailed",
      "crontab:2: MAILFROM",
      "crontab:3: LOGNAME cannot be set",
      "crontab:4: MLS_LEVEL",
    ])
      expect(said(found)).toContain(line);
    expect(found.schedules[0]!.spec.job).toEqual({ run: "a" });
    expect(said(read('MAILTO=""\n0 1 * * * a\n'))).not.toContain("MAILTO");
  });
});

describe("a command", () => {
  test.each([
    ["date +\\%F", "date +%F", undefined],
    [
      'mail -s "It\'s 10pm" joe%Joe,%%Where are your kids?%',
      'mail -s "It\'s 10pm" joe',
      "Joe,\n\nWhere are your kids?\n",
    ],
    ["cat%a\\%b\\\\c", "cat", "a%b\\\\c\n"],
    ["cat%", "cat", undefined],
    ["printf '\\\\%x'", "printf '\\\\", "x'\n"],
    ["echo a\\nb", "echo a\\nb", undefined],
    ["cat%  two\\", "cat", "  two\\\n"],
  ])("%j: what stands behind %% is its standard input", (written, run, stdin) => {
    expect(one(`0 1 * * * ${written}\n`).job).toEqual({ run, ...(stdin === undefined ? {} : { stdin }) });
  });

  test("has its name from what it runs", () => {
    const names = (commands: readonly string[]): string[] =>
      read(commands.map((command) => `0 1 * * * ${command}\n`).join("")).schedules.map(({ spec }) => spec.name);
    const commands = [
      "/usr/bin/backup --all >/dev/null 2>&1",
      "cd /srv && ./backup",
      "[ -x /usr/bin/x ] && nice -n 10 ionice -c3 /opt/rotate.sh",
      "flock -n /run/lock/sync.lock /opt/sync",
      "/usr/bin/php8.2 -f /var/www/cron.php",
      "python3 -m reports.daily",
      "bash -c 'cd /x; ./inner --flag'",
      "A=1 B='x y' timeout 30s \"/opt/my tool\"",
      "command -v debian-sa1 > /dev/null && debian-sa1 1 1",
      "/bin/sh /x/y.sh",
      "~/bin/job",
      "*",
    ];
    const made = names(commands);
    expect(made).toEqual([
      expect.stringMatching(/^backup-[0-9a-f]{8}$/),
      expect.stringMatching(/^backup-[0-9a-f]{8}$/),
      "rotate.sh",
      "sync",
      "cron.php",
      "reports.daily",
      "inner",
      "my-tool",
      "debian-sa1",
      "y.sh",
      expect.stringMatching(/^job-[0-9a-f]{8}$/),
      expect.stringMatching(/^job-[0-9a-f]{8}$/),
    ]);
    expect(names(commands)).toEqual(made);
    expect(one("0 1 * * * x\n", { prefix: "web1-" }).name).toBe("web1-x");
  });

  test("options before it are cron's: one at a time, no log, mail of failures", () => {
    const { schedules } = read("-0 1 * * * -n -q a -x\n* * * * * -s b\n* * * * * -ns c\n", { system: false });
    expect(schedules.map(({ spec }) => [spec.cron, spec.overlap, spec.job!["run"]])).toEqual([
      ["0 1 * * *", "allow", "a -x"],
      ["* * * * *", "skip", "b"],
      ["* * * * *", "skip", "c"],
    ]);
  });
});

describe("times", () => {
  test.each([
    ["*/5 0-23/2 1,15 JAN-mar Mon", "*/5 0-23/2 1,15 JAN-mar Mon"],
    ["0~30 * * * *", "H(0-30) * * * *"],
    ["~ ~ * * *", "H H * * *"],
    ["~10,50~ 3 * * *", "H(0-10),H(50-59) 3 * * *"],
    ["~/15 * * * *", "H/15 * * * *"],
    ["@weekly", "@weekly"],
    ["@Hourly", "@hourly"],
    ["@every_minute", "* * * * *"],
    ["0 0 */2 * 1", "0 0 */2 * +1"],
    ["0 0 1 * */3", "0 0 1 * +*/3"],
    ["0 0 1 * 1", "0 0 1 * 1"],
  ])("%s", (written, cron) => {
    expect(one(`${written} run\n`).cron).toBe(cron);
  });

  test("comments above a line describe it", () => {
    const { schedules } = read(
      "# not of it\n\n# Rotate the logs,\n# every night\n0 1 * * * rotate\n#0 2 * * * off\n0 3 * * * plain\n# m h dom mon dow command\n0 4 * * * last\n# lost\nA=b\n0 5 * * * none\n",
    );
    expect(schedules.map(({ spec }) => spec.description)).toEqual([
      "Rotate the logs, every night",
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("overlap and missed are as cron has them, or as it is said", () => {
    expect(one("@daily x\n", { overlap: "queue", missed: "latest" })).toMatchObject({
      overlap: "queue",
      missed: "latest",
    });
  });
});

describe("what is wrong", () => {
  test("is told all at once, each with its line, and what is right is not", () => {
    const { problems } = readCrontab(
      [
        "MAILTO=root",
        "0 5 * * * root /usr/bin/fine",
        "@reboot root /usr/bin/start",
        "0 5 * root",
        "RANDOM_DELAY=soon",
        'NAME="no end',
        "40~20 * * * * root x",
        "@fortnightly root x",
        "0 6 * * * root %input",
        "0 7 * * * root",
        "1NAME=x",
        "0 8 * * * /usr/bin/nobody x",
      ].join("\n"),
      { file: "/etc/cron.d/many" },
    );
    expect(problems.map(({ path, message }) => `${path.split(":")[1]} ${message.slice(0, 34)}`)).toEqual([
      "3 @reboot runs when a host has start",
      "4 has 4 words: five fields (minute, ",
      '5 RANDOM_DELAY="soon" is not a numbe',
      '6 NAME: the quote " has no end',
      '7 "40~20": a random part of it (~) h',
      "8 @fortnightly is not known: @yearly",
      "9 the command is empty: what stands ",
      '10 has no command behind "root": the ',
      '11 "1NAME" is not a variable\'s name: ',
      '12 "/usr/bin/nobody" is not a user\'s ',
    ]);
  });

  test("a line that goes on in the next one, as cron reads none", () => {
    const { problems } = readCrontab("0 1 * * * a \\\n  | grep b\n", { file: "crontab" });
    expect(problems).toHaveLength(1);
    expect(problems[0]!.message).toEndWith(
      "; the line before ends with a backslash, behind which cron reads no line on",
    );
  });

  test("a table of anacron is not read as one of cron", () => {
    const { problems } = readCrontab("1 5 cron.daily run-parts /etc/cron.daily\n", { file: "/etc/anacrontab" });
    expect(problems).toHaveLength(1);
    expect(problems[0]!.message).toContain("is of anacron");
  });

  test("a last line without a newline is taken, though cron does not", () => {
    expect(said(read("0 1 * * * x"))).toContain("crontab:1: has no newline at its end");
  });
});

test("5 MB are read in a few seconds, and the names differ", () => {
  const line = `*/7 2-20 * * mon-fri /usr/local/bin/collect --site example --into /var/lib/collect >/dev/null\n`;
  const count = Math.ceil(5_000_000 / line.length);
  const { schedules } = readCrontab(line.repeat(count), { file: "/etc/cron.d/large", system: false });
  expect(new Set(schedules.map(({ spec }) => spec.name)).size).toBe(count);
}, 20_000);
