"""A server that speaks OpenAI's protocol over real HTTP, and misbehaves as a test asks it to."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = tuple[int, bytes, dict[str, str]]


def opinion(label="sad", confidence=0.95, reason="it sounds so", **message):
    """The body of a completion that gives an opinion."""
    content = json.dumps({"label": label, "confidence": confidence, "reason": reason})
    return completion(content, **message)


def completion(content, **message):
    said = {"role": "assistant", "content": content, **message}
    choices = [{"index": 0, "finish_reason": "stop", "message": said}]
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": choices}


def refusal(status, message, headers=None, **error):
    """An error as OpenAI words it."""
    body = {"error": {"message": message, "type": "x", "code": None, **error}}
    return status, json.dumps(body).encode(), headers or {}


class _Quiet(ThreadingHTTPServer):
    """A server that does not mind clients that hang up."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class ChatServer:
    """A server in a thread.

    Args:
        answer: gives the reply to a request's body: a completion, or status, bytes and headers.

    Attributes:
        asked: bodies of the completions that were asked for, in order.
        headers: of the same requests.
        most: how many requests were being answered at once.
        batches: by name, as the API shows them; tests set their status.
        files: content by name.
        no_files: the reply to files that are sent, None to take them.
    """

    def __init__(self, answer: Callable = lambda body: opinion()) -> None:
        self.answer = answer
        self.asked, self.headers = [], []
        self.most = self._now = 0
        self.batches, self.files = {}, {}
        self.no_files: Reply | None = None
        self.lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def end_batches(self, status="completed", answered=lambda n: True):
        """Give batches a status, with answers to those of their questions that are chosen."""
        for batch in self.batches.values():
            lines = []
            for n, line in enumerate(self.files[batch["input_file_id"]].splitlines()):
                request = json.loads(line)
                if answered(n):
                    lines.append(self._result(request))
            batch["status"] = status
            batch["output_file_id"] = f"out-{batch['id']}"
            self.files[batch["output_file_id"]] = b"\n".join(lines)

    def _result(self, request) -> bytes:
        found = self.answer(request["body"])
        status, body = (200, found) if isinstance(found, dict) else (found[0], json.loads(found[1]))
        response = {"status_code": status, "body": body}
        result = {"custom_id": request["custom_id"], "response": response, "error": None}
        return json.dumps(result).encode()

    def _completion(self, body, headers) -> Reply:
        with self.lock:
            self.asked.append(body)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            found = self.answer(body)
        finally:
            with self.lock:
                self._now -= 1
        return (200, json.dumps(found).encode(), {}) if isinstance(found, dict) else found

    def _upload(self, raw: bytes):
        name = f"file-{len(self.files)}"
        self.files[name] = next(
            part.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n", 1)[0]
            for part in raw.split(b"--" + raw[2 : raw.index(b"\r\n")])
            if b'name="file"' in part
        )
        return {"id": name, "object": "file", "bytes": 1, "created_at": 0, "purpose": "batch"}

    def _submit(self, body):
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "created_at": 0,
            "status": "in_progress",
            "errors": None,
            "output_file_id": None,
            "error_file_id": None,
            **body,
        }
        return self.batches[name]

    def _handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/files" and outer.no_files:
                    self.put(*outer.no_files)
                elif self.path == "/v1/files":
                    self.send(outer._upload(raw))
                elif self.path == "/v1/batches":
                    self.send(outer._submit(json.loads(raw)))
                elif self.path != "/v1/chat/completions":
                    self.put(*refusal(404, "no such thing"))
                else:
                    self.put(*outer._completion(json.loads(raw), self.headers))

            def do_GET(self):
                *_, kind, name = self.path.partition("?")[0].split("/")
                if name == "batches":
                    self.send({"object": "list", "data": list(outer.batches.values())})
                elif kind == "batches" and name in outer.batches:
                    self.send(outer.batches[name])
                elif name == "content" and kind in outer.files:
                    self.put(200, outer.files[kind], {})
                else:
                    self.put(*refusal(404, "no such thing"))

            def send(self, body):
                self.put(200, json.dumps(body).encode(), {})

            def put(self, status, body, headers):
                self.send_response(status)
                cut = headers.pop("x-cut", None)
                length = len(body) + (50 if cut else 0)
                for name, value in {"Content-Length": str(length), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                trickle = float(headers.get("x-trickle", 0))
                try:
                    for place in range(0, len(body), 10 if trickle else len(body) or 1):
                        self.wfile.write(body[place : place + (10 if trickle else len(body))])
                        self.wfile.flush()
                        time.sleep(trickle)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                if cut:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        return Handler
