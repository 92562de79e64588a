#!/bin/bash
# Guess:     node_exporter's textfile collector passes the samples of a valid histogram on as they
#            are in the file.
# Behaviour: it writes the bounds of buckets anew, as the shortest float, so that le="0.000003"
#            becomes le="3e-06": another series than the one of whoever scrapes the same page
#            directly. And it invents a sum: a histogram without _sum, which the text format allows,
#            gets "_sum 0", and every average over it is 0.
# Versions:  Debian 12: prometheus-node-exporter 1.5.0-1+b6. Needs apt and curl.
# Seen:      wait_seconds_bucket{le="3e-06"} 1
#            wait_seconds_sum 0
set -euo pipefail
work=$(mktemp -d) exporter=
trap '[ -z "$exporter" ] || kill "$exporter"; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download prometheus-node-exporter=1.5.0-1+b6 2>/dev/null
dpkg-deb -x ./*.deb root
mkdir textfile
cat >textfile/wait.prom <<'END'
# HELP wait_seconds How long requests wait.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.000003"} 1
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_count 2
END

address=127.0.0.1:19118
root/usr/bin/prometheus-node-exporter --collector.disable-defaults --collector.textfile \
	--collector.textfile.directory="$work/textfile" --web.listen-address=$address 2>log &
exporter=$!
for _ in $(seq 50); do ! curl -so page "http://$address/" || break; sleep 0.1; done
curl -so page "http://$address/metrics"
grep '^wait_seconds' page

grep -q '^wait_seconds_bucket{le="3e-06"} 1$' page && ! grep -q '0\.000003' page && grep -q '^wait_seconds_sum 0$' page
