"""Debian packages are read without Debian's tools; malicious ones write nothing outside and nothing odd."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from pocketpress.core.errors import DeviceError
from pocketpress.devices.arm64 import deb
from pocketpress.devices.arm64.deb import unpack


def member(name: str, content: bytes) -> bytes:
    """One member of an ar file: a header of 60 bytes, the content, padded to an even size."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    assert len(header) == 60
    return header + content + b"\n" * (len(content) % 2)


def package(data: bytes, name: str = "data.tar.xz") -> bytes:
    return (
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", b"odd")
        + member(name, data)
    )


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, to: str, type_: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=type_, linkname=to)


def written(tmp_path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = tmp_path / "x.deb"
    path.write_bytes(package(lzma.compress(tar_of(*entries))))
    (tmp_path / "into").mkdir()
    return path


def everything(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*"))


def test_files_folders_and_links(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        folder("./"),
        folder("./usr/"),
        entry("./usr/bin/tool", b"#!x", mode=0o755),
        entry("./etc/plain", b"text", mode=0o4644),
        link("./usr/bin/short", "tool"),
        link("./usr/lib/far", "/etc/plain"),
        link("./usr/bin/hard", "./usr/bin/tool", tarfile.LNKTYPE),
    )
    into = tmp_path / "into"
    assert unpack(path, into) == 7
    assert (into / "usr/bin/short").read_bytes() == b"#!x"
    assert (into / "usr/lib/far").readlink() == Path("../../etc/plain")
    assert (into / "usr/lib/far").read_bytes() == b"text"
    assert (into / "usr/bin/hard").read_bytes() == b"#!x"
    assert (into / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755
    assert (into / "etc/plain").stat().st_mode & 0o7777 == 0o644


def test_gzip_too(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "x.deb"
    path.write_bytes(package(gzip.compress(tar_of(entry("a", b"1"))), "data.tar.gz"))
    (tmp_path / "into").mkdir()
    unpack(path, tmp_path / "into")
    assert everything(tmp_path / "into") == ["a"]


def test_one_file_only(tmp_path: Path) -> None:
    path = written(tmp_path, entry("./a", b"1"), entry("./usr/bin/b", b"22"), entry("./c", b"333"))
    assert unpack(path, tmp_path / "into", frozenset({"usr/bin/b"})) == 2
    assert everything(tmp_path / "into") == ["usr", "usr/bin", "usr/bin/b"]
    with pytest.raises(DeviceError, match="without usr/bin/absent"):
        unpack(path, tmp_path / "into", frozenset({"usr/bin/absent"}))


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../evil", b"x")],
        [entry("/tmp/evil", b"x")],
        [entry("a/../../evil", b"x")],
        [link("out", "../../evil"), entry("out/evil", b"x")],
        [link("out", "..")],
        [link("a/out", "../../evil")],
        [link("hard", "../x.deb", tarfile.LNKTYPE)],
        [entry("fifo", type=tarfile.FIFOTYPE)],
        [entry("device", type=tarfile.CHRTYPE)],
    ],
    ids=["dots", "absolute", "inner dots", "through a link", "link out", "deep link out", "hard link", "fifo",
         "device"],
)  # fmt: skip
def test_nothing_leaves_the_folder(tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    path = written(tmp_path, *entries)
    with pytest.raises(DeviceError, match=r"x\.deb is damaged"):
        unpack(path, tmp_path / "into")
    assert everything(tmp_path) == ["into", "x.deb"]


def test_a_link_that_is_already_there_is_not_followed(tmp_path: Path) -> None:
    path = written(tmp_path, entry("a/evil", b"x"), entry("b", b"new"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "into/a").symlink_to(tmp_path / "outside")
    with pytest.raises(DeviceError, match="through a link"):
        unpack(path, tmp_path / "into")
    assert everything(tmp_path / "outside") == []


def test_a_file_over_a_link_replaces_the_link(tmp_path: Path) -> None:
    path = written(tmp_path, entry("kept", b"old"), link("b", "kept"), entry("b", b"new"))
    unpack(path, tmp_path / "into")
    assert (tmp_path / "into/kept").read_bytes() == b"old"
    assert (tmp_path / "into/b").read_bytes() == b"new" and not (tmp_path / "into/b").is_symlink()


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, entry("a", b"1234"), entry("b", b"1234"))
    for name, limit in (("MAX_FILE_BYTES", 3), ("MAX_TOTAL_BYTES", 7), ("MAX_FILES", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(deb, name, limit)
            with pytest.raises(DeviceError, match=r"limit|more than 1 files"):
                unpack(path, tmp_path / "into")
            assert not (tmp_path / "into/b").exists()
    assert unpack(path, tmp_path / "into") == 8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"!<arch>\n",
        b"PK\x03\x04" * 30,
        b"!<arch>\n" + member("debian-binary", b"2.0\n"),
        b"!<arch>\n" + member("data.tar.zst", b"2.0\n"),
        b"!<arch>\n" + member("data.tar.xz", b"no xz"),
        package(lzma.compress(b"no tar" * 200)),
        package(lzma.compress(tar_of(entry("a", b"1" * 4096))))[:-20],
        b"!<arch>\n" + member("x", b"").replace(b"0         `", b"-8        `") * 20,
        b"!<arch>\n" + member("x", b"") * 200,
    ],
)
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(DeviceError, match=r"x\.deb"):
        unpack(path, tmp_path / "into")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = package(lzma.compress(tar_of(entry("a", bytes(range(256)) * 8), entry("b", b"2"))))
    path = tmp_path / "x.deb"
    (tmp_path / "into").mkdir()
    for length in range(0, len(whole) - 12, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DeviceError):
            unpack(path, tmp_path / "into")
