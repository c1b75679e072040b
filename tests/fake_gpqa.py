"""Rows made up in GPQA's layout, and a zip as its authors lock it."""

from __future__ import annotations

import csv
import struct
import zlib
from pathlib import Path

from anytime_lib.tasks.gpqa_source import COLUMNS


def official(
    path: Path,
    columns: tuple[str, ...] = (*COLUMNS, "Canary String"),
    n: int = 30,
    change: dict[str, str] | None = None,
) -> Path:
    """A file of `n` rows; `change` puts other cells into its first one."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for i in range(n):
            row = {c: f"rec{i}" if c == "Record ID" else f"{c}, {i} \n" for c in columns}
            if i == 0:
                row |= {c: cell for c, cell in (change or {}).items() if c in columns}
            rows.writerow(row.values())
    return path


def write_zip(path: Path, members: dict[str, bytes], password: bytes | None) -> None:
    """A zip in the old encryption, which Python's zipfile reads but cannot write (PKWARE's APPNOTE, section 6.1)."""
    local = central = b""
    for name, content in members.items():
        deflate, crc = zlib.compressobj(wbits=-15), zlib.crc32(content)
        packed = deflate.compress(content) + deflate.flush()
        if password is not None:
            packed = _encrypt(bytes(11) + bytes([crc >> 24]) + packed, password)
        head = struct.pack("<5H3L2H", 20, password is not None, 8, 0, 33, crc, len(packed), len(content), len(name), 0)
        central += b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<3H2L", 0, 0, 0, 0, len(local))
        central += name.encode()
        local += b"PK\3\4" + head + name.encode() + packed
    count = len(members)
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, len(central), len(local), 0)
    path.write_bytes(local + central + end)


def _encrypt(data: bytes, password: bytes) -> bytes:
    keys, full = [0x12345678, 0x23456789, 0x34567890], 0xFFFFFFFF

    def turn(byte: int) -> None:
        keys[0] = zlib.crc32(bytes([byte]), keys[0] ^ full) ^ full
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & full
        keys[2] = zlib.crc32(bytes([keys[1] >> 24]), keys[2] ^ full) ^ full

    for byte in password:
        turn(byte)
    out = bytearray()
    for byte in data:
        seed = keys[2] | 2
        out.append(byte ^ ((seed * (seed ^ 1)) >> 8 & 255))
        turn(byte)
    return bytes(out)
