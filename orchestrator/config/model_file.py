"""The shape of a whole `jobs.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.config.fields import Duration, Mapping, Name, Size, Span, TextList, wrong
from orchestrator.config.model_hooks import NotifierShape
from orchestrator.config.model_job import JobShape
from orchestrator.config.model_policies import Policies
from orchestrator.config.model_queue import QueueShape
from orchestrator.config.shapes import Shape, key


class SecretShape(Shape):
    """Where a secret comes from: exactly one of `env` and `file`."""

    env: str = key("The environment variable that holds it.")
    file: str = key("The file that holds it, relative to `jobs.yaml`; a newline at its end is left out.")

    @model_validator(mode="after")
    def _one_source(self) -> SecretShape:
        if len(self.model_fields_set) != 1:
            raise wrong("bad-secret", "a secret needs exactly one of `env` and `file`", "write {env: NAME}")
        return self


class ResourceShape(Shape):
    """A long-lived object that each worker opens once and callables receive in a parameter of its name."""

    use: str = Field(
        description="What makes it: a function or class by its dotted name, like `sqlalchemy.create_engine`."
    )
    options: Mapping = key("The arguments that `use` is called with, by name.", alias="with")
    close: str = key("The method that is called on it when the worker stops, like `dispose`.")


class WorkersShape(Shape):
    """How many worker processes, and when one is replaced."""

    processes: int = key("The most worker processes for plain functions; they are started when needed.", ge=1, le=1024)
    async_limit: int = key("How many async attempts may run at once.", ge=1)
    threads: int = key("How many attempts with `isolation: thread` may run at once.", ge=1)
    max_runs: int = key("A worker is replaced after this many runs.", ge=1)
    max_memory: Size = key("A worker is replaced when it uses more memory than this.")
    import_timeout: Span = key("How long importing one plugin may take.")


def _nothing(value: Any) -> Any:
    return {} if value is None else value


OrNothing = BeforeValidator(_nothing)


class FragmentShape(Shape):
    """An included file: jobs and what they use."""

    version: Literal[1] = key("The version of this format: 1.")
    jobs: Annotated[dict[Name, JobShape], OrNothing] = key("The jobs by name.")
    queues: Annotated[dict[Name, QueueShape], OrNothing] = key("The queues by name; `default` always exists.")
    resources: Annotated[dict[Name, ResourceShape], OrNothing] = key("The resources by name.")
    notifiers: Annotated[dict[Name, NotifierShape], OrNothing] = key("Whom hooks can tell of what happens, by name.")
    vars: Mapping = key("Values to use in templates as `{{ vars.name }}`.")


class FileShape(FragmentShape):
    """`jobs.yaml`: what runs, when, and under which policies."""

    version: Literal[1] = Field(description="The version of this format: 1.")
    timezone: str = key("The IANA timezone of schedules whose job doesn't name one.")
    plugins: TextList = key(
        "Where callables come from: folders relative to this file, modules, or entry points of installed packages. "
        "By default the folder `plugins` if there is one."
    )
    include: TextList = key("More files with jobs, queues, resources and vars: names or patterns like `jobs.d/*.yaml`.")
    secrets: Annotated[dict[Name, SecretShape], OrNothing] = key(
        "Values to use in templates as `{{ secrets.name }}` that are never shown: each from an environment variable "
        "or a file."
    )
    defaults: Annotated[Policies, OrNothing] = key("The policies that every job starts from.")
    workers: Annotated[WorkersShape, OrNothing] = key("How many worker processes, and when one is replaced.")
    shutdown_grace: Duration = key("How long running attempts get to finish when the orchestrator is told to stop.")
