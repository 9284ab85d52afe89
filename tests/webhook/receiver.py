"""An HTTP server for tests of webhooks, on 127.0.0.1, that fails on purpose, as its seed says.

  receiver.py PORT FILE SEED FAILURES     FAILURES: how many of a hundred requests fail; 0: none

What it takes is one JSON object a line of FILE: key, body, headers. Of the requests that fail some were taken all the same: the sender cannot
know. Bodies with the word `poison` are refused with 422; paths: /login wants a password (401), /moved redirects (301), /slow never answers in time.
"""
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, file, seed, failures = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
lock = threading.Lock()
chance = random.Random(seed)
taken = open(file, "a", encoding="utf-8")


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, text="", headers=()):
        body = text.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def take(self, body):
        line = json.dumps({"key": self.headers["Idempotency-Key"], "body": body, "method": self.command, "headers": dict(self.headers)})
        with lock:
            taken.write(line + "\n")
            taken.flush()

    def receive(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        path = self.path.split("?")[0]
        if path == "/login":
            return self.answer(401, "no password")
        if path == "/moved":
            return self.answer(301, "over there", [("Location", "/elsewhere")])
        if path == "/slow":
            time.sleep(3)
        if "poison" in body:
            return self.answer(422, "poison is not taken: " + "x" * 1000)
        with lock:
            fails, kind = chance.randrange(100) < failures, chance.randrange(6)
        if not fails:
            self.take(body)
            return self.answer(200, "thanks")
        if kind == 0:
            return self.answer(503, "busy")
        if kind == 1:
            return self.answer(429, "slower", [("Retry-After", "0")])
        if kind == 2:
            self.take(body)
            return self.answer(500, "taken all the same")
        if kind == 3:
            self.close_connection = True
            return None
        if kind == 4:
            self.take(body)
            self.close_connection = True
            return None
        self.take(body)
        time.sleep(0.7)
        return self.answer(200, "late")

    do_POST = do_PUT = do_PATCH = receive


ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
