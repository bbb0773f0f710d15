"""A guest book in one file: every visit is a row in PostgreSQL."""

import html
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

DATABASE = {
    "host": os.environ.get("DB_HOST", "db"),
    "user": os.environ.get("DB_USER", "postgres"),
    "password": os.environ.get("DB_PASSWORD", "postgres"),
    "dbname": os.environ.get("DB_NAME", "postgres"),
    "connect_timeout": 3,
}
DEBUG = os.environ.get("DEBUG", "") == "True"


def query(sql: str, *values: object, tries: int = 20) -> list[tuple]:
    """One connection a query: slow, and never stale. The database may come later than we do."""
    for attempt in range(1, tries + 1):
        try:
            connection = psycopg2.connect(**DATABASE)
        except psycopg2.OperationalError:
            if attempt == tries:
                raise
            time.sleep(0.5)
            continue
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()
    return []


def prepare() -> None:
    query("SELECT pg_advisory_lock(4711); CREATE TABLE IF NOT EXISTS visits (at timestamptz NOT NULL DEFAULT now(), who text NOT NULL)")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/healthz":
            return self.answer(200, "ok\n")
        if self.path != "/":
            return self.answer(404, "not found\n")
        try:
            query("INSERT INTO visits (who) VALUES (%s)", self.client_address[0])
            (count,), = query("SELECT count(*) FROM visits")
        except psycopg2.Error as error:
            return self.answer(503, f"the database does not answer: {error}\n" if DEBUG else "the database does not answer\n")
        return self.answer(200, f"Hello! Visit number {count}, served by {html.escape(socket.gethostname())}.\n")

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        if DEBUG:
            sys.stderr.write(f"{self.address_string()} {format % args}\n")


def main() -> None:
    server = ThreadingHTTPServer(("", 8000), Handler)
    server.daemon_threads = False  # closing waits for the requests that run
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    threading.Thread(target=prepare, daemon=True).start()
    print("listening on 8000")
    server.serve_forever()
    server.server_close()


main()
