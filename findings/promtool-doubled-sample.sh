#!/bin/bash
# Guess:     a page with one sample twice is refused: by `promtool check metrics`, and by
#            node_exporter's textfile collector, which then sets node_textfile_scrape_error.
# Behaviour: neither refuses it. promtool says nothing. node_exporter keeps the first of the two
#            values, answers 200, and its own metrics say that all went well. Only its log has an
#            error, a new one for every scrape.
# Versions:  Debian 12: prometheus 2.42.0+ds-5+deb12u1 (promtool), prometheus-node-exporter
#            1.5.0-1+b6. Needs apt and curl.
# Seen:      promtool: exit 0, 0 bytes of output
#            node_exporter: 200, queue_depth{queue="a"} 1, node_textfile_scrape_error 0
#            its log: ... was collected before with the same name and label values
set -euo pipefail
work=$(mktemp -d) exporter=
trap '[ -z "$exporter" ] || kill "$exporter"; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download prometheus=2.42.0+ds-5+deb12u1 prometheus-node-exporter=1.5.0-1+b6 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
mkdir textfile
cat >textfile/queue.prom <<'END'
# HELP queue_depth Requests that wait.
# TYPE queue_depth gauge
queue_depth{queue="a"} 1
queue_depth{queue="a"} 2
END

status=0
root/usr/bin/promtool check metrics <textfile/queue.prom >said 2>&1 || status=$?
echo "promtool: exit $status, $(wc -c <said) bytes of output"

address=127.0.0.1:19117
root/usr/bin/prometheus-node-exporter --collector.disable-defaults --collector.textfile \
	--collector.textfile.directory="$work/textfile" --web.listen-address=$address 2>log &
exporter=$!
for _ in $(seq 50); do ! curl -so page "http://$address/" || break; sleep 0.1; done
code=$(curl -so page -w '%{http_code}' "http://$address/metrics")
depths=$(grep '^queue_depth' page)
error=$(grep '^node_textfile_scrape_error' page)
echo "node_exporter: $code, $depths, $error"
echo "its log: $(grep -o 'was collected before.*' log)"

[ $status = 0 ] && [ ! -s said ] && [ "$code" = 200 ] && [ "$depths" = 'queue_depth{queue="a"} 1' ] &&
	[ "$error" = 'node_textfile_scrape_error 0' ] && grep -q 'was collected before' log
