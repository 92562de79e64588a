#!/bin/bash
# Guess:     the ways to decompress a file in python-zstandard give the same bytes. A file of several frames,
#            as appending makes it, is the contents of all of them one after the other, as for zstd(1).
# Behaviour: stream_reader, copy_stream and open read all frames. decompress and read_to_iter stop after the
#            first, raise nothing and do not say that there is more. Of a file that begins with a skippable
#            frame, decompress gives b"".
# Versions:  Debian 12: python3-zstandard 0.20.0-3, zstd 1.5.4+dfsg2-5. Needs apt, zstd and Debian's
#            /usr/bin/python3 (3.11).
# Seen:      zstd: one two
#            stream_reader: one two
#            copy_stream: one two
#            read_to_iter: one
#            decompress: one
#            decompress, skippable frame first: (nothing)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download python3-zstandard=0.20.0-3 2>/dev/null
dpkg-deb -x ./*.deb root
for text in one two; do
	echo $text >$text
	zstd -qc $text
done >both.zst
printf '\x50\x2a\x4d\x18\x04\x00\x00\x00abcd' | cat - both.zst >skippable.zst
{
	echo "zstd: $(zstd -qdc both.zst | paste -sd " ")"
	PYTHONPATH=root/usr/lib/python3/dist-packages /usr/bin/python3 - <<-'END'
		import io, zstandard

		both, skippable = open("both.zst", "rb").read(), open("skippable.zst", "rb").read()
		decompressor = zstandard.ZstdDecompressor()
		copied = io.BytesIO()
		decompressor.copy_stream(io.BytesIO(both), copied)
		for what, content in {
		    "stream_reader": decompressor.stream_reader(io.BytesIO(both)).read(),
		    "copy_stream": copied.getvalue(),
		    "read_to_iter": b"".join(decompressor.read_to_iter(io.BytesIO(both))),
		    "decompress": decompressor.decompress(both),
		    "decompress, skippable frame first": decompressor.decompress(skippable),
		}.items():
		    print(f"{what}:", *content.decode().split() or ["(nothing)"])
	END
} | tee seen

diff - seen <<'END'
zstd: one two
stream_reader: one two
copy_stream: one two
read_to_iter: one
decompress: one
decompress, skippable frame first: (nothing)
END
