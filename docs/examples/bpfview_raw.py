#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reads raw output of bpfviewfs: the structs of a view, and the schema that describes them.

    python3 bpfview_raw.py DIRECTORY VIEW          # of a cgroup's directory, as JSON lines
    python3 bpfview_raw.py --tree DIRECTORY VIEW   # and of all cgroups below it

The layout is that of docs/raw.md. As a module:

    schema, output = bpfview_raw.read("/run/bpfview/system.slice", "cpu", tree=True)
    for frame in output.frames:
        for record in output.records(frame):
            print(frame.path, schema.decode(output, record))
"""

import collections
import ipaddress
import json
import os
import signal
import struct
import sys

MAGIC, HEADER, FRAME, LAYOUT = b"BPFV", 80, 16, 1
BIG_ENDIAN, TREE = 1, 2

Frame = collections.namedtuple("Frame", "cgroup path data")


class FormatError(ValueError):
    """The bytes are no raw output, or end too early."""


class Output:
    """The raw output of one view. A path may hold any byte but NUL, so it is bytes.

    begin and end of the run, and the skew of a union, are in nanoseconds since boot; begin_unix is Unix time.
    rest is what follows: in a union, the output of the next view.
    """

    def __init__(self, data):
        if len(data) < HEADER or data[:4] != MAGIC:
            raise FormatError("no header of raw output")
        if data[6] != LAYOUT:
            raise FormatError(f"layout {data[6]}, and not {LAYOUT}")
        self.tree, self.order = bool(data[7] & TREE), ">" if data[7] & BIG_ENDIAN else "<"
        header, self.size, self.version = struct.unpack_from(self.order + "H2xII", data, 4)
        self.hash = data[16:24].hex()
        (self.cgroup, self.begin, self.begin_unix, self.end, self.skew, whole,
         name) = struct.unpack_from(self.order + "7Q", data, 24)
        if not HEADER <= header <= whole <= len(data) or not self.size or name > header - HEADER:
            raise FormatError("its sizes contradict each other, or it ends too early")
        self.view, self.rest = data[HEADER:HEADER + name].decode(), data[whole:]
        data = data[header:whole]
        if self.tree:
            self.frames = list(self._frames(data))
        elif len(data) % self.size:
            raise FormatError("no whole number of records")
        else:
            self.frames = [Frame(self.cgroup, b".", data)]

    def _frames(self, data):
        at = 0
        while at < len(data):
            if len(data) - at < FRAME:
                raise FormatError("it ends in a frame")
            cgroup, path, count = struct.unpack_from(self.order + "QII", data, at)
            at += FRAME
            records = at + (path + 7 & ~7)
            end = records + (count * self.size + 7 & ~7)
            if end > len(data):
                raise FormatError(f"it ends in the frame of cgroup {cgroup}")
            yield Frame(cgroup, data[at:at + path], data[records:records + count * self.size])
            at = end

    def records(self, frame):
        """The records of a frame, as bytes."""
        return [frame.data[i:i + self.size] for i in range(0, len(frame.data), self.size)]


class Schema:
    """The description of a view's records. Hash and size are those of the output that it describes."""

    FORMATS = {"u": {1: "B", 2: "H", 4: "I", 8: "Q"}, "s": {1: "b", 2: "h", 4: "i", 8: "q"}}

    def __init__(self, text):
        schema = json.loads(text)
        self.view, self.version = schema["view"], schema["version"]
        self.hash, self.size, self.members = schema["hash"], schema["size"], schema["members"]

    def decode(self, output, record):
        """A dictionary of the record's members. None: not available. Text is bytes, a histogram a list."""
        return {m["name"]: self._value(output, record, m) for m in self.members}

    def _value(self, output, record, m):
        data = record[m["offset"]:m["offset"] + m["size"]]
        kind = m["type"].split("[")[0].rstrip("0123456789")
        if m.get("optional") and not data.strip(b"\xff"):
            return None
        if kind == "char":
            return data.split(b"\0")[0]
        if kind == "address":
            address = ipaddress.IPv6Address(data)
            return str(address.ipv4_mapped or address)
        if kind == "histogram":
            return list(struct.unpack(f"{output.order}{len(data) // 8}Q", data))
        number = self._number(output, data, "s" if kind == "s" else "u")
        if kind == "bool":
            return bool(number)
        if kind == "enum":
            values = m.get("values", {})
            signed = self._number(output, data, "s")
            return values.get(str(number), values.get(str(signed), number))
        return number if kind in ("u", "s", "cgroup") else None

    def _number(self, output, data, sign):
        return struct.unpack(output.order + self.FORMATS[sign][len(data)], data)[0]


def read(directory, view, tree=False):
    """Schema and output of a view in a directory of the mount, which belong together."""
    control = os.path.join(directory, ".bpfview")
    path = os.path.join(control, "tree", view + ".raw") if tree else os.path.join(control, "raw", view)
    while True:
        with open(os.path.join(control, "schema", view + ".json"), "rb") as file:
            schema = Schema(file.read())
        with open(path, "rb") as file:
            output = Output(file.read())
        if (schema.hash, schema.size) == (output.hash, output.size):
            return schema, output


def lines(schema, output):
    """A JSON line for each record, with the path and the id of its cgroup."""
    for frame in output.frames:
        for record in output.records(frame):
            row = {"cgroup": frame.path, "cgroup_id": frame.cgroup, **schema.decode(output, record)}
            yield json.dumps(row, default=lambda b: b.decode(errors="replace"))


def main(arguments):
    tree = arguments[:1] == ["--tree"]
    if len(arguments) != 2 + tree:
        sys.exit(__doc__)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head(1) may end first
    for line in lines(*read(*arguments[tree:], tree=tree)):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
