"""Every mutation, in the order of the promises."""

from __future__ import annotations

from soak.mutations.enduring import ENDURING
from soak.mutations.keeping import KEEPING

MUTATIONS = (*KEEPING, *ENDURING)
