"""Counts visits in Redis, which may come later than we do, or be away for a moment."""

import os
import socket
import time

from flask import Flask
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

app = Flask(__name__)
redis = Redis(host=os.environ.get("REDIS_HOST", "localhost"), socket_connect_timeout=2, socket_timeout=2)


def count_visit(tries: int = 10) -> int:
    for attempt in range(1, tries + 1):
        try:
            return redis.incr("visits")
        except (RedisConnectionError, RedisTimeoutError):
            if attempt == tries:
                raise
            time.sleep(0.3)
    raise AssertionError("unreachable")


@app.get("/")
def index() -> str:
    return f"This page has been seen {count_visit()} times. Served by {socket.gethostname()}.\n"


@app.get("/healthz")
def health() -> str:
    redis.ping()
    return "ok\n"
