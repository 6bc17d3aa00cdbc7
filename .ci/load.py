"""An open-loop load on public addresses: requests leave on time whether or not answers have come.

    load.py RATE HOST PATH REPORT EDGE...

Half of the requests go over connections that are kept, half open their own; all edges are asked in turn. Until SIGTERM or SIGINT; then
what was seen is written to REPORT as JSON. A failed request is one that has no answer within five seconds, or any but a 200.
"""

import asyncio
import collections
import json
import signal
import sys
import time

DEADLINE = 5.0


class Seen:
    def __init__(self):
        self.sent = 0
        self.failures = []
        self.latencies = []
        self.revisions = collections.Counter()
        self.last = None

    def note(self, began, status, body):
        self.latencies.append(time.monotonic() - began)
        if status != 200:
            self.failures.append({"at": time.time(), "status": status, "body": body[:200].decode("utf-8", "replace")})
            return
        try:
            revision = json.loads(body).get("revision")
        except (ValueError, AttributeError):
            revision = None
        self.revisions[str(revision)] += 1
        self.last = revision

    def failed(self, kind, error):
        self.failures.append({"at": time.time(), "connection": kind, "error": repr(error)})


async def exchange(reader, writer, host, path, keep):
    connection = "keep-alive" if keep else "close"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\nAccept: */*\r\n\r\n".encode())
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body, headers["connection"] = await reader.read(), "close"
    return int(lines[0].split()[1]), body, headers.get("connection", "").lower() == "close"


async def once(seen, edge, host, path, kept):
    began = time.monotonic()
    kind = "new" if kept is None else "kept"
    writer = None
    try:
        async with asyncio.timeout(DEADLINE):
            # A server may end an idle connection at any time; a client sees that before it sends, and opens another.
            if kept and not (kept[-1][0].at_eof() or kept[-1][1].is_closing()):
                reader, writer = kept.pop()
            else:
                if kept:
                    kept.pop()[1].close()
                reader, writer = await asyncio.open_connection(*edge)
            status, body, closing = await exchange(reader, writer, host, path, kept is not None)
        seen.note(began, status, body)
        if kept is not None and not closing:
            kept.append((reader, writer))
        else:
            writer.close()
    except (OSError, EOFError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
        seen.failed(kind, error)
        if writer is not None:
            writer.close()


async def main():
    rate, host, path, report, *edges = sys.argv[1:]
    edges = [(address.rsplit(":", 1)[0], int(address.rsplit(":", 1)[1])) for address in edges]
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    seen, running, pools = Seen(), set(), [[] for _ in edges]
    began, interval = time.monotonic(), 1 / float(rate)
    while not over.is_set():
        turn = seen.sent
        task = asyncio.create_task(
            once(seen, edges[turn % len(edges)], host, path, pools[turn % len(edges)] if turn // len(edges) % 2 else None)
        )
        running.add(task)
        task.add_done_callback(running.discard)
        seen.sent += 1
        await asyncio.sleep(max(0.0, began + seen.sent * interval - time.monotonic()))
    seconds = time.monotonic() - began
    if running:
        await asyncio.wait(running)
    ordered = sorted(seen.latencies) or [0.0]
    result = {
        "sent": seen.sent,
        "a_second": round(seen.sent / seconds, 1),
        "failed": len(seen.failures),
        "failures": seen.failures[:10],
        "median_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        "slowest_ms": round(ordered[-1] * 1000, 2),
        "revisions": seen.revisions,
        "last_revision": seen.last,
    }
    with open(report, "w", encoding="utf-8") as out:
        json.dump(result, out)


asyncio.run(main())
