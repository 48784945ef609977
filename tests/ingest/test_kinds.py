"""A file that is no plain text is reported by what it is, whatever its name."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from clickstream.errors import BadInput
from clickstream.ingest.spool import kinds, logs

LINE = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1\n'


def tar(form):
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            member = tarfile.TarInfo("access.log")
            member.size = len(LINE)
            archive.addfile(member, io.BytesIO(LINE))
        return file.getvalue()


def zipped():
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("access.log", LINE)
        return file.getvalue()


KINDS = {
    "a tar archive": tar(tarfile.USTAR_FORMAT),
    "a tar archive ": tar(tarfile.GNU_FORMAT),
    "a tar archive inside gzip": gzip.compress(tar(tarfile.PAX_FORMAT)),
    "gzip inside gzip": gzip.compress(gzip.compress(LINE)),
    "a zip archive": zipped(),
    "compressed with bzip2": bz2.compress(LINE),
    "compressed with xz": lzma.compress(LINE),
    "compressed with zstd": b"\x28\xb5\x2f\xfd\x04",
    "UTF-16 text": LINE.decode().encode("utf-16"),
    "UTF-16LE text": LINE.decode().encode("utf-16-le"),
    "UTF-16BE text": LINE.decode().encode("utf-16-be"),
    "UTF-32 text": LINE.decode().encode("utf-32"),
    "a gzip file that is cut off": gzip.compress(LINE)[:-4],
    "a gzip file with something else behind its end": gzip.compress(LINE) + b"garbage",
    "a damaged gzip file": gzip.compress(LINE)[:-8] + b"\0" * 8,
}


def read(content):
    with logs.plain(lambda: io.BytesIO(content), "access.log") as stream:
        return stream.read()


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_text_is_refused_by_name(name):
    with pytest.raises(BadInput, match=f"^access.log is {name.strip()}") as caught:
        read(KINDS[name])
    assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        LINE,
        b"",
        b"\n",
        b"PK",
        b"BZh9 is the name of a host\n",
        b"\0" * 600 + LINE,
        b"\xef\xbb\xbf" + LINE,
        LINE * 20,
        b"0" * 600,
        LINE[:148] + b"0000000\0" + LINE * 9,
    ],
)
def test_what_may_be_text_is_read(content):
    assert kinds.of(content[: kinds.HEAD_BYTES]) is None
    assert read(content) == content
    assert read(gzip.compress(content)) == content


def test_members_of_gzip_and_zeros_behind_them_are_read():
    assert read(gzip.compress(LINE) + gzip.compress(LINE) + b"\0" * 512) == LINE * 2
