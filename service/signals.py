"""What signals ask of the parent process, which circus runs for BentoML: to end, at whatever moment they come.

circus itself answers `quit` with an error, and forgets it, while it starts a worker. SIGHUP it takes as an order to
start all workers again, and it comes from a terminal that closes.
"""

import signal

from circus import controller, sighandler
from circus.client import make_json

_AGAIN_SECONDS = 0.1


class Signals(sighandler.SysHandler):
    """In the place of circus's own."""

    def _register(self) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        super()._register()
        if ignored:  # by nohup; workers inherit it
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def quit(self) -> None:
        self.controller.loop.add_callback_from_signal(self._quit)

    def handle_hup(self) -> None:
        self.quit()

    def _quit(self) -> None:
        """Until the loop ends: quitting twice does no harm."""
        self.controller.dispatch((None, make_json("quit")))
        self.controller.loop.call_later(_AGAIN_SECONDS, self._quit)


def heed() -> None:
    """For the arbiter that this process is about to make."""
    controller.SysHandler = Signals
