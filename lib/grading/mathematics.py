"""Whether two mathematical texts say the same, by math-verify, in a process of its own.

A comparison can hang, in C code as well, where no signal reaches it. So math-verify works in a child process
that gets lines of JSON and is killed when it takes too long. It starts with the first question and ends with
this process.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from functools import lru_cache

READ_LIMIT, COMPARE_LIMIT = 1.5, 2.0  # seconds: two texts are read and compared within 5
START_LIMIT = 120.0
LONGEST = 300  # characters of a text that is read


def equal(a: str, b: str) -> bool:
    """Whether two LaTeX expressions, given without dollars, are equal; one that cannot be read equals none.

    A text that takes more than `READ_LIMIT` cannot be read. Raises TimeoutError if the comparison takes more
    than `COMPARE_LIMIT`.
    """
    return _readable(a) and _readable(b) and _compare(*sorted((a, b)))


@lru_cache(maxsize=2**14)
def _readable(text: str) -> bool:
    try:
        return len(text) <= LONGEST and _worker.ask([text], READ_LIMIT)
    except TimeoutError:
        return False


@lru_cache(maxsize=2**14)
def _compare(a: str, b: str) -> bool:
    return _worker.ask([a, b], COMPARE_LIMIT)


class _Worker:
    """The child process; one at a time asks it."""

    def __init__(self):
        self.lock, self.child, self.replies = threading.Lock(), None, queue.Queue()

    def ask(self, texts: list[str], limit: float) -> bool:
        """Send the child some texts; raises TimeoutError, and ends it, if its reply takes too long."""
        with self.lock:
            if self.child is None or self.child.poll() is not None:
                self._start()
            try:
                self.child.stdin.write(json.dumps(texts) + "\n")
                self.child.stdin.flush()
                reply = self._reply(limit)
            except BrokenPipeError:
                reply = ""
            if not reply:  # too slow, or ended by itself
                self.end()
                raise TimeoutError(f"no reply in {limit} s about {' and '.join(texts)}")
        return json.loads(reply)

    def _start(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-P", __file__],  # -P: its neighbours are no modules of its own
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.replies = queue.Queue()
        threading.Thread(target=_forward, args=(self.child.stdout, self.replies), daemon=True).start()
        if self._reply(START_LIMIT) != "true\n":
            self.end()
            raise RuntimeError("math-verify does not start; see what it says on stderr")

    def _reply(self, limit: float) -> str:
        """The child's next line; "" where it has ended or takes too long."""
        try:
            return self.replies.get(timeout=limit)
        except queue.Empty:
            return ""

    def end(self) -> None:
        """Kill the child, if there is one; the next question starts another."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            with contextlib.suppress(BrokenPipeError):  # of what was not sent
                self.child.stdin.close()
        self.child = None


def _forward(lines, replies: queue.Queue) -> None:
    """Put every line into the queue and, after the last, an empty one."""
    with lines:
        for line in lines:
            replies.put(line)
    replies.put("")


_worker = _Worker()
atexit.register(_worker.end)
os.register_at_fork(after_in_child=_worker.__init__)  # a fork gets a child of its own, and an open lock


def _serve() -> None:
    """The child: a list of one text asks whether it can be read, of two whether they are equal."""
    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig
    from math_verify import parse, verify
    from math_verify.parser import LatexExtractionConfig
    from sympy import Expr, N

    # the whole of a text is read, and no unit or box is looked for in it
    plain = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
    )
    config = LatexExtractionConfig(boxed_match_priority=-1, normalization_config=plain)

    @lru_cache(maxsize=2**10)
    def read(text: str) -> list:
        return parse(f"${text}$", extraction_config=[config], fallback_mode="no_fallback")

    def value(expressions: list):
        """The value of a text that is one finite number, to 15 digits; None of any other."""
        if len(expressions) != 1 or not isinstance(expressions[0], Expr) or not expressions[0].is_number:
            return None
        found = N(expressions[0])
        return found if found.is_finite else None

    def answer(texts: list[str]) -> bool:
        found = [read(text) for text in texts]
        values = [value(expressions) for expressions in found]  # where one never ends, it is its text's fault
        if len(texts) == 1:
            return bool(found[0])
        if None not in values and abs(values[0] - values[1]) > 1e-5 * max(1, *map(abs, values)):
            return False  # no algebra makes them equal, and it could take long
        return verify(*found) or verify(*found[::-1])

    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no reply
    read("1")  # loads the grammar
    replies.write("true\n")
    replies.flush()
    for line in sys.stdin:
        replies.write(json.dumps(answer(json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    _serve()
