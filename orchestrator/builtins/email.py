"""`email`: sends one message, to each recipient once."""

from __future__ import annotations

from typing import Annotated, Any

from orchestrator.builtins.checked import Checked
from orchestrator.plugins.api import Context, GiveUp, job


class NotAccepted(Exception):  # noqa: N818
    """The server doesn't take the message for some recipients now, and may later."""


def _server(value: str) -> str:
    from orchestrator.builtins.delivery import check_server  # with what it imports, slow

    check_server(value)
    return value


def _addresses(value: str | list[str]) -> list[str]:
    from orchestrator.builtins.letter import addresses

    return addresses(value)


def _sender(value: str) -> str:
    if len(found := _addresses(value)) != 1:
        raise ValueError("is more than one address")
    return found[0]


Addresses = Annotated[str | list[str], Checked(_addresses, "str | list[str]")]


@job("email")
def email(
    server: Annotated[str, Checked(_server, "str")],
    from_: Annotated[str, Checked(_sender, "str")],
    to: Addresses,
    ctx: Context,
    subject: str = "",
    text: str = "",
    html: str | None = None,
    cc: Addresses = [],  # noqa: B006 - shown to people as the default, and never changed
    bcc: Addresses = [],  # noqa: B006
    attachments: list[str] = [],  # noqa: B006
    headers: dict[str, str] = {},  # noqa: B006
    password: str | None = None,
) -> dict[str, Any]:
    """Send an e-mail by `smtp://user@host:587?starttls=1` or `smtps://…`, or put it into `maildir:FOLDER`.

    All attempts of a run send the same Message-ID, and only to recipients that haven't been accepted before. What a
    server refuses for good (5xx) ends the run; anything else is tried again. The result is `{message_id, accepted}`.
    """
    from orchestrator.builtins.delivery import deliver
    from orchestrator.builtins.letter import bare, compose

    everybody = [bare(address) for address in (*to, *cc, *bcc)]
    fields = [("From", from_), ("To", ", ".join(to)), ("Cc", ", ".join(cc)), ("Subject", subject), *headers.items()]
    seed = repr((ctx.job, ctx.run_id, ctx.fire_time, from_, everybody, subject))
    try:
        letter = compose([field for field in fields if field[1]], text, html, attachments, seed)
    except ValueError as error:
        raise GiveUp(f"the message can't be made: {error}") from error
    accepted = [address for address in dict.fromkeys(everybody) if address in ctx.checkpoint.load([])]
    left = [address for address in dict.fromkeys(everybody) if address not in accepted]
    refusals = deliver(server, password, letter, left) if left else {}
    accepted += [address for address in left if address not in refusals]
    ctx.checkpoint.save(accepted)
    if refusals:
        _refuse(refusals, len(accepted))
    return {"message_id": str(letter["Message-ID"]), "accepted": accepted}


def _refuse(refusals: dict[str, tuple[int, str]], accepted: int) -> None:
    told = "; ".join(f"{address}: {code} {words}" for address, (code, words) in refusals.items())
    message = f"{len(refusals)} of {len(refusals) + accepted} recipients were refused: {told}"
    if all(code >= 500 for code, _ in refusals.values()):
        raise GiveUp(message)
    raise NotAccepted(message)
