from pathlib import Path

import pytest

from evergreen_server.media.guard import is_public
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media


@pytest.fixture
def closed(tmp_path: Path) -> Media:
    """Judging a URL needs no connection, so the tools are not even opened."""
    hosts = frozenset({"minio", "10.0.0.7:9000", "[::1]:9000", "Files.Corp.Example.com"})
    return Media(private_hosts=hosts, limits=MediaLimits(), temp_dir=tmp_path)


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/a.jpg",
        "http://example.com:80/a.jpg?X-Signature=%2Fa%2B",
        "HTTPS://Example.COM./a.jpg#part",
        "https://bücher.example.com/ä.jpg",
        "https://a_b.example.com/",
        "https://8.8.8.8/a.jpg",
        "https://[2606:4700:4700::1111]/a.jpg",
        "http://minio:9000/bucket/a.jpg",
        "https://MINIO/bucket/a.jpg",
        "http://10.0.0.7:9000/a.jpg",
        "http://[::1]:9000/a.jpg",
        "https://files.corp.example.com/a.jpg",
    ],
)
def test_a_url_that_may_be_fetched_has_no_fault(closed: Media, uri: str) -> None:
    assert closed.uri_error(uri) is None


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("file:///etc/passwd", "https"),
        ("ftp://example.com/a.jpg", "https"),
        ("gopher://example.com/", "https"),
        ("//example.com/a.jpg", "https"),
        ("example.com/a.jpg", "https"),
        ("", "https"),
        ("data:image/png;base64,AAAA", "data:"),
        ("data:image/png;base64," + "A" * 3000, "data:"),
        ("https://example.com/" + "a" * 2048, "2048"),
        ("https://example.com/a b", "space"),
        (" https://example.com/", "space"),
        ("https://example.com/\r\nHost: x", "control"),
        ("https://example.com/\x00", "control"),
        ("https://example.com\\@10.0.0.1/", "backslash"),
        ("https:///a.jpg", "host"),
        ("https:a.jpg", "host"),
        ("https://", "host"),
        ("https://user:word@example.com/", "user name"),
        ("https://@example.com/", "user name"),
        ("https://example.com:22/", "80, 443"),
        ("https://example.com:0/", "80, 443"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:x/", "port"),
        ("https://[::1/", "malformed"),
        ("https://%31%32%37.0.0.1/", "public"),
        ("https://exa%00mple.com/", "valid name"),
        ("https://%6cocalhost/", "valid name"),
        ("https://-/", "valid name"),
        ("https://./", "valid name"),
        ("http://127.0.0.1/a.jpg", "public"),
        ("http://127.0.0.1./a.jpg", "public"),
        ("http://127.1/", "public"),
        ("http://2130706433/", "public"),
        ("http://0x7f000001/", "public"),
        ("http://0x7f.0.0.1/", "public"),
        ("http://0177.0.0.1/", "public"),
        ("http://①②⑦.⓪.⓪.①/", "public"),
        ("http://[::ffff:127.0.0.1]/", "public"),
        ("http://[::ffff:7f00:1]/", "public"),
        ("http://[::1]/", "public"),
        ("http://[::]/", "public"),
        ("http://[fe80::1%25eth0]/", "public"),
        ("http://0.0.0.0/", "public"),
        ("http://169.254.169.254/latest/meta-data/", "public"),
        ("http://10.0.0.7/", "public"),
        ("http://10.0.0.7:9001/", "public"),
        ("http://localhost/", "public"),
        ("http://LOCALHOST./", "public"),
        ("http://a.localhost/", "public"),
    ],
)
def test_a_fault_in_the_text_of_a_url_is_named(closed: Media, uri: str, named: str) -> None:
    error = closed.uri_error(uri)

    assert error is not None
    assert named in error


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.251",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1"])
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("uri", ["https://example.com/a.jpg", "https://cdn.example.com:443/a.jpg?signature=x"])
def test_an_https_url_on_a_public_name_may_be_passed_on(closed: Media, uri: str) -> None:
    assert closed.may_pass_on(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.com/a.jpg",
        "https://example.com:80/a.jpg",
        "https://8.8.8.8/a.jpg",
        "https://[2606:4700:4700::1111]/a.jpg",
        "https://intranet/a.jpg",
        "https://printer.local/a.jpg",
        "https://vault.internal/a.jpg",
        "https://localhost/a.jpg",
        "https://minio/a.jpg",
        "https://files.corp.example.com/a.jpg",
        "https://user@example.com/a.jpg",
        "https://example.com/" + "a" * 2048,
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
    ],
)
def test_any_other_url_is_not_passed_on(closed: Media, uri: str) -> None:
    assert not closed.may_pass_on(uri)
