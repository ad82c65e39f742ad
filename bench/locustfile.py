"""What locust runs: its fast client, as many requests as the answers allow; one a user when BENCH_ONCE is set."""

import os

from locust import FastHttpUser, constant, task  # type: ignore[import-not-found]  # it has a venv of its own

PAUSE = constant(3600 if os.environ.get("BENCH_ONCE") else 0)


class Visitor(FastHttpUser):  # type: ignore[misc]
    """Asks for the one page."""

    wait_time = PAUSE

    @task  # type: ignore[untyped-decorator]
    def visit(self) -> None:
        """One request."""
        self.client.get("/")
