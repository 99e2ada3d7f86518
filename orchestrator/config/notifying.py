"""Can messages be sent as the configuration says? Makes a notifier's settings, and the hidden job that delivers."""

from __future__ import annotations

import importlib.util
import logging
from datetime import timedelta
from typing import Any

from orchestrator.config.model_hooks import NotifierShape
from orchestrator.config.rendering import plain
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.core.hooks import DELIVER_CALL, Notifier
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.plan import Job
from orchestrator.core.policies import Backoff, Isolation, Jitter, Overlap, Retry

SUBJECT = "{{ event.job }}: {{ event.kind }}{% if count > 1 %} and {{ count - 1 }} more{% endif %}"
BODY = (
    "{% for one in events %}{{ one.job }}{% if one.run_id %} run {{ one.run_id }}{% endif %}: {{ one.kind }}"
    "{% if one.reason %}: {{ one.reason }}{% endif %} ({{ one.at }})\n{% endfor %}"
    "{% if count > events | length %}and {{ count - (events | length) }} more\n{% endif %}"
)
RETRY = Retry(
    max_attempts=10,
    backoff=Backoff.EXPONENTIAL,
    delay=timedelta(seconds=5),
    max_delay=timedelta(minutes=10),
    jitter=Jitter.EQUAL,
)
TIMEOUT = timedelta(minutes=2)
_EXTRA = "pip install 'orchestrator[notify]'"


def check_installed(entry: Entry[Any], report: Report) -> bool:
    """Whether the library that delivers is there; it is told once that it isn't."""
    if importlib.util.find_spec("apprise") is not None:
        return True
    report.error("missing-extra", "notifiers need apprise, which is not installed", entry.key(), _EXTRA)
    return False


def notifier_of(entry: Entry[NotifierShape]) -> Notifier:
    """What the engine has to know."""
    shape = entry.value
    given: dict[str, Any] = {}
    if "group" in shape.model_fields_set:
        given = {name: getattr(shape.group, name) for name in shape.group.model_fields_set}
    if "throttle" in shape.model_fields_set:
        given["throttle"] = shape.throttle
    return Notifier(name=entry.name, **given)


def delivery_of(entry: Entry[NotifierShape], notifier: Notifier) -> Job:
    """The hidden job. It does one message at a time, so that they arrive in order."""
    shape = entry.value
    params = {"urls": shape.urls, "subject": _or(shape.subject, SUBJECT), "body": _or(shape.body, BODY)}
    return Job(
        name=notifier.delivery,
        call=DELIVER_CALL,
        description=f"Delivers the messages of the notifier {entry.name}",
        params=plain(params),
        isolation=Isolation.THREAD,
        retry=RETRY,
        timeout=TIMEOUT,
        overlap=Overlap.ALLOW,
        concurrency=1,
    )


def check_urls(entry: Entry[NotifierShape], report: Report) -> None:
    """Report addresses behind which there is no service. What holds a secret is known only when it is used."""
    import apprise  # slow, and only there if somebody is to be told

    logger = logging.getLogger("apprise")
    logger.disabled = True
    try:
        for index, url in enumerate(entry.value.urls):
            if isinstance(url, str) and apprise.Apprise.instantiate(url) is None:
                scheme = url.partition("://")[0] if "://" in url else ""
                what = f"the address `{scheme}://…` can't be used" if scheme else "this is no URL of a service"
                hint = "https://github.com/caronc/apprise/wiki says how each service's URL is written"
                report.error("bad-url", what, entry.at("urls", index), hint)
    finally:
        logger.disabled = False


def _or(given: Any, default: str) -> Any:
    return {TEMPLATE_KEY: default} if given is None else given
