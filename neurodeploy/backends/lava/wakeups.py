"""A defect of Lava 0.10 that leaves runs hanging, and its cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mend() -> None:
    """Let every port of Lava in this process, and in those it starts, tell a waiting selector of every message.

    Lava tells only of a message that finds its port empty, and looks before it puts the message in. If the one before
    is taken between the two, nobody hears of the new one, and the process model waits for ever: seen at the STOP that
    follows the last phase at once, on a machine with more processes than cores. Being told in vain does no harm.
    Source: lava.magma.compiler.channels.pypychannel, ``_req_callback``, ``_ack_callback`` and ``CspSelector``.
    """
    from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort

    def received(self: Any, req: Any) -> None:
        while req.acquire() and not self._done:
            self._queue.put_nowait(0)
            tell(self.observer)

    def acknowledged(self: Any, ack: Any) -> None:
        while ack.acquire() and not self._done:
            self._semaphore.release()
            tell(self.observer)

    def tell(observer: Callable[[], None] | None) -> None:
        # A copy of what the port holds: a selector may take it back at any moment.
        if observer is not None:
            observer()

    CspRecvPort._req_callback, CspSendPort._ack_callback = received, acknowledged
