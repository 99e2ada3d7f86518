"""A simulation says what the engine does: the same fires, overlaps and catch-up, on the same plan and clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.core.flows import Step, StepKind
from orchestrator.core.plan import Job, Plan, Queue, Workers
from orchestrator.core.policies import CatchUp, Isolation, Overlap, PerKey, RateLimit
from orchestrator.core.runs import Outcome
from orchestrator.core.triggers import AfterTrigger, CronSpec, TimeTrigger
from orchestrator.engine.simulation import Happening, Scenario, Simulated, Simulation

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BERLIN = "Europe/Berlin"


def plan_of(*jobs: Job, queues: tuple[Queue, ...] = (), workers: Workers | None = None) -> Plan:
    return Plan(
        path="jobs.yaml",
        root="/nowhere",
        timezone="UTC",
        jobs={job.name: job for job in jobs},
        queues={queue.name: queue for queue in queues},
        workers=workers or Workers(),
    )


def simulated(plan: Plan, length: timedelta, **scenario: object) -> tuple[Simulated, list[Happening]]:
    happenings: list[Happening] = []
    begin = scenario.pop("begin", NOON)
    told = Scenario(begin=begin, end=begin + length, **scenario)  # type: ignore[arg-type,operator]
    return Simulation(plan, told, happenings.append).run(), happenings


def summary(happenings: list[Happening]) -> list[tuple[str, str, datetime | None]]:
    return [(one.job, "skipped" if one.outcome == "skipped" else "run", one.fire_time) for one in happenings]


def test_it_agrees_with_the_engine_on_every_fire_and_overlap(bench: Any, make_job: Callable[..., Job]) -> None:
    lasting = {"slow": timedelta(minutes=2, seconds=30)}
    jobs = (
        make_job("slow", cron="* * * * *", overlap=Overlap.SKIP),
        make_job("other", cron="*/2 * * * *"),
        make_job("after-other", after=(AfterTrigger(job="other"),)),
    )
    bench.executor.behave = lambda order: None  # each attempt ends when its time is over

    async def really() -> list[tuple[str, str, datetime | None]]:
        begun: dict[int, datetime] = {}
        async with bench.running(*jobs):
            for _ in range(20 * 4):
                await bench.pass_time(timedelta(seconds=15), timedelta(seconds=15))
                for run_id, order in list(bench.executor.held.items()):
                    begun.setdefault(run_id, bench.clock.now())
                    if bench.clock.now() - begun[run_id] >= lasting.get(order.job, timedelta(0)):
                        bench.executor.end(run_id, Outcome.SUCCEEDED)
                await bench.at_rest()
        return [
            (run.job, "skipped" if run.state.value == "skipped" else "run", run.fire_time)
            for run in bench.runs()
            if run.fire_time is not None
        ]

    found = asyncio.run(really())
    _, happenings = simulated(plan_of(*jobs), 20 * MINUTE + timedelta(seconds=1), durations=lasting)
    assert sorted(found, key=str) == sorted([one for one in summary(happenings) if one[2] is not None], key=str)
    assert {state for _, state, _ in found} == {"run", "skipped"}


def test_catch_up_after_downtime_follows_each_policy(make_job: Callable[..., Job]) -> None:
    jobs = [make_job(policy.value, cron="* * * * *", catch_up=policy) for policy in CatchUp]
    down = ((NOON + 10 * MINUTE + timedelta(seconds=30), NOON + 20 * MINUTE + timedelta(seconds=30)),)
    result, happenings = simulated(plan_of(*jobs), 30 * MINUTE, downtimes=down)
    assert {name: (one.fires, one.caught_up) for name, one in result.jobs.items()} == {
        "skip": (29, 0),
        "last": (29, 1),
        "all": (29, 10),
    }
    (summed_up,) = [one for one in happenings if one.job == "skip" and one.outcome == "skipped"]
    assert "10 fire times from 2026-03-02 12:11:00 UTC on" in (summed_up.reason or "")


def test_queue_depth_grows_where_runs_outlast_the_room(make_job: Callable[..., Job]) -> None:
    jobs = [make_job(f"job-{number}", cron="0 * * * *", queue="narrow") for number in range(10)]
    plan = plan_of(*jobs, queues=(Queue(name="narrow", concurrency=2),))
    result, _ = simulated(plan, timedelta(hours=1, minutes=30), otherwise=5 * MINUTE)
    assert (result.queues["narrow"].deepest, result.queues["narrow"].left) == (8, 0)
    assert result.jobs["job-9"].longest_wait == 20 * MINUTE


def test_a_replacing_fire_ends_the_run_before_it(make_job: Callable[..., Job]) -> None:
    job = make_job("report", cron="*/10 * * * *", overlap=Overlap.REPLACE)
    result, _ = simulated(plan_of(job), timedelta(minutes=55), otherwise=timedelta(hours=1))
    assert (result.jobs["report"].runs, result.jobs["report"].replaced) == (5, 4)


def test_fires_follow_the_clock_change(make_job: Callable[..., Job]) -> None:
    spec = CronSpec(expression="30 2 * * *", timezone=BERLIN)
    job = make_job("nightly", triggers=(TimeTrigger(spec=spec),), timezone=BERLIN)
    _, happenings = simulated(plan_of(job), timedelta(days=3), begin=datetime(2026, 3, 28, tzinfo=UTC))
    fires = [one.fire_time for one in happenings]
    assert fires == [
        datetime(2026, 3, day, *time, tzinfo=UTC) for day, time in ((28, (1, 30)), (29, (1, 0)), (30, (0, 30)))
    ]


def test_the_same_seed_gives_the_same_jitter(make_job: Callable[..., Job]) -> None:
    trigger = TimeTrigger(spec=CronSpec(expression="*/5 * * * *"), jitter=2 * MINUTE)
    plan = plan_of(make_job("spread", triggers=(trigger,)))
    due = [[one.due_at for one in simulated(plan, timedelta(hours=1), seed=seed)[1]] for seed in (7, 7, 8)]
    assert due[0] == due[1] != due[2]


def test_priorities_go_first_when_workers_are_few(make_job: Callable[..., Job]) -> None:
    jobs = [make_job("low", cron="0 * * * *"), make_job("high", cron="0 * * * *", priority=5)]
    blocker = make_job("blocker", cron="59 * * * *")
    plan = plan_of(*jobs, blocker, workers=Workers(processes=1))
    result, _ = simulated(plan, timedelta(hours=1, minutes=30), otherwise=2 * MINUTE)
    assert result.jobs["high"].longest_wait == MINUTE
    assert result.jobs["low"].longest_wait == 3 * MINUTE
    assert Isolation.PROCESS in {job.isolation for job in jobs}


def test_rates_hold_back_what_is_too_much_and_no_more(make_job: Callable[..., Job]) -> None:
    job = make_job(cron="*/10 * * * * *", queue="mail", overlap=Overlap.ALLOW, group_by=("x",))
    rate = RateLimit(count=2, period=MINUTE)
    figures, _ = simulated(plan_of(job, queues=(Queue(name="mail", rate_limit=rate),)), 10 * MINUTE)
    assert (figures.jobs["tick"].runs, figures.jobs["tick"].finished, figures.queues["mail"].left) == (59, 20, 39)
    each = Queue(name="mail", per_key=PerKey(by=("x",), rate_limit=rate))
    figures, _ = simulated(plan_of(job, queues=(each,)), 10 * MINUTE)
    assert figures.jobs["tick"].finished == 20
    roomy = Queue(name="mail", rate_limit=RateLimit(count=6, period=MINUTE))
    figures, _ = simulated(plan_of(job, queues=(roomy,)), 10 * MINUTE)
    assert (figures.jobs["tick"].finished, figures.jobs["tick"].longest_wait) == (59, timedelta(0))


def test_rates_and_a_downtime_come_to_an_end_together(make_job: Callable[..., Job]) -> None:
    job = make_job(cron="*/10 * * * * *", queue="mail", overlap=Overlap.ALLOW)
    plan = plan_of(job, queues=(Queue(name="mail", rate_limit=RateLimit(count=1, period=MINUTE)),))
    figures, _ = simulated(plan, 10 * MINUTE, downtimes=[(NOON + MINUTE, NOON + 5 * MINUTE)])
    assert figures.jobs["tick"].finished == 6


def flow_of(make_job: Callable[..., Job], *steps: Step, **policies: object) -> tuple[Job, ...]:
    """The workflow `flow` that fires each hour, its hidden jobs, and a job that runs after it."""
    hidden = [make_job(step.job, flow="flow", step=step) for step in steps]
    flow = make_job("flow", cron="0 * * * *", steps=steps, **policies)
    return (flow, *hidden, make_job("after-flow", after=(AfterTrigger(job="flow"),)))


def step(name: str, **fields: object) -> Step:
    return Step(name=name, job=f"flow/{name}", **fields)  # type: ignore[arg-type]


def followed_at(happenings: list[Happening]) -> list[datetime]:
    return [one.at for one in happenings if one.job == "after-flow"]


def test_a_workflow_lasts_as_long_as_its_steps_and_takes_no_worker_of_its_own(make_job: Callable[..., Job]) -> None:
    steps = (
        step("a"),
        step("many", needs=("a",), foreach=[1, 2, 3], max_parallel=2),
        step("pause", needs=("a",), kind=StepKind.SLEEP, pause=MINUTE / 2),
        step("ask", needs=("pause",), kind=StepKind.APPROVE),
        step("never", when=False),
        step("nor-this", needs=("never",)),
        step("last", is_final=True),
    )
    durations = {"flow/a": MINUTE, "flow/many": MINUTE, "flow/last": MINUTE}
    plan = plan_of(*flow_of(make_job, *steps), workers=Workers(processes=2))
    result, happenings = simulated(plan, timedelta(hours=1, minutes=30), durations=durations)
    assert followed_at(happenings) == [NOON + timedelta(hours=1) + 4 * MINUTE]
    runs = {name: figures.runs for name, figures in result.jobs.items()}
    assert runs == {
        "flow": 1,
        "flow/a": 1,
        "flow/many": 3,
        "flow/pause": 1,
        "flow/ask": 1,
        "flow/never": 0,
        "flow/nor-this": 0,
        "flow/last": 1,
        "after-flow": 1,
    }


def test_steps_share_workers_with_everybody(make_job: Callable[..., Job]) -> None:
    many = step("many", foreach=list(range(6)))
    plan = plan_of(*flow_of(make_job, many), workers=Workers(processes=2))
    _, happenings = simulated(plan, timedelta(hours=1, minutes=30), durations={"flow/many": MINUTE})
    assert followed_at(happenings) == [NOON + timedelta(hours=1) + 3 * MINUTE]


def test_a_fire_during_a_workflow_is_skipped_or_ends_it_with_its_steps(make_job: Callable[..., Job]) -> None:
    long = step("long")
    lasts = {"flow/long": timedelta(minutes=90)}
    day = timedelta(hours=4, minutes=30)
    plan = plan_of(*flow_of(make_job, long, overlap=Overlap.SKIP))
    assert simulated(plan, day, durations=lasts)[0].jobs["flow"].skipped == 2
    plan = plan_of(*flow_of(make_job, long, overlap=Overlap.REPLACE), workers=Workers(processes=1))
    result, happenings = simulated(plan, day, durations=lasts)
    assert (result.jobs["flow"].replaced, result.jobs["flow/long"].runs) == (3, 4)
    assert followed_at(happenings) == []


def test_a_step_that_runs_a_job_waits_for_it_and_a_stated_duration_stands_for_the_steps(
    make_job: Callable[..., Job],
) -> None:
    inner = step("inner", kind=StepKind.JOB, sub_job="other")
    plan = plan_of(*flow_of(make_job, inner, step("then", needs=("inner",))), make_job("other"))
    _, happenings = simulated(plan, timedelta(hours=1, minutes=30), durations={"other": 5 * MINUTE})
    assert followed_at(happenings) == [NOON + timedelta(hours=1, seconds=1) + 5 * MINUTE]
    result, happenings = simulated(plan, timedelta(hours=1, minutes=30), durations={"flow": 9 * MINUTE})
    assert followed_at(happenings) == [NOON + timedelta(hours=1) + 9 * MINUTE]
    assert result.jobs["other"].runs == 0
