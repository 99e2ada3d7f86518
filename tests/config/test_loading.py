"""What a right `jobs.yaml` becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.core.plan import Queue, Resource
from orchestrator.core.policies import Backoff, CatchUp, Isolation, Overlap, Retry
from orchestrator.core.triggers import AfterTrigger, AtSpec, CronSpec, EverySpec, On

EXAMPLE = """\
# yaml-language-server: $schema=schemas/jobs.schema.json
version: 1
timezone: Europe/Berlin
plugins: [plugins]                    # folders, modules or installed packages' entry points
include: [jobs.d/*.yaml]

resources:
  db: {use: sqlalchemy.create_engine, with: {url: "{{ env.DATABASE_URL | default('sqlite:///var/app.db') }}"}, close: dispose}

queues:
  email: {concurrency: 10}

defaults:                             # every job starts from these
  timeout: 5m
  retry: {max_attempts: 3, backoff: exponential, delay: 2s, max_delay: 5m, jitter: full}

jobs:
  system-health:
    call: health.check_memory
    cron: EVERY_30_SECONDS            # NestJS's CronExpression names work as they are
    params: {limit: 500MiB}
  clean-old-data:
    call: cleanup.delete_older_than
    cron: "0 2 * * *"
    params: {days: 30}
    catch_up: last                    # skip | last | all
    overlap: skip                     # skip | queue | replace | allow
  send-email:                         # no trigger: work arrives by `orchestrator enqueue` or from Python
    call: email.send
    queue: email
    retry: {max_attempts: 8, give_up_on: [smtplib.SMTPRecipientsRefused]}
"""  # noqa: E501


def job(load_text, text, **more):
    loaded = load_text("version: 1\njobs:\n  a:\n    call: m.f\n" + text, **more)
    assert loaded.ok, loaded.diagnostics
    return loaded.plan.jobs["a"]


def test_the_example_of_the_design_loads(load_text, tmp_path):
    (tmp_path / "plugins").mkdir()
    loaded = load_text(EXAMPLE, files={"jobs.d/more.yaml": "jobs: {extra: {call: m.f, queue: email}}"})
    assert loaded.ok
    plan = loaded.plan
    assert list(plan.jobs) == ["system-health", "clean-old-data", "send-email", "extra"]
    assert plan.queues["email"] == Queue(name="email", concurrency=10)
    url = {"url": "sqlite:///var/app.db"}
    assert plan.resources["db"] == Resource(name="db", use="sqlalchemy.create_engine", options=url, close="dispose")
    assert plan.sources.folders == (str(tmp_path / "plugins"),)
    assert plan.files == (str(tmp_path / "jobs.yaml"), str(tmp_path / "jobs.d/more.yaml"))
    health, clean, send, _ = plan.jobs.values()
    assert health.triggers[0].spec == CronSpec(expression="*/30 * * * * *", timezone="Europe/Berlin")
    assert (clean.catch_up, clean.overlap, clean.concurrency) == (CatchUp.LAST, Overlap.SKIP, 1)
    assert send.retry == Retry(max_attempts=8, give_up_on=("smtplib.SMTPRecipientsRefused",))
    assert (send.queue, send.concurrency, send.triggers) == ("email", None, ())


def test_several_triggers_of_every_form(load_text):
    made = job(
        load_text,
        "    timezone: America/New_York\n"
        "    jitter: 5s\n"
        "    cron: ['@daily', 'H 3 * * *']\n"
        "    every: 5 to 10 minutes\n"
        "    at: [2031-01-01T00:00Z, 2030-01-31T09:00]\n"
        "    triggers:\n"
        "      - {cron: '0 1 * * *', timezone: Asia/Tokyo, start: 2027-01-01, end: 2028-01-01, jitter: 1m}\n"
        "      - {every: [1 hour, 2 hours]}\n",
    )
    specs = [trigger.spec for trigger in made.triggers]
    new_york = "America/New_York"
    assert specs == [
        CronSpec(expression="0 0 * * *", timezone=new_york),
        CronSpec(expression="H 3 * * *", timezone=new_york, hash_key="a"),
        EverySpec(phrase="5 to 10 minutes", timezone=new_york, hash_key="a"),
        AtSpec(times=(datetime(2030, 1, 31, 14, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))),
        CronSpec(
            expression="0 1 * * *",
            timezone="Asia/Tokyo",
            start=datetime(2026, 12, 31, 15, tzinfo=UTC),
            end=datetime(2027, 12, 31, 15, tzinfo=UTC),
        ),
        EverySpec(phrase="1 hour", timezone=new_york),
        EverySpec(phrase="2 hours", timezone=new_york),
    ]
    assert [trigger.jitter.total_seconds() for trigger in made.triggers] == [5, 5, 5, 5, 60, 5, 5]


def test_a_local_time_that_repeats_means_its_first_occurrence(load_text):
    made = job(load_text, "    timezone: Europe/Berlin\n    at: 2030-10-27T02:30\n")
    assert made.triggers[0].spec == AtSpec(times=(datetime(2030, 10, 27, 0, 30, tzinfo=UTC),))


def test_after_takes_a_name_a_mapping_or_a_list(load_text):
    text = """
version: 1
jobs:
  a: {call: m.f}
  b: {call: m.f, after: a}
  c: {call: m.f, after: {job: a, on: failure}}
  d: {call: m.f, after: [b, {job: c, on: end}]}
"""
    jobs = load_text(text).plan.jobs
    assert jobs["b"].after == (AfterTrigger(job="a"),)
    assert jobs["c"].after == (AfterTrigger(job="a", on=On.FAILURE),)
    assert jobs["d"].after == (AfterTrigger(job="b"), AfterTrigger(job="c", on=On.END))


def test_retry_takes_a_number_false_or_a_mapping_merged_key_by_key(load_text):
    text = """
version: 1
defaults: {retry: {max_attempts: 7, backoff: linear, on: TimeoutError}}
jobs:
  a: {call: m.f, retry: 5}
  b: {call: m.f, retry: false}
  c: {call: m.f, retry: {delay: 10m}}
  d: {call: m.f}
"""
    jobs = load_text(text).plan.jobs
    base = Retry(max_attempts=7, backoff=Backoff.LINEAR, on=("TimeoutError",))
    assert jobs["d"].retry == base
    assert [jobs[name].retry.max_attempts for name in "abc"] == [5, 1, 7]
    assert jobs["c"].retry.delay == jobs["c"].retry.max_delay == timedelta(minutes=10)


def test_policies_come_from_the_job_then_the_defaults_then_the_built_in_ones(load_text):
    text = """
version: 1
queues: {slow: }
defaults: {timeout: 1m, heartbeat: 30s, queue: slow, isolation: thread, memory_limit: 1GiB}
jobs:
  a: {call: m.f}
  b:
    {call: m.f, timeout: none, heartbeat: none, queue: default, deadline: 1h30m, catch_up_window: 7d, log_limit: 64KiB,
     priority: 9}
"""
    a, b = load_text(text).plan.jobs.values()
    assert (a.timeout, a.queue, a.isolation, a.memory_limit) == (timedelta(minutes=1), "slow", Isolation.THREAD, 2**30)
    assert (a.heartbeat, b.heartbeat) == (timedelta(seconds=30), None)
    assert (b.timeout, b.queue, b.deadline, b.priority) == (None, "default", timedelta(hours=1.5), 9)
    assert (b.catch_up_window, b.log_limit, b.grace) == (timedelta(days=7), 65536, timedelta(seconds=5))


def test_only_scheduled_jobs_whose_overlap_is_not_allow_run_one_at_a_time(load_text):
    assert job(load_text, "    cron: '@daily'\n").concurrency == 1
    assert job(load_text, "    cron: '@daily'\n    overlap: queue\n").concurrency == 1
    assert job(load_text, "    cron: '@daily'\n    overlap: allow\n").concurrency is None
    assert job(load_text, "    cron: '@daily'\n    concurrency: 3\n").concurrency == 3
    assert job(load_text, "").concurrency is None


def test_settings_of_the_file(load_text, tmp_path):
    text = """
version: 1
shutdown_grace: 1m
workers: {processes: 2, max_memory: 1GiB, import_timeout: 5s}
plugins: [tasks, "pkg.module", entry-point]
vars: {days: 30, names: [a, b]}
jobs: {}
"""
    (tmp_path / "tasks").mkdir()
    plan = load_text(text).plan
    assert plan.shutdown_grace == timedelta(minutes=1)
    assert (plan.workers.processes, plan.workers.max_memory, plan.workers.threads) == (2, 2**30, 16)
    assert plan.sources.folders == (str(tmp_path / "tasks"),)
    assert plan.sources.modules == ("pkg.module", "entry-point")
    assert plan.vars == {"days": 30, "names": ["a", "b"]}
    assert type(plan.vars["names"]) is list
    assert plan.timezone == "UTC"


def test_every_mistake_of_every_file_is_told_in_one_go(load_text):
    text = """
version: 1
timezone: Mars
include: [jobs.d/*.yaml]
jobs:
  a: {call: m.f, retires: 3, timeout: 5}
  b: {call: m.f, cron: "61 * * * *", queue: nope, after: nobody}
  c: {call: m.f, params: {x: "{{ env.NOPE }}", y: "{{ oops }}"}}
"""
    loaded = load_text(
        text, files={"jobs.d/x.yaml": "jobs: {d: {cal: m.f}, a: {call: m.f}}", "jobs.d/y.yaml": "jobs: [\n"}
    )
    assert not loaded.ok
    assert loaded.plan is None
    assert [d.code for d in loaded.diagnostics] == [
        "unknown-key", "duplicate-name", "yaml-syntax", "bad-timezone", "unknown-key", "bad-duration", "bad-cron",
        "unknown-queue", "unknown-job", "missing-env", "undefined-name",
    ]  # fmt: skip


def test_one_mistake_of_a_job_hides_no_other(load_text):
    text = """
version: 1
jobs:
  a: {call: m.f, retires: 3, cron: "61 * * * *", queue: nope}
  b: {call: m.f, after: c, overlap: skp}
  c: {call: m.f, after: b, timeout: 5, timezone: Mars, every: 5 minutes}
"""
    assert [d.code for d in load_text(text).diagnostics] == [
        "unknown-key", "bad-cron", "unknown-queue", "after-circle", "bad-choice", "bad-duration", "bad-timezone",
    ]  # fmt: skip


def test_a_broken_job_can_still_be_named_by_others(load_text, only):
    text = "version: 1\njobs:\n  a: {call: m.f, bogus: 1}\n  b: {call: m.f, after: a}\n"
    assert only(load_text(text)).code == "unknown-key"


def test_an_included_file_says_where_the_first_definition_is(load_text, only):
    text = "version: 1\ninclude: [more.yaml, m*.yaml]\njobs: {a: {call: m.f}}\n"
    found = only(load_text(text, files={"more.yaml": "jobs:\n  a: {call: m.f}\n"}))
    assert (found.code, found.line, found.column) == ("duplicate-name", 2, 3)
    assert found.file.endswith("more.yaml")
    assert "jobs.yaml:3" in found.message


def test_an_included_file_holds_no_settings_and_includes_nothing(load_text):
    text = "version: 1\ninclude: [more.yaml]\n"
    found = load_text(text, files={"more.yaml": "include: [x]\ntimezone: UTC\njobs: {a: {call: m.f}}\n"}).diagnostics
    assert [(d.code, d.hint) for d in found] == [
        ("unknown-key", "`include` belongs in the main file"),
        ("unknown-key", "`timezone` belongs in the main file"),
    ]


def test_a_pattern_that_matches_the_main_file_itself_is_no_circle(load_text):
    loaded = load_text("version: 1\ninclude: ['*.yaml']\njobs: {a: {call: m.f}}\n", files={"b.yaml": "vars: {x: 1}"})
    assert loaded.ok
    assert loaded.plan.vars == {"x": 1}


def test_a_folder_a_missing_file_and_no_permission_are_told(tmp_path, load_text, only):
    from orchestrator.config.load import load

    def code(path):
        return only(load(path, environ={}, inspector=None, now=datetime(2026, 1, 1, tzinfo=UTC))).code

    assert code(tmp_path) == "unreadable-file"
    assert code(tmp_path / "none.yaml") == "missing-file"
    assert code(tmp_path / "a\0b") in ("unreadable-file", "missing-file")
    (tmp_path / "big.yaml").write_bytes(b"#" * (16 * 2**20 + 1))
    assert code(tmp_path / "big.yaml") == "file-too-large"
