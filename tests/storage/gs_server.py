"""A small Google Cloud Storage: the part of its XML API that clients of objects use, with generation preconditions.

`python gs_server.py` listens on a free port of the loopback and says which. State lives as long as the process.
"""

import asyncio
import base64
import itertools
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import md5
from urllib.parse import quote, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from aiohttp import web

TIME = "%a, %d %b %Y %H:%M:%S GMT"


@dataclass(kw_only=True)
class Object:
    """What is stored under a key."""

    data: bytes
    content_type: str
    generation: int
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    def headers(self) -> dict[str, str]:
        """Describes it."""
        return {
            "ETag": f'"{md5(self.data, usedforsecurity=False).hexdigest()}"',
            "x-goog-generation": str(self.generation),
            "Last-Modified": self.modified.strftime(TIME),
        }


@dataclass(kw_only=True)
class Upload:
    """A multipart upload under way."""

    bucket: str
    key: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Fault(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Store:
    """All buckets."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Object]] = {}
        self.uploads: dict[str, Upload] = {}
        self.generations = itertools.count(int(datetime.now(UTC).timestamp() * 1e6))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers any request."""
        # The path as it came: clients' libraries would resolve `..` and empty parts.
        raw = request.raw_path.partition("?")[0]
        bucket, _, key = unquote(raw).removeprefix("/").partition("/")
        try:
            if "X-Goog-Signature" in request.query:
                _check_expiry(request)
            if request.method == "PUT" and not key:
                self.buckets[bucket] = {}
                return web.Response()
            if bucket not in self.buckets:
                raise Fault(404, "NoSuchBucket")
            if not key:
                return self.listed(bucket, request)
            match request.method:
                case "PUT" if "uploadId" in request.query:
                    return await self.part(request)
                case "PUT":
                    return self.put(bucket, key, await request.read(), request)
                case "POST" if "uploads" in request.query:
                    return self.begin(bucket, key, request)
                case "POST":
                    return self.complete(bucket, key, await request.read(), request)
                case "DELETE" if "uploadId" in request.query:
                    if self.uploads.pop(request.query["uploadId"], None) is None:
                        raise Fault(404, "NoSuchUpload")
                    return web.Response(status=204)
                case "DELETE":
                    if self.buckets[bucket].pop(key, None) is None:
                        raise Fault(404, "NoSuchKey")
                    return web.Response(status=204)
                case "GET" | "HEAD":
                    return self.get(bucket, key, request)
            raise Fault(405, "MethodNotAllowed")
        except Fault as fault:
            return _xml(f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>", status=fault.status)

    def put(self, bucket: str, key: str, data: bytes, request: web.Request) -> web.Response:
        """Stores an object, if its generation is the wanted one."""
        held = self.buckets[bucket].get(key)
        wanted = request.headers.get("x-goog-if-generation-match")
        if wanted is not None and int(wanted) != (held.generation if held else 0):
            raise Fault(412, "PreconditionFailed")
        content_type = request.headers.get("Content-Type", "application/octet-stream")
        made = Object(data=data, content_type=content_type, generation=next(self.generations))
        self.buckets[bucket][key] = made
        return web.Response(headers=made.headers())

    def get(self, bucket: str, key: str, request: web.Request) -> web.Response:
        """Reads an object, or a range of it."""
        held = self.buckets[bucket].get(key)
        if held is None:
            raise Fault(404, "NoSuchKey")
        headers = {**held.headers(), "Content-Type": held.content_type, "Accept-Ranges": "bytes"}
        body, status = held.data, 200
        span = request.http_range
        if span.start is not None:
            stop = len(body) if span.stop is None else min(span.stop, len(body))
            if span.start >= len(body):
                raise Fault(416, "InvalidRange")
            headers["Content-Range"] = f"bytes {span.start}-{stop - 1}/{len(body)}"
            body, status = body[span.start : stop], 206
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(held.data))})
        return web.Response(body=body, status=status, headers=headers)

    def listed(self, bucket: str, request: web.Request) -> web.Response:
        """Lists keys, or uploads under way."""
        query = request.query
        if "uploads" in query:
            mine = [upload.key for upload in self.uploads.values() if upload.bucket == bucket]
            keys = "".join(f"<Upload><Key>{escape(key)}</Key></Upload>" for key in mine)
            return _xml(f"<ListMultipartUploadsResult>{keys}</ListMultipartUploadsResult>")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        room = int(query.get("max-keys", "1000"))
        entries: list[str] = []
        body = ""
        for key in sorted(self.buckets[bucket]):
            if not key.startswith(prefix) or key <= after:
                continue
            folder, slash, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            entry = f"{prefix}{folder}{slash}" if slash else key
            if (entries and entry == entries[-1]) or (slash and after.startswith(entry)):
                continue
            if len(entries) == room:
                body += f"<NextContinuationToken>{escape(entries[-1])}</NextContinuationToken>"
                break
            entries.append(entry)
            if slash:
                body += f"<CommonPrefixes><Prefix>{escape(entry)}</Prefix></CommonPrefixes>"
            else:
                held = self.buckets[bucket][key]
                body += (
                    f"<Contents><Key>{escape(key)}</Key><Generation>{held.generation}</Generation>"
                    f"<LastModified>{held.modified.isoformat().replace('+00:00', 'Z')}</LastModified>"
                    f"<ETag>{held.headers()['ETag']}</ETag><Size>{len(held.data)}</Size></Contents>"
                )
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{body}</ListBucketResult>")

    def begin(self, bucket: str, key: str, request: web.Request) -> web.Response:
        """Begins a multipart upload."""
        upload_id = base64.urlsafe_b64encode(os.urandom(12)).decode()
        content_type = request.headers.get("Content-Type", "application/octet-stream")
        self.uploads[upload_id] = Upload(bucket=bucket, key=key, content_type=content_type)
        return _xml(
            f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
            f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
        )

    async def part(self, request: web.Request) -> web.Response:
        """Takes one part."""
        data = await request.read()
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            raise Fault(404, "NoSuchUpload")
        upload.parts[int(request.query["partNumber"])] = data
        return web.Response(headers={"ETag": f'"{md5(data, usedforsecurity=False).hexdigest()}"'})

    def complete(self, bucket: str, key: str, body: bytes, request: web.Request) -> web.Response:
        """Makes the parts an object."""
        upload = self.uploads.get(request.query.get("uploadId", ""))
        if upload is None:
            raise Fault(404, "NoSuchUpload")
        numbers = [int(part.findtext("{*}PartNumber", "0")) for part in ElementTree.fromstring(body)]
        if numbers != sorted(upload.parts):
            raise Fault(400, "InvalidPart")
        del self.uploads[request.query["uploadId"]]
        made = Object(
            data=b"".join(upload.parts[number] for number in numbers),
            content_type=upload.content_type,
            generation=next(self.generations),
        )
        self.buckets[bucket][key] = made
        etag = escape(made.headers()["ETag"])
        return _xml(
            f"<CompleteMultipartUploadResult><Location>http://x/{quote(key)}</Location><Bucket>{bucket}</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{etag}</ETag></CompleteMultipartUploadResult>",
            headers={"x-goog-generation": str(made.generation)},
        )


def _check_expiry(request: web.Request) -> None:
    began = datetime.strptime(request.query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if datetime.now(UTC) > began + timedelta(seconds=int(request.query["X-Goog-Expires"])):
        raise Fault(400, "ExpiredToken")


def _xml(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=text, status=status, headers=headers, content_type="application/xml")


async def main() -> None:
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", Store().handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"listening on {host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
