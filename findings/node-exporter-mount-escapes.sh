#!/bin/bash
# Guess:     node_exporter shows the size of each filesystem that is mounted, whatever its mount point is
#            called, as df does.
# Behaviour: the kernel writes a blank, tab, newline and backslash of a mount point as \040, \011, \012 and
#            \134. node_exporter undoes the first two. A mount point with a backslash, as systemd-escape
#            writes for a dash, is looked for at a path that there is not. It has node_filesystem_device_error
#            1 and no size, so an alert about the free room stays silent, and the label mountpoint is the
#            escaped text.
# Versions:  github.com/prometheus/node_exporter v1.12.1 (Go 1.26), coreutils 9.1, Linux 6.18. Needs go, root
#            and curl.
# Seen:      df: 1024 c d
#            df: 1024 dev\x2ddisk
#            size_bytes c d 1.048576e+06
#            device_error c d 0
#            device_error dev\\134x2ddisk 1
set -euo pipefail
work=$(mktemp -d) exporter=
trap '[ -z "$exporter" ] || kill "$exporter"; umount "$work"/m/* || true; rm -rf "$work"' EXIT
cd "$work"
CGO_ENABLED=0 GOBIN=$work go install github.com/prometheus/node_exporter@v1.12.1 2>log
for name in 'c d' 'dev\x2ddisk'; do
	mkdir -p "m/$name"
	mount -t tmpfs -o size=1m tmpfs "m/$name"
	echo "df: $(df --output=size "m/$name" | tail -1 | tr -d ' ') $name"
done >seen

address=127.0.0.1:19120
./node_exporter --collector.disable-defaults --collector.filesystem \
	--web.listen-address=$address 2>log &
exporter=$!
for _ in $(seq 50); do ! curl -so page "http://$address/" || break; sleep 0.1; done
curl -so page "http://$address/metrics"
for metric in size_bytes device_error; do
	sed -n "s,^node_filesystem_$metric{.*mountpoint=\"$work/m/\(.*\)\"},$metric \1,p" page
done >>seen
cat seen

diff seen - <<'END_OF_SEEN'
df: 1024 c d
df: 1024 dev\x2ddisk
size_bytes c d 1.048576e+06
device_error c d 0
device_error dev\\134x2ddisk 1
END_OF_SEEN
